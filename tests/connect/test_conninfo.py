"""What libpq is given: texts that it would cut off or cannot take never reach it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.connect.conftest import TYPES, select, settings, write
from tests.secrets.sealed.team import PASSWORD, make_team
from tests.servers import Server

from pgstrata import PGConnectionManager, SecretError
from pgstrata.connect.connection import Connection
from pgstrata.connect.conninfo import Conninfo
from pgstrata.model import Secret

UNFIT = {"canary\0b": "holds a NUL character", "canary\udce9": "is not UTF-8 text"}


@pytest.mark.parametrize("text", UNFIT)
@pytest.mark.parametrize("source", [" (keyring x)", ""])
def test_what_libpq_cannot_take_is_refused(text: str, source: str) -> None:
    """Whatever it is and wherever it comes from, which the error says, and no frame shows it."""
    value = Secret(text, source="keyring x") if source else text
    made_with = Conninfo("test", {"password": value, "host": "db", "sslmode": "verify-full"})
    uses: list[Callable[[], object]] = [
        made_with.taken,
        made_with.resolve,
        lambda: Connection.connect(made_with=made_with),
    ]
    for use in uses:
        with pytest.raises(SecretError) as caught:
            use()
        assert str(caught.value).startswith(f"the password{source} {UNFIT[text]}")
        if source:
            told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
            frames = [line for line in told.format() if "test_conninfo.py" not in line]
            assert "canary" not in "".join(frames)


@pytest.mark.parametrize("kind", TYPES)
async def test_a_sealed_nul_never_leads_elsewhere(
    server: Server, tmp_path_factory: pytest.TempPathFactory, kind: str
) -> None:
    """To libpq's own host without TLS, as if both were not configured."""
    team = make_team(tmp_path_factory.mktemp("team"))
    team.seal(PASSWORD, "a\0b")
    write(team.path.parent / "base.yaml", {"connection_settings": settings(server, password=None)})
    write(team.path.parent / "production.yaml", {})
    async with PGConnectionManager(
        "production", project=team.project, environ=team.holder
    ) as manager:
        with pytest.raises(SecretError, match=r"sealed environments/production\.sealed\.yaml"):
            await select(manager.get_database_connection(connection_type=kind))


def test_bytes_that_are_no_text_are_an_error_of_the_variable(
    server: Server, tmp_path: Path
) -> None:
    """Not an internal one that carries the value."""
    folder = tmp_path / "environments"
    base = {**settings(server), "password": "${THEIRS}"}
    write(folder / "base.yaml", {"connection_settings": base})
    write(folder / "test.yaml", {})
    environ = {"THEIRS": b"canary\xe9".decode("utf-8", "surrogateescape")}
    manager = PGConnectionManager("test", project=tmp_path, environ=environ)
    with pytest.raises(SecretError, match="THEIRS") as caught, manager.normal():
        pass
    assert "canary" not in str(caught.value)
