from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.secrets.sealed.team import PASSWORD, TOKEN, Team, make_team

from pgstrata.errors import SecretError
from pgstrata.secrets.sealed import edit, keyfile, lookup, parse, rotate

if TYPE_CHECKING:
    from pathlib import Path

    from pgstrata.model import Secret


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """Make a file with a password, sealed to alice."""
    return make_team(tmp_path)


def test_a_rotation_seals_everything_again(team: Team) -> None:
    """Values, pending ones and recipients move to the new key; the old one opens nothing."""
    team.seal(TOKEN, "pending", team.nobody)
    before = parse.read(team.path, "production")
    rotated = rotate.rotate_key(team.path, team.access())
    after = parse.read(team.path, "production")
    assert rotated.exposed == (PASSWORD,)
    assert before.key != after.key == rotated.key.public
    assert {entry.box for entry in (*before.entries, *before.pending)}.isdisjoint(
        entry.box for entry in (*after.entries, *after.pending)
    )
    edit.accept(team.path, team.access(team.member))
    assert team.open(TOKEN, team.member) == "pending"


def test_a_rotation_keeps_both_keys_until_it_is_done(team: Team) -> None:
    """The place of the environment's key holds both, then the new one."""
    path = lookup.key_path(team.access())
    seen: list[int] = []

    def keep(key: Secret) -> None:
        seen.append(len(lookup.split(key)))
        keyfile.save(path, key)
        assert team.open(environ=team.nobody) == "correct horse"

    rotate.rotate_key(team.path, team.access(), keep=keep)
    assert seen == [2, 1]


def test_a_pending_value_that_does_not_open_stops_a_rotation(team: Team) -> None:
    """It could not be sealed again; rejecting it clears the way."""
    team.seal(TOKEN, "for the token", team.nobody)
    document = parse.read(team.path, "production")
    moved = replace(document.pending[0], at=PASSWORD)
    edit.save(team.path, replace(document, pending=(moved,)))
    with pytest.raises(SecretError, match="does not open"):
        rotate.rotate_key(team.path, team.access())
    edit.reject(team.path, team.access(), [PASSWORD])
    rotate.rotate_key(team.path, team.access())
    assert team.open(environ=team.member) == "correct horse"
