"""Merging with real git: two branches of a repository, and the merge driver in its settings."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.secrets.sealed.team import PASSWORD, TOKEN, Team, make_team

import pgstrata
from pgstrata.model import Secret
from pgstrata.secrets.sealed import attest, edit, parse, rotate, seal
from pgstrata.secrets.sealed.document import render
from pgstrata.secrets.sealed.keys import new_identity

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

DRIVER = """
import os, sys
from pathlib import Path
from pgstrata.errors import PgstrataError
from pgstrata.secrets.sealed import merge
from pgstrata.secrets.sealed.access import Access

base, ours, theirs = map(Path, sys.argv[1:4])
access = Access("production", project=Path.cwd(), environ=os.environ)
try:
    merge.merge_files(base, ours, theirs, access)
except PgstrataError as error:
    sys.exit(f"{error}\\nhint: {error.hint}")
"""

Step = Callable[[Team], object]


def git(
    team: Team, *arguments: str, environ: dict[str, str] | None = None, check: bool = True
) -> str:
    """Run git in the project, without the configuration of whoever runs the tests."""
    given = {
        **(environ or team.nobody),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
    }
    result = subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments],
        cwd=team.project,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(pgstrata.__file__).parents[1]),
            **given,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or result.returncode == 0, result.stderr
    return result.stdout + result.stderr


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """Make a repository with the sealed file and the merge driver."""
    team = make_team(tmp_path)
    script = team.project / "driver.py"
    script.write_text(DRIVER)
    git(team, "init", "--quiet", "--initial-branch=main")
    git(team, "config", "merge.sealed.driver", f'"{sys.executable}" "{script}" %O %A %B')
    (team.project / ".gitattributes").write_text("*.sealed.yaml merge=sealed\n")
    git(team, "add", "environments", ".gitattributes")
    git(team, "commit", "--quiet", "-m", "start")
    return team


def merge_branches(team: Team, ours: Step, theirs: Step, environ: dict[str, str]) -> str:
    """Make one commit on each of two branches and merge; return what git said."""
    git(team, "switch", "--quiet", "-c", "theirs")
    theirs(team)
    git(team, "commit", "--quiet", "-am", "theirs")
    git(team, "switch", "--quiet", "main")
    ours(team)
    git(team, "commit", "--quiet", "-am", "ours")
    return git(team, "merge", "--no-edit", "theirs", environ=environ, check=False)


def sealing(at: str, value: str, *, with_key: bool = True) -> Step:
    """Return a step that sets a value."""
    return lambda team: team.seal(at, value, None if with_key else team.nobody)


def names(team: Team, section: str = "entries") -> list[str]:
    """Return the settings in a section of the file, which must verify."""
    document = parse.read(team.path, "production")
    attest.verify(document)
    return [entry.at for entry in getattr(document, section)]


A, B = "connection_settings.a", "connection_settings.b"


def test_without_the_driver_git_stops(team: Team) -> None:
    """The signature's line differs on both sides: this is why there is a driver."""
    (team.project / ".gitattributes").write_text("")
    git(team, "commit", "--quiet", "-am", "no driver")
    assert "CONFLICT" in merge_branches(team, sealing(A, "1"), sealing(B, "2"), team.holder)


@pytest.mark.parametrize("who", ["holder", "member"])
def test_different_entries_merge(team: Team, who: str) -> None:
    """With the key, both values are there, signed, and open."""
    environ = team.holder if who == "holder" else team.member
    said = merge_branches(team, sealing(A, "1"), sealing(B, "2"), environ)
    assert "CONFLICT" not in said
    assert names(team) == [A, B, PASSWORD]
    assert (team.open(A), team.open(B), team.open()) == ("1", "2", "correct horse")


def test_without_the_key_the_other_side_becomes_pending(team: Team) -> None:
    """Our file stays good, and a holder accepts the rest."""
    said = merge_branches(team, sealing(A, "1"), sealing(B, "2"), team.nobody)
    assert "CONFLICT" not in said
    assert (names(team), names(team, "pending")) == ([A, PASSWORD], [B])
    assert edit.accept(team.path, team.access()) == (B,)
    assert team.open(B) == "2"


def test_pending_values_of_both_sides_merge(team: Team) -> None:
    """Two people without the key add a value each: nobody needs the key to merge."""
    ours, theirs = sealing(A, "1", with_key=False), sealing(B, "2", with_key=False)
    assert "CONFLICT" not in merge_branches(team, ours, theirs, team.nobody)
    assert names(team, "pending") == [A, B]


def test_an_addition_and_a_removal_merge(team: Team) -> None:
    """One side removes an entry, the other adds one and a recipient."""
    bob = new_identity("bob")

    def add(team: Team) -> None:
        team.seal(TOKEN, "x")
        edit.add_recipient(team.path, team.access(), "bob", bob.public)

    def remove(team: Team) -> None:
        edit.remove_entry(team.path, team.access(), PASSWORD)

    assert "CONFLICT" not in merge_branches(team, add, remove, team.holder)
    assert names(team) == [TOKEN]
    assert len(parse.read(team.path, "production").recipients) == 2


def test_a_rotation_merges_with_a_branch_that_changed_nothing_else(team: Team) -> None:
    """Ours has accepted nothing and sealed nothing: the rotated file is taken."""
    git(team, "switch", "--quiet", "-c", "theirs")
    rotate.rotate_key(team.path, team.access())
    git(team, "commit", "--quiet", "-am", "theirs")
    git(team, "switch", "--quiet", "main")
    git(team, "commit", "--quiet", "--allow-empty", "-m", "ours")
    git(team, "merge", "--no-edit", "theirs", environ=team.nobody)
    assert team.open(environ=team.member) == "correct horse"


def remove_password(team: Team) -> None:
    """Remove the entry that all branches start with."""
    edit.remove_entry(team.path, team.access(), PASSWORD)


def rotate_it(team: Team) -> None:
    """Give the file a new key."""
    rotate.rotate_key(team.path, team.access())


@pytest.mark.parametrize(
    ("ours", "theirs", "with_key", "reason"),
    [
        (sealing(A, "1"), sealing(A, "2"), True, f"both branches changed {A}"),
        (sealing(A, "1"), rotate_it, True, "one branch rotated the key"),
        (sealing(A, "1", with_key=False), rotate_it, True, "sealed to the earlier one"),
        (sealing(A, "1"), remove_password, False, "the other branch removed an entry"),
    ],
)
def test_where_a_person_must_choose_ours_is_left_alone(
    team: Team,
    ours: Step,
    theirs: Step,
    with_key: bool,  # noqa: FBT001  # a case of the table
    reason: str,
) -> None:
    """Git reports the conflict, and the driver says what it is about."""
    said = merge_branches(team, ours, theirs, team.holder if with_key else team.nobody)
    assert "CONFLICT" in said
    assert reason in said
    names(team)


def test_a_tampered_branch_is_never_signed(team: Team) -> None:
    """A merge by a holder of the key must not vouch for what nobody signed."""

    def tamper(team: Team) -> None:
        other = seal.seal_value(team.key.public, "production", PASSWORD, Secret("mallory's"))
        document = parse.read(team.path, "production")
        (entry,) = document.entries
        changed = replace(document, entries=(replace(entry, box=other),))
        team.path.write_bytes(render(changed))

    said = merge_branches(team, sealing(A, "1"), tamper, team.holder)
    assert "CONFLICT" in said
    assert "does not verify" in said
    assert team.open() == "correct horse"
