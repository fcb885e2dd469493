"""The embedded PostgreSQL of a project: one server for each project, started on first use."""

from __future__ import annotations

from pgstrata.local.directory import state_directory
from pgstrata.local.server import LocalServer, ensure_database, start, status, stop

__all__ = ["LocalServer", "ensure_database", "start", "state_directory", "status", "stop"]
