"""``pgstrata import``."""

from __future__ import annotations

import glob
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pgstrata.cli import options
from pgstrata.cli.output import print_json, tell
from pgstrata.cli.transfer import End, end_of, refuse_protected, transferring
from pgstrata.cli.transfer_options import (
    COMPRESSIONS,
    meeting,
    names_of,
    pairs_of,
    separator_of,
    writing,
)
from pgstrata.errors import OK, REJECTED_ROWS, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgstrata.tables import ImportOptions, ImportPlan, ImportResult
    from pgstrata.tables.source import Source


@click.command("import")
@click.argument("table")
@click.argument("file", nargs=-1, required=True)
@options.environment
@options.connection
@click.option(
    "--delimiter", callback=separator_of, help="One character, or tab [found in the file]."
)
@click.option("--quote", help="One character [found in the file].")
@click.option("--escape", help="One character [the quote, doubled].")
@click.option("--header/--no-header", default=None, help="Whether names come first [found].")
@click.option("--encoding", default="auto", help="Such as utf-8 or cp1252 [found in the file].")
@click.option(
    "--compression",
    type=click.Choice(COMPRESSIONS),
    default="auto",
    help="How the file is packed [told by its first bytes].",
)
@click.option("--skip", type=int, default=0, metavar="LINES", help="Lines before the header.")
@click.option("--null", default="", metavar="TEXT", help="The unquoted text of NULL [nothing].")
@click.option("--empty-as-null", is_flag=True, help='Quoted empty text, "", is NULL too.')
@click.option(
    "--datestyle", metavar="STYLE", help="What 1/2/2026 is: MDY, DMY or YMD [the session's]."
)
@click.option("--normalize-eol", is_flag=True, help="Records may end in LF or CRLF, as they come.")
@click.option(
    "--columns",
    metavar="A,B",
    callback=names_of,
    help="Only these fields; without a header, the column of each field.",
)
@click.option(
    "--map",
    "rename",
    metavar="FIELD=COLUMN",
    multiple=True,
    callback=pairs_of,
    help="A field that is named otherwise than its column; may be repeated.",
)
@click.option("--create", is_flag=True, help="Make the table if it is missing; show how.")
@click.option(
    "--sample",
    type=click.IntRange(1),
    metavar="RECORDS",
    help="Infer types from so many records [all].",
)
@writing
@click.option("--batch", type=int, metavar="RECORDS", help="Commit after every so many.")
@click.option("--resume", is_flag=True, help="Go on after the last committed batch.")
@click.option(
    "--import-id", default="", metavar="TEXT", help="What to resume by [the file's name]."
)
@click.option(
    "--rejects",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where bad records go, and with .jsonl added why; the good ones are loaded.",
)
@click.option(
    "--max-rejects", type=int, default=100, show_default=True, help="More undo the import."
)
@click.option("--force", is_flag=True, help="Replace the file of rejects.")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, help="Connections that load [1].")
@click.option("--verify", is_flag=True, help="Read the files again and compare with the table.")
@options.output("text", "json")
@click.pass_obj
def command(  # noqa: PLR0913  # those that are not handed on
    session: options.Session,
    /,
    *,
    table: str,
    file: tuple[str, ...],
    environment: str | None,
    connection: str | None,
    jobs: int,
    yes_protected: str | None,
    output: str,
    **given: Any,
) -> int:
    """Load CSV files into a table, all or nothing.

    TABLE is looked up as SQL does it. Each FILE is a path, a pattern, or - for stdin, packed or
    not. What is found out about it is shown before the first row is sent.

    Exit code 4 if rows were rejected, 3 if a file does not fit, 1 if nothing was loaded, 5 if a
    part was.
    """
    chosen = options_of(**given)
    sources = sources_of(file)
    end = end_of(session, environment, connection)
    refuse_protected(end, yes_protected)
    return perform(end, table, sources, chosen, jobs=jobs, output=output)


def perform(
    end: End,
    table: str,
    sources: Sequence[Source],
    chosen: ImportOptions,
    *,
    jobs: int = 1,
    output: str = "text",
) -> int:
    """Import, print the result, and return the exit code."""
    result = _imported(end, table, sources, chosen, jobs)
    if output == "json":
        print_json(
            environment=end.environment,
            connection=end.connection,
            dry_run=chosen.dry_run,
            **result.as_json(),
        )
    else:
        from pgstrata.render import transfers

        click.echo(transfers.import_summary(result, dry_run=chosen.dry_run))
    return REJECTED_ROWS if result.rows_rejected else OK


def options_of(
    *,
    truncate: bool,
    replace: bool,
    upsert: list[str],
    on_conflict: str | None,
    key: list[str],
    columns: list[str],
    force: bool,
    **given: Any,
) -> ImportOptions:
    """Return the library's options. Raises ``UsageError`` for those that exclude each other."""
    from pgstrata.tables import ImportOptions

    rows = meeting(
        truncate=truncate, replace=replace, upsert=upsert, on_conflict=on_conflict, key=key
    )
    return ImportOptions(columns=columns or None, overwrite=force, **rows, **given)


def sources_of(files: Sequence[str]) -> list[Source]:
    """Return paths and stdin. Raises ``UsageError`` for a pattern that no file matches."""
    found: list[Source] = []
    for file in files:
        if file == "-":
            found.append(sys.stdin.buffer)
        elif os.path.lexists(file) or not glob.has_magic(file):
            found.append(file)
        elif matches := sorted(glob.glob(file, recursive=True)):  # noqa: PTH207  # absolute ones too
            found += matches
        else:
            raise UsageError(f"no file matches {file}")
    if found.count(sys.stdin.buffer) > 1:
        raise UsageError("stdin can be read once only")
    return found


def _imported(
    end: End, table: str, sources: Sequence[Source], chosen: ImportOptions, jobs: int
) -> ImportResult:
    from pgstrata.tables import import_csv

    with transferring() as progress, ExitStack() as stack:
        connections = [end.connect(stack) for _ in range(jobs)]
        return import_csv(
            connections[0],
            table,
            sources,
            chosen,
            progress=progress,
            on_plan=_teller(end, connections[0]),
            workers=connections[1:],
        )


def _teller(end: End, connection: Any) -> Callable[[ImportPlan], None]:
    """Return what says where rows go, once, and what was found out about each file."""
    from pgstrata.render import transfers
    from pgstrata.tables.copyplan import endpoint

    earlier: ImportPlan | None = None

    def say(plan: ImportPlan) -> None:
        nonlocal earlier
        if earlier is None:
            tell(end.line(endpoint(connection)))
        for line in transfers.import_plan(plan, earlier):
            tell(line)
        earlier = plan

    return say
