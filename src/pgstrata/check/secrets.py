"""Secrets: where they are written, who can read them, and whether environments share them.

Two secrets are compared by a fingerprint that is made with a key of this run alone. No rule keeps,
shows or stores anything else of them.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from pgstrata.check.scope import Connection, Found, Project, Rule, Unknown, each
from pgstrata.errors import PgstrataError
from pgstrata.model import Secret, Setting

_COMMITTED = ("base", "overlay")
_URL = "connection_settings.url"  # its password is a setting of its own


def literal(connection: Connection) -> Iterator[Found]:
    """Find secrets that a committed file spells out, also where a stronger layer overrides them."""
    for setting in _secrets(connection):
        for given in setting.stack:
            value = given.value
            if (
                isinstance(value, Secret)
                and value.source == "literal"
                and given.origin.layer in _COMMITTED
                and value.reveal()
            ):
                name = setting.key.rpartition(".")[2]
                hint = f"write {{from_env: NAME}} or {{from_file: path}}, and change the {name}"
                message = f"the {name} stands in the file, for everybody who can read it"
                yield Found(connection.environment, message, given.origin, setting.key, hint)


def shared(project: Project) -> Iterator[Found | Unknown]:
    """Find secrets that are the same in two environments."""
    fingerprint = _fingerprints()
    seen: dict[bytes, tuple[Connection, Setting]] = {}
    for connection in project.connections:
        for setting in () if connection.local else _secrets(connection):
            mark = fingerprint(setting.value)
            if isinstance(mark, str):
                if mark:
                    yield Unknown(connection.environment, mark)
                continue
            other, there = seen.setdefault(mark, (connection, setting))
            if other.environment != connection.environment and not _looked_up_alike(setting, there):
                message = (
                    f"the {setting.key.rpartition('.')[2]} is that of {other.environment} as well"
                )
                where = f"the other one is at {there.origin}; "
                hint = ("" if there.origin == setting.origin else where) + "give each its own"
                yield Found(connection.environment, message, setting.origin, setting.key, hint)


def readable_file(connection: Connection) -> Iterator[Found]:
    """Find secret files that everybody on this machine may read."""
    for setting in _secrets(connection):
        value = setting.value
        if isinstance(value, Secret) and value.source.startswith("file "):
            path = connection.config.project / value.source.removeprefix("file ")
            if _world_readable(path):
                message = f"{path} may be read by everybody on this machine"
                hint = f"chmod o-rwx {path}"
                yield Found(connection.environment, message, setting.origin, setting.key, hint)


def _secrets(connection: Connection) -> Iterator[Setting]:
    for setting in connection.settings.values():
        if setting.secret and isinstance(setting.value, Secret) and not setting.key.endswith(_URL):
            yield setting


def _fingerprints() -> Callable[[object], bytes | str]:
    """Return a function from a secret to its fingerprint, or to why there is none; nothing for an
    empty one, which is no secret.
    """
    key = secrets.token_bytes(32)

    def fingerprint(secret: object) -> bytes | str:
        assert isinstance(secret, Secret)
        if secret.source.startswith("keyring"):
            return "a check does not open the keyring"
        try:
            text = secret.reveal().encode("utf-8", "surrogatepass")
            return hmac.new(key, text, hashlib.sha256).digest() if text else ""
        except PgstrataError:
            return "secrets that are not there on this machine"

    return fingerprint


def _looked_up_alike(setting: Setting, other: Setting) -> bool:
    """Tell whether both are the same lookup, whose result on this machine says nothing of the two
    machines that use it.
    """
    one, two = setting.value, other.value
    assert isinstance(one, Secret)
    assert isinstance(two, Secret)
    return one.source == two.source and one.source.startswith(("env ", "file ", "text with "))


def _world_readable(path: Path) -> bool:
    try:
        return os.name == "posix" and bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


RULES = (
    Rule(
        "literal-secret",
        "error",
        each(literal),
        what="A password, key or pass phrase is written out in a committed file.",
        why="Everybody who can read the repository, now or later, has it; a deleted line stays in"
        " the history.",
        remedy="Write `{from_env: NAME}` or `{from_file: path}`, and change the secret: the old one"
        " is known.",
    ),
    Rule(
        "shared-secret",
        "warning",
        shared,
        what="Two environments have the same secret. They are compared by fingerprints of this run"
        " alone. The same variable or file in both says nothing, and a secret that is not there on"
        " this machine is not checked.",
        why="Who gets into the weaker environment is in the stronger one too.",
        remedy="Give each environment a secret of its own.",
        compares=True,
    ),
    Rule(
        "readable-secret-file",
        "warning",
        each(readable_file),
        what="The file of a `{from_file: path}` may be read by everybody on this machine.",
        why="Any account on the machine has the secret, also that of a web server.",
        remedy="`chmod o-rwx` the file, and let only the program's account read it.",
        files=True,
    ),
)
