"""``pgstrata secret list``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timezone
from typing import NamedTuple

import click

from pgstrata.cli import options
from pgstrata.cli.output import print_json
from pgstrata.cli.sealed_file import SealedFile, sealed_file
from pgstrata.cli.secret_input import SecretCommand
from pgstrata.model import Secret


class Row(NamedTuple):
    """A secret setting: where its value comes from, and for how many days it has been the same."""

    environment: str
    key: str
    state: str
    source: str
    days: int | None


@click.command("list", cls=SecretCommand)
@options.environments
@options.output("text", "json")
@click.pass_obj
def command(
    session: options.Session, names: tuple[str, ...], output: str, *, everything: bool
) -> None:
    """List the secret settings: where they come from, and how old they are."""
    from pgstrata.render.columns import columns

    chosen = session.environments(names, everything=everything)
    rows = [row for name in chosen for row in _rows(session, sealed_file(session, name))]
    if output == "json":
        print_json(secrets=[row._asdict() for row in rows])
        return
    header = ("ENVIRONMENT", "KEY", "STATE", "FROM", "AGE")
    shown = [(*row[:4], "-" if row.days is None else f"{row.days} d") for row in rows]
    click.echo(columns(shown, header=header))


def _rows(session: options.Session, file: SealedFile) -> Iterator[Row]:
    from pgstrata.loading import load
    from pgstrata.secrets.sealed import parse

    document = parse.read(file.path, file.environment) if file.path.exists() else None
    ages = {entry.at: _days(entry.rotated) for entry in document.entries} if document else {}
    config = load(file.environment, project=session.project)
    for key, setting in sorted(config.settings.items()):
        inherited = key.startswith("connections.") and setting.origin.source == file.name
        if isinstance(setting.value, Secret) and (not inherited or key in ages):
            sealed = setting.origin.layer == "sealed"
            days = ages.get(key) if sealed else None
            yield Row(file.environment, key, "set", setting.value.source, days)
    for entry in document.pending if document else ():
        yield Row(
            file.environment, entry.at, "pending", f"sealed {file.name}", _days(entry.rotated)
        )


def _days(day: str) -> int | None:
    """Return the days since ``day``; None for a day that the calendar does not have."""
    try:
        return (datetime.now(timezone.utc).date() - date.fromisoformat(day)).days
    except ValueError:
        return None
