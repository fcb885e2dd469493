"""``pgstrata schema``."""

from __future__ import annotations

import click


@click.command("schema")
@click.option(
    "--overlay", "which", flag_value="overlay", default="overlay", help="Of the files [default]."
)
@click.option(
    "--effective", "which", flag_value="effective", help="Of what render --as json|yaml writes."
)
def command(which: str) -> None:
    """Print the JSON Schema of the files, or of what they amount to.

    init writes it to environments/schema.json, where an editor finds it through each file's first
    line; run this again, into that file, when pgstrata is upgraded.
    """
    from pgstrata.schema import json_schema

    made = json_schema.effective() if which == "effective" else json_schema.overlay()
    click.echo(json_schema.text(made), nl=False)
