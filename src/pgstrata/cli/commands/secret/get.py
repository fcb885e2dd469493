"""``pgstrata secret get``."""

from __future__ import annotations

import click

from pgstrata.cli import options
from pgstrata.cli.output import tell
from pgstrata.cli.sealed_file import require_storable
from pgstrata.cli.secret_input import SecretCommand, reveal_option
from pgstrata.errors import SecretError
from pgstrata.model import Secret


@click.command("get", cls=SecretCommand)
@click.argument("key")
@options.environment
@reveal_option("Print the value in clear.")
@click.pass_obj
def command(session: options.Session, key: str, environment: str | None, *, reveal: bool) -> None:
    """Show where the secret setting KEY comes from; with --reveal its value."""
    from pgstrata.loading import load

    require_storable(key)
    config = load(environment, project=session.project)
    setting = config.settings.get(key)
    if setting is None or not isinstance(setting.value, Secret):
        raise SecretError(
            f"{key} is not set in {config.environment}",
            hint=f"pgstrata secret set {key} -e {config.environment}",
        )
    if reveal:
        click.echo(setting.value.reveal())
        tell(f"from {setting.value.source}")
    else:
        click.echo(f"{setting.value} ({setting.value.source})")
