"""``pgstrata secret scan``."""

from __future__ import annotations

from pathlib import Path

import click

from pgstrata.cli import options
from pgstrata.cli.output import print_json, tell
from pgstrata.cli.secret_input import SecretCommand
from pgstrata.errors import FINDINGS, OK, UsageError


@click.command("scan", cls=SecretCommand)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--staged", is_flag=True, help="Look at what the next commit will hold.")
@options.output("text", "json", "github")
@click.pass_obj
def command(session: options.Session, paths: tuple[Path, ...], output: str, *, staged: bool) -> int:
    """Find secrets in clear text, in PATHS or in all files that git has.

    Found are literals of secret settings, URLs with passwords, private keys, and sealed files that
    do not verify. The values are never shown. Text that cannot be scanned is named, and fails.
    """
    from pgstrata.check import scan
    from pgstrata.render import findings as text
    from pgstrata.render import github

    if staged and paths:
        raise UsageError("--staged and PATHS exclude each other")
    if staged:
        files = scan.staged(session.folder)
    else:
        files = scan.on_disk(paths) if paths else scan.tracked(session.folder)
    found, seen, binary, skipped = scan.scan(files)
    if output == "json":
        shown = [finding.as_json() for finding in found]
        print_json(files=seen, binary=binary, not_scanned=skipped, findings=shown)
    elif found:
        click.echo(github.text(found) if output == "github" else text.text(found))
    for name, why in skipped.items():
        tell(f"not scanned: {name}: {why}")
    counts = f"{seen} files, {text.counts(found)}"
    tell(f"{counts}; {binary} binary files are not looked into" if binary else counts)
    return FINDINGS if found or skipped else OK
