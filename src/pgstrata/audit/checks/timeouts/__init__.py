"""Whether the timeouts of client and server agree, and how long a dead peer goes unnoticed."""

from __future__ import annotations

from pgstrata.audit.checks.timeouts import connecting, keepalives, meant, session

CHECKS = (*session.CHECKS, *meant.CHECKS, *connecting.CHECKS, *keepalives.CHECKS)
