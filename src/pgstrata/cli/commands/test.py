"""``pgstrata test``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pgstrata.cli import options
from pgstrata.cli.output import print_json
from pgstrata.errors import FINDINGS, OK
from pgstrata.schema.keys import CONNECTION_TYPES

if TYPE_CHECKING:
    from pgstrata.connect.trial import Trial

HEADER = ("TYPE", "RESULT", "SERVER", "DATABASE", "USER", "TLS", "VERSION", "TIME")


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
    """Connect in all four ways, and say to what and as whom.

    Exit code 1 if one of them fails.
    """
    from pgstrata.cli.choose import connection_of
    from pgstrata.connect.manager import PGConnectionManager
    from pgstrata.connect.trial import attempt

    manager = PGConnectionManager(environment, project=session.project)
    name = connection_of(manager.config, connection)
    kinds = dict.fromkeys(types or CONNECTION_TYPES)
    trials = [attempt(manager, kind, name) for kind in kinds]
    if output == "json":
        print_json(
            environment=manager.config.environment,
            connection=name,
            trials=[_as_json(trial) for trial in trials],
        )
    else:
        print_trials(trials)
    return FINDINGS if any(trial.error for trial in trials) else OK


def print_trials(trials: list[Trial]) -> None:
    """Print what came of connecting, and each reason for a failure once."""
    from pgstrata.render.columns import columns

    click.echo(columns([_row(trial) for trial in trials], header=HEADER))
    # All four mostly fail for one reason, which is said once.
    for error in {str(trial.error): trial.error for trial in trials if trial.error}.values():
        click.echo(f"\n{error}")
        if error.hint:
            click.echo(f"hint: {error.hint}")


def _row(trial: Trial) -> tuple[str, ...]:
    time = f"{trial.seconds * 1000:.0f} ms"
    if trial.error:
        return trial.connection_type, "failed", "-", "-", "-", "-", "-", time
    tls = trial.tls or "no"
    known = (trial.server, trial.database, trial.user, tls, trial.version)
    return trial.connection_type, "ok", *known, time


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
        "hint": (trial.error.hint or None) if trial.error else None,
    }
