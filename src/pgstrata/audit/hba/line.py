"""Lines of pg_hba.conf, written so that the server reads back what was meant."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pgstrata.errors import ConfigError

KEYWORDS = ("all", "sameuser", "samerole", "samegroup", "replication")
REGEX_VERSION = 16  # from here on a name with a leading slash is a regular expression

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.$-]*", re.ASCII)


class Keyword(str):
    """A word that is written as it is, because it means more than a name: ``all``, ``+role``."""

    __slots__ = ()


def hba_line(  # the six columns of the file, in their order
    type: str,  # noqa: A002 # the column's own name
    database: str,
    user: str,
    address: str | None,
    method: str,
    options: Mapping[str, str] | None = None,
) -> str:
    """Return one line, its columns separated by one space.

    ``type`` is ``local``, ``host``, ``hostssl``, ...; ``address`` is None for ``local`` and else a
    CIDR, a host name or a keyword, written as it is. ``database`` and ``user`` are names and quoted
    where they need it, or a ``Keyword``. Raises ``ConfigError`` for what no line can hold.
    """
    if (type == "local") != (address is None):
        raise ConfigError(f"a {type} line of pg_hba.conf has {'no' if address else 'an'} address")
    given = [f"{name}={_quoted_value(value)}" for name, value in (options or {}).items()]
    columns = [type, quote_hba(database), quote_hba(user), address, method, *given]
    return " ".join(column for column in columns if column is not None)


def quote_hba(name: str, version: int = REGEX_VERSION) -> str:
    """Return the token that matches the database or role ``name`` and nothing else.

    It is put in double quotes where it would otherwise be a keyword, a group, a file or several
    tokens. Quotes do not keep a leading slash from starting a regular expression from
    ``version`` (major) 16 on, so there the name becomes an anchored one.
    """
    if isinstance(name, Keyword):
        return name
    if name.startswith("/") and version >= REGEX_VERSION:
        return _quoted("/^" + re.sub(r"[][(){}.*+?^$|\\]", r"\\\g<0>", name) + "$")
    if _PLAIN.fullmatch(name) and name not in KEYWORDS:
        return name
    return _quoted(name)


def _quoted_value(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else _quoted(value)


def _quoted(text: str) -> str:
    if re.search(r"[\n\r\0]", text):
        problem = f"pg_hba.conf cannot hold {text!r}: a line break ends the line"
        raise ConfigError(problem, hint="rename the role or the database, or use a group")
    return '"' + text.replace('"', '""') + '"'
