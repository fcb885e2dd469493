from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.connect.test_lifecycle import forking, forks, in_child
from tests.secrets.sealed.team import PASSWORD, TOKEN, Team, make_team, text

import pgstrata
from pgstrata.errors import SecretError
from pgstrata.secrets.sealed import opened
from pgstrata.secrets.sealed.keys import new_environment_key


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """Make a file with a password, sealed to alice; nothing opened before."""
    opened._opened.cache_clear()
    return make_team(tmp_path)


def test_many_connections_verify_a_file_once(team: Team) -> None:
    """Four threads open a value: the file is read and verified by one of them."""
    with ThreadPoolExecutor(4) as threads:
        values = list(threads.map(lambda _: team.open(), range(4)))
    assert values == ["correct horse"] * 4
    assert opened._opened.cache_info().misses == 1


@forks
@forking
def test_a_fork_while_a_file_is_verified(team: Team) -> None:
    """A child opens the file itself: the thread that was at it in the parent is not there."""

    def child() -> bool:
        signal.alarm(20)  # which ends a child that waits for the lock
        return team.open() == "correct horse"

    with ThreadPoolExecutor(1) as threads:
        threads.submit(opened._opening.acquire).result()
        code = in_child(child)
        opened._opening.release()
    assert code == 0


def test_a_changed_file_is_read_again(team: Team) -> None:
    """A rotated password reaches the next connection."""
    assert team.open() == "correct horse"
    team.seal(PASSWORD, "battery staple")
    assert team.open() == "battery staple"


def test_what_one_process_opened_is_not_there_for_a_wrong_key(team: Team) -> None:
    """The kept file is that of the same key, project and variables."""
    assert team.open() == "correct horse"
    wrong = {**team.nobody, "PGSTRATA_KEY_PRODUCTION": text(new_environment_key("production"))}
    with pytest.raises(SecretError, match="does not open"):
        team.open(environ=wrong)
    with pytest.raises(SecretError, match="no key"):
        team.open(environ=team.nobody)


def test_a_failure_is_not_kept(team: Team) -> None:
    """Once the file is whole again, it opens."""
    raw = team.path.read_bytes()
    team.path.write_bytes(raw.replace(b"revision: 2", b"revision: 3"))
    with pytest.raises(SecretError, match="does not verify"):
        team.open()
    team.path.write_bytes(raw)
    assert team.open() == "correct horse"


def test_a_missing_entry_says_how_to_add_it(team: Team) -> None:
    """Pending values do not count."""
    team.seal(TOKEN, "later", team.nobody)
    with pytest.raises(SecretError, match=f"holds no value for {TOKEN}") as caught:
        team.open(TOKEN)
    assert f"secret set {TOKEN} -e production" in caught.value.hint


def test_a_file_that_disappears_is_an_error(team: Team) -> None:
    """Also after it was opened."""
    assert team.open() == "correct horse"
    team.path.unlink()
    with pytest.raises(SecretError, match="cannot be read"):
        team.open()


def test_names_are_listed_without_any_slow_library(team: Team) -> None:
    """Listing what is sealed imports neither cryptography nor keyring."""
    code = (
        "import sys; from pathlib import Path\n"
        "from pgstrata.secrets import keyring, redact, sealed\n"
        f"print(sealed.entries(Path({str(team.path)!r}), 'production'))\n"
        "slow = [name for name in ('cryptography', 'keyring', 'dynaconf', 'psycopg') "
        "if name in sys.modules]\n"
        "assert not slow, slow"
    )
    source = str(Path(pgstrata.__file__).parents[1])
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert PASSWORD in result.stdout
