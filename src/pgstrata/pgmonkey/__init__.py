"""pgmonkey's names with pgmonkey's meaning: to come from there, change the import.

::

    from pgstrata.pgmonkey import PGConnectionManager, load_config, redact_config

All that exists for this alone is here. The manager gives out objects that have pgmonkey's methods,
on top of pgstrata's own handles; new code does better with ``pgstrata.PGConnectionManager``, whose
blocks yield psycopg's connection itself.

What is different is what lost rows, hung or crashed. Each block has a connection of its own, so
blocks may nest and objects may be shared between threads and tasks. Outside of blocks each thread
and each task has one. Nothing is connected before it is used, and a failure is raised, not logged.
"""

from pgstrata.errors import EnvInterpolationError
from pgstrata.pgmonkey.config import load_config
from pgstrata.pgmonkey.connection import PGAsyncConnection, PGConnection
from pgstrata.pgmonkey.manager import PGConnectionManager
from pgstrata.secrets.redact import redact_config

__all__ = [
    "EnvInterpolationError",
    "PGAsyncConnection",
    "PGConnection",
    "PGConnectionManager",
    "load_config",
    "redact_config",
]
