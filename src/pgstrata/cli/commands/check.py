"""``pgstrata check``."""

from __future__ import annotations

from dataclasses import replace

import click

from pgstrata.cli import options
from pgstrata.cli.failure import tell
from pgstrata.errors import CONFIG, OK, ConfigError, InvalidConfigError
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
    """Find what is wrong, without connecting."""
    from pgstrata.loading import load_many
    from pgstrata.render import findings as render

    chosen = session.environments(names, everything=everything)
    results = load_many(chosen, project=session.project)
    found = {name: _findings(result, skip_files) for name, result in results.items()}
    failed = {name for name, own in found.items() if any(f.severity == "error" for f in own)}
    # What base.yaml gets wrong is wrong in every environment, and is said once.
    unique = dict.fromkeys(replace(f, environment="") for own in found.values() for f in own)
    if output == "json":
        options.print_json(
            environments=[
                {"name": name, "status": "failed" if name in failed else "ok"} for name in chosen
            ],
            findings=[finding.as_json() for own in found.values() for finding in own],
        )
    else:
        if unique:
            click.echo(render.text(unique))
        for name in chosen:
            click.echo(f"{name}: {render.counts(found[name])}")
        if skip_files:
            tell("not checked: the files that connections need (--skip-files)")
    return CONFIG if failed else OK


def _findings(result: Config | ConfigError, skip_files: bool) -> tuple[Finding, ...]:  # noqa: FBT001  # handed through
    from pgstrata.validation import file_problems

    if isinstance(result, InvalidConfigError):
        return result.findings
    if isinstance(result, ConfigError):
        raise result
    if skip_files:
        return result.findings
    targets = [result.connection(name) for name in result.connections]
    files = [f for target in targets for f in file_problems(target, result.project)]
    return (*result.findings, *dict.fromkeys(files))
