"""``pgstrata explain``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pgstrata.cli import options
from pgstrata.cli.output import print_json
from pgstrata.errors import UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from pgstrata.schema.keys import Key


def _complete_key(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    from pgstrata.cli.choose import KEYS
    from pgstrata.schema.keys import SECTIONS

    keys = (key for key in KEYS if key not in SECTIONS or not SECTIONS[key].is_map)
    return [CompletionItem(key) for key in keys if key.startswith(incomplete)]


@click.command("explain")
@click.argument("key", shell_complete=_complete_key)
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
    """Show where KEY comes from, and what it overrode.

    \b
    KEY is dotted, as show prints it: connection_settings.host
    or with the connection it is of:  connections.reports.connection_settings.host
    """  # noqa: D301  # \b is click's mark for lines that are not joined
    from pgstrata.cli.choose import connection_of, settings_of
    from pgstrata.loading import load
    from pgstrata.render import settings as render

    config = load(environment, project=session.project)
    connection, name = _split(key, connection)
    known = {s.key: s for s in settings_of(config, connection_of(config, connection))}
    setting = known.get(name)
    schema = _schema(name) if setting is None or "_settings." in name else None
    if output == "json":
        print_json(
            environment=config.environment,
            key=key,
            value=render.value_json(setting.value) if setting else None,
            secret=setting.secret if setting else bool(schema and schema.secret),
            stack=render.stack_json(setting) if setting else [],
        )
        return
    value = render.value_text(setting.value) if setting else render.UNSET
    click.echo(f"{key} = {value}    [{config.environment}]")
    click.echo(render.stack_text(setting) if setting else _unset(name))
    if doc := schema.doc if schema else _section_doc(name):
        click.echo(f"   {doc}")


def _split(key: str, connection: str | None) -> tuple[str | None, str]:
    """Return the connection that is meant, and the key in it."""
    if not key.startswith("connections."):
        return connection, key
    _, name, rest = (*key.split(".", 2), "", "")[:3]
    if connection not in (None, name):
        raise UsageError(f"{key!r} is not a key of --connection {connection}")
    return name, rest


def _schema(key: str) -> Key | None:
    """Return what the schema has on a key that may be set, or None for a section that is a value.

    Raises ``UsageError`` for what is no key.
    """
    from pgstrata.schema.keys import SECTIONS
    from pgstrata.schema.names import key_of

    name, _, rest = key.partition(".")
    section = SECTIONS.get(name)
    if section is not None and not rest:
        if section.is_map:
            raise UsageError(f"{key!r} is a section", hint="pgstrata show lists what is set in it")
        return section.key
    known = key_of(section, rest) if section and section.is_map and name != "connections" else None
    if known is None:
        raise _unknown(key)
    return known


def _unknown(key: str) -> UsageError:
    guess = _guess(key)
    hint = f"did you mean {guess!r}?" if guess else "pgstrata show lists the keys that are set"
    return UsageError(f"no setting is called {key!r}", hint=hint)


def _guess(key: str) -> str | None:
    """Return the key that is most likely meant, be its section misspelt, its name, or left out."""
    from pgstrata.schema.keys import SECTIONS
    from pgstrata.schema.names import candidates
    from pgstrata.schema.suggest import closest

    sections = [s for s in SECTIONS.values() if s.is_map and s.name != "connections"]
    said, _, name = key.rpartition(".")
    near = closest(said, [section.name for section in sections]) if said else None
    likely = [section for section in sections if near in (None, section.name)]
    exact = [f"{section.name}.{name}" for section in likely if name in candidates(section)]
    close = [f"{s.name}.{word}" for s in likely if (word := closest(name, candidates(s)))]
    return next(iter(exact + close), None)


def _unset(key: str) -> str:
    """Say what holds where no layer says anything."""
    from pgstrata.schema.libpq import keywords

    keyword = keywords().get(key.removeprefix("connection_settings."))
    own = f"; libpq's own default is {keyword.compiled}" if keyword and keyword.compiled else ""
    return f"   no layer sets it{own}"


def _section_doc(key: str) -> str:
    from pgstrata.schema.keys import SECTIONS

    return SECTIONS[key].doc if key in SECTIONS else ""
