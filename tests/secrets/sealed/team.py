"""A project with one sealed file, its key, and a member: where most tests here start."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgstrata.model import Secret
from pgstrata.secrets.sealed import edit, keytext, open_entry
from pgstrata.secrets.sealed.access import Access
from pgstrata.secrets.sealed.keys import EnvironmentKey, Identity, new_identity

if TYPE_CHECKING:
    from pathlib import Path

# No test of sealed files may ask the keyring of whoever runs it.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"

PASSWORD = "connection_settings.password"
TOKEN = "connection_settings.sslpassword"


@dataclass(frozen=True)
class Team:
    """Where the file is, who can open it, and the variables of their processes."""

    project: Path
    path: Path
    key: EnvironmentKey
    alice: Identity

    @property
    def nobody(self) -> dict[str, str]:
        """Return the variables of a process without any key."""
        return {"HOME": str(self.project / "home")}

    @property
    def holder(self) -> dict[str, str]:
        """Return those of a process that holds the environment's key."""
        return {**self.nobody, "PGSTRATA_KEY_PRODUCTION": text(self.key)}

    @property
    def member(self) -> dict[str, str]:
        """Return those of alice's process."""
        return {**self.nobody, "PGSTRATA_IDENTITY": text(self.alice)}

    def access(self, environ: dict[str, str] | None = None) -> Access:
        """Return the access of a process; without ``environ``, of the holder."""
        return Access("production", project=self.project, environ=environ or self.holder)

    def seal(self, at: str, value: str, environ: dict[str, str] | None = None) -> str:
        """Set a value, and return where it went."""
        return edit.set_entry(self.path, self.access(environ), at, Secret(value))

    def open(self, at: str = PASSWORD, environ: dict[str, str] | None = None) -> str:
        """Open a value."""
        return open_entry(
            self.path, "production", at, project=self.project, environ=environ or self.holder
        )


def text(key: EnvironmentKey | Identity) -> str:
    """Return the clear text of a private key."""
    return keytext.private_text(key).reveal()


def make_team(folder: Path) -> Team:
    """Return a project whose file holds a password and is sealed to alice."""
    path = folder / "shop" / "environments" / "production.sealed.yaml"
    path.parent.mkdir(parents=True)
    alice = new_identity("alice")
    key = edit.create(path, "production", [("alice", alice.public)])
    team = Team(folder / "shop", path, key, alice)
    team.seal(PASSWORD, "correct horse")
    return team
