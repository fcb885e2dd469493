from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from tests.secrets.sealed.team import Team, make_team

from pgstrata.errors import SecretError
from pgstrata.secrets.sealed import parse, pins, rotate

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """Make a file with a password, sealed to alice."""
    return make_team(tmp_path)


def test_a_pin_follows_any_number_of_rotations(team: Team) -> None:
    """A member back from a long leave trusts the newest key through the chain of certificates."""
    assert team.open(environ=team.member) == "correct horse"
    pinned = pins.find(team.access(team.member))
    away = {**team.member, "HOME": str(team.project / "elsewhere")}
    for _ in range(3):
        rotate.rotate_key(team.path, team.access(away))
    assert team.open(environ=team.member) == "correct horse"
    after = pins.find(team.access(team.member))
    assert pinned is not None
    assert after is not None
    assert pinned.id != after.id == parse.read(team.path, "production").key.id


def test_a_pin_that_cannot_be_kept_is_an_error(team: Team) -> None:
    """Trusting a new key at every use would be trusting anyone."""
    (team.project / "home").write_text("a file where a folder belongs")
    with pytest.raises(SecretError, match=r"cannot be (remembered|read)") as caught:
        team.open(environ=team.member)
    assert "PGSTRATA_KEY_ID_PRODUCTION" in caught.value.hint
    told = {**team.member, "PGSTRATA_KEY_ID_PRODUCTION": team.key.public.id}
    assert team.open(environ=told) == "correct horse"
    assert team.open(environ=team.holder) == "correct horse"


def test_a_first_key_is_remembered_once(team: Team) -> None:
    """Many processes at once leave one whole pin."""
    document, access = parse.read(team.path, "production"), team.access()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: pins.remember(document, access, revision=1), range(16)))
    assert pins.find(access) == (team.key.public.id, 1, str(pins.path(access)))
    assert [path.name for path in pins.path(access).parent.iterdir()] == ["production.pin"]


def test_holders_of_the_key_need_no_pin(team: Team) -> None:
    """The key is a pin by itself, so nothing is written: a home may be read-only."""
    assert team.open() == "correct horse"
    assert not pins.path(team.access()).exists()
    assert team.open(environ=team.member) == "correct horse"
    assert pins.path(team.access()).exists()


@pytest.mark.parametrize("content", ["", "nonsense", "A" * 26 + "@x", "A" * 27])
def test_a_malformed_pin_is_an_error(team: Team, content: str) -> None:
    """A damaged pin is not the same as none."""
    path = pins.path(team.access())
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(SecretError, match="is not the id of a key"):
        team.open(environ=team.member)
