"""A command line of one's own with click: ``python ledger.py -e staging add 5``."""

from __future__ import annotations

import uuid

import click

from pgstrata import PGConnectionManager, PgstrataError


@click.group()
@click.option("-e", "--env", help="Environment; by default that of PGSTRATA_ENV.")
@click.pass_context
def main(context: click.Context, env: str | None) -> None:
    """Keep a ledger."""
    context.obj = context.with_resource(PGConnectionManager(env))


@main.command()
@click.argument("amounts", type=int, nargs=-1, required=True)
@click.pass_obj
def add(manager: PGConnectionManager, amounts: tuple[int, ...]) -> None:
    """Add entries: all of them, or none."""
    with manager.normal() as connection, connection.cursor() as cursor:
        rows = [(uuid.uuid4(), amount) for amount in amounts]
        cursor.executemany("INSERT INTO ledger VALUES (%s, %s)", rows)


@main.command()
@click.pass_obj
def total(manager: PGConnectionManager) -> None:
    """Print the sum of all entries."""
    with manager.normal() as connection:
        row = connection.execute("SELECT coalesce(sum(amount), 0) FROM ledger").fetchone()
    click.echo(row[0] if row else 0)


if __name__ == "__main__":
    try:
        main()
    except PgstrataError as error:
        raise SystemExit(f"{error}\nhint: {error.hint}" if error.hint else str(error)) from None
