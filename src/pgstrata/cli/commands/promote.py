"""``pgstrata promote``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pgstrata.cli import options
from pgstrata.cli.output import print_json, tell

if TYPE_CHECKING:
    from pgstrata.promotion.plan import Plan


@click.command("promote")
@click.argument("source", shell_complete=options.complete_environment)
@click.argument("target", shell_complete=options.complete_environment)
@click.argument("keys", nargs=-1, required=True)
@click.option("--apply", "apply", is_flag=True, help="Write the file; otherwise only plan.")
@options.output("text", "json")
@click.pass_obj
def command(
    session: options.Session,
    source: str,
    target: str,
    keys: tuple[str, ...],
    output: str,
    *,
    apply: bool,
) -> None:
    """Carry settings from one environment's files to another's.

    The file of TARGET gets what SOURCE has for each of the KEYS, as it is written there; comments
    and order stay. Shows what the effective settings of every environment become. Secrets, and
    what says which server an environment is, are refused.
    """
    from pgstrata.promotion.plan import plan

    made = plan(source, target, keys, project=session.project)
    if apply and made.edits:
        made.apply()
    if output == "json":
        print_json(**_as_json(source, target, made, applied=apply))
    else:
        _print(made)
    for setting in made.overruled:
        tell(f"{setting.key} of {target} is still decided by {setting.origin}")
    if not made.edits:
        tell(f"nothing to do: {target} has these values already")
    elif not apply:
        tell("nothing is written yet", hint="--apply writes it")


def _print(made: Plan) -> None:
    from pgstrata.render.columns import columns
    from pgstrata.render.settings import value_text

    if made.edits:
        edits = [(e.key, e.before or "-", e.after, str(e.origin)) for e in made.edits]
        click.echo(columns(edits, header=(f"IN {made.source}", "NOW", "THEN", "AS IN")))
    if made.effects:
        effects = [
            (e.environment, e.key, value_text(e.before), value_text(e.after)) for e in made.effects
        ]
        click.echo("")
        click.echo(columns(effects, header=("ENVIRONMENT", "EFFECTIVE KEY", "BEFORE", "AFTER")))


def _as_json(source: str, target: str, made: Plan, *, applied: bool) -> dict[str, object]:
    from pgstrata.render.settings import value_json

    return {
        "from": source,
        "to": target,
        "file": made.source,
        "applied": applied,
        "edits": [
            {"key": e.key, "before": e.before, "after": e.after, "origin": e.origin.as_json()}
            for e in made.edits
        ],
        "effects": [
            {
                "environment": e.environment,
                "key": e.key,
                "before": value_json(e.before),
                "after": value_json(e.after),
            }
            for e in made.effects
        ],
        "overruled": [setting.key for setting in made.overruled],
    }
