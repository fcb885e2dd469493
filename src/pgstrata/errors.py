"""Every error that pgstrata raises.

::

    PgstrataError                       what went wrong, and a hint: what to do about it
    ├── UsageError                      the call or the command line asked for the impossible
    ├── ConfigError                     the configuration could not be loaded or resolved
    │   ├── ProjectNotFoundError        no ``environments/`` folder where one was expected
    │   ├── EnvironmentNotFoundError    no overlay of that name
    │   ├── InvalidConfigError          one or many findings, each with its place
    │   ├── UnknownKeyError             a key that no setting has (also a ``KeyError``)
    │   ├── EnvInterpolationError       a reference to a variable or a file leads nowhere
    │   └── SecretError                 a secret cannot be read, opened or trusted
    ├── LibpqMissingError               psycopg has no libpq to work with; also an ``ImportError``
    ├── LocalServerError                the embedded PostgreSQL is not installed or does not start
    ├── ConnectionFailedError           in ``pgstrata.connect.failure``; also psycopg's error
    │   └── PoolTimeoutError            also psycopg_pool's ``PoolTimeout``
    ├── DeadlineError                   the same; no answer within ``client_deadline``
    └── ShutDownError                   the same; also psycopg_pool's ``PoolClosed``

The last four live beside the code that connects, because their second base needs psycopg, which
takes longer to import than ``pgstrata --help`` may take in all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgstrata.model import Config, Finding

# Exit codes of the command line; the reference page is made from this table.
OK = 0
FINDINGS = 1
USAGE = 2
CONFIG = 3
REJECTED_ROWS = 4
PARTIAL = 5
INTERRUPTED = 130

EXIT_CODES = {
    OK: "clean",
    FINDINGS: "findings, differences, a failed connection, or nothing done for a server error",
    USAGE: "wrong usage",
    CONFIG: "configuration or secrets could not be loaded or resolved",
    REJECTED_ROWS: "done, with rejected rows",
    PARTIAL: "done in part, or the outcome is unknown",
    INTERRUPTED: "interrupted",
}


class PgstrataError(Exception):
    """Base of all. ``hint`` says what to do, in one sentence, or is empty."""

    exit_code = FINDINGS

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(PgstrataError):
    """The call or the command line asked for something that cannot be."""

    exit_code = USAGE


class ConfigError(PgstrataError):
    """The configuration could not be loaded or resolved."""

    exit_code = CONFIG


class ProjectNotFoundError(ConfigError):
    """No ``environments/`` folder, or no ``base.yaml`` in it."""


class EnvironmentNotFoundError(ConfigError):
    """No overlay file of that name."""


class InvalidConfigError(ConfigError):
    """The files say something that cannot be; all findings at once, in the order of the files.

    ``str()`` gives one line for each finding. The command line draws the source line and a caret
    too. ``partial`` is what could be read all the same, so that more of it can be checked.
    """

    def __init__(self, findings: Sequence[Finding], partial: Config | None = None) -> None:
        self.findings = tuple(findings)
        self.partial = partial
        super().__init__("\n".join(str(finding) for finding in self.findings))


class UnknownKeyError(ConfigError, KeyError):
    """A key that no setting of this environment has."""

    __str__ = Exception.__str__  # KeyError would show the message in quotes


class EnvInterpolationError(ConfigError):
    """A reference to a variable or a file leads nowhere."""


class SecretError(ConfigError):
    """A secret cannot be read, opened or trusted. Never carries any part of the secret."""


class LibpqMissingError(PgstrataError, ImportError):
    """Psycopg is installed, and finds no libpq to work with."""


class LocalServerError(PgstrataError):
    """The embedded PostgreSQL is not installed, or does not start."""
