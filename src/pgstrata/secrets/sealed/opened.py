"""Reading a sealed file for use: parse, verify, find the key, check the pin, open one value."""

from __future__ import annotations

import os
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from pgstrata.errors import SecretError
from pgstrata.secrets.sealed import lookup, pins
from pgstrata.secrets.sealed.access import Access
from pgstrata.secrets.sealed.attest import verify
from pgstrata.secrets.sealed.parse import read
from pgstrata.secrets.sealed.seal import open_value

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pgstrata.secrets.sealed.document import Document
    from pgstrata.secrets.sealed.keys import EnvironmentKey

_opening = Lock()


class Opened(NamedTuple):
    """A document that is verified and under the pinned key; and its key, if one was found."""

    document: Document
    key: EnvironmentKey | None
    places: tuple[str, ...]

    def require_key(self, access: Access) -> EnvironmentKey:
        """Return the key. Raises ``SecretError`` with every place that was looked at."""
        if self.key is None:
            raise lookup.no_key(self.document, access, self.places)
        return self.key


def open_entry(
    path: Path, environment: str, key: str, *, project: Path, environ: Mapping[str, str]
) -> str:
    """Return the value that is sealed for a setting.

    ``key`` is the setting's dotted name, ``environ`` the process's variables. The opened file is
    kept until it changes, so many connections verify it once. Raises ``SecretError`` where no key
    is found, a key is wrong, or the file or its pin cannot be trusted, and ``InvalidConfigError``
    for a file that is not as pgstrata wrote it.
    """
    access = Access(environment, project=project, environ=environ)
    del environ  # a traceback with locals would show every variable of the process
    opened = open_cached(path, access)
    private = opened.require_key(access)
    for entry in opened.document.entries:
        if entry.at == key:
            return open_value(opened.document, entry, private)
    raise SecretError(
        f"{opened.document.source} holds no value for {key}",
        hint=f"`pgstrata secret set {key} -e {environment}` adds it; "
        "a pending one must be accepted by a holder of the key",
    )


def entries(path: Path, environment: str) -> list[tuple[str, int, int]]:
    """Return the settings that a sealed file holds, each with its line and column from 1.

    Needs no key and no cryptography, so nothing is known about who wrote the file. Raises
    ``InvalidConfigError`` for a malformed file and ``SecretError`` for a missing one.
    """
    return [(entry.at, entry.line, entry.column) for entry in read(path, environment).entries]


def open_cached(path: Path, access: Access) -> Opened:
    """Do as ``open_trusted``, or return what it returned while the file has not changed."""
    try:
        status = path.stat()
    except OSError:
        return open_trusted(path, access)  # which says what is wrong with it
    with _opening:
        return _opened(path, (status.st_mtime_ns, status.st_size, status.st_ino), access)


def _after_fork() -> None:
    """Have a lock that no thread of the parent holds."""
    global _opening  # noqa: PLW0603  # a lock cannot be released but by who holds it
    _opening = Lock()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)


@lru_cache(maxsize=16)
def _opened(path: Path, stamp: tuple[int, int, int], access: Access) -> Opened:  # noqa: ARG001  # the cache compares the stamp
    return open_trusted(path, access)


def open_trusted(path: Path, access: Access, *, remember: bool = True) -> Opened:
    """Read a file, verify it, find its key and check its pin; ``remember`` a first one.

    A key that is nowhere is left to the caller: whoever seals a value needs none, but must know
    that the file is the team's own. Raises ``SecretError`` and ``InvalidConfigError``.
    """
    document = read(path, access.environment)
    verify(document)
    found = lookup.find(document, access)
    pins.check(document, access, direct=found.direct or not remember)
    return Opened(document, found.key, found.places)
