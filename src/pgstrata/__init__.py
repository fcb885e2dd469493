"""One folder of layered YAML drives every PostgreSQL connection, in every environment."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pgstrata._version import __version__

if TYPE_CHECKING:
    from pgstrata.connect.failure import (
        ConnectionFailedError,
        DeadlineError,
        PoolTimeoutError,
        ShutDownError,
    )
    from pgstrata.connect.handles import AsyncHandle, AsyncPoolHandle, NormalHandle, PoolHandle
    from pgstrata.connect.manager import PGConnectionManager
    from pgstrata.errors import (
        ConfigError,
        EnvInterpolationError,
        EnvironmentNotFoundError,
        InvalidConfigError,
        LibpqMissingError,
        LocalServerError,
        PgstrataError,
        ProjectNotFoundError,
        SecretError,
        UnknownKeyError,
        UsageError,
    )
    from pgstrata.loading import load, load_file, load_many, load_mapping
    from pgstrata.model import Config, Finding, Origin, Secret, Setting
    from pgstrata.pgmonkey.config import load_config
    from pgstrata.secrets.redact import redact_config

# Names are imported when they are used: importing psycopg takes longer than `pgstrata --help` may.
_HOMES = {
    "pgstrata.connect.failure": (
        "ConnectionFailedError",
        "DeadlineError",
        "PoolTimeoutError",
        "ShutDownError",
    ),
    "pgstrata.connect.handles": ("AsyncHandle", "AsyncPoolHandle", "NormalHandle", "PoolHandle"),
    "pgstrata.connect.manager": ("PGConnectionManager",),
    "pgstrata.errors": (
        "ConfigError",
        "EnvInterpolationError",
        "EnvironmentNotFoundError",
        "InvalidConfigError",
        "LibpqMissingError",
        "LocalServerError",
        "PgstrataError",
        "ProjectNotFoundError",
        "SecretError",
        "UnknownKeyError",
        "UsageError",
    ),
    "pgstrata.loading": ("load", "load_file", "load_many", "load_mapping"),
    "pgstrata.pgmonkey.config": ("load_config",),
    "pgstrata.secrets.redact": ("redact_config",),
    "pgstrata.model": ("Config", "Finding", "Origin", "Secret", "Setting"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
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


def __getattr__(name: str) -> object:
    """Import a public name from its home. A misnamed one is an ``AttributeError`` as usual."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'pgstrata' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
