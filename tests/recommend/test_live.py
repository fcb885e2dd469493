"""The lines really work: written to a fresh server, they let the very configuration in."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.certificates import Certificates
from tests.conftest import find_tls
from tests.recommend.conftest import project
from tests.servers import ADMIN_LINE, PASSWORD, SUPERUSER, Server, embedded_bindir

from pgstrata import PGConnectionManager
from pgstrata.model import Config
from pgstrata.recommend.run import recommend
from pgstrata.render import recommend as render

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Unix sockets and loopback addresses")

NAMES = (
    "all",
    "samerole",
    "replication",
    "+team",
    "@list",
    "we ird",
    'a,"b"',
    "#hash",
    "Ünï",
    "a'b",
)
FEW = 4  # on the other server: making databases is what takes the time
DECLARED = "127.0.0.2/32"  # a client that comes from another address than the others
SERVICE = {"name": "web", "processes": 3, "connection": "counted"}
DEMAND, LIMIT = 3, 4


@dataclass(frozen=True)
class Prepared:
    """A server that has what was recommended, and the configuration that it was recommended for."""

    server: Server
    config: Config


def connections(server: Server, certificates: Certificates | None) -> dict[str, dict[str, Any]]:
    """Return ``connection_settings`` of one connection for each way in, by name."""
    loopback = {"host": server.host, "password": PASSWORD}
    ways: dict[str, dict[str, Any]] = {
        "plain": {**loopback, "user": "plain", "sslmode": "disable"},
        "preferring": {**loopback, "user": "preferring"},
        "named": {**loopback, "host": "localhost", "user": "by name"},
        "socket": {"host": str(server.directory), "user": "socket", "password": PASSWORD},
        "counted": {**loopback, "user": "counted"},
        **{
            f"odd{number}": {**loopback, "user": name, "dbname": name}
            for number, name in enumerate(NAMES if certificates else NAMES[:FEW])
        },
    }
    if account := _account():
        ways["peer"] = {"host": str(server.directory), "user": account, "password": None}
    if server.version >= 16:
        ways["slash"] = {**loopback, "user": "/a.b", "dbname": "/c|d"}
    if certificates:
        tls = {"sslrootcert": str(certificates.ca)}
        pair = {"sslcert": str(certificates.client.certificate)}
        pair["sslkey"] = str(certificates.client.key)
        full = {**loopback, **tls, "host": "localhost", "sslmode": "verify-full"}
        ways |= {
            "required": {**loopback, "user": "required", "sslmode": "require"},
            "ca": {**loopback, **tls, "user": "ca", "sslmode": "verify-ca"},
            "full": {**full, "user": "full", "channel_binding": "require"},
            "cert": {**full, **pair, "user": "cert_user", "password": None},
            "both": {**full, **pair, "user": "both"},
        }
    return ways


def _account() -> str:
    """Return the name of the account that the tests run under; empty where it has none, or that of
    the superuser, whose first line of pg_hba.conf asks for a password.
    """
    import pwd

    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""
    return "" if name == SUPERUSER else name


def configuration(folder: Path, server: Server, ways: dict[str, dict[str, Any]]) -> Config:
    """Write a project with all these connections."""
    common = {"port": server.port, "dbname": "app", "connect_timeout": 20}
    return project(
        folder,
        connection_settings={**common, "host": server.host, "user": "app", "password": PASSWORD},
        pool_settings={"min_size": 2, "max_size": 2, "timeout": 60},
        connections={
            name: {
                "connection_settings": given,
                **({"connection_type": "pool"} if name == "plain" else {}),
            }
            for name, given in ways.items()
        },
        services=[SERVICE],
        client_addresses=[DECLARED],
        server={"memory": "256MB", "storage": "ssd"},
    )


def roles(server: Server, ways: dict[str, dict[str, Any]]) -> None:
    """Create the roles and databases that the configuration names, as an administrator would."""
    users = {str(given["user"]) for given in ways.values()} | {"app", "outsider"}
    users -= {server.superuser}
    databases = {str(given.get("dbname", "app")) for given in ways.values()} | {"app"}
    made = [f"CREATE ROLE {quoted(name)} LOGIN PASSWORD '{PASSWORD}'" for name in users]
    server.sql("; ".join(made))
    for name in sorted(databases):
        server.sql(f"CREATE DATABASE {quoted(name)}")


def quoted(name: str) -> str:
    """Return a name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def apply(server: Server, config: Config) -> None:
    """Do what the recommendation says: two files, one restart, and psql."""
    found = recommend(config)
    assert len(found.servers) == 1
    (server.data / "recommended.conf").write_text(render.conf(found), encoding="utf-8")
    server.append_conf("include 'recommended.conf'")
    text = render.hba(found)
    (server.data / "pg_hba.conf").write_text(f"{ADMIN_LINE}\n{text}", encoding="utf-8")
    server.restart()
    file = server.directory / "recommended.sql"
    file.write_text(render.sql(found), encoding="utf-8")
    psql = server.bindir / "psql" if (server.bindir / "psql").exists() else shutil.which("psql")
    done = subprocess.run(
        [
            *(str(psql), "-X", "-v", "ON_ERROR_STOP=1", "-f", str(file)),
            *("-h", str(server.directory), "-p", str(server.port)),
            *("-U", server.superuser, "-d", "postgres"),
        ],
        env={**os.environ, "PGPASSWORD": PASSWORD, "PGCLIENTENCODING": "UTF8"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


@pytest.fixture(scope="module")
def with_tls(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Prepared]:
    """Return a fresh server with TLS, and what is recommended."""
    found = find_tls()
    if isinstance(found, str):
        pytest.skip(f"no server with TLS: {found}")
    with prepare(found, tmp_path_factory.mktemp("project"), certificates) as made:
        yield made


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    """Return a fresh server of another version, without TLS, and what is recommended."""
    with prepare(embedded_bindir(), tmp_path_factory.mktemp("project")) as made:
        yield made


@pytest.fixture(params=["with_tls", "embedded"])
def prepared(request: pytest.FixtureRequest) -> Prepared:
    """Return one of them; a test may choose by a parameter of its own."""
    made: Prepared = request.getfixturevalue(request.param)
    return made


@contextmanager
def prepare(
    bindir: Path, folder: Path, certificates: Certificates | None = None
) -> Iterator[Prepared]:
    """Run a fresh server with what is recommended for a project in ``folder``."""
    with Server.running(bindir) as server:
        if certificates:
            server.set_tls(certificates.server, certificates.ca)
            server.append_conf("ssl = off\nssl_ca_file = ''")  # turned on by the recommendation
        ways = connections(server, certificates)
        roles(server, ways)
        # Ending idle sessions is what the role settings have to hold against. Not in the database
        # of ``Server.sql``: a machine under load may well be that slow between two calls.
        server.sql("ALTER DATABASE app SET idle_session_timeout = '500ms'")
        config = configuration(folder, server, ways)
        apply(server, config)
        yield Prepared(server, config)


@pytest.fixture
def manager(prepared: Prepared) -> Iterator[PGConnectionManager]:
    """Return a manager for the configuration."""
    made = PGConnectionManager("one", project=prepared.config.project, environ={})
    yield made
    made.clear_cache()


EVERYWHERE = ("plain", "preferring", "named", "socket", "peer", "counted")
ODD = [f"odd{number}" for number in range(len(NAMES))]
TLS = ("required", "ca", "full", "cert", "both")
WAYS = [
    *(("with_tls", way) for way in (*EVERYWHERE, *ODD, *TLS)),
    *(("embedded", way) for way in (*EVERYWHERE, *ODD[:FEW], "slash")),
]


def by_tls(*ways: str) -> pytest.MarkDecorator:
    """Run a test for these connections of the server with TLS."""
    pairs = [("with_tls", way) for way in ways]
    return pytest.mark.parametrize(("prepared", "way"), pairs, indirect=["prepared"])


@pytest.mark.parametrize(("prepared", "way"), WAYS, indirect=["prepared"])
def test_the_configuration_gets_in(
    prepared: Prepared, manager: PGConnectionManager, way: str
) -> None:
    """Every named connection does, as its role, in its database, with TLS where it demands it."""
    if way == "peer" and not _account():
        pytest.skip("the account that the tests run under has no role of its own")
    with manager.normal(connection=way) as connection:
        row = connection.execute("SELECT session_user::text, current_database()::text").fetchone()
        assert connection.pgconn.ssl_in_use or way not in TLS
    settings = prepared.config.connection(way)
    keys = ("connection_settings.user", "connection_settings.dbname")
    assert row == tuple(settings[key].value for key in keys)


def test_the_settings_hold(prepared: Prepared) -> None:
    """The included file has no error, and no line of pg_hba.conf has one."""
    server = prepared.server
    assert server.sql("SELECT name, error FROM pg_file_settings WHERE error IS NOT NULL") == []
    assert (
        server.sql("SELECT * FROM pg_hba_file_rules WHERE error IS NOT NULL OR type IS NULL") == []
    )
    shown = dict(
        server.sql(
            "SELECT name, current_setting(name) FROM pg_settings WHERE sourcefile LIKE"
            " '%recommended.conf'"
        )
    )
    expected = {
        "listen_addresses": "localhost",
        "max_connections": "100",
        "superuser_reserved_connections": "3",
        "shared_buffers": "64MB",
        "random_page_cost": "1.1",
        "password_encryption": "scram-sha-256",
    }
    if "full" in prepared.config.connections:
        expected |= {"ssl": "on", "ssl_min_protocol_version": "TLSv1.2", "ssl_ca_file": "root.crt"}
    assert expected.items() <= shown.items()


@pytest.mark.parametrize(
    ("user", "dbname"), [("outsider", "app"), ("plain", "postgres"), ("outsider", "all")]
)
def test_outsiders_are_refused(prepared: Prepared, user: str, dbname: str) -> None:
    """Another role, or a role in another database, has no line: not even one of an odd name."""
    keywords = prepared.server.keywords(user=user, dbname=dbname)
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        psycopg.connect(**keywords)


@by_tls(*TLS)
def test_what_demands_tls_is_refused_without(prepared: Prepared, way: str) -> None:
    """Whoever steals the password cannot use it in clear text."""
    user = prepared.config.connection(way)["connection_settings.user"].value
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        psycopg.connect(**prepared.server.keywords(user=user, dbname="app", sslmode="disable"))


@by_tls("cert", "both")
def test_a_client_certificate_is_demanded(prepared: Prepared, way: str) -> None:
    """The password alone does not do for a client that has a certificate."""
    user = prepared.config.connection(way)["connection_settings.user"].value
    with pytest.raises(psycopg.OperationalError, match="valid client certificate"):
        psycopg.connect(**prepared.server.keywords(user=user, dbname="app", sslmode="require"))


@pytest.mark.parametrize(
    ("address", "answer"), [("127.0.0.1", "R"), ("127.0.0.2", "R"), ("127.0.0.3", "E")]
)
def test_clients_get_in_from_declared_addresses_only(
    prepared: Prepared, address: str, answer: str
) -> None:
    """The server asks for a password from there, and refuses at once from anywhere else."""
    try:
        raw = socket.create_connection(
            ("127.0.0.1", prepared.server.port), timeout=30, source_address=(address, 0)
        )
    except OSError as error:
        pytest.skip(f"this machine has no address {address}: {error}")
    with closing(raw):
        said, message = start(raw, user="preferring", database="app")
    assert said == answer, message
    assert (answer == "R") or f'no pg_hba.conf entry for host "{address}"' in message


def start(raw: socket.socket, **parameters: str) -> tuple[str, str]:
    """Send a start-up message; return the type and text of the first answer."""
    pairs = b"".join(f"{name}\0{text}\0".encode() for name, text in parameters.items()) + b"\0"
    raw.sendall(struct.pack("!ii", len(pairs) + 8, 3 << 16) + pairs)
    head = exactly(raw, 5)
    body = exactly(raw, struct.unpack("!i", head[1:])[0] - 4)
    return chr(head[0]), body.decode(errors="replace")


def exactly(raw: socket.socket, count: int) -> bytes:
    """Read so many bytes."""
    got = b""
    while len(got) < count:
        more = raw.recv(count - len(got))
        assert more, got
        got += more
    return got


def test_a_role_has_its_share_of_the_slots(prepared: Prepared) -> None:
    """What the services may open fits, with a tenth to spare; a leak ends there."""
    keywords = prepared.server.keywords(user="counted", dbname="app")
    with ExitStack() as stack:
        for _ in range(LIMIT):
            stack.enter_context(closing(psycopg.connect(**keywords)))
        with pytest.raises(
            psycopg.OperationalError, match='too many connections for role "counted"'
        ):
            psycopg.connect(**keywords)


def test_idle_connections_of_a_pool_survive(
    prepared: Prepared, manager: PGConnectionManager
) -> None:
    """The database ends idle sessions, but not those of a role whose pool keeps them."""
    server = prepared.server
    with manager.pool(connection="plain") as connection:
        kept = connection.info.backend_pid
    administrator = server.keywords(host=str(server.directory), dbname="app")
    with closing(psycopg.connect(**administrator, autocommit=True)) as victim:
        until(lambda: alive(server, victim.info.backend_pid) == 0)
    # The pool's has been idle for longer than the one that is gone.
    assert alive(server, kept) == 1
    with manager.pool(connection="plain") as connection:
        assert connection.execute("SHOW idle_session_timeout").fetchone() == ("0",)


def alive(server: Server, pid: int) -> int:
    """Return how many sessions have this process id: one, or none."""
    return int(server.sql(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}")[0][0])


def until(met: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + 60
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_statements_can_be_run_again(prepared: Prepared) -> None:
    """Doing all of it a second time changes nothing."""
    before = prepared.server.sql("SELECT * FROM pg_db_role_setting ORDER BY 1, 2")
    apply(prepared.server, prepared.config)
    assert prepared.server.sql("SELECT * FROM pg_db_role_setting ORDER BY 1, 2") == before
