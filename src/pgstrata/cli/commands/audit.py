"""``pgstrata audit``."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pgstrata.cli import options
from pgstrata.cli.output import has_colour, print_findings, tell
from pgstrata.errors import ConfigError, InvalidConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pgstrata.audit.report import Report
    from pgstrata.audit.view import View
    from pgstrata.model import Config

FORMATS = ("text", "json", "sarif", "junit", "markdown", "html", "prometheus")
ROLE = "pgstrata_audit"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of an audit, beside the environments."""

    connection: str = ""
    login: str = ""
    probe: bool = True
    save: Path | None = None
    saved: Path | None = None


def _file(*names: str, text: str) -> Callable[[options.Command], options.Command]:
    kind = click.Path(path_type=Path, dir_okay=False)
    return click.option(*names, metavar="FILE", type=kind, help=text)


@click.command("audit")
@options.environments
@click.option(
    "--connection",
    metavar="NAME",
    callback=options.not_empty,
    help="Only this connection [all of each environment].",
)
@click.option(
    "--login",
    metavar="CONNECTION",
    callback=options.not_empty,
    help="The connection whose credentials the auditor logs in with [the audited one's own].",
)
@click.option("--grants", is_flag=True, help="Print the SQL of a role that sees all it needs.")
@click.option(
    "--explain",
    "page",
    metavar="CHECK",
    callback=options.not_empty,
    help="Print all there is to say of a check: why, how to verify, the fix, when to ignore it.",
)
@click.option("--no-probe", is_flag=True, help="Only log in; leave out probe and TLS handshake.")
@_file("--save", text="Write what was seen of the servers, without secrets.")
@_file("--from", "saved", text="Judge what --save wrote, and connect to nothing.")
@click.option(
    "--fail-on",
    type=click.Choice(("fail", "warn", "never")),
    default="fail",
    show_default=True,
    help="The mildest result that fails the audit.",
)
@click.option("--fail-on-unknown", is_flag=True, help="Fail where something could not be checked.")
@_file("--baseline", text="An earlier --format json; what is in it does not fail the audit.")
@click.option("--new-only", is_flag=True, help="Leave out what is in the baseline.")
@click.option("--redact-addresses", is_flag=True, help="Write address-1 for an IP address.")
@options.output(*FORMATS)
@click.pass_obj
def command(  # noqa: PLR0913  # one for each option
    session: options.Session,
    *,
    names: tuple[str, ...],
    connection: str | None,
    login: str | None,
    save: Path | None,
    saved: Path | None,
    fail_on: str,
    baseline: Path | None,
    output: str,
    everything: bool,
    grants: bool,
    page: str | None,
    no_probe: bool,
    fail_on_unknown: bool,
    new_only: bool,
    redact_addresses: bool,
) -> int:
    """Ask servers whether they agree with the configuration. Read-only; nothing is ever changed.

    Every host of every connection is looked at by itself, all at once. What may not be read is
    unknown, never ok.

    Exit code 1 for results at or above --fail-on, 3 if something could not be audited at all and
    nothing else failed.
    """
    if grants:
        return _print_grants(login or ROLE)
    if page:
        return _print_page(page)
    if save and saved:
        raise UsageError("--save and --from exclude each other")
    if save and redact_addresses:
        raise UsageError("--save needs the addresses", hint="give --redact-addresses with --from")
    if new_only and not baseline:
        raise UsageError("--new-only needs --baseline FILE")
    chosen = session.environments(names, everything=everything or bool(saved and not names))
    wanted = Wanted(connection or "", login or "", not no_probe, save, saved)
    report = _report(session, chosen, wanted)
    report = replace(
        report,
        known=_known(baseline),
        new_only=new_only,
        fail_on=fail_on,  # type: ignore[arg-type]  # click.Choice says which texts these are
        fail_on_unknown=fail_on_unknown,
    )
    text = _rendered(report, output)
    if redact_addresses:
        from pgstrata.render.audit.addresses import without_addresses

        text = without_addresses(text)
    click.echo(text, nl=False)
    if not chosen:
        tell("there are no environments", hint="an environment is made by adding its file")
    return report.exit_codes[0]


def _print_grants(role: str) -> int:
    from pgstrata.audit.facts import role_sql
    from pgstrata.statements import identifier

    click.echo(role_sql(identifier(role)), nl=False)
    return 0


def _print_page(name: str) -> int:
    from pgstrata.audit.run import ALL_CHECKS
    from pgstrata.render.audit.manual import page
    from pgstrata.schema.suggest import closest

    for check in ALL_CHECKS:
        if check.id == name:
            click.echo(page(check), nl=False)
            return 0
    guess = closest(name, [check.id for check in ALL_CHECKS])
    raise UsageError(f"no check {name!r}", hint=f"did you mean {guess!r}?" if guess else "")


def _report(session: options.Session, chosen: tuple[str, ...], wanted: Wanted) -> Report:
    from pgstrata.audit import run
    from pgstrata.layers.project import environments
    from pgstrata.loading import load_many

    there = environments(session.folder)
    today = date.today()  # noqa: DTZ011  # a waiver ends with a day of those who wrote it
    held = run.accepted(session.folder, there, today)
    if wanted.save:
        _require_writable(wanted.save)
    results = load_many(chosen, project=session.project)
    configs = [it for it in results.values() if not isinstance(it, ConfigError)]
    broken = {name: _told(it) for name, it in results.items() if isinstance(it, ConfigError)}
    views = _views(configs, wanted)
    seen = {view.client.environment for view in views}
    nothing = "it has no connection to audit"
    broken |= {it.environment: nothing for it in configs if it.environment not in seen}
    whole = not wanted.connection and not broken
    return run.report(session.folder, views, broken, held=held, whole=whole, today=today)


def _require_writable(path: Path) -> None:
    """Raise ``UsageError`` where a file cannot be written, which is better known before the audit
    than after it.
    """
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"cannot write {path}", hint="name a file in a folder that is there")


def _views(configs: list[Config], wanted: Wanted) -> list[View]:
    from pgstrata.audit import run, saved

    targets = run.clients(configs, only=wanted.connection, login=wanted.login)
    if wanted.saved:
        return run.recall(targets, saved.read(wanted.saved))
    views = run.look(targets, login=wanted.login, probe=wanted.probe)
    if wanted.save:
        text = saved.text(view.snapshot for view in views)
        try:
            wanted.save.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write {wanted.save}: {error.strerror}") from None
        tell(f"{len(views)} snapshots written to {wanted.save}")
    return views


def _told(error: ConfigError) -> str:
    """Tell what is wrong with an environment, and return it in one line for the report."""
    if isinstance(error, InvalidConfigError):
        print_findings(error.findings, err=True)
        return "cannot be loaded"
    tell(f"error: {error}", hint=error.hint)
    return str(error)


def _known(baseline: Path | None) -> Mapping[str, str]:
    from pgstrata.audit.report import baseline as read

    return read(baseline) if baseline else {}


def _rendered(report: Report, output: str) -> str:
    from pgstrata.render.audit import RENDERERS, text

    if output != "text":
        return RENDERERS[output](report)
    terminal = shutil.get_terminal_size((100, 24)).columns
    return text.render(report, colour=has_colour(sys.stdout), terminal=terminal)
