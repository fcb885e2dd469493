from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.cli.conftest import Cli

from pgstrata.errors import CONFIG, FINDINGS, OK
from pgstrata.local.account import is_root

BASE = "connection_settings: {host: 127.0.0.1, port: 1, dbname: app, user: app}\n"
COMMANDS = [
    (("check", "--all"), OK),
    (("show", "-e", "production"), OK),
    (("explain", "connection_settings.password", "-e", "production"), OK),
    (("code", "-e", "production"), OK),
    (("test", "-e", "production"), FINDINGS),
    (("secret", "list", "-e", "production"), OK),
    (("secret", "keygen", "-e", "production"), CONFIG),
    (("secret", "keygen", "--identity", "bob"), CONFIG),
    (("local", "status"), FINDINGS if is_root() else CONFIG),  # root's is elsewhere
]


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize(("arguments", "code"), COMMANDS)
def test_an_account_without_a_home_can_read(
    cli: Cli, write: Callable[..., None], arguments: tuple[str, ...], code: int
) -> None:
    """What has to be kept in a home folder says so."""
    write(base=BASE, production="", development="local: true")
    done = cli(*arguments)
    assert done.code == code, done.err
    assert "internal error" not in done.err
    assert code != CONFIG or "set HOME" in done.err
