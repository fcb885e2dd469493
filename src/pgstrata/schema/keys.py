"""The table of sections and keys.

Decoding, did-you-mean, the scaffold of ``pgstrata init`` and the reference page all come from here.
The keywords of ``connection_settings`` that the installed libpq knows and this table does not are
added by ``schema.libpq``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["text", "integer", "number", "boolean", "flag", "ports", "memory"]

CONNECTION_TYPES = ("normal", "pool", "async", "async_pool")
SYNC_TYPES = ("normal", "pool")
POOL_SECTIONS = {"pool": "pool_settings", "async_pool": "async_pool_settings"}


def session_sections(connection_type: str) -> tuple[str, str]:
    """Return the sections whose parameters a session of this type has; the last one decides."""
    own = "sync_settings" if connection_type in SYNC_TYPES else "async_settings"
    return "session_settings", own


@dataclass(frozen=True, slots=True)
class Key:
    """One key: how its text is decoded, what it may be, and what it is for.

    ``flag`` is libpq's 0 or 1, written as a boolean or a number; ``memory`` is a text such as
    16GB. ``many`` keys take a YAML list
    too, which is joined by commas as libpq wants it. ``path`` keys name a file; a relative one
    starts at the project folder. ``example`` is what the scaffold shows, ``why`` a reason that
    the reference gives.
    """

    name: str
    kind: Kind
    doc: str
    default: str | int | float | bool | None = None
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    secret: bool = False
    many: bool = False
    path: bool = False
    example: str = ""
    why: str = ""


def _by_name(*keys: Key) -> dict[str, Key]:
    return {key.name: key for key in keys}


_TLS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")

CONNECTION = _by_name(
    Key("url", "text", "A postgresql:// URL, taken apart into the keywords below.", secret=True),
    Key(
        "host",
        "text",
        "Host name, or several to be tried in order.",
        many=True,
        example="localhost",
    ),
    Key("hostaddr", "text", "IP address to connect to, so that no name is looked up.", many=True),
    Key("port", "ports", "TCP port, or one for each host.", many=True, example="5432"),
    Key("dbname", "text", "Name of the database.", example="app"),
    Key("user", "text", "Role to log in as.", example="app"),
    Key("password", "text", "Password of the role.", secret=True, example="${DB_PASSWORD}"),
    Key("passfile", "text", "Password file that libpq reads instead of ~/.pgpass.", path=True),
    Key("service", "text", "Entry of the service file that fills what is left out here."),
    Key(
        "connect_timeout",
        "integer",
        "Seconds to wait for each host; 0 is 130 s, and the least is 2.",
        default=5,
        minimum=0,
        example="5",
        why="The system's own is two minutes.",
    ),
    Key(
        "application_name",
        "text",
        "Name that the server shows in pg_stat_activity.",
        example="app",
        why="If nobody gives one, it is program@environment#fingerprint, which stands for "
        "the effective settings without secrets.",
    ),
    Key("fallback_application_name", "text", "application_name for when none is given."),
    Key("client_encoding", "text", "Encoding of the session; psycopg works best with UTF8."),
    Key("options", "text", "Command-line options for the server; session_settings is easier."),
    Key(
        "client_deadline",
        "number",
        "Seconds that the server has for an answer.",
        minimum=0.1,
        why="Then the connection is closed. For proxies that acknowledge and hang, which no "
        "time-out of libpq or the server notices. It counts for each statement, as this program "
        "sees it.",
    ),
    Key(
        "prepared_statements",
        "boolean",
        "Prepare statements that are run often.",
        why="If left out, they are, unless a pooler of transactions stands between.",
    ),
    Key("autocommit", "boolean", "Each statement is its own transaction.", default=False),
    Key(
        "sslmode",
        "text",
        "How much TLS is asked for; verify-full alone proves who answers.",
        choices=("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
        example="verify-full",
    ),
    Key(
        "sslrootcert", "text", "CA certificates to trust; system for the machine's own.", path=True
    ),
    Key("sslcert", "text", "Client certificate.", path=True),
    Key("sslkey", "text", "Private key of the client certificate, mode 0600.", path=True),
    Key("sslpassword", "text", "Pass phrase of sslkey.", secret=True),
    Key("sslcrl", "text", "File of revoked certificates.", path=True),
    Key("sslcrldir", "text", "Folder of revoked certificates.", path=True),
    Key(
        "sslcertmode",
        "text",
        "Whether a client certificate is sent.",
        choices=("disable", "allow", "require"),
    ),
    Key(
        "sslnegotiation",
        "text",
        "How TLS is started; direct needs PostgreSQL 17.",
        choices=("postgres", "direct"),
    ),
    Key("sslsni", "flag", "Send the host name in the TLS greeting."),
    Key("sslcompression", "flag", "TLS compression, which current servers do not have."),
    Key("ssl_min_protocol_version", "text", "Oldest TLS version to accept.", choices=_TLS),
    Key("ssl_max_protocol_version", "text", "Newest TLS version to use.", choices=_TLS),
    Key("sslkeylogfile", "text", "File that TLS session keys are written to; for debugging only."),
    Key(
        "channel_binding",
        "text",
        "Tie the password exchange to the TLS channel.",
        choices=("disable", "prefer", "require"),
    ),
    Key("require_auth", "text", "Authentication methods that the client agrees to."),
    Key("requirepeer", "text", "Operating-system user that must own a Unix-socket server."),
    Key("min_protocol_version", "text", "Oldest protocol version to accept."),
    Key("max_protocol_version", "text", "Newest protocol version to ask for."),
    Key("scram_client_key", "text", "SCRAM client key, in place of a password.", secret=True),
    Key("scram_server_key", "text", "SCRAM server key that belongs to it.", secret=True),
    Key("keepalives", "flag", "TCP keepalives."),
    Key(
        "keepalives_idle",
        "integer",
        "Seconds of silence before the first keepalive.",
        default=30,
        minimum=0,
        why="The system's own are two hours, in which firewalls forget a connection.",
    ),
    Key(
        "keepalives_interval",
        "integer",
        "Seconds between keepalives.",
        default=5,
        minimum=0,
        why="While an answer is waited for, keepalives alone notice that a host is dead.",
    ),
    Key(
        "keepalives_count",
        "integer",
        "Lost keepalives before the connection is dead.",
        default=3,
        minimum=0,
        why="With the other two, that is 45 s after the last sign of life.",
    ),
    Key(
        "tcp_user_timeout",
        "integer",
        "Milliseconds that sent data may stay unacknowledged.",
        default=15_000,
        minimum=0,
        why="The system's own is a quarter of an hour.",
    ),
    Key(
        "target_session_attrs",
        "text",
        "Which of several hosts is good enough.",
        choices=("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    ),
    Key(
        "load_balance_hosts",
        "text",
        "Whether several hosts are tried in random order.",
        choices=("disable", "random"),
    ),
    Key(
        "gssencmode",
        "text",
        "Whether GSSAPI encryption is used.",
        choices=("disable", "prefer", "require"),
    ),
    Key("krbsrvname", "text", "Kerberos service name of the server."),
    Key("gsslib", "text", "GSS library to use, on Windows."),
    Key("gssdelegation", "flag", "Hand the GSS credentials on to the server."),
    Key("replication", "text", "Speak the replication protocol instead of SQL."),
    Key("oauth_issuer", "text", "OAuth issuer to trust."),
    Key("oauth_client_id", "text", "OAuth client id."),
    Key("oauth_client_secret", "text", "OAuth client secret.", secret=True),
    Key("oauth_scope", "text", "OAuth scopes to ask for."),
)

# Defaults are psycopg_pool's own, but for max_waiting and max_lifetime, written out so that
# `explain` can name them.
POOL = _by_name(
    Key(
        "min_size",
        "integer",
        "Connections kept open.",
        default=4,
        minimum=0,
        example="2",
        why="A few callers at once need not wait for a connection to be made.",
    ),
    Key(
        "max_size", "integer", "Most connections; as min_size if left out.", minimum=1, example="10"
    ),
    Key(
        "timeout",
        "number",
        "Seconds to wait for a connection of the pool.",
        default=30.0,
        minimum=0.1,
        example="30",
        why="A restart or a failover is over by then, so callers wait instead of failing. 0 is "
        "refused: it would be no time at all, not time without end.",
    ),
    Key(
        "max_waiting",
        "integer",
        "Most callers that wait; 0 for any number.",
        default=2000,
        minimum=0,
        why="One more fails at once: a queue that long is not served in time, and only grows.",
    ),
    Key(
        "max_lifetime",
        "number",
        "Seconds that a connection is used, or idles; then it is replaced.",
        default=1800.0,
        minimum=1,
        why="Half of psycopg_pool's own: what is connected to an old host, or takes ever more "
        "memory on the server, ends before proxies and firewalls end it. 0 is refused: each "
        "connection would be replaced as soon as it is made.",
    ),
    Key(
        "max_idle",
        "number",
        "Seconds that a spare connection is kept.",
        default=600.0,
        minimum=1,
        why="The next peak of the load finds it, and a quiet night gives the server its memory "
        "back. 0 is refused: the pool would do nothing but look for one to close.",
    ),
    Key(
        "reconnect_timeout",
        "number",
        "Seconds of trying before a lost connection is given up.",
        default=300.0,
        minimum=0,
        why="Attempts are at most 0.4 s apart, however long an outage has lasted; a server that "
        "refuses is asked once a second, for 60 s at most. What was given up is tried again when a "
        "caller asks for it.",
    ),
    Key(
        "num_workers",
        "integer",
        "Background workers that connect.",
        default=3,
        minimum=1,
        why="So many log in at once: more fill a pool faster, and are a storm to a server that has "
        "just started.",
    ),
    Key("name", "text", "Name of the pool in logs and metrics."),
    Key(
        "leak_threshold",
        "number",
        "Seconds until a borrowed connection is reported.",
        minimum=0.1,
        why="If left out, nobody is watched. One warning tells file, line, and thread or task.",
    ),
    Key(
        "check_on_checkout",
        "boolean",
        "Test each connection before it is handed out.",
        default=False,
        why="Without it, one that idled for half a second is, which costs next to nothing.",
    ),
)

# What no connection can see, and only audits and recommendations read.
SERVER = _by_name(
    Key("cpus", "integer", "CPU cores of the server.", minimum=1, example="8"),
    Key("memory", "memory", "Memory of the server's machine.", example="32GB"),
    Key("storage", "text", "What its data is stored on.", choices=("ssd", "disk"), example="ssd"),
    Key(
        "workload",
        "text",
        "What it mostly does; dw is a data warehouse.",
        choices=("web", "oltp", "dw", "mixed", "desktop"),
        example="web",
    ),
    Key(
        "idle_limit",
        "integer",
        "Seconds of silence that load balancers and firewalls allow.",
        minimum=1,
        example="350",
    ),
    Key(
        "other_connections",
        "integer",
        "Connections of programs that are no services.",
        minimum=0,
        example="10",
    ),
    Key("system_identifier", "text", "The cluster that is meant, by pg_control_system()."),
    Key("shared", "boolean", "Another environment is meant to share the cluster."),
    Key("pooler_clients", "integer", "Most clients that the pooler takes.", minimum=1),
    Key(
        "pooler_connections",
        "integer",
        "Most connections of the pooler to the server.",
        minimum=1,
    ),
)

TYPE = Key(
    "connection_type",
    "text",
    "The type that is used when the code asks for none.",
    default="normal",
    choices=CONNECTION_TYPES,
)
POOLER = Key(
    "pooler",
    "text",
    "What stands between this program and the server.",
    choices=("transaction", "session", "pgbouncer"),
)

# What a section holds: a table of keys, PostgreSQL parameters, a single value, or a list.
Shape: TypeAlias = Literal[
    "connection", "pool", "server", "parameters", "scalar", "list", "connections"
]
TABLES: Mapping[Shape, Mapping[str, Key]] = {
    "connection": CONNECTION,
    "pool": POOL,
    "server": SERVER,
}


@dataclass(frozen=True, slots=True)
class Section:
    """A top-level key of a file. ``target`` sections may also stand inside a named connection."""

    name: str
    shape: Shape
    doc: str
    target: bool = False
    key: Key | None = None
    only_in: Literal["base", "overlay"] | None = None

    @property
    def is_map(self) -> bool:
        """Whether it holds keys of its own, and not one value or a list."""
        return self.shape not in ("scalar", "list")

    @property
    def has_keys(self) -> bool:
        """Whether what it holds are single values by their names."""
        return self.is_map and self.shape != "connections"


SECTIONS = {
    section.name: section
    for section in (
        Section("connection_type", "scalar", TYPE.doc, target=True, key=TYPE),
        Section("connection_settings", "connection", "Where to connect, and as whom.", target=True),
        Section("session_settings", "parameters", "PostgreSQL parameters, all types.", target=True),
        Section("sync_settings", "parameters", "The same, only normal and pool.", target=True),
        Section(
            "async_settings", "parameters", "The same, only async and async_pool.", target=True
        ),
        Section("pool_settings", "pool", "The pool of type pool.", target=True),
        Section("async_pool_settings", "pool", "The pool of type async_pool.", target=True),
        Section("pooler", "scalar", POOLER.doc, target=True, key=POOLER),
        Section(
            "server", "server", "What is known of the server, for recommend and audit.", target=True
        ),
        Section(
            "secret_stores",
            "list",
            "Stores that secrets are looked up in, weakest first; only in a project.",
        ),
        Section(
            "connection_limit",
            "scalar",
            "Most connections that the server has for the services, for capacity checks.",
            target=True,
            key=Key(
                "connection_limit",
                "integer",
                "Most connections that the server has for the services.",
                minimum=1,
            ),
        ),
        Section("connections", "connections", "Named targets; each inherits what it leaves out."),
        Section("services", "list", "Programs that connect, for capacity checks."),
        Section("client_addresses", "list", "Networks that clients connect from (CIDR)."),
        Section(
            "protected",
            "scalar",
            "Production-like: strict rules apply.",
            key=Key("protected", "boolean", "Production-like: strict rules apply.", default=False),
        ),
        Section(
            "local",
            "scalar",
            "Connect to the embedded PostgreSQL, started on first use.",
            key=Key("local", "boolean", "Connect to the embedded PostgreSQL.", default=False),
        ),
        Section("policy", "list", "The project's own rules for check.", only_in="base"),
        Section("expected_differences", "list", "Keys that diff folds away.", only_in="base"),
        Section(
            "extends",
            "scalar",
            "The environment that this one is built on.",
            key=Key("extends", "text", "The environment that this one is built on."),
            only_in="overlay",
        ),
    )
}

SECRET_STORES = ("sealed", "keyring")
