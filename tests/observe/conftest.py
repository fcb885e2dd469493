"""Projects that connect to the servers of the tests."""

from __future__ import annotations

from tests.connect.conftest import make

__all__ = ["make"]
