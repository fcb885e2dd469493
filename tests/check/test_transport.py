from __future__ import annotations

from pathlib import Path

import pytest
from tests.check.conftest import Case, hold

BASE = "connection_settings:\n  host: db.example.com\n  dbname: app\n  user: app\n"
MODE = "connection_settings:\n  sslmode: %s\n"
AUTH = "  require_auth: '%s'\n"
SERVICE = "connection_settings: {service: prod}\n"
PROTECTED = "protected: true\n"
BINDS = "connection_settings:\n  sslmode: verify-full\n  password: {from_env: X}\n"

CASES = (
    Case("tls-optional", {"base": BASE, "one": ""}, "environments/base.yaml:2", "not set"),
    Case(
        "tls-optional",
        {"base": BASE, "one": MODE % "prefer"},
        "environments/one.yaml:2",
        "may end in clear text",
        "warning",
    ),
    Case(
        "tls-optional",
        {"base": BASE, "one": PROTECTED + MODE % "disable"},
        "environments/one.yaml:3",
        "never encrypts",
        "error",
    ),
    Case("tls-optional", {"base": BASE, "one": MODE % "require"}),
    Case("tls-optional", {"base": BASE.replace("db.example.com", "/run/postgresql"), "one": ""}),
    Case("tls-optional", {"base": BASE.replace("db.example.com", "127.0.0.1"), "one": ""}),
    Case("tls-optional", {"base": BASE, "one": "local: true"}),
    Case(
        "tls-optional",
        {"base": BASE.replace("db.example.com", "[localhost, db2]"), "one": ""},
        "environments/base.yaml:2",
    ),
    Case(
        "tls-unverified",
        {"base": BASE, "one": MODE % "require"},
        "environments/one.yaml:2",
        "any certificate",
        "warning",
    ),
    Case(
        "tls-unverified",
        {"base": BASE, "one": PROTECTED + MODE % "verify-ca"},
        "environments/one.yaml:3",
        "any host",
        "error",
    ),
    Case("tls-unverified", {"base": BASE, "one": MODE % "verify-full"}),
    Case(
        "no-root-certificate",
        {"base": BASE, "one": MODE % "verify-full"},
        "environments/one.yaml:2",
        "root.crt",
        "info",
    ),
    Case(
        "no-root-certificate",
        {"base": BASE, "one": MODE % "verify-full" + "  sslrootcert: system\n"},
    ),
    Case(
        "no-channel-binding",
        {"base": BASE, "one": PROTECTED + BINDS},
        "environments/one.yaml:4",
        "any kind of question",
        "warning",
    ),
    Case("no-channel-binding", {"base": BASE, "one": BINDS + "  channel_binding: require\n"}),
    Case("no-channel-binding", {"base": BASE, "one": BINDS + "  require_auth: scram-sha-256\n"}),
    Case("no-channel-binding", {"base": BASE, "one": MODE % "verify-full"}),
    *(
        Case("no-channel-binding", {"base": BASE, "one": BINDS + AUTH % methods}, at)
        for methods, at in (
            ("password,md5", "environments/one.yaml:4"),
            ("scram-sha-256,md5", "environments/one.yaml:4"),
            ("!password", "environments/one.yaml:4"),
            ("!none", "environments/one.yaml:4"),
            ("!password,!md5", ""),
            ("scram-sha-256,gss", ""),
        )
    ),
    Case(
        "tls-optional",
        {"base": SERVICE, "one": PROTECTED + MODE % "disable"},
        "environments/one.yaml:3",
        "never encrypts",
        "error",
    ),
    Case("tls-optional", {"base": SERVICE, "one": PROTECTED}),
    Case("tls-unverified", {"base": SERVICE, "one": MODE % "require"}, "environments/one.yaml:2"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule(case: Case, tmp_path: Path) -> None:
    """The rule fires where the case says, or nowhere."""
    hold(tmp_path, case)
