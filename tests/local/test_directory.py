from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgstrata.errors import LocalServerError, SecretError
from pgstrata.local import directory, state_directory
from pgstrata.local.account import is_root, unprivileged_account

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
HOLD = """
import sys, pathlib
from pgstrata.local.directory import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("platform", "environ", "expected"),
    [
        ("linux", {"HOME": "/home/me"}, "/home/me/.local/state/pgstrata"),
        ("linux", {"HOME": "/home/me", "XDG_STATE_HOME": "/state"}, "/state/pgstrata"),
        (
            "linux",
            {"HOME": "/home/me", "XDG_STATE_HOME": "state"},
            "/home/me/.local/state/pgstrata",
        ),
        ("darwin", {"HOME": "/Users/me"}, "/Users/me/Library/Application Support/pgstrata"),
        ("win32", {"LOCALAPPDATA": "/me/Local"}, "/me/Local/pgstrata"),
        ("win32", {"HOME": "/me"}, "/me/AppData/Local/pgstrata"),
        ("linux", {"HOME": "/home/me", "PGSTRATA_LOCAL_DIR": "/here"}, "/here"),
    ],
)
def test_root_of_each_platform(platform: str, environ: dict[str, str], expected: str) -> None:
    """State lies where the platform keeps it, and one variable moves it."""
    assert directory.state_root(environ, platform, root=False) == Path(expected)


def test_root_of_the_superuser() -> None:
    """Root's state lies outside of root's home, where PostgreSQL's account can enter."""
    environ = {"HOME": "/root", "XDG_STATE_HOME": "/root/state"}
    assert directory.state_root(environ, "linux", root=True) == Path("/var/lib/pgstrata")


@given(st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=60))
def test_name_is_plain_whatever_the_project_is_called(name: str) -> None:
    """No project's name needs quoting, is too long, or is empty."""
    place = state_directory(Path("/projects", name), {"PGSTRATA_LOCAL_DIR": "/state"})
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,40}-[0-9a-f]{12}", place.name)


def test_projects_are_told_apart(tmp_path: Path) -> None:
    """Projects of one name have two servers, and one project has one, however it is spelt."""
    environ = {"PGSTRATA_LOCAL_DIR": str(tmp_path)}
    first, second = tmp_path / "a" / "shop", tmp_path / "b" / "shop"
    assert state_directory(first, environ) != state_directory(second, environ)
    assert state_directory(first, environ) == state_directory(first / ".." / "shop", environ)


@posix
def test_directory_is_private(tmp_path: Path) -> None:
    """Others cannot look into what is made, and what was there keeps its mode."""
    tmp_path.chmod(0o750)
    place, account = tmp_path / "new" / "project", unprivileged_account()
    directory.make_private(place, account)
    directory.make_private(place, account)
    assert place.stat().st_mode & 0o777 == (0o711 if account else 0o700)
    assert place.parent.stat().st_mode & 0o777 == (0o755 if account else 0o700)
    assert tmp_path.stat().st_mode & 0o777 == 0o750


@pytest.mark.skipif(not is_root(), reason="only root can give a directory away")
def test_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    """Who owns the directory could read the password: it has to be ours."""
    account = unprivileged_account()
    assert account
    account.own(tmp_path)
    with pytest.raises(LocalServerError, match="belongs to another user"):
        directory.make_private(tmp_path, account)


def test_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """A file in the way is named, with the variable that chooses another place."""
    (tmp_path / "file").touch()
    with pytest.raises(LocalServerError, match="cannot be used") as caught:
        directory.make_private(tmp_path / "file" / "project", None)
    assert "PGSTRATA_LOCAL_DIR" in caught.value.hint


def test_lock_is_held_by_one(tmp_path: Path) -> None:
    """The second one waits for a bounded time, and gets it when the first is done."""
    with directory.locked(tmp_path):
        with (
            pytest.raises(LocalServerError, match="another process") as caught,
            directory.locked(tmp_path, seconds=0.05),
        ):
            pass
        assert str(tmp_path / "lock") in caught.value.hint
    with directory.locked(tmp_path, seconds=0):
        pass


def test_lock_where_there_is_no_directory(tmp_path: Path) -> None:
    """A state directory that went away is named."""
    with (
        pytest.raises(LocalServerError, match="cannot be used"),
        directory.locked(tmp_path / "gone"),
    ):
        pass


def test_lock_ends_with_its_holder(tmp_path: Path) -> None:
    """A process that is killed leaves no lock behind."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline().strip() == b"held"
        with pytest.raises(LocalServerError), directory.locked(tmp_path, seconds=0):
            pass
        holder.kill()
        holder.wait()
        with directory.locked(tmp_path, seconds=0):
            pass


def test_password_is_new_and_private(tmp_path: Path) -> None:
    """Each password is another one, in a file for its owner only; links are not followed."""
    victim = tmp_path / "victim"
    victim.touch()
    (tmp_path / "password").symlink_to(victim)
    first = directory.new_password(tmp_path)
    assert directory.read_password(tmp_path) == first
    assert directory.new_password(tmp_path) != first
    assert victim.read_text() == ""
    assert sys.platform == "win32" or (tmp_path / "password").stat().st_mode & 0o777 == 0o600


def test_missing_password(tmp_path: Path) -> None:
    """A password file that is gone is named."""
    with pytest.raises(SecretError, match=str(tmp_path / "password")):
        directory.read_password(tmp_path)
