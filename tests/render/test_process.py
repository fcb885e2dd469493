from __future__ import annotations

from pathlib import Path
from traceback import TracebackException

import pytest
from tests.layers.project import SERVER, loaded, write

from pgstrata import UsageError
from pgstrata.render.process import inherited, surroundings

PASSWORD = "PGSTRATA_CONNECTION_SETTINGS__PASSWORD"


def test_secrets_stay_closed_until_a_file_is_written(tmp_path: Path) -> None:
    """What is handed on shows none of them."""
    made = surroundings(loaded(write(tmp_path, SERVER), {PASSWORD: "hidden"}), "default")
    assert "hidden" not in repr(made)
    assert made.files["PGPASSFILE"].reveal() == "db:5432:*:app:hidden\n"


def test_an_error_holds_no_secret(tmp_path: Path) -> None:
    """Neither its message nor the locals of its traceback, which reporters of errors print."""
    config = loaded(write(tmp_path, SERVER), {PASSWORD: "hidden\nhidden"})
    with pytest.raises(UsageError, match="line break") as caught:
        surroundings(config, "default")
    shown = TracebackException.from_exception(caught.value, capture_locals=True)
    assert "hidden" not in "".join(line for line in shown.format() if "test_process" not in line)


def test_an_empty_password_is_none(tmp_path: Path) -> None:
    """As for libpq, which then looks for one itself."""
    made = surroundings(loaded(write(tmp_path, SERVER), {PASSWORD: ""}), "default")
    assert dict(made.files) == {}


def test_session_settings_are_left_to_the_pooler(tmp_path: Path) -> None:
    """It refuses libpq's options."""
    text = f"{SERVER}pooler: session\nsession_settings: {{statement_timeout: 5s}}\n"
    made = surroundings(loaded(write(tmp_path, text)), "default")
    assert "PGOPTIONS" not in made.variables
    assert made.left_out == ("statement_timeout: left to the pooler",)


def test_libpqs_variables_are_not_inherited() -> None:
    """Whatever else there is stays, unless it is to be pristine."""
    there = {
        "PGHOST": "x",
        "PGTZ": "x",
        "PGSERVICEFILE": "x",
        "PGDATA": "x",
        "A": "x",
        "LC_ALL": "x",
    }
    assert set(inherited(there, pristine=False)) == {"PGDATA", "A", "LC_ALL"}
    assert set(inherited(there, pristine=True)) == {"LC_ALL"}
