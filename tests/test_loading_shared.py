"""Loading what the shared files say, whatever machine this is."""

from __future__ import annotations

from pathlib import Path

from tests.layers.project import ENVIRON, SERVER, write

from pgstrata import Config, ConfigError, InvalidConfigError
from pgstrata.layers.folder import on_disk
from pgstrata.loading import load_shared


def shared(project: Path, **environ: str) -> Config | ConfigError:
    """Load production on a machine with these variables."""
    folder = on_disk(project)
    return load_shared(["production"], folder, environ={**ENVIRON, **environ})["production"]


def test_the_machine_does_not_count(tmp_path: Path) -> None:
    """Neither its local file, nor its variables, nor what libpq would fill in."""
    write(tmp_path, SERVER, production_local="connection_settings: {host: localhost}")
    variables = {"PGSTRATA_CONNECTION_SETTINGS__HOST": "other", "PGSSLMODE": "disable"}
    config = shared(tmp_path, **variables, PGPASSWORD="secret")
    assert isinstance(config, Config)
    assert config["connection_settings.host"] == "db"
    assert "connection_settings.sslmode" not in config
    assert "connection_settings.password" not in config


def test_references_are_followed(tmp_path: Path) -> None:
    """A variable that a file names does count."""
    write(tmp_path, SERVER + "  \npool_settings: {name: '${NAME}'}")
    config = shared(tmp_path, NAME="here")
    assert isinstance(config, Config)
    assert config["pool_settings.name"] == "here"


def test_a_reference_that_leads_nowhere_is_a_warning(tmp_path: Path) -> None:
    """Its key has no value, and nothing that may follow from it is an error."""
    write(tmp_path, "connection_settings: {url: {from_env: DATABASE_URL}, port: '${PORT}'}")
    config = shared(tmp_path)
    assert isinstance(config, Config)
    assert [(f.rule, f.severity) for f in config.findings] == [("interpolation", "warning")] * 2


def test_local_may_be_a_reference(tmp_path: Path) -> None:
    """A section of one value may lead nowhere too."""
    config = shared(write(tmp_path, SERVER + "local: '${LOCAL}'\nprotected: '${PROTECTED}'"))
    assert isinstance(config, Config)
    assert "local" not in config


def test_what_is_wrong_anywhere_is_an_error(tmp_path: Path) -> None:
    """A value that no machine can read, and a setting that none has, are errors still."""
    write(tmp_path, "connection_settings: {host: db, port: 54x2, dbname: app}")
    config = shared(tmp_path)
    assert isinstance(config, InvalidConfigError)
    assert {finding.rule for finding in config.findings} == {"invalid-value", "missing-setting"}
