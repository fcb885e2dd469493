"""``pgstrata envs``."""

from __future__ import annotations

from dataclasses import asdict

import click

from pgstrata.cli import options


@click.command("envs")
@options.output("text", "json")
@click.pass_obj
def command(session: options.Session, output: str) -> None:
    """List the environments and the files that make them."""
    from pgstrata.layers.outline import outline
    from pgstrata.render.columns import columns

    found = outline(session.folder)
    if output == "json":
        options.print_json(environments=[asdict(environment) for environment in found])
        return
    rows = [
        (one.name, one.extends or "-", _nature(one.protected, one.local), " + ".join(one.files))
        for one in found
    ]
    click.echo(columns(rows, header=("ENVIRONMENT", "EXTENDS", "IS", "FILES")))


def _nature(protected: bool, local: bool) -> str:  # noqa: FBT001  # two columns of one row
    said = [word for word, is_so in (("protected", protected), ("local", local)) if is_so]
    return ", ".join(said) or "-"
