"""``pgstrata render``."""

from __future__ import annotations

import click

from pgstrata.cli import options
from pgstrata.cli.output import tell

FORMS = (
    *("dotenv", "json", "yaml", "shell", "service", "pgpass", "conninfo", "url"),
    *("k8s-secret", "k8s-configmap", "docker-env"),
)


@click.command("render")
@options.environment
@options.connection
@click.option(
    "--as",
    "form",
    metavar="FORM",
    type=click.Choice(FORMS),
    required=True,
    help="One of the forms above.",
)
@click.option("--reveal", is_flag=True, help="Write secrets in clear, not as references.")
@click.option("--name", help="Name of the service or Kubernetes object [the environment's].")
@click.pass_obj
def command(
    session: options.Session,
    environment: str | None,
    connection: str | None,
    form: str,
    name: str | None,
    *,
    reveal: bool,
) -> None:
    """Write the environment as a file that other programs read.

    \b
    dotenv, shell, docker-env    libpq's variables
    k8s-secret, k8s-configmap    the same, the secrets and the others
    service, pgpass              for pg_service.conf and .pgpass
    conninfo, url                one line that names the server and all else
    json, yaml                   all settings, with the pool's

    Without --reveal a secret is a reference to its variable or file, or else is left out.
    """  # noqa: D301  # \b is click's mark for lines that are not joined
    from pgstrata.cli.choose import connection_of
    from pgstrata.loading import load
    from pgstrata.render.export import export

    config = load(environment, project=session.project)
    made = export(config, connection_of(config, connection), form, reveal=reveal, name=name or "")
    for problem in made.left_out:
        tell(f"left out: {problem}")
    click.echo(made.text.encode(), nl=False)  # UTF-8, whatever the terminal speaks
