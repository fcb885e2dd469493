"""``pgstrata export``."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pgstrata.cli import options
from pgstrata.cli.output import print_json, tell
from pgstrata.cli.transfer import End, end_of, transferring
from pgstrata.cli.transfer_options import COMPRESSIONS, names_of, separator_of
from pgstrata.errors import UsageError

if TYPE_CHECKING:
    from pgstrata.tables import ExportOptions, ExportResult

STDOUT = "-"


@click.command("export")
@click.argument("table", required=False)
@click.argument("file", required=False)
@options.environment
@options.connection
@click.option("--query", metavar="SQL", help="The rows of a query, instead of a table's.")
@click.option(
    "--all-tables",
    metavar="SCHEMA",
    help="All tables of a schema as of one moment, into a folder [the current one].",
)
@click.option("--columns", metavar="A,B", callback=names_of, help="Only these, in this order.")
@click.option("--where", default="", metavar="SQL", help="Only rows of which this is true.")
@click.option("--order", default="", metavar="SQL", help="Sorted by this.")
@click.option("--delimiter", default=",", callback=separator_of, help="One character, or tab.")
@click.option("--quote", default='"', help="One character.")
@click.option("--escape", help="One character [the quote, doubled].")
@click.option("--null", default="", metavar="TEXT", help="What stands for NULL [nothing].")
@click.option("--header/--no-header", default=True, help="Whether names come first.")
@click.option("--quoted", metavar="A,B", callback=names_of, help="Always quote these columns.")
@click.option("--encoding", default="auto", help="Such as utf-16 or cp1252 [utf-8].")
@click.option(
    "--compression",
    type=click.Choice(COMPRESSIONS),
    default="auto",
    help="How to pack it [told by the file's name].",
)
@click.option(
    "--spreadsheet-safe",
    is_flag=True,
    help="Put an apostrophe before text that a spreadsheet would run. Not exact.",
)
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@options.output("text", "json")
@click.pass_obj
def command(  # noqa: PLR0913  # those that are not handed on
    session: options.Session,
    /,
    *,
    table: str | None,
    file: str | None,
    environment: str | None,
    connection: str | None,
    query: str | None,
    all_tables: str | None,
    output: str,
    **given: Any,
) -> None:
    """Write a table, a view or the rows of a query into a CSV file.

    FILE is a path, whose ending says how it is packed (.gz .zst .xz .bz2), or - for stdout; left
    out, it is the TABLE's name with its schema. It appears when it is complete. With --query or
    --all-tables there is no TABLE.

    pgstrata import reads back exactly what was written.
    """
    job = _job(table, file, query, all_tables)
    if job.target == STDOUT and output == "json":
        raise UsageError("--format json and a file on stdout would be mixed")
    chosen = _options(query=query is not None, **given)
    end = end_of(session, environment, connection)
    perform(end, job, chosen, output)


def perform(end: End, job: Job, chosen: ExportOptions, output: str = "text") -> None:
    """Export, and print the result where the rows are not."""
    result = _exported(end, job, chosen)
    _print(end, result, output, to_stdout=job.target == STDOUT)


@dataclass(frozen=True, slots=True)
class Job:
    """``what`` is a table, a query or a schema; ``target`` a file or folder, empty if not said."""

    what: str
    target: str
    schema: bool = False


def _job(table: str | None, file: str | None, query: str | None, schema: str | None) -> Job:
    if query is None and schema is None:
        if table is None:
            raise UsageError("what is to be exported?", hint="TABLE, --query or --all-tables")
        return Job(table, file or "")
    if query is not None and schema is not None:
        raise UsageError("--query and --all-tables exclude each other")
    if file is not None:
        raise UsageError(f"--query and --all-tables take no TABLE: {table!r} is one too many")
    if query is not None:
        if table is None:
            raise UsageError("--query needs a FILE", hint="- is stdout")
        return Job(query, table)
    if table == STDOUT:
        raise UsageError("--all-tables writes a folder, not stdout")
    return Job(schema or "", table or ".", schema=True)


def _options(*, columns: list[str], quoted: list[str], force: bool, **given: Any) -> ExportOptions:
    from pgstrata.tables import ExportOptions

    return ExportOptions(columns=columns or None, quoted=quoted, overwrite=force, **given)


def _exported(end: End, job: Job, chosen: ExportOptions) -> ExportResult:
    from pgstrata.tables import export_csv, export_schema
    from pgstrata.tables.copyplan import endpoint
    from pgstrata.tables.exporting import file_name_steps
    from pgstrata.tables.steps import run

    with transferring() as progress, ExitStack() as stack:
        connection = end.connect(stack)
        tell(end.line(endpoint(connection)))
        if job.schema:
            folder = Path(job.target)
            return export_schema(connection, job.what, folder, chosen, progress=progress)
        name = job.target or run(file_name_steps(connection, job.what, chosen))
        target = sys.stdout.buffer if name == STDOUT else name
        return export_csv(connection, job.what, target, chosen, progress=progress)


def _print(end: End, result: ExportResult, output: str, *, to_stdout: bool) -> None:
    from pgstrata.render import transfers

    if output == "json":
        print_json(environment=end.environment, connection=end.connection, **result.as_json())
    elif to_stdout:
        for line in transfers.export_summary(result).splitlines():
            tell(line)
    else:
        click.echo(transfers.export_summary(result))
