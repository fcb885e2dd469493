"""``pgstrata check``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pgstrata.cli import options
from pgstrata.cli.output import has_colour, tell
from pgstrata.errors import CONFIG, FINDINGS, OK, EnvironmentNotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pgstrata.check.report import Report
    from pgstrata.check.run import Selection
    from pgstrata.model import Severity

FORMATS = ("text", "json", "github", "sarif", "junit", "markdown", "html")


@click.command("check")
@options.environments
@options.output(*FORMATS)
@click.option(
    "--fail-on",
    type=click.Choice(("error", "warning", "info", "never")),
    default="error",
    show_default=True,
    help="The mildest finding that fails the check.",
)
@click.option(
    "--rule", "only", metavar="RULE", multiple=True, help="Only this rule; may be repeated."
)
@click.option(
    "--ignore", "without", metavar="RULE", multiple=True, help="Not this rule; may be repeated."
)
@click.option(
    "--baseline",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file of findings that are known and do not fail the check.",
)
@click.option("--update-baseline", is_flag=True, help="Write the findings to the baseline.")
@click.option(
    "--skip-files",
    is_flag=True,
    help="Do not look for certificate and key files: they are on another machine.",
)
@click.pass_obj
def command(  # noqa: PLR0913  # one for each option
    session: options.Session,
    names: tuple[str, ...],
    output: str,
    fail_on: str,
    only: tuple[str, ...],
    without: tuple[str, ...],
    baseline: Path | None,
    *,
    everything: bool,
    update_baseline: bool,
    skip_files: bool,
) -> int:
    """Find what is wrong, without connecting.

    Exit code 3 if an environment cannot be loaded or is not there, or if there is none; 1 for
    findings at or above --fail-on. Rules that compare environments run with --all.
    """
    from pgstrata.check.run import Selection

    _check_rules((*only, *without))
    if update_baseline and baseline is None:
        raise UsageError("--update-baseline needs --baseline FILE")
    if update_baseline and (only or without or not everything):
        raise UsageError(
            "--update-baseline needs --all, and neither --rule nor --ignore",
            hint="a baseline of a part would forget the rest",
        )
    chosen = session.environments(names, everything=everything)
    if not chosen:
        tell("there are no environments", hint="an environment is made by adding its file")
    selection = Selection(only, without, files=not skip_files, complete=everything)
    report = _report(session, chosen, selection, None if fail_on == "never" else fail_on)  # type: ignore[arg-type]  # click.Choice says which texts these are
    if update_baseline and baseline is not None:
        return _update(report, baseline)
    if baseline is not None:
        from pgstrata.check import baseline as baselines

        report = report.with_baseline(baselines.read(baseline))
    _print(report, output)
    return _exit_code(report)


def _exit_code(report: Report) -> int:
    if not _is_usable(report):
        return CONFIG
    return FINDINGS if report.failures else OK


def _is_usable(report: Report) -> bool:
    """Tell whether there is something to judge, and all of it could be loaded."""
    return bool(report.environments) and not (report.broken or report.missing)


def _report(
    session: options.Session,
    chosen: tuple[str, ...],
    selection: Selection,
    fail_on: Severity | None,
) -> Report:
    from pgstrata.check.run import check
    from pgstrata.loading import load_many

    results = load_many(chosen, project=session.project)
    for result in results.values():
        if isinstance(result, EnvironmentNotFoundError):  # misspelt; the others are checked still
            tell(f"error: {result}", hint=result.hint)
    return check(results, session.folder, os.environ, selection=selection, fail_on=fail_on)


def _print(report: Report, output: str) -> None:
    from pgstrata.render import reports

    if output == "text":
        click.echo(reports.text(report, colour=has_colour(sys.stdout)), nl=False)
    else:
        click.echo(reports.RENDERERS[output](report), nl=False)


def _update(report: Report, path: Path) -> int:
    from pgstrata.check import baseline

    if not _is_usable(report):
        _print(report, "text")
        tell("the baseline is not written: what cannot be loaded cannot be accepted")
        return CONFIG
    try:
        path.write_text(baseline.text(report.findings), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    tell(f"{len(report.findings)} findings written to {path}")
    return OK


def _check_rules(names: Iterable[str]) -> None:
    """Raise ``UsageError`` for a rule that there is not: ignoring a misspelt one does nothing."""
    if not names:
        return
    from pgstrata.check.registry import EXPLANATIONS
    from pgstrata.schema.suggest import closest

    for name in names:
        if name not in EXPLANATIONS:
            guess = closest(name, EXPLANATIONS)
            hint = f"did you mean {guess!r}?" if guess else "docs/reference/rules.md lists them"
            raise UsageError(f"there is no rule {name!r}", hint=hint)
