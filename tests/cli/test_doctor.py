from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from tests.cli.conftest import Cli

from pgstrata import __version__


def _rows(out: str) -> dict[str, list[str]]:
    return {line[:15].strip(): line[15:].split() for line in out.splitlines()}


def test_all_that_is_there_is_shown(cli: Cli, write: Callable[..., None], project: Path) -> None:
    """Versions of what is installed, libpq, the embedded server, and the files of the project."""
    write(base="", development="", production="")
    done = cli("doctor", "--format", "json")
    assert done.code == 0
    checks = {check["subject"]: check for check in done.json["checks"]}
    assert checks["pgstrata"]["detail"] == __version__
    version = psycopg.pq.version()
    assert checks["libpq"]["detail"].startswith(f"{version // 10000}.{version % 10000} (")
    for library in ("psycopg", "psycopg-pool", "dynaconf", "PyYAML", "keyring", "cryptography"):
        assert checks[library]["status"] == "ok"
    assert checks["embedded server"]["detail"].startswith("PostgreSQL ")
    assert checks["project"] == {"subject": "project", "status": "ok", "detail": str(project)}
    assert checks["project/production"]["detail"] == "base.yaml + production.yaml"


def test_text(cli: Cli, write: Callable[..., None]) -> None:
    """One line each, with the environments below the project."""
    write(base="", development="")
    done = cli("doctor")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].split() == ["pgstrata", "ok", __version__]
    assert lines[-1].split() == ["development", "ok", "base.yaml", "+", "development.yaml"]
    assert lines[-1].startswith("  development ")


def test_to_stand_outside_of_a_project_is_no_fault(cli: Cli) -> None:
    """The installation is in order all the same."""
    done = cli("doctor", "--format", "json")
    assert done.code == 0
    row = done.json["checks"][-1]
    assert (row["subject"], row["status"]) == ("project", "none")
    assert "pgstrata init" in row["detail"]


def test_variables_are_named_without_their_values(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password in one of them stays where it is."""
    monkeypatch.setenv("PGPASSWORD", "s3cret")
    monkeypatch.setenv("PGSTRATA_ENV", "staging")
    out = cli("doctor").out
    assert "PGPASSWORD, PGSTRATA_ENV" in out
    assert "s3cret" not in out
