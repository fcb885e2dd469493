"""``pgstrata check``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from pgstrata.cli import options
from pgstrata.cli.output import print_findings, print_json, tell
from pgstrata.errors import CONFIG, OK, ConfigError, EnvironmentNotFoundError, InvalidConfigError

if TYPE_CHECKING:
    from pgstrata.model import Config, Finding


@click.command("check")
@options.environments
@options.output("text", "json")
@click.option(
    "--skip-files",
    is_flag=True,
    help="Do not look for certificate and key files: they are on another machine.",
)
@click.pass_obj
def command(
    session: options.Session,
    names: tuple[str, ...],
    output: str,
    *,
    everything: bool,
    skip_files: bool,
) -> int:
    """Find what is wrong, without connecting.

    Exit code 3 if an environment has errors or is not there; warnings alone are no failure.
    """
    from pgstrata.loading import load_many

    chosen = session.environments(names, everything=everything)
    results = load_many(chosen, project=session.project)
    found: dict[str, tuple[Finding, ...]] = {}
    for name, result in results.items():
        if isinstance(result, EnvironmentNotFoundError):  # misspelt; the others are checked still
            tell(f"error: {result}", hint=result.hint)
        else:
            found[name] = _findings(name, result, skip_files=skip_files)
    statuses = {name: _status(found.get(name)) for name in chosen}
    if output == "json":
        print_json(
            environments=[{"name": name, "status": statuses[name]} for name in chosen],
            findings=[finding.as_json() for own in found.values() for finding in own],
        )
    else:
        _print(chosen, found)
    if skip_files:
        tell("not checked: the files that connections need (--skip-files)")
    return OK if set(statuses.values()) <= {"ok"} else CONFIG


def _status(found: tuple[Finding, ...] | None) -> str:
    if found is None:
        return "missing"
    return "failed" if any(finding.severity == "error" for finding in found) else "ok"


def _print(chosen: tuple[str, ...], found: dict[str, tuple[Finding, ...]]) -> None:
    from pgstrata.render.findings import counts

    # What base.yaml gets wrong is wrong in every environment, and is said once.
    unique = dict.fromkeys(replace(f, environment="") for own in found.values() for f in own)
    if unique:
        print_findings(sorted(unique, key=lambda f: (f.origin.source, f.origin.line)))
    for name in chosen:
        click.echo(f"{name}: {counts(found[name]) if name in found else 'not found'}")
    if not chosen:
        tell("there are no environments", hint="an environment is made by adding its file")


def _findings(name: str, result: Config | ConfigError, *, skip_files: bool) -> tuple[Finding, ...]:
    from pgstrata.validation import file_problems

    if isinstance(result, InvalidConfigError):
        return result.findings
    if isinstance(result, ConfigError):
        raise result
    if skip_files:
        return result.findings
    targets = [result.connection(connection) for connection in result.connections]
    files = [f for target in targets for f in file_problems(target, result.project)]
    return (*result.findings, *(replace(f, environment=name) for f in dict.fromkeys(files)))
