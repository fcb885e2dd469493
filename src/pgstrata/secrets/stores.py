"""The secret stores as loading an environment sees them: Secrets, opened when they are used.

Nothing here imports cryptography or keyring before ``reveal()`` is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pgstrata.errors import SecretError
from pgstrata.model import Secret
from pgstrata.secrets import keyring, sealed
from pgstrata.secrets.sealed.parse import parse


class Sealed(NamedTuple):
    """An entry of a sealed file: its setting, its value, and its line and column from 1."""

    key: str
    secret: Secret
    line: int
    column: int


def sealed_path(project: Path, environment: str) -> Path:
    """Return the sealed file of an environment, which need not exist."""
    return project / "environments" / f"{environment}.sealed.yaml"


def from_sealed(project: Path, environment: str, environ: Mapping[str, str]) -> list[Sealed]:
    """Return what the sealed file of an environment holds; nothing if there is none.

    Raises ``InvalidConfigError`` for a malformed file, ``SecretError`` for an unreadable one. Who
    wrote the file is verified when a value is opened, not here: that needs cryptography.
    """
    path = sealed_path(project, environment)
    if not path.exists():
        return []

    def secret(key: str) -> Secret:
        return Secret(
            lambda: sealed.open_entry(path, environment, key, project=project, environ=environ),
            source=f"sealed environments/{path.name}",
        )

    return [Sealed(key, secret(key), *at) for key, *at in sealed.entries(path, environment)]


def is_still(content: bytes, project: Path, environment: str) -> bool:
    """Tell whether the sealed file of an environment has this content now."""
    path = sealed_path(project, environment)
    return path.is_file() and path.read_bytes() == content


def not_opened(content: bytes, environment: str, source: str) -> list[Sealed]:
    """Return what a sealed file of another revision holds. Its values are not opened: the key in
    use is that of the file as it is now.

    Raises ``InvalidConfigError`` for a malformed file.
    """
    document = parse(content, environment, source)

    def reveal() -> str:
        raise SecretError(f"{source} is of another revision; its values are not opened")

    secret = Secret(reveal, source=f"sealed environments/{environment}.sealed.yaml")
    return [Sealed(entry.at, secret, entry.line, entry.column) for entry in document.entries]


def from_keyring(
    project: Path, environment: str, key: str, otherwise: Secret | None = None
) -> Secret:
    """Return what the OS keyring holds for a setting. Where it holds nothing, ``otherwise`` counts;
    an unusable keyring is an error all the same.
    """
    name = keyring.service(project.name, environment)

    def reveal() -> str:
        if otherwise is None:
            return keyring.get(project.name, environment, key)
        return (keyring.find(name, key) or otherwise).reveal()

    weaker = f", or else {otherwise.source}" if otherwise is not None else ""
    return Secret(reveal, source=f"keyring {name}{weaker}")
