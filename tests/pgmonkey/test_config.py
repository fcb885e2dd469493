from __future__ import annotations

from pathlib import Path

import pytest

from pgstrata.errors import InvalidConfigError
from pgstrata.pgmonkey import EnvInterpolationError, load_config, redact_config

FILE = """\
connection_type: pool
connection_settings:
  host: ${MONKEY_HOST:-db}
  port: '5432'
  password: {from_env: MONKEY_PW}
  sslcert: ''
session_settings:
  app.tenant: x
pool_settings:
  max_size: 4
"""


def test_a_file_as_a_dictionary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the file says, and nothing more; references are followed when asked."""
    path = tmp_path / "config.yaml"
    path.write_text(FILE)
    monkeypatch.setenv("MONKEY_PW", "secret-word")
    found = load_config(path, resolve_env=True)
    assert found == {
        "connection_type": "pool",
        "connection_settings": {
            "host": "db",
            "port": 5432,
            "password": "secret-word",
            "sslcert": "",
        },
        "session_settings": {"app.tenant": "x"},
        "pool_settings": {"max_size": 4},
    }
    assert redact_config(found)["connection_settings"]["password"] == "***REDACTED***"


@pytest.mark.parametrize("text", ["{from_env: MONKEY_UNSET}", "'${MONKEY_UNSET}'"])
@pytest.mark.parametrize("key", ["password", "host"])
def test_a_reference_that_leads_nowhere(tmp_path: Path, text: str, key: str) -> None:
    """Is pgmonkey's error, for secrets and all else."""
    path = tmp_path / "config.yaml"
    path.write_text(f"connection_settings:\n  {key}: {text}\n")
    with pytest.raises(EnvInterpolationError, match="MONKEY_UNSET"):
        load_config(path, resolve_env=True)


def test_a_fallback_for_a_secret(tmp_path: Path) -> None:
    """Is taken only when that is asked for."""
    path = tmp_path / "config.yaml"
    path.write_text("connection_settings: {password: '${MONKEY_UNSET:-x}'}\n")
    with pytest.raises(EnvInterpolationError, match="fallback"):
        load_config(path, True)
    assert load_config(path, True, True)["connection_settings"]["password"] == "x"


def test_what_else_is_wrong_is_said_as_ever(tmp_path: Path) -> None:
    """With its place."""
    path = tmp_path / "config.yaml"
    path.write_text("connection_settings: {hots: x}\n")
    with pytest.raises(InvalidConfigError, match="hots"):
        load_config(path)


def test_the_old_wrapper(tmp_path: Path) -> None:
    """Is taken off, with the warning that pgmonkey gives."""
    path = tmp_path / "config.yaml"
    path.write_text("postgresql:\n  connection_settings: {host: h}\n")
    with pytest.warns(DeprecationWarning, match="postgresql"):
        assert load_config(path)["connection_settings"]["host"] == "h"
