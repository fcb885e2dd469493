"""The name under which the server knows a program whose settings give none:
``program@environment#fingerprint``, e.g. ``worker@production#3f9c01ab``.

The fingerprint tells settings apart, so clients that still run with older ones are seen in
pg_stat_activity.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import NamedTuple

from pgstrata.model import Secret, Setting

LONGEST = 63  # bytes of an application_name: NAMEDATALEN - 1, beyond which the server cuts it off
_DIGITS = 8
_NAME = re.compile(r"(?P<program>.*)@(?P<environment>[^@#]*)#(?P<fingerprint>[0-9a-f]{8})")
_GIVEN = ("application_name", "fallback_application_name")


class Application(NamedTuple):
    """The parts of such a name."""

    program: str
    environment: str
    fingerprint: str

    def __str__(self) -> str:
        # The server shows other characters as question marks.
        environment = self.environment.encode("ascii", "replace").decode()
        rest = f"@{environment}#{self.fingerprint}"
        program = self.program.encode("ascii", "replace").decode()
        return program[: max(LONGEST - len(rest), 0)] + rest


def application(environment: str, target: Mapping[str, Setting]) -> Application:
    """Return the parts for this program and one connection's effective settings."""
    return Application(program(sys.argv), environment, fingerprint(target))


def parsed(name: str) -> Application | None:
    """Return the parts of an application_name, or None for one that was made otherwise."""
    match = _NAME.fullmatch(name)
    return Application(**match.groupdict()) if match else None


def is_given(target: Mapping[str, Setting], session: Mapping[str, str], options: str) -> bool:
    """Tell whether the settings, or the variables that libpq reads, give a name already.

    Those of the session count too: a name in the start-up packet would win over them.
    """
    keys = [f"connection_settings.{name}" for name in _GIVEN]
    said = any(key in target and target[key].value is not None for key in keys)
    return said or "application_name" in session or "application_name" in options


def program(arguments: Sequence[str]) -> str:
    """Return the name of the running program, given ``sys.argv``."""
    path = PurePath(arguments[0] if arguments else "")
    if path.stem == "__main__":  # python -m package
        return path.parent.name
    return path.stem if path.stem not in ("", "-c", "-m", "-") else "python"


def fingerprint(target: Mapping[str, Setting]) -> str:
    """Return eight hexadecimal digits, equal for equal effective settings of a connection.

    Secrets have no part in it, nor has what libpq fills in, which differs between machines.
    """
    settings = sorted(
        (key, repr(setting.value))
        for key, setting in target.items()
        if not setting.secret
        and not isinstance(setting.value, Secret)
        and setting.origin.layer != "libpq"
        and setting.value is not None
    )
    return hashlib.sha256(repr(settings).encode()).hexdigest()[:_DIGITS]
