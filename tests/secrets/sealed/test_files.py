from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.secrets.sealed.team import make_team

import pgstrata
from pgstrata.errors import SecretError
from pgstrata.secrets.sealed import files, parse

SOURCE = str(Path(pgstrata.__file__).parents[1])


def test_changes_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    """Eight threads add a value each: none overwrites another's."""
    team = make_team(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: team.seal(f"connection_settings.k{number}", "x"), range(8)))
    assert len(parse.read(team.path, "production").entries) == 9


def test_a_lock_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    """Another process holds it: an error says so; the process is killed: the lock is free."""
    path = tmp_path / "x.yaml"
    code = (
        "import sys; from pathlib import Path; from pgstrata.secrets.sealed import files\n"
        f"with files.lock(Path({str(path)!r})): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": SOURCE},
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"held"
        with (
            pytest.raises(SecretError, match=r"more than 0\.1 seconds"),
            files.lock(path, wait=0.1),
        ):
            pass
        holder.kill()
        holder.wait()
        with files.lock(path, wait=0.1):
            pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_no_obstacle(tmp_path: Path) -> None:
    """An old temporary file, even a link to elsewhere, is removed and not written through."""
    target, victim = tmp_path / "x.yaml", tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / ".x.yaml.tmp").symlink_to(victim)
    files.write(target, b"new")
    assert (target.read_bytes(), victim.read_text()) == (b"new", "mine")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """The file that it names is replaced."""
    target, link = tmp_path / "x.yaml", tmp_path / "link.yaml"
    target.write_text("old")
    link.symlink_to(target)
    files.write(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """And says why: here a folder is in the way."""
    target = tmp_path / "x.yaml"
    (target / "inside").mkdir(parents=True)
    with pytest.raises(SecretError, match="cannot be written"):
        files.write(target, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["x.yaml"]


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """The lock cannot be made there."""
    tmp_path.chmod(0o500)
    with pytest.raises(SecretError, match="cannot be made"), files.lock(tmp_path / "x.yaml"):
        pass
