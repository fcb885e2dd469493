"""Did you mean: the known name that a misspelt one most likely stands for."""

from __future__ import annotations

import difflib
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Below this likeness a guess misleads more than it helps: "hots" for "host" is exactly at it.
CUTOFF = 0.75
# A shorter beginning is shared by too many names.
BEGINNING = 3


def _plain(word: str) -> str:
    """Return ``word`` as two spellings of one name share it: no case, no separators."""
    return word.casefold().replace("_", "").replace("-", "").replace(" ", "")


# Names from other drivers, URLs and tools, by the name they have here. No likeness finds these.
ALIASES: Mapping[str, str] = MappingProxyType(
    {
        _plain(alias): name
        for name, aliases in {
            "application_name": "app appname",
            "async_pool_settings": "async_pool async_pool_options",
            "async_settings": "async async_session",
            "connect_timeout": "connection_timeout timeout",
            "connection_settings": "connection connections_settings conn connect",
            "connection_type": "type conn_type",
            "connections": "targets databases",
            "dbname": "database db database_name",
            "host": "hostname server server_name",
            "max_size": "max_conn max_conns max_connections pool_size maximum",
            "min_size": "min_conn min_conns min_connections minimum",
            "password": "pass passwd pwd",
            "pool_settings": "pool pools pool_options",
            "session_settings": "session settings parameters options",
            "sslcert": "cert client_cert certificate",
            "sslkey": "key client_key private_key",
            "sslmode": "ssl tls tls_mode require_ssl",
            "sslrootcert": "ssl_ca ca ca_cert root_cert cafile",
            "sync_settings": "sync sync_session",
            "url": "dsn uri database_url connection_string",
            "user": "username user_name usr login role",
        }.items()
        for alias in aliases.split()
    }
)


def closest(
    word: str, candidates: Iterable[str], aliases: Mapping[str, str] = ALIASES
) -> str | None:
    """Return the candidate that ``word`` most likely stands for, or None for a far-fetched guess.

    Case, ``-``, ``_`` and spaces do not count. A candidate that differs in nothing else wins; then
    what ``aliases`` (plain lower-case word to name) says, if that name is a candidate; then the
    candidate most alike, by ``difflib``'s ratio of matching letters, if it reaches ``CUTOFF``; then
    the only one that begins with ``word``, if that has ``BEGINNING`` letters.
    """
    plain = _plain(word)
    known = {_plain(candidate): candidate for candidate in candidates}
    alias = _plain(aliases.get(plain, ""))
    for exact in (plain, alias):
        if exact in known:
            return known[exact]
    # A slip seldom hits the first and the last letter; looking closer at all 400 parameters takes
    # several times as long.
    near = [name for name in known if name[:1] == plain[:1] or name[-1:] == plain[-1:]]
    alike = difflib.get_close_matches(plain, near, n=1, cutoff=CUTOFF)
    longer = [name for name in known if name.startswith(plain) and len(plain) >= BEGINNING]
    found = alike or (longer if len(longer) == 1 else [])
    return known[found[0]] if found else None
