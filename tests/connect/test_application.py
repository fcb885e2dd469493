"""The name that the server shows for a program that gives none."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.connect.conftest import Make, select, settings
from tests.servers import Server

from pgstrata.connect.application import LONGEST, Application, fingerprint, parsed, program

SHOW = "SELECT current_setting('application_name')"


@pytest.mark.parametrize("kind", ["normal", "pool", "async", "async_pool"])
async def test_the_server_sees_program_environment_and_fingerprint(
    make: Make, server: Server, kind: str
) -> None:
    """All types of a connection have one name, by its effective settings."""
    manager = make(settings(server))
    handle = manager.get_database_connection(connection_type=kind)
    name = parsed(await select(handle, SHOW))
    target = manager.config.connection("default")
    assert name == (program(sys.argv), "test", fingerprint(target))
    await manager.clear_cache_async()


@pytest.mark.parametrize(
    ("over", "sections"),
    [
        ({"application_name": "mine"}, {}),
        ({"fallback_application_name": "mine"}, {}),
        ({"options": "-c application_name=mine"}, {}),
        ({}, {"session_settings": {"application_name": "mine"}}),
        ({}, {"session_settings": {"application_name": "mine"}, "pooler": "session"}),
    ],
)
async def test_a_given_name_stays(
    make: Make, server: Server, over: dict[str, Any], sections: dict[str, Any]
) -> None:
    """Wherever somebody gives a name, it is the one that the server shows."""
    manager = make(settings(server, **over), **sections)
    assert await select(manager.normal(), SHOW) == "mine"


def test_the_variable_of_libpq_stays(make: Make, server: Server) -> None:
    """``PGAPPNAME`` gives a name too."""
    manager = make(settings(server))
    script = (
        "from pgstrata import PGConnectionManager; import sys\n"
        "with PGConnectionManager('test', project=sys.argv[1]).normal() as connection:\n"
        f"    print(connection.execute({SHOW!r}).fetchone()[0])"
    )
    environ = {**os.environ, "PGAPPNAME": "by variable", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script, manager.config.project],
        env=environ,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "by variable"


def test_the_fingerprint_follows_the_settings_and_no_secret(make: Make, server: Server) -> None:
    """Another size of a pool is another fingerprint; another password is not."""

    def printed(over: dict[str, Any], **sections: Any) -> str:
        manager = make(settings(server, **over), **sections)
        return fingerprint(manager.config.connection("default"))

    first = printed({})
    assert printed({}) == first
    assert printed({"password": "another"}) == first
    assert printed({}, pool_settings={"max_size": 7}) != first
    assert printed({"connect_timeout": 7}) != first


@given(st.text(max_size=80), st.from_regex(r"[^@#]{0,30}", fullmatch=True))
def test_names_fit_and_can_be_read_again(name: str, environment: str) -> None:
    """Whatever a program is called, the server keeps the end of the name, which tells most."""
    given_ = Application(name, environment, "0123abcd")
    shown = str(given_)
    assert shown.isascii()
    assert len(shown) <= LONGEST
    if shown.isprintable():
        again = parsed(shown)
        assert again is not None
        assert again.fingerprint == "0123abcd"
        assert len(again.environment) == len(environment)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["/srv/app/worker.py", "x"], "worker"),
        (["/srv/app/jobs/__main__.py"], "jobs"),
        (["-c"], "python"),
        ([""], "python"),
        ([], "python"),
        (["bin/gunicorn"], "gunicorn"),
    ],
)
def test_the_name_of_the_program(arguments: list[str], expected: str) -> None:
    """It is the script, the package, or Python itself."""
    assert program(arguments) == expected


@pytest.mark.parametrize("name", ["", "psql", "a@b", "a@b#xyz", "a@b#0123abcd0"])
def test_other_names_are_not_read(name: str) -> None:
    """Names of other programs have no parts."""
    assert parsed(name) is None
