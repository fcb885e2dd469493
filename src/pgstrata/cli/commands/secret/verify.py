"""``pgstrata secret verify``."""

from __future__ import annotations

import subprocess

import click

from pgstrata.cli import options
from pgstrata.cli.output import print_json, tell
from pgstrata.cli.sealed_file import SealedFile, sealed_file
from pgstrata.errors import FINDINGS, OK, ConfigError, SecretError


@click.command("verify")
@options.environments
@click.option(
    "--since",
    metavar="GITREF",
    help="Demand that the file follows from the one of this commit: no old one, no other key.",
)
@options.output("text", "json")
@click.pass_obj
def command(
    session: options.Session,
    names: tuple[str, ...],
    since: str | None,
    output: str,
    *,
    everything: bool,
) -> int:
    """Verify that nobody without the key has changed a sealed file. Needs no key."""
    chosen = session.environments(names, everything=everything)
    files = [sealed_file(session, name) for name in chosen]
    if everything:
        files = [file for file in files if file.path.exists()]
    results = [_result(file, since) for file in files]
    if output == "json":
        print_json(environments=results)
    for result in results if output == "text" else ():
        if result["error"]:
            tell(f"error: {result['error']}", hint=str(result["hint"]))
        else:
            click.echo(
                f"{result['environment']}: ok, revision {result['revision']}, {result['entries']} "
                f"entries, {result['pending']} pending, key {result['key']} {result['pin']}"
            )
    return FINDINGS if any(result["error"] for result in results) else OK


def _result(file: SealedFile, since: str | None) -> dict[str, object]:
    from pgstrata.secrets.sealed import attest, parse, pins

    try:
        document = parse.read(file.path, file.environment)
        attest.verify(document)
        pin = pins.find(file.access)
        if pin is not None:
            pins.check(document, file.access, direct=True)
        if since is not None:
            attest.require_successor(document, parse.parse(*_earlier(file, since)))
    except ConfigError as error:
        return {"environment": file.environment, "error": str(error), "hint": error.hint}
    return {
        "environment": file.environment,
        "error": None,
        "revision": document.revision,
        "entries": len(document.entries),
        "pending": len(document.pending),
        "key": document.key.id,
        "pin": f"(pinned in {pin.source})" if pin else "(not pinned)",
    }


def _earlier(file: SealedFile, since: str) -> tuple[bytes, str, str]:
    """Return the file of a commit, its environment, and its name for messages."""
    if since.startswith("-"):
        raise SecretError("that is no commit", hint="--since takes a branch, a tag or a hash")
    command = ["git", "show", f"{since}:./{file.path.name}"]
    try:
        done = subprocess.run(  # noqa: S603  # git itself, and no shell
            command, cwd=file.path.parent, check=False, capture_output=True
        )
    except OSError:
        raise SecretError("--since needs git", hint="install git, or leave --since out") from None
    if done.returncode:
        raise SecretError(
            f"git shows no {file.name} in {since}",
            hint="in CI, check out the whole history: fetch-depth 0",
        )
    return done.stdout, file.environment, f"{since}:{file.name}"
