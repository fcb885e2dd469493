"""Connection URLs as other programs write them."""

from __future__ import annotations

import re

from pgstrata.errors import UsageError
from pgstrata.schema.libpq import parse_url

_SCHEME = re.compile(r"^(?:postgres|postgresql|postgis|psql|pgsql)(?:\+\w+)?://")
_SSL = re.compile(r"([?&])ssl=(?=disable|allow|prefer|require|verify-)")  # asyncpg's name for it


def is_url(text: str) -> bool:
    """Tell whether a text is a PostgreSQL URL: libpq's, SQLAlchemy's or Django's."""
    return _SCHEME.match(text) is not None


def keywords_of(url: str, source: str) -> dict[str, str]:
    """Return libpq's keywords for a URL. Raises ``UsageError``, which quotes no part of it."""
    found = parse_url(_SSL.sub(r"\1sslmode=", _SCHEME.sub("postgresql://", url)))
    del url  # a traceback with locals would show its password
    if isinstance(found, str):
        raise UsageError(
            f"{source}: {found}", hint="libpq's keywords alone may stand behind the question mark"
        )
    return found
