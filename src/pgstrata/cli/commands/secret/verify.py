"""``pgstrata secret verify``."""

from __future__ import annotations

import subprocess
from pathlib import Path

import click

from pgstrata.cli import options
from pgstrata.cli.output import print_json, tell
from pgstrata.cli.sealed_file import SealedFile, sealed_file
from pgstrata.cli.secret_input import SecretCommand
from pgstrata.errors import FINDINGS, OK, ConfigError, SecretError, UsageError
from pgstrata.layers.project import FOLDER

_SUFFIX = ".sealed.yaml"


@click.command("verify", cls=SecretCommand)
@options.environments
@click.option(
    "--since",
    metavar="GITREF",
    help="Demand that the files follow from those of this commit: no old one, no other key; and "
    "with --all, none gone.",
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
    before = _sealed_at(session.folder, since) if since is not None else frozenset()
    gone: list[dict[str, object]] = []
    if everything:
        files = [file for file in files if file.path.exists()]
        gone = [_gone(name, str(since)) for name in sorted(before - {f.path.name for f in files})]
    results = [_result(file, since, before) for file in files] + gone
    if output == "json":
        print_json(environments=results)
    for result in results if output == "text" else ():
        if result["error"]:
            tell(f"error: {result['error']}", hint=str(result["hint"]))
        else:
            click.echo(
                f"{result['environment']}: ok, revision {result['revision']}, {result['entries']} "
                f"entries, {result['pending']} pending, key {result['key']} {result['pin']}"
                + (f", new since {since}" if result.get("new") else "")
            )
    return FINDINGS if any(result["error"] for result in results) else OK


def _gone(name: str, since: str) -> dict[str, object]:
    return {
        "environment": name.removesuffix(_SUFFIX),
        "error": f"environments/{name} was there in {since}, and is gone",
        "hint": "restore it, under its name: whoever deletes it puts a weaker layer in its place",
    }


def _result(file: SealedFile, since: str | None, before: frozenset[str]) -> dict[str, object]:
    from pgstrata.secrets.sealed import attest, parse, pins

    try:
        document = parse.read(file.path, file.environment)
        attest.verify(document)
        pin = pins.find(file.access)
        if pin is not None:
            pins.check(document, file.access, direct=True)
        if since is not None and file.path.name in before:
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
        **({"new": file.path.name not in before} if since is not None else {}),
    }


def _sealed_at(project: Path, since: str) -> frozenset[str]:
    """Return the names of the sealed files of a commit."""
    if since.startswith("-"):
        raise UsageError("that is no commit", hint="--since takes a branch, a tag or a hash")
    listed = _git(project / FOLDER, "ls-tree", "-z", "--name-only", since, "./", commit=since)
    names = listed.decode("utf-8", "surrogateescape").split("\0")
    return frozenset(name for name in names if name.endswith(_SUFFIX))


def _earlier(file: SealedFile, since: str) -> tuple[bytes, str, str]:
    """Return the file of a commit, its environment, and its name for messages."""
    content = _git(file.path.parent, "show", f"{since}:./{file.path.name}", commit=since)
    return content, file.environment, f"{since}:{file.name}"


def _git(folder: Path, *arguments: str, commit: str) -> bytes:
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, cwd=folder, check=False, capture_output=True)  # noqa: S603  # git itself, and no shell
    except OSError:
        raise SecretError("--since needs git", hint="install git, or leave --since out") from None
    if done.returncode:
        raise SecretError(
            f"git shows no environments in {commit}",
            hint="in CI, check out the whole history: fetch-depth 0",
        )
    return done.stdout
