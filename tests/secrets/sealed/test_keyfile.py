from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from tests.secrets.sealed.team import Team, make_team, text

from pgstrata.errors import SecretError
from pgstrata.secrets.sealed import keyfile, keytext, lookup

if TYPE_CHECKING:
    from pathlib import Path

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps access apart from modes")


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """Make a file with a password, sealed to alice."""
    return make_team(tmp_path)


def save(path: Path, content: str, mode: int = 0o600) -> Path:
    """Write a key file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(mode)
    return path


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o666])
def test_an_own_key_file_is_closed_to_others(team: Team, mode: int) -> None:
    """A key that others can read or write is refused, with the command that closes it."""
    path = save(team.project / "a.key", text(team.key), mode)
    with pytest.raises(SecretError, match=f"mode {mode:04o}") as caught:
        keyfile.read_own(path)
    assert f"chmod 600 {path}" in caught.value.hint


@posix
def test_an_own_key_file_is_no_link_and_no_pipe(team: Team) -> None:
    """Neither is followed, and a pipe without a writer does not hang."""
    path = save(team.project / "a.key", text(team.key))
    link, pipe = path.with_name("link"), path.with_name("pipe")
    link.symlink_to(path)
    os.mkfifo(pipe, 0o600)
    for strange in (link, pipe, path.parent):
        with pytest.raises(SecretError):
            keyfile.read_own(strange)


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can chown")
def test_an_own_key_file_belongs_to_its_user_or_root(team: Team) -> None:
    """A key file of somebody else can be changed by somebody else."""
    path = save(team.project / "a.key", text(team.key))
    os.chown(path, 12345, -1)
    with pytest.raises(SecretError, match="belongs to another user"):
        keyfile.read_own(path)


@posix
def test_a_mounted_key_may_be_a_link_that_all_can_read(team: Team) -> None:
    """As Kubernetes and Docker mount it; only one that all can write is refused."""
    path = save(team.project / "..data" / "key", text(team.key), 0o644)
    link = team.project / "pgstrata-key-production"
    link.symlink_to(path)
    environ = {**team.nobody, "CREDENTIALS_DIRECTORY": str(team.project)}
    assert team.open(environ=environ) == "correct horse"
    named = {**environ, "PGSTRATA_KEY_FILE_PRODUCTION": str(link)}
    assert team.open(environ=named) == "correct horse"
    path.chmod(0o646)
    with pytest.raises(SecretError, match="can be written by everybody"):
        keyfile.read_mounted(link)


def test_a_saved_key_file_can_be_read(team: Team) -> None:
    """It is closed to others from its first moment."""
    path = lookup.key_path(team.access())
    keyfile.save(path, keytext.private_text(team.key))
    assert keyfile.read_own(path).reveal().rstrip() == text(team.key)
    assert team.open(environ=team.nobody) == "correct horse"


@posix
def test_saving_closes_a_file_that_was_open(team: Team) -> None:
    """The new key is at no moment readable by others."""
    path = save(lookup.key_path(team.access()), "old", 0o644)
    keyfile.save(path, keytext.private_text(team.key))
    assert path.stat().st_mode & 0o777 == 0o600
