from __future__ import annotations

import subprocess
import sys

import pytest

import pgstrata

NAMES = [
    "AsyncHandle",
    "AsyncPoolHandle",
    "Config",
    "ConfigError",
    "ConnectionFailedError",
    "DeadlineError",
    "EnvInterpolationError",
    "EnvironmentNotFoundError",
    "Finding",
    "InvalidConfigError",
    "LibpqMissingError",
    "LocalServerError",
    "NormalHandle",
    "Origin",
    "PGConnectionManager",
    "PgstrataError",
    "PoolHandle",
    "PoolTimeoutError",
    "ProjectNotFoundError",
    "Secret",
    "SecretError",
    "Setting",
    "ShutDownError",
    "UnknownKeyError",
    "UsageError",
    "__version__",
    "load",
    "load_config",
    "load_file",
    "load_many",
    "load_mapping",
    "redact_config",
]

SLOW = ("psycopg", "psycopg_pool", "dynaconf", "yaml", "click", "keyring", "cryptography")
LOADED = f"import sys, pgstrata; print([name for name in {SLOW} if name in sys.modules])"


def test_all() -> None:
    """``__all__`` names the whole public API, and each name is imported when it is used."""
    assert sorted(pgstrata.__all__) == sorted(NAMES)
    assert sorted([*pgstrata._HOME_OF, "__version__"]) == sorted(NAMES)
    assert set(NAMES) <= set(dir(pgstrata))


@pytest.mark.parametrize("name", NAMES)
def test_name(name: str) -> None:
    """A public name can be imported; a class or function knows its name."""
    namespace: dict[str, object] = {}
    exec(f"from pgstrata import {name}", namespace)
    assert getattr(namespace[name], "__name__", name) == name


def test_unknown_name() -> None:
    """A name that is not there is the usual error."""
    with pytest.raises(AttributeError, match="no attribute 'conect'"):
        _ = pgstrata.conect
    with pytest.raises(ImportError):
        exec("from pgstrata import conect")


def test_import_is_light() -> None:
    """``import pgstrata`` alone loads nothing that takes long."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
