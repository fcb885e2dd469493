"""Who asks, and from where: an environment, a project, the process's variables, a key file."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pgstrata.errors import SecretError, UsageError
from pgstrata.home import home
from pgstrata.model import Secret
from pgstrata.secrets.sealed.parse import NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PROCESS_KEY = os.urandom(16)
_RELEVANT = re.compile(
    r"PGSTRATA_(KEY|IDENTITY|PASSPHRASE)|CREDENTIALS_DIRECTORY$|HOME$|XDG_CONFIG_HOME$|APPDATA$"
)


class Access:
    """What is needed to find a key and a pin.

    ``environ`` is asked through a closure, never kept as an attribute or a local: a mapping of
    variables in a traceback would show every secret of the process. Two accesses are equal if
    they lead to the same keys, so an opened file can be kept for the next one.
    """

    __slots__ = ("_fingerprint", "environment", "key_file", "project", "variable")

    def __init__(
        self,
        environment: str,
        *,
        project: Path,
        environ: Mapping[str, str],
        key_file: Path | None = None,
    ) -> None:
        if not NAME.pattern.fullmatch(environment):
            raise UsageError(
                f"{environment!r} cannot have a sealed file", hint=f"it needs {NAME.words}"
            )
        self.environment = environment
        self.project = Path(os.path.abspath(project))  # noqa: PTH100  # resolve() follows links
        self.key_file = key_file
        self.variable: Callable[[str], str] = lambda name: environ.get(name, "")
        self._fingerprint = _fingerprint(environ)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Access) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __repr__(self) -> str:
        return f"Access({self.environment!r}, project={str(self.project)!r})"

    @property
    def _identity(self) -> tuple[object, ...]:
        return self.environment, self.project, self.key_file, self._fingerprint

    def variable_name(self, purpose: str) -> str:
        """Return the name of this environment's own variable, e.g. ``PGSTRATA_KEY_PRODUCTION``."""
        return f"PGSTRATA_{purpose}_{re.sub('[^A-Z0-9]+', '_', self.environment.upper())}"

    def secret(self, name: str) -> Secret | None:
        """Return the text of a variable; None if it is not set, or empty as CI leaves it."""
        value = self.variable(name)
        return Secret(value, source=f"env {name}") if value else None

    @property
    def own_folder(self) -> Path | None:
        """The user's own folder for keys and pins; None for an account without a home folder."""
        if sys.platform == "win32" and self.variable("APPDATA"):
            return Path(self.variable("APPDATA")) / "pgstrata"
        if given := self.variable("XDG_CONFIG_HOME"):
            return Path(given) / "pgstrata"
        folder = home({"HOME": self.variable("HOME")})
        return folder and folder / ".config" / "pgstrata"

    @property
    def config_folder(self) -> Path:
        """The user's own folder, to write to. Raises ``SecretError`` where there is none."""
        if self.own_folder is None:
            raise SecretError(
                "keys and pins have no place: this account has no home folder",
                hint="set HOME, or XDG_CONFIG_HOME",
            )
        return self.own_folder


def _fingerprint(environ: Mapping[str, str]) -> bytes:
    """Return a digest, keyed for this process, of the variables that lead to keys and pins."""
    digest = hashlib.blake2b(key=_PROCESS_KEY)
    for name in sorted(filter(_RELEVANT.match, environ)):
        digest.update(repr((name, environ[name])).encode("utf-8", "surrogatepass"))
    return digest.digest()
