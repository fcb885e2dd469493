from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.certificates import Certificates
from tests.cli.conftest import SERVER, Cli
from tests.servers import PASSWORD, Server

from pgstrata.local.cluster import free_port
from pgstrata.schema.keys import CONNECTION_TYPES

Write = Callable[..., None]


def _settings(server: Server, **over: object) -> str:
    said = {"host": server.host, "port": server.port, "user": server.superuser, **over}
    return SERVER.format(**{"password": PASSWORD, **said})


def test_all_four_types(cli: Cli, write: Write, server: Server) -> None:
    """To what, as whom, TLS or not, which version, and how long it took."""
    write(base=_settings(server), development="")
    done = cli("test")
    assert (done.code, done.err) == (0, "")
    header, *rows = (line.split() for line in done.out.splitlines())
    assert header == ["TYPE", "RESULT", "SERVER", "DATABASE", "USER", "TLS", "VERSION", "TIME"]
    assert [row[0] for row in rows] == list(CONNECTION_TYPES)
    for row in rows:
        assert row[1:6] == ["ok", f"127.0.0.1:{server.port}", "postgres", "postgres", "no"]
        assert row[6].startswith(str(server.version))
        assert row[-1] == "ms"


def test_types_may_be_chosen(cli: Cli, write: Write, server: Server) -> None:
    """Each is tried once, in the order of the options."""
    write(base=_settings(server), development="")
    done = cli("test", "--type", "async", "--type", "normal", "--type", "async")
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == ["async", "normal"]


def test_json(cli: Cli, write: Write, server: Server) -> None:
    """A trial has all that the table has, and no error."""
    write(base=_settings(server), development="")
    shape = cli("test", "--type", "pool", "--format", "json").json
    assert (shape["environment"], shape["connection"]) == ("development", "default")
    (trial,) = shape["trials"]
    assert trial.pop("milliseconds") > 0
    assert trial.pop("version").startswith(str(server.version))
    assert trial == {
        "type": "pool",
        "ok": True,
        "server": f"127.0.0.1:{server.port}",
        "database": "postgres",
        "user": "postgres",
        "tls": None,
        "error": None,
        "hint": None,
    }


def test_a_named_connection(cli: Cli, write: Write, server: Server, database: str) -> None:
    """Its own database, with the server that it inherits."""
    connections = f"connections: {{reports: {{connection_settings: {{dbname: {database}}}}}}}\n"
    write(base=_settings(server) + connections, development="")
    done = cli("test", "--connection", "reports", "--type", "normal")
    assert done.out.splitlines()[1].split()[3] == database
    assert cli("test", "--connection", "report").code == 2


def test_a_server_that_is_down(cli: Cli, write: Write, server: Server) -> None:
    """The reason is the real one, and is said once for all four types."""
    write(base=_settings(server, port=free_port()), development="")
    done = cli("test")
    assert done.code == 1
    assert done.out.count(" failed ") == 4
    assert done.out.count("Connection refused") == 1
    assert done.out.count("hint: ") == 1


def test_a_wrong_password(cli: Cli, write: Write, server: Server) -> None:
    """The password itself is not shown, but where it comes from is."""
    write(base=_settings(server, password="wr0ng-s3cret"), development="")
    done = cli("test", "--format", "json")
    assert done.code == 1
    for trial in done.json["trials"]:
        assert not trial["ok"]
        assert "password authentication failed" in trial["error"]
        assert trial["hint"]
    assert "wr0ng" not in done.out + done.err


def test_a_server_with_tls(
    cli: Cli, write: Write, tls_server: Server, certificates: Certificates
) -> None:
    """The version of TLS is shown for all four types."""
    base = _settings(tls_server, host="localhost", user="scram_user")
    tls = f"  hostaddr: 127.0.0.1\n  sslmode: verify-full\n  sslrootcert: {certificates.ca}\n"
    write(base=base + tls, development="")
    done = cli("test", "--format", "json")
    assert done.code == 0
    assert {trial["tls"] for trial in done.json["trials"]} == {"TLSv1.3"}
    assert {trial["server"] for trial in done.json["trials"]} == {f"localhost:{tls_server.port}"}


def test_a_secret_that_cannot_be_had(cli: Cli, write: Write, server: Server) -> None:
    """It is a fault of the configuration, not of the server."""
    write(base=_settings(server, password="{from_env: NOT_SET_ANYWHERE}"), development="")
    done = cli("test")
    assert (done.code, done.out) == (3, "")
    assert "NOT_SET_ANYWHERE" in done.err


def test_a_parameter_that_the_server_refuses(cli: Cli, write: Write, server: Server) -> None:
    """The server's own reason is shown."""
    write(
        base=_settings(server) + "session_settings: {default_tablespace: 'no such'}\n",
        development="",
    )
    done = cli("test", "--type", "normal", "--type", "async_pool")
    assert done.code == 1
    assert "internal error" not in done.err
    assert "no such" in done.out


@pytest.mark.parametrize("output", ["text", "json"])
def test_the_top_level_may_name_no_server(cli: Cli, write: Write, output: str) -> None:
    """Then a connection must be named, and those that there are are listed."""
    base = "connections: {reports: {connection_settings: {host: h, user: u, dbname: d}}}\n"
    write(base=base, development="")
    done = cli("test", "--format", output)
    assert (done.code, done.out) == (2, "")
    assert "--connection is one of reports" in done.err
