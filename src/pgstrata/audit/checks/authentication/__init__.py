"""Whether the program gets in, by which line of pg_hba.conf, and how it proves who it is."""

from __future__ import annotations

from pgstrata.audit.checks.authentication import drift, files, login, methods, passwords, rule

CHECKS = (
    *rule.CHECKS,
    *methods.CHECKS,
    *drift.CHECKS,
    *passwords.CHECKS,
    *files.CHECKS,
    *login.CHECKS,
)
