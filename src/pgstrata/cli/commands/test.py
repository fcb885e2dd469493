"""``pgstrata test``."""

from __future__ import annotations

import click

from pgstrata.cli import options
from pgstrata.connect.trial import Trial
from pgstrata.errors import FINDINGS, OK
from pgstrata.schema.keys import CONNECTION_TYPES


@click.command("test")
@options.environment
@options.connection
@click.option(
    "--type",
    "types",
    type=click.Choice(CONNECTION_TYPES),
    multiple=True,
    help="A connection type; may be repeated [all four].",
)
@options.output("text", "json")
@click.pass_obj
def command(
    session: options.Session,
    environment: str | None,
    connection: str | None,
    types: tuple[str, ...],
    output: str,
) -> int:
    """Connect in all four ways, and say to what and as whom."""
    from pgstrata.cli.choose import connection_of
    from pgstrata.connect.manager import PGConnectionManager
    from pgstrata.connect.trial import attempt

    manager = PGConnectionManager(environment, project=session.project)
    name = connection_of(manager.config, connection)
    trials = [attempt(manager, kind, name) for kind in types or CONNECTION_TYPES]
    if output == "json":
        options.print_json(
            environment=manager.config.environment,
            connection=name,
            trials=[_as_json(trial) for trial in trials],
        )
    else:
        _print(trials)
    return FINDINGS if any(trial.error for trial in trials) else OK


def _print(trials: list[Trial]) -> None:
    from pgstrata.render.columns import columns

    rows = [
        (
            trial.connection_type,
            "failed" if trial.error else "ok",
            trial.server or "-",
            trial.database or "-",
            trial.user or "-",
            (trial.tls or "no") if not trial.error else "-",
            trial.version or "-",
            f"{trial.seconds * 1000:.0f} ms",
        )
        for trial in trials
    ]
    header = ("TYPE", "RESULT", "SERVER", "DATABASE", "USER", "TLS", "VERSION", "TIME")
    click.echo(columns(rows, header=header))
    # All four mostly fail for one reason, which is said once.
    for error in {str(trial.error): trial.error for trial in trials if trial.error}.values():
        click.echo(f"\n{error}")
        if error.hint:
            click.echo(f"hint: {error.hint}")


def _as_json(trial: Trial) -> dict[str, object]:
    return {
        "type": trial.connection_type,
        "ok": trial.error is None,
        "server": trial.server or None,
        "database": trial.database or None,
        "user": trial.user or None,
        "tls": trial.tls or None,
        "version": trial.version or None,
        "milliseconds": round(trial.seconds * 1000, 1),
        "error": str(trial.error) if trial.error else None,
        "hint": trial.error.hint if trial.error else None,
    }
