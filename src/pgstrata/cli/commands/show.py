"""``pgstrata show``."""

from __future__ import annotations

import click

from pgstrata.cli import options
from pgstrata.cli.output import print_json
from pgstrata.cli.secret_input import reveal_option


@click.command("show")
@options.environment
@options.connection
@options.output("text", "json")
@reveal_option("Print secrets in clear.")
@click.pass_obj
def command(
    session: options.Session,
    environment: str | None,
    connection: str | None,
    output: str,
    *,
    reveal: bool,
) -> None:
    """Show all effective settings, each with its origin."""
    from pgstrata.cli.choose import connection_of, settings_of
    from pgstrata.loading import load
    from pgstrata.render import settings as render

    config = load(environment, project=session.project)
    name = connection_of(config, connection)
    settings = settings_of(config, name)
    if output == "json":
        print_json(
            environment=config.environment,
            connection=name,
            settings=[render.as_json(setting, reveal=reveal) for setting in settings],
        )
    else:
        click.echo(render.text(settings, reveal=reveal))
