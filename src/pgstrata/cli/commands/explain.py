"""``pgstrata explain``."""

from __future__ import annotations

import click

from pgstrata.cli import options
from pgstrata.cli.choose import connection_of, settings_of
from pgstrata.errors import UsageError
from pgstrata.model import Config, Setting


@click.command("explain")
@click.argument("key")
@options.environment
@options.connection
@options.output("text", "json")
@click.pass_obj
def command(
    session: options.Session,
    key: str,
    environment: str | None,
    connection: str | None,
    output: str,
) -> None:
    """Show where KEY comes from, and what it overrode."""
    from pgstrata.loading import load
    from pgstrata.render import settings as render

    config = load(environment, project=session.project)
    setting = _find(config, key, connection)
    if output == "json":
        options.print_json(
            environment=config.environment,
            key=key,
            value=render.value_json(setting.value) if setting else None,
            secret=setting.secret if setting else False,
            stack=render.stack_json(setting) if setting else [],
        )
        return
    value = render.value_text(setting.value) if setting else render.UNSET
    click.echo(f"{key} = {value}    [{config.environment}]")
    click.echo(render.stack_text(setting) if setting else _unset(key))
    if doc := _doc(key):
        click.echo(f"   {doc}")


def _find(config: Config, key: str, connection: str | None) -> Setting | None:
    """Return the setting, or None for a key that exists and that nothing sets."""
    if key in config.settings and connection is None:
        return config.settings[key]
    name = connection_of(config, connection)
    known = {setting.key: setting for setting in settings_of(config, name)}
    if key in known:
        return known[key]
    if not _exists(key):
        raise _unknown(key, known)
    return None


def _exists(key: str) -> bool:
    from pgstrata.layers.shape import key_of
    from pgstrata.schema.keys import SECTIONS

    section, _, name = key.partition(".")
    if section not in SECTIONS:
        return False
    return not name or (
        SECTIONS[section].shape in ("connection", "pool", "parameters")
        and key_of(SECTIONS[section], name) is not None
    )


def _unknown(key: str, known: dict[str, Setting]) -> UsageError:
    from pgstrata.layers.shape import keys_of
    from pgstrata.schema.keys import SECTIONS
    from pgstrata.schema.suggest import closest

    every = [
        f"{section.name}.{name}"
        for section in SECTIONS.values()
        if section.shape in ("connection", "pool")
        for name in keys_of(section)
    ]
    guess = closest(key, [*known, *every])
    hint = f"did you mean {guess!r}?" if guess else "pgstrata show lists the keys that are set"
    return UsageError(f"no setting is called {key!r}", hint=hint)


def _unset(key: str) -> str:
    """Say what holds where no layer says anything."""
    from pgstrata.schema.libpq import keywords

    keyword = keywords().get(key.removeprefix("connection_settings."))
    if keyword is not None and keyword.compiled:
        return f"   no layer sets it; libpq's own default is {keyword.compiled}"
    return "   no layer sets it"


def _doc(key: str) -> str:
    from pgstrata.layers.shape import key_of
    from pgstrata.schema.keys import SECTIONS

    *_, section, name = ("", *key.split("."))
    found = SECTIONS.get(section)
    if found is None or found.shape not in ("connection", "pool"):
        return SECTIONS[key].doc if key in SECTIONS else ""
    known = key_of(found, name)
    return known.doc if known else ""
