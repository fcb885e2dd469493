from __future__ import annotations

import sys
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import pytest
from tests.secrets.sealed.team import PASSWORD, TOKEN, Team, make_team, text

from pgstrata.errors import SecretError, UsageError
from pgstrata.model import Secret
from pgstrata.secrets.sealed import attest, edit, parse, rotate
from pgstrata.secrets.sealed.document import Entry
from pgstrata.secrets.sealed.keys import new_identity

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """Make a file with a password, sealed to alice."""
    return make_team(tmp_path)


def names(team: Team, section: str = "entries") -> list[str]:
    """Return the settings in a section of the file."""
    return [entry.at for entry in getattr(parse.read(team.path, "production"), section)]


def test_a_value_is_added_replaced_and_removed(team: Team) -> None:
    """Each change is one revision, signed, with the day it was made."""
    assert team.seal(TOKEN, "one") == "entries"
    edit.set_entry(team.path, team.access(), TOKEN, Secret("two"), today=date(2031, 5, 17))
    assert team.open(TOKEN) == "two"
    document = parse.read(team.path, "production")
    assert document.entries[1].rotated == "2031-05-17"
    assert document.revision == 4
    edit.remove_entry(team.path, team.access(), TOKEN)
    assert names(team) == [PASSWORD]
    attest.verify(parse.read(team.path, "production"))


def test_one_more_value_changes_few_lines(team: Team) -> None:
    """Other entries stay as they are, so a diff shows what was done."""
    before = team.path.read_text().splitlines()
    team.seal(TOKEN, "one")
    after = team.path.read_text().splitlines()
    assert len(set(after) - set(before)) == 3  # at, box, attest; the day stood there already


def test_sealing_needs_no_key(team: Team) -> None:
    """Without the key a value becomes pending; a holder of the key accepts it."""
    assert team.seal(TOKEN, "from outside", team.nobody) == "pending"
    assert (names(team), names(team, "pending")) == ([PASSWORD], [TOKEN])
    attest.verify(parse.read(team.path, "production"))
    assert edit.accept(team.path, team.access()) == (TOKEN,)
    assert (names(team), names(team, "pending")) == ([PASSWORD, TOKEN], [])
    assert team.open(TOKEN) == "from outside"


def test_pending_values_are_accepted_or_rejected_by_name(team: Team) -> None:
    """Each on its own; unknown ones are an error."""
    for at in (PASSWORD, TOKEN, "connection_settings.x"):
        team.seal(at, "new", team.nobody)
    assert edit.accept(team.path, team.access(), [TOKEN]) == (TOKEN,)
    assert edit.reject(team.path, team.access(), [PASSWORD]) == (PASSWORD,)
    assert names(team, "pending") == ["connection_settings.x"]
    assert team.open() == "correct horse"
    with pytest.raises(SecretError, match=f"nothing pending for {PASSWORD}"):
        edit.accept(team.path, team.access(), [PASSWORD])


def test_a_pending_value_for_another_setting_is_refused(team: Team) -> None:
    """What an outsider moved to another setting does not open there, and nothing is changed."""
    team.seal(TOKEN, "for the token", team.nobody)
    document = parse.read(team.path, "production")
    (pending,) = document.pending
    moved = Entry(PASSWORD, pending.box, pending.rotated)
    edit.save(team.path, replace(document, pending=(moved,)))
    before = team.path.read_bytes()
    with pytest.raises(SecretError, match="does not open"):
        edit.accept(team.path, team.access())
    assert team.path.read_bytes() == before
    assert edit.reject(team.path, team.access()) == (PASSWORD,)


def test_a_holders_value_replaces_a_pending_one(team: Team) -> None:
    """An older pending value must not overwrite it when others are accepted."""
    team.seal(TOKEN, "old", team.nobody)
    team.seal(TOKEN, "new")
    assert names(team, "pending") == []


@pytest.mark.parametrize("step", ["remove", "accept", "recipient", "rotate"])
def test_all_other_changes_need_the_key(team: Team, step: str) -> None:
    """The error names the places where a key was looked for."""
    access, bob = team.access(team.nobody), new_identity("bob")
    steps: dict[str, Callable[[], object]] = {
        "remove": lambda: edit.remove_entry(team.path, access, PASSWORD),
        "accept": lambda: edit.accept(team.path, access),
        "recipient": lambda: edit.add_recipient(team.path, access, "bob", bob.public),
        "rotate": lambda: rotate.rotate_key(team.path, access),
    }
    with pytest.raises(SecretError, match="no key for environments/production"):
        steps[step]()


def test_a_recipient_is_added_once(team: Team) -> None:
    """Bob reads at once; a second entry under his name or key is refused."""
    bob = new_identity("bob")
    edit.add_recipient(team.path, team.access(), "bob", bob.public)
    assert team.open(environ={**team.nobody, "PGSTRATA_IDENTITY": text(bob)}) == "correct horse"
    for name, box in (("bob", new_identity("x").public), ("robert", bob.public)):
        with pytest.raises(UsageError, match="recipient already"):
            edit.add_recipient(team.path, team.access(), name, box)
    for name, box in (("a b", new_identity("x").public), ("carol", "x25519:short")):
        with pytest.raises(UsageError, match="a recipient has"):
            edit.add_recipient(team.path, team.access(), name, box)


def test_an_existing_file_is_not_made_again(team: Team) -> None:
    """A second keygen would throw the values away."""
    with pytest.raises(UsageError, match="exists"):
        edit.create(team.path, "production", [])


def test_what_is_not_there_cannot_be_removed(team: Team) -> None:
    """A misspelt setting or member is an error."""
    with pytest.raises(SecretError, match=r"holds nothing for no\.such"):
        edit.remove_entry(team.path, team.access(), "no.such")
    with pytest.raises(SecretError, match="bob is no recipient") as caught:
        rotate.remove_recipient(team.path, team.access(), "bob")
    assert "alice" in caught.value.hint


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_a_change_keeps_the_files_mode(team: Team) -> None:
    """A file that was closed to others stays closed."""
    team.path.chmod(0o640)
    team.seal(TOKEN, "x")
    assert team.path.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in team.path.parent.iterdir()] == [team.path.name]
