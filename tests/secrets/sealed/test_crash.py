"""Killed at any point of a change, the sealed file is the old or the new one, whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import pgstrata

CHANGES = """
import os, signal, sys
from pathlib import Path
from pgstrata.model import Secret
from pgstrata.secrets.sealed import edit, keyfile, lookup, open_entry, rotate
from tests.secrets.sealed.team import PASSWORD, TOKEN, make_team

team = make_team(Path(sys.argv[2]))
team.seal(TOKEN, "old")
environ, own = team.nobody, lookup.key_path(team.access())
keyfile.save(own, Secret(team.holder["PGSTRATA_KEY_PRODUCTION"]))
raw, key = team.path.read_bytes(), own.read_bytes()
access = team.access(environ)

CHANGES = {
    "set": lambda: edit.set_entry(team.path, access, TOKEN, Secret("new")),
    "edit": lambda: edit.set_entries(team.path, access, {PASSWORD: Secret("new")}, remove=[TOKEN]),
    "remove": lambda: edit.remove_entry(team.path, access, TOKEN),
    "rotate-key": lambda: rotate.rotate_key(
        team.path, access, keep=lambda text: keyfile.save(own, text)
    ),
    "recipient-remove": lambda: rotate.remove_recipient(
        team.path, access, "alice", keep=lambda text: keyfile.save(own, text)
    ),
}

WRITERS = {"edit.py", "rotate.py", "files.py", "keyfile.py"}  # the others only compute

def kill_at(line):
    '''Die, as by a power cut, at the n-th line that runs in what writes files.'''
    left = [line]
    def trace(frame, event, _):
        if Path(frame.f_code.co_filename).name not in WRITERS:
            return None
        if event == "line":
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace
    sys.settrace(trace)

def run(change, line):
    team.path.write_bytes(raw)
    own.write_bytes(key)
    child = os.fork()
    if child == 0:
        kill_at(line)
        change()
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0

def check():
    '''The file opens with the key that is kept, and the next change goes through.'''
    assert open_entry(team.path, "production", PASSWORD, project=team.project, environ=environ)
    edit.set_entry(team.path, access, TOKEN, Secret("next"))
    assert open_entry(
        team.path, "production", TOKEN, project=team.project, environ=environ
    ) == "next"
    left = [path.name for path in team.path.parent.iterdir()]
    assert left == [team.path.name], left

change, line, seen = CHANGES[sys.argv[1]], 0, set()
done = False
while not done:
    line += 1
    done = run(change, line)
    seen.add(team.path.read_bytes() == raw)
    check()
print(line, seen == {True, False})
"""

SLOWER = ("edit", "remove", "rotate-key", "recipient-remove")  # the same way, and seconds each


@pytest.mark.skipif(sys.platform == "win32", reason="the test forks and kills its child")
@pytest.mark.parametrize(
    "change",
    ["set", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOWER)],
)
def test_a_killed_change_leaves_a_whole_file(tmp_path: Path, change: str) -> None:
    """Whatever line it dies at: the file verifies, opens with the kept key and can be changed."""
    root = Path(__file__).parents[3]
    result = subprocess.run(
        [sys.executable, "-c", CHANGES, change, str(tmp_path)],
        env={"PYTHONPATH": f"{Path(pgstrata.__file__).parents[1]}:{root}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    lines, both = result.stdout.split()
    assert int(lines) > 50
    assert both == "True"
