"""``pgstrata envs``."""

from __future__ import annotations

from dataclasses import asdict

import click

from pgstrata.cli import options
from pgstrata.cli.output import print_json, tell


@click.command("envs")
@options.output("text", "json")
@click.pass_obj
def command(session: options.Session, output: str) -> None:
    """List the environments and the files that make them."""
    from pgstrata.cli.sides import folder_of, tell_unread
    from pgstrata.layers.outline import outline
    from pgstrata.render.columns import columns

    found = outline(session.folder)
    tell_unread(folder_of(session.folder))
    if output == "json":
        print_json(environments=[asdict(one) for one in found])
        return
    if not found:
        tell("there are no environments", hint="an environment is made by adding its file")
        return
    rows = [
        (
            one.name,
            one.extends or "-",
            _nature(protected=one.protected, local=one.local),
            " + ".join(one.files),
        )
        for one in found
    ]
    click.echo(columns(rows, header=("ENVIRONMENT", "EXTENDS", "IS", "FILES")))


def _nature(**said: bool) -> str:
    return ", ".join(word for word, is_so in said.items() if is_so) or "-"
