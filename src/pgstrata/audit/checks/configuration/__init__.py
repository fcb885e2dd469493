"""Whether what the server's files say is what the server does, now and after the next start."""

from __future__ import annotations

from pgstrata.audit.checks.configuration import files, state

CHECKS = (*state.CHECKS, *files.CHECKS)
