"""pgmonkey's commands, with its flags, for a single configuration file.

Each hands over to the command of pgstrata that does the work. So a failure is an exit code, and a
job is done when it is asked for, whether or not a CSV file has its settings beside it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from pgstrata.cli import options
from pgstrata.cli.output import tell
from pgstrata.errors import FINDINGS, OK, UsageError
from pgstrata.model import Config
from pgstrata.schema.keys import CONNECTION_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Unpack

    from pgstrata.audit.report import Report
    from pgstrata.cli.transfer import End
    from pgstrata.tables import ImportOptions

_TAB = r"\t"


class Flags(TypedDict):
    """How references in the file are followed."""

    resolve_env: bool
    allow_sensitive_defaults: bool


def _file(*names: str) -> Callable[[options.Command], options.Command]:
    kind = click.Path(dir_okay=False)
    return click.option(
        *names, "file", metavar="FILE", type=kind, required=True, help="The configuration file."
    )


_type = click.option(
    "--connection-type", type=click.Choice(CONNECTION_TYPES), help="Instead of the file's own."
)


@click.group("pgconfig")
def pgconfig() -> None:
    """Write a single configuration file, test it, or generate code for it."""


@pgconfig.command("create")
@click.option("--type", "_kind", type=click.Choice(("pg",)), default="pg", help="Only pg.")
@_file("--filepath", "--connconfig")
def create(_kind: str, file: str) -> None:
    """Write a configuration file, unless there is one. See also: init --single."""
    from pgstrata.cli.commands.init import write_files
    from pgstrata.schema.template import single_file

    write_files({Path(file): single_file()}, force=False)


@pgconfig.command("test")
@_file("--filepath", "--connconfig")
@_type
@options.following
def test(file: str, connection_type: str | None, **flags: Unpack[Flags]) -> int:
    """Connect, and say to what and as whom. Exit code 1 if that fails. See also: test."""
    from pgstrata.cli.commands.test import print_trials
    from pgstrata.connect.manager import PGConnectionManager
    from pgstrata.connect.trial import attempt_with

    manager = PGConnectionManager()
    trial = attempt_with(manager.get_database_connection(file, connection_type, **flags))
    print_trials([trial])
    return FINDINGS if trial.error else OK


@pgconfig.command("generate-code")
@_file("--filepath", "--connconfig")
@_type
@click.option(
    "--library",
    type=click.Choice(("pgmonkey", "pgstrata", "psycopg")),
    default="pgstrata",
    show_default=True,
    help="pgmonkey is pgstrata; psycopg needs neither.",
)
@options.following
def generate_code(
    file: str, connection_type: str | None, library: str, **flags: Unpack[Flags]
) -> None:
    """Write a program that connects. See also: code."""
    from pgstrata.cli.commands.code import print_program
    from pgstrata.codegen import program
    from pgstrata.codegen.database import File

    made = program(
        _loaded(file, flags),
        connection_type=connection_type or "",
        library="psycopg" if library == "psycopg" else "pgstrata",
        file=File(file, **flags),
    )
    print_program(made)


@click.command("pgserverconfig")
@_file("--filepath", "--connconfig")
@click.option("--audit", is_flag=True, help="Compare with the server, which is only read.")
@options.following
def pgserverconfig(file: str, *, audit: bool, **flags: Unpack[Flags]) -> int:
    """Say what the configuration asks of its server. See also: recommend, audit."""
    from pgstrata.recommend.run import recommend
    from pgstrata.render import recommend as render

    config = _named(_loaded(file, flags), file)
    if audit:
        return _audited(config)
    click.echo(render.text(recommend(config)), nl=False)
    return OK


def _audited(config: Config) -> int:
    from pgstrata.render.audit import RENDERERS

    report = _report(config)
    click.echo(RENDERERS["text"](report), nl=False)
    return report.exit_codes[0]


def _report(config: Config) -> Report:
    from datetime import date

    from pgstrata.audit import run

    today = date.today()  # noqa: DTZ011  # a waiver ends with a day of those who wrote it
    held = run.accepted(config.project, (), today)
    views = run.look(run.clients([config]))
    return run.report(config.project, views, {}, held=held, today=today)


@click.command("pgimport")
@click.option(
    "--import_file",
    "--import-file",
    "source",
    metavar="CSV",
    type=click.Path(dir_okay=False),
    required=True,
    help="The file to load.",
)
@click.option("--table", required=True, help="TABLE or SCHEMA.TABLE; made if it is missing.")
@_file("--connconfig", "--filepath")
@options.following
def pgimport(source: str, table: str, file: str, **flags: Unpack[Flags]) -> int:
    """Load a CSV file into a table. See also: import.

    A YAML file beside it, of the same name, may say has_headers, delimiter, quotechar, encoding,
    auto_create_table and enforce_lowercase; what it does not say is found out.
    """
    from pgstrata.cli.commands.import_ import perform

    chosen = _import_options(source)
    return perform(_end(file, flags), table, [source], chosen)


def _import_options(source: str) -> ImportOptions:
    from pgstrata.tables import ImportOptions

    said = _sidecar(source)
    chosen = ImportOptions(
        header=_boolean(said, "has_headers"),
        delimiter=said.get("delimiter"),
        quote=said.get("quotechar"),
        encoding=said.get("encoding", "auto"),
        create=_boolean(said, "auto_create_table") is not False,
    )
    lowercase = _boolean(said, "enforce_lowercase") is not False and chosen.header is not False
    if not (lowercase and chosen.create and Path(source).exists()):
        return chosen
    from pgstrata.tables.infer import inferred

    names = [name for name, _ in inferred(source, replace(chosen, sample=1))]
    made_up = chosen.header is None and names == [f"column_{n + 1}" for n in range(len(names))]
    folded = {name: name.lower() for name in names if name != name.lower() and not made_up}
    return replace(chosen, rename=folded)


@click.command("pgexport")
@click.option("--table", required=True, help="TABLE or SCHEMA.TABLE.")
@_file("--connconfig", "--filepath")
@click.option(
    "--export_file",
    "--export-file",
    "target",
    metavar="CSV",
    type=click.Path(dir_okay=False),
    help="The file to write [the table's name with its schema].",
)
@options.following
def pgexport(table: str, file: str, target: str | None, **flags: Unpack[Flags]) -> None:
    """Write a table into a CSV file, which must not be there. See also: export.

    A YAML file beside it, of the same name, may say delimiter, quotechar and encoding.
    """
    from pgstrata.cli.commands.export import Job, perform
    from pgstrata.tables import ExportOptions

    said = _sidecar(target or f"{table}.csv")
    chosen = ExportOptions(
        delimiter=said.get("delimiter", ","),
        quote=said.get("quotechar", '"'),
        encoding=said.get("encoding", "auto"),
    )
    perform(_end(file, flags), Job(table, target or ""), chosen)


def _loaded(file: str, flags: Flags) -> Config:
    from pgstrata.loading import load_file

    return load_file(file, **flags)


def _named(config: Config, file: str) -> Config:
    """Return the configuration of a file as an environment of that name, for who shows names."""
    targets = {name: config.connection(name) for name in config.connections}
    return Config(file, config.project, config.settings, targets, config.findings)


def _end(file: str, flags: Flags) -> End:
    from pgstrata.cli.transfer import End
    from pgstrata.connect.manager import PGConnectionManager

    handle = PGConnectionManager().get_database_connection(file, "normal", **flags)
    return End(_loaded(file, flags), handle)


def _sidecar(csv: str) -> dict[str, str]:
    """Return what the YAML file beside a CSV file says, if there is one. Raises ``UsageError``."""
    from pgstrata.layers.document import content_of, parse
    from pgstrata.layers.nodes import Scalar

    path = Path(csv).with_suffix(".yaml")
    if not path.is_file():
        return {}
    document = parse(content_of(path), "file", str(path))
    if document.findings:
        raise UsageError(f"{document.findings[0].origin}: {document.findings[0].message}")
    tell(f"as {path} says")
    said = {
        name: node.text
        for name, node in document.root.entries.items()
        if isinstance(node, Scalar) and not node.null
    }
    if said.get("delimiter") == _TAB:
        said["delimiter"] = "\t"
    return said


def _boolean(said: dict[str, str], name: str) -> bool | None:
    from pgstrata.schema.decode import decode
    from pgstrata.schema.keys import Key

    if name not in said:
        return None
    try:
        return bool(decode(Key(name, "boolean", ""), said[name]))
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None
