"""``pgstrata recommend``."""

from __future__ import annotations

import click

from pgstrata.cli import options
from pgstrata.cli.output import print_json, tell

FORMS = ("text", "conf", "hba", "sql", "json")


@click.command("recommend")
@options.environment
@click.option(
    "--connection",
    metavar="NAME",
    callback=options.not_empty,
    help="Only the server of this connection [all servers].",
)
@click.option(
    "--as",
    "form",
    type=click.Choice(FORMS),
    default="text",
    show_default=True,
    help="How the result is written.",
)
@click.pass_obj
def command(
    session: options.Session, environment: str | None, connection: str | None, form: str
) -> None:
    """Say what the configuration asks of its servers, without connecting.

    \b
    text    all lines, each with its reason, formula and place
    conf    a file for include in postgresql.conf
    hba     lines for pg_hba.conf
    sql     ALTER ROLE statements for psql
    json    as text

    What has to be declared before more can be said is asked for by name.
    """  # noqa: D301  # \b is click's mark for lines that are not joined
    from pgstrata.cli.choose import connection_of
    from pgstrata.loading import load
    from pgstrata.recommend.run import recommend
    from pgstrata.render import recommend as render

    config = load(environment, project=session.project)
    chosen = connection_of(config, connection) if connection else None
    found = recommend(config, chosen)
    if not found.servers:
        tell("nothing to recommend: the embedded server is set up by pgstrata itself")
    if form == "json":
        print_json(environment=found.environment, servers=render.as_json(found))
    elif form == "text":
        click.echo(render.text(found) if found.servers else "", nl=bool(found.servers))
    else:
        click.echo(render.FILES[form](found).encode(), nl=False)  # UTF-8, as the server reads it
