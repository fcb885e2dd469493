"""``pgstrata copy``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pgstrata.cli import options
from pgstrata.cli.output import print_json, tell
from pgstrata.cli.transfer import End, end_of, refuse_protected, transferring
from pgstrata.cli.transfer_options import meeting, names_of, pairs_of, writing
from pgstrata.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgstrata.model import Secret
    from pgstrata.tables import CopyOptions, CopyPlan, CopyResult


@click.command("copy")
@click.argument("table", nargs=-1)
@click.option(
    "--query", metavar="SQL", help="Copy the rows of a query instead, into the table --as names."
)
@click.option(
    "--from",
    "source",
    metavar="ENV",
    required=True,
    callback=options.not_empty,
    shell_complete=options.complete_environment,
    help="The environment to read from.",
)
@click.option(
    "--to",
    "target",
    metavar="ENV",
    required=True,
    callback=options.not_empty,
    shell_complete=options.complete_environment,
    help="The environment to write into.",
)
@click.option("--from-connection", metavar="NAME", help="A named connection to read from.")
@click.option("--to-connection", metavar="NAME", help="A named connection to write into.")
@click.option("--as", "name", metavar="TABLE", help="The table to fill [that of the same name].")
@click.option("--columns", metavar="A,B", callback=names_of, help="Only these.")
@click.option("--where", default="", metavar="SQL", help="Only rows of which this is true.")
@click.option(
    "--mask",
    "masks",
    metavar="COLUMN=MASK",
    multiple=True,
    callback=pairs_of,
    help="Hide a column by null, hash, fake-email, fake-name or fake-phone; may be repeated. "
    "TABLE.COLUMN is one table's own.",
)
@click.option(
    "--salt-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A secret that makes masks the same in every copy [random].",
)
@click.option("--create", is_flag=True, help="Make the table if it is missing, as the source's.")
@writing
@click.option(
    "--batch", type=int, metavar="ROWS", help="Commit after every so many, by the primary key."
)
@click.option("--resume", is_flag=True, help="Go on after the last committed batch.")
@click.option(
    "--copy-id", default="", metavar="TEXT", help="What to resume by [what is copied from where]."
)
@click.option("--verify", is_flag=True, help="Compare the checksums of both ends.")
@options.output("text", "json")
@click.pass_obj
def command(  # noqa: PLR0913  # those that are not handed on
    session: options.Session,
    /,
    *,
    table: tuple[str, ...],
    query: str | None,
    source: str,
    target: str,
    from_connection: str | None,
    to_connection: str | None,
    yes_protected: str | None,
    output: str,
    **given: Any,
) -> None:
    """Copy tables, or a query's rows, from one environment to another.

    Each TABLE is read as of one moment, and all are one transaction of the target, or one for each
    --batch. Rows stream through this process; what --mask hides never leaves the source. Both ends
    are shown before the first row moves.
    """
    if bool(table) == bool(query):
        raise UsageError("name tables to copy, or give a --query")
    chosen = _options((query,) if query else table, query=bool(query), **given)
    here = end_of(session, source, from_connection)
    there = end_of(session, target, to_connection)
    refuse_protected(there, yes_protected)
    results = _copied(here, there, chosen)
    dry_run = any(each.dry_run for each in chosen.values())
    if output == "json":
        tables = [result.as_json() for result in results]
        print_json(**{"from": source, "to": target, "dry_run": dry_run}, **_totals(tables))
        return
    from pgstrata.render import transfers

    for result in results:
        click.echo(transfers.copy_summary(result, dry_run=dry_run))


def _totals(tables: list[dict[str, Any]]) -> dict[str, object]:
    counts = ("rows_read", "rows_loaded", "rows_skipped", "rows_updated", "rows_resumed")
    sums = {name: sum(t[name] for t in tables) for name in (*counts, "bytes", "seconds")}
    return {**sums, "tables": tables}


def _options(  # noqa: PLR0913  # those that say one thing in several ways
    tables: tuple[str, ...],
    *,
    name: str | None,
    masks: dict[str, str],
    salt_file: Path | None,
    truncate: bool,
    replace: bool,
    upsert: list[str],
    on_conflict: str | None,
    key: list[str],
    columns: list[str],
    **given: Any,
) -> dict[str, CopyOptions]:
    """Return the library's options for each table."""
    from pgstrata.tables import CopyOptions

    if len(set(tables)) > 1 and (name or columns or given["where"] or given["copy_id"]):
        raise UsageError("--as, --columns, --where and --copy-id go with one table only")
    rows = meeting(
        truncate=truncate, replace=replace, upsert=upsert, on_conflict=on_conflict, key=key
    )
    salt = None if given["batch"] and not salt_file else _salt(salt_file)
    return {
        table: CopyOptions(
            target=name,
            masks=_own(masks, table, tables),
            salt=salt,
            columns=columns or None,
            **rows,
            **given,
        )
        for table in tables
    }


def _own(masks: dict[str, str], table: str, tables: tuple[str, ...]) -> dict[str, str]:
    """Return the masks of one table: those of ``TABLE.COLUMN``, and those of no table's own."""
    own = {}
    for column, mask in masks.items():
        owner = next((t for t in tables if column.startswith(f"{t}.")), None)
        if owner in (None, table):
            own[column.removeprefix(f"{owner}.") if owner else column] = mask
    return own


def _salt(file: Path | None) -> Secret:
    """Return what the masks of all tables have in common, so that their keys still join."""
    import secrets

    from pgstrata.model import Secret

    if file is None:
        return Secret(secrets.token_hex(16))
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the salt in {file}: {type(error).__name__}") from None
    if not text:
        raise UsageError(f"{file} is empty", hint="put a long random text into it")
    return Secret(text, source=f"file {file}")


def _copied(here: End, there: End, chosen: dict[str, CopyOptions]) -> tuple[CopyResult, ...]:
    from pgstrata.tables import copy_tables

    with transferring() as progress, ExitStack() as stack:
        return copy_tables(
            here.connect(stack),
            there.connect(stack),
            chosen,
            progress=progress,
            on_plan=_teller(here, there),
        )


def _teller(here: End, there: End) -> Callable[[CopyPlan], None]:
    """Return what says which ends there are, once, and what is about to be copied."""
    from pgstrata.render import transfers

    told = False

    def say(plan: CopyPlan) -> None:
        nonlocal told
        if not told:
            tell(f"from {here.line(plan.source)}")
            tell(f"to {there.line(plan.target)}")
        told = True
        for line in transfers.copy_plan(plan):
            tell(line)

    return say
