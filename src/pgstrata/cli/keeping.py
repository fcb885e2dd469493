"""Keeping the secrets that ``pgstrata init --from`` finds, each environment's in a store."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from pgstrata.cli.output import tell
from pgstrata.errors import UsageError

if TYPE_CHECKING:
    from pgstrata.cli.commands.secret.keygen import Place
    from pgstrata.model import Secret
    from pgstrata.secrets.sealed.access import Access

Secrets: TypeAlias = Mapping[str, Mapping[str, "Secret"]]  # by environment and setting
Keep: TypeAlias = Callable[[ExitStack], None]


def keeper(project: Path, secrets: Secrets, store: str | None) -> Keep:
    """Return what keeps the secrets, and puts what undoes it on a stack.

    Raises ``UsageError`` where there is something already: neither a value nor a key is ever
    overwritten.
    """
    return STORES[store](project, secrets) if store and secrets else lambda _: None


def _keyring(project: Path, secrets: Secrets) -> Keep:
    from pgstrata.secrets import keyring

    entries = [
        (environment, key, value)
        for environment, values in secrets.items()
        for key, value in values.items()
    ]
    for environment, key, _ in entries:
        if keyring.has(project.name, environment, key):
            raise UsageError(
                f"the keyring has {key} of {environment} already",
                hint=f"pgstrata secret remove {key} -e {environment} --store keyring",
            )

    def keep(undo: ExitStack) -> None:
        for environment, key, value in entries:
            keyring.set(project.name, environment, key, value)
            undo.callback(keyring.delete, project.name, environment, key)

    return keep


class _Vault(NamedTuple):
    """A sealed file to be made, the place of its key, and what goes in."""

    path: Path
    access: Access
    place: Place
    values: Mapping[str, Secret]

    def make(self, undo: ExitStack) -> None:
        """Make the key and the file."""
        from pgstrata.secrets.sealed import edit, keytext, pins

        if not pins.path(self.access).exists():
            undo.callback(pins.path(self.access).unlink, missing_ok=True)
        key = edit.create(self.path, self.access.environment, [])
        undo.callback(self.path.unlink, missing_ok=True)
        self.place.keep(keytext.private_text(key, None))
        undo.callback(self.place.path.unlink, missing_ok=True)
        edit.set_entries(self.path, self.access, self.values)
        tell(
            f"the private key of {self.access.environment} is in {self.place.words}; "
            "without it all is lost"
        )


def _sealed(project: Path, secrets: Secrets) -> Keep:
    vaults = [_vault(project, environment, values) for environment, values in secrets.items()]

    def keep(undo: ExitStack) -> None:
        for vault in vaults:
            vault.make(undo)

    return keep


def _vault(project: Path, environment: str, values: Mapping[str, Secret]) -> _Vault:
    from pgstrata.cli.commands.secret.keygen import Place
    from pgstrata.layers.variables import Environ
    from pgstrata.secrets import keyring
    from pgstrata.secrets.sealed import lookup
    from pgstrata.secrets.sealed.access import Access
    from pgstrata.secrets.stores import sealed_path

    access = Access(environment, project=project, environ=Environ(os.environ))
    service = keyring.service(project.name, environment)
    place = Place(lookup.key_path(access), service, lookup.KEYRING_USER, in_keyring=False)
    place.require_free()
    path = sealed_path(project, environment)
    if os.path.lexists(path):
        raise UsageError(f"already there: {path}", hint="it is another's; move it away first")
    return _Vault(path, access, place, values)


# One function for each of schema.keys.SECRET_STORES.
STORES: Mapping[str, Callable[[Path, Secrets], Keep]] = {"sealed": _sealed, "keyring": _keyring}
