"""The files that ``pgstrata init`` writes: what a project starts with, and all else as comments.

The comments come from the table of keys, so a new key is in the next scaffold without more ado.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pgstrata.schema.keys import SECTIONS, TABLES, Key

_BASE = {
    "connection_type": "normal",
    "connection_settings": {"port": "5432", "dbname": "app", "user": "app", "connect_timeout": "5"},
    "session_settings": {
        "statement_timeout": "30s",
        "lock_timeout": "10s",
        "idle_in_transaction_session_timeout": "1min",
    },
    "pool_settings": {"min_size": "2", "max_size": "10", "max_lifetime": "1800"},
    "async_pool_settings": {"min_size": "2", "max_size": "10", "max_lifetime": "1800"},
    "server": {},
}
SCHEMA = "schema.json"
# Tells an editor with a YAML language server where the schema is, seen from the file's own folder.
EDITOR = f"# yaml-language-server: $schema={SCHEMA}\n"
_SECURE = {"sslmode": "verify-full", "sslrootcert": "system", "channel_binding": "require"}


def project_files() -> dict[str, str]:
    """Return the text of each file of a new project, by its name; ``SCHEMA`` is not among them."""
    return {name: EDITOR + text for name, text in _environments().items()}


def _environments() -> dict[str, str]:
    return {
        "base.yaml": _file("What all environments share.", _BASE, documented=True),
        "development.yaml": _file(
            "One's own machine: an embedded PostgreSQL, so there is nothing to install.",
            {"local": "true"},
        ),
        "staging.yaml": _file(
            "Only what differs from base.yaml.",
            {"connection_settings": _server("staging") | _SECURE},
        ),
        "production.yaml": _file(
            "As staging, but for what stands here.",
            {
                "extends": "staging",
                "protected": "true",
                "connection_settings": _server("production"),
            },
        ),
    }


def single_file() -> str:
    """Return the text of one file that is a whole configuration."""
    settings = _BASE["connection_settings"]
    assert isinstance(settings, dict)
    whole = _BASE | {
        "connection_settings": {"host": "localhost", **settings, "password": "''"},
    }
    return _file("All that a connection needs, in one file.", whole, documented=True)


def _server(environment: str) -> dict[str, str]:
    return {
        "host": f"db.{environment}.example.com",
        "password": f"{{from_env: {environment.upper()}_DB_PASSWORD}}",
    }


def _file(title: str, written: Mapping[str, object], *, documented: bool = False) -> str:
    parts = ["\n".join(_section(name, value, documented)) for name, value in written.items()]
    between = "\n\n" if documented else "\n"
    return f"# {title}{between}{between.join(parts)}\n"


def _section(name: str, value: object, documented: bool) -> Iterable[str]:  # noqa: FBT001  # handed through
    if documented:
        yield f"# {SECTIONS[name].doc}"
    if not isinstance(value, dict):
        yield f"{name}: {value}"
        return
    yield f"{name}:"
    yield from (f"  {key}: {text}" for key, text in value.items())
    if documented:
        for key in _keys(name):
            if key.name not in value:
                yield from _comment(key)


def _keys(section: str) -> Iterable[Key]:
    return TABLES.get(SECTIONS[section].shape, {}).values()


def _comment(key: Key) -> Iterable[str]:
    """Yield a key that can be had by uncommenting its line; the second line stays a comment."""
    yield f"{f'  # {key.name}: {_shown(key)}':34}  # {key.doc}"
    if key.choices:
        yield f"{'  #':34}  #   {', '.join(key.choices)}"


def _shown(key: Key) -> str:
    if key.example or key.default is None:
        return key.example
    text = str(key.default)
    return text.lower() if isinstance(key.default, bool) else text.removesuffix(".0")
