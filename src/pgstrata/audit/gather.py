"""Looking at many servers at once: each in a thread of its own, none waits for another."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from time import monotonic, perf_counter

import psycopg

from pgstrata.audit import outside, session
from pgstrata.audit.facts import APPLICATION
from pgstrata.audit.hba.attempt import is_physical
from pgstrata.audit.model import Gap, Snapshot
from pgstrata.check.scope import Connection
from pgstrata.connect.conninfo import Conninfo, conninfo
from pgstrata.errors import PgstrataError
from pgstrata.secrets.redact import redact_text

CONNECT_SECONDS = (5, 30)  # where the client would wait without end, and the most that it may
LOOK_SECONDS = 20  # for all that comes after connecting
START_SECONDS = 60  # for an embedded server that is not started yet

# Who logs in: --login takes these of another connection.
CREDENTIALS = (
    *("user", "password", "passfile", "sslcert", "sslkey", "sslpassword", "sslcertmode"),
    *("scram_client_key", "scram_server_key", "require_auth", "krbsrvname", "gssdelegation"),
    *("oauth_issuer", "oauth_client_id", "oauth_client_secret", "oauth_scope"),
)
# Each host is visited by itself, whatever its role; and poolers refuse a start-up with options.
_LEFT_OUT = ("options", "load_balance_hosts", "replication", "host", "hostaddr", "port")


@dataclass(frozen=True)
class Endpoint:
    """One server of one connection: what the client connects to it with, and what the auditor
    does.
    """

    client: Connection
    own: Conninfo
    login: Conninfo

    @property
    def host(self) -> str:
        """Host, socket folder or address; empty where libpq chooses."""
        return self._keyword("host") or self._keyword("hostaddr")

    @property
    def port(self) -> str:
        """Port, as configured."""
        return self._keyword("port") or "5432"

    @property
    def seconds(self) -> int:
        """The most time that connecting may take."""
        return START_SECONDS if self.login.local else int(self._keyword("connect_timeout"))

    def _keyword(self, name: str) -> str:
        return str(self.login.keywords.get(name, ""))


def endpoints(client: Connection, login: str | None = None) -> Iterator[Endpoint]:
    """Yield each host of a connection by itself. ``login`` names the connection whose credentials
    are used. Raises ``UnknownKeyError`` where there is none of that name.
    """
    own = conninfo(client.config, client.name, "normal")
    keywords = {key: value for key, value in own.keywords.items() if key not in _LEFT_OUT}
    theirs = dict(keywords)
    if login is not None:
        others = conninfo(client.config, login, "normal").keywords
        theirs = {key: value for key, value in keywords.items() if key not in CREDENTIALS}
        theirs |= {key: value for key, value in others.items() if key in CREDENTIALS}
    theirs |= {
        "application_name": APPLICATION,
        "client_encoding": "UTF8",  # as JSON is read
        "target_session_attrs": "any",
        "connect_timeout": str(_connect_seconds(client)),
    }
    for place in hosts_of(client):
        made_with = replace(
            own, keywords=theirs | place, session=None, prepare=False, autocommit=True
        )
        yield Endpoint(client, replace(own, keywords=keywords | place), made_with)


def hosts_of(client: Connection) -> list[dict[str, str]]:
    """Return host, hostaddr and port of each host, as far as they are set."""
    lists = {name: _split(client.keyword(name)) for name in ("host", "hostaddr", "port")}
    many = max(len(lists["host"]), len(lists["hostaddr"]), 1)
    for name, values in lists.items():
        lists[name] = values * many if len(values) == 1 and name == "port" else values
    return [
        {name: values[n] for name, values in lists.items() if n < len(values) and values[n]}
        for n in range(many)
    ]


def _split(value: object) -> list[str]:
    return [part.strip() for part in str(value).split(",")] if value else []


def _connect_seconds(client: Connection) -> int:
    default, most = CONNECT_SECONDS
    said = client.keyword("connect_timeout")
    return min(int(str(said or 0)) or default, most)


def gather(places: Sequence[Endpoint], *, probe: bool = True) -> list[Snapshot]:
    """Look at all endpoints at once and return what was seen, in their order.

    One that does not answer in time is there with an ``error``. Its thread is left behind: libpq
    may sit in a look-up of a name, which nothing can interrupt.
    """
    began = monotonic()
    looks = [_Look(place, probe=probe) for place in places]
    for look in looks:
        look.thread.start()
    return [look.result(began) for look in looks]


class _Look:
    """One thread that looks at one endpoint."""

    def __init__(self, place: Endpoint, *, probe: bool) -> None:
        self.place = place
        self.probe = probe
        self.found: Snapshot | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self.found = look(self.place, probe=self.probe)

    def result(self, began: float) -> Snapshot:
        seconds = self.place.seconds + LOOK_SECONDS
        self.thread.join(max(began + seconds - monotonic(), 0))
        return self.found or replace(
            _nothing(self.place),
            seconds=round(monotonic() - began, 3),
            error=f"no answer within {seconds} s",
        )


def look(place: Endpoint, *, probe: bool = True) -> Snapshot:
    """Look at one endpoint. Whatever goes wrong is the snapshot's ``error``.

    The looks follow each other: the auditor never holds more than one slot of the server.
    """
    began = perf_counter()
    snapshot = _nothing(place)
    silent = False
    try:
        snapshot = _from_inside(place, snapshot)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is this endpoint's alone
        snapshot = replace(snapshot, error=_said(error))
        silent = isinstance(error.__cause__, psycopg.errors.ConnectionTimeout)
    if not (silent or (place.own.local and snapshot.error)):
        snapshot = _from_outside(place, snapshot, probe=probe)
    return replace(snapshot, seconds=round(perf_counter() - began, 3))


def _from_inside(place: Endpoint, snapshot: Snapshot) -> Snapshot:
    user, viewer = (one.keywords.get("user") for one in (place.own, place.login))
    # Of the same user the server's own word counts: a pooler may log in as another, and an
    # embedded server says by itself who does.
    same = user == viewer or place.own.local is not None
    seen = session.read(place.login, None if same else str(user))
    client = seen.facts["client"][0]
    return replace(
        snapshot,
        host=place.host or client["host"],
        port=str(client["server_port"]),
        viewer=seen.caps["session_user"],
        facts=seen.facts,
        gaps=seen.gaps,
    )


def _from_outside(place: Endpoint, snapshot: Snapshot, *, probe: bool) -> Snapshot:
    """Add what can be seen without logging in; a fault of it takes nothing from the rest."""
    try:
        parameters = outside.parameters_of(place.own)
        parameters.setdefault("user", str(place.client.keyword("user") or snapshot.viewer))
        if place.own.local:  # the embedded server said by itself where it is, and who logs in
            server = {"host": snapshot.host, "port": snapshot.port, "user": snapshot.viewer}
            parameters |= server
        snapshot = replace(snapshot, facts={**snapshot.facts, **outside.files(parameters)})
        if probe and parameters["user"]:
            replication = is_physical(place.client.keyword("replication"))
            probes = outside.probes(parameters, place.seconds, replication=replication)
            snapshot = replace(snapshot, probe=probes)
            if probes["plain"]["request"] != "unreachable":
                shaken = outside.shaken(parameters, place.seconds, probes)
                snapshot = replace(snapshot, handshake=shaken)
    except (PgstrataError, OSError) as error:
        gaps = {**snapshot.gaps, "probe": Gap(_said(error))}
        snapshot = replace(snapshot, gaps=gaps)
    return snapshot


def _said(error: Exception) -> str:
    """Return an error in one line, with its hint; ``connect`` has masked the secrets of its own."""
    if isinstance(error, PgstrataError | psycopg.Error | session.TooOldError):
        hint = getattr(error, "hint", "")
        return " ".join(f"{error}{f' ({hint})' if hint else ''}".split())
    return redact_text(f"internal error: {type(error).__name__}: {error}")


def _nothing(place: Endpoint) -> Snapshot:
    taken = datetime.now(timezone.utc).isoformat(timespec="seconds")
    client = place.client
    return Snapshot(client.environment, client.name, place.host, place.port, taken)
