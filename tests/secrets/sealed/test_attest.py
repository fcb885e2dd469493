from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.secrets.sealed.team import Team, make_team

from pgstrata.secrets.sealed import attest, parse, rotate
from pgstrata.secrets.sealed.keys import new_environment_key

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """Make a file with a password, sealed to alice."""
    return make_team(tmp_path)


def test_a_certificate_counts_for_its_own_key_only(team: Team) -> None:
    """A chain with a forged, a missing or an exchanged link leads nowhere."""
    first = team.key.public.id
    for _ in range(2):
        rotate.rotate_key(team.path, team.access(team.member))
    document = parse.read(team.path, "production")
    one, two = document.rotated_from
    assert attest.follows(document, first)
    assert attest.follows(document, document.key.id)
    forged = attest.certify(new_environment_key("production"), two.key)
    for chain in (
        (two,),
        (one,),
        (two, one),
        (replace(one, proof=two.proof), two),
        (replace(one, proof=forged.proof), two),
        (replace(forged, key=replace(forged.key, id=first)), two),
    ):
        assert not attest.follows(replace(document, rotated_from=chain), first)


def test_a_certificate_is_for_one_environment(team: Team) -> None:
    """The same keys under another name are not connected."""
    rotate.rotate_key(team.path, team.access())
    document = replace(parse.read(team.path, "production"), environment="staging")
    assert not attest.follows(document, team.key.public.id)
