"""Looking at many servers at once: each in a thread of its own, none waits for another."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from time import monotonic, perf_counter

import psycopg

from pgstrata.audit import session
from pgstrata.audit.model import Snapshot
from pgstrata.check.scope import Connection
from pgstrata.connect.conninfo import Conninfo, conninfo
from pgstrata.errors import PgstrataError
from pgstrata.secrets.redact import redact_text

APPLICATION = "pgstrata_audit"
CONNECT_SECONDS = (5, 30)  # where the client would wait without end, and the most that it may
LOOK_SECONDS = 20  # for all that comes after connecting

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
    """One server of one connection, and what the auditor connects to it with."""

    client: Connection
    made_with: Conninfo
    own_login: bool = True

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
        return int(self._keyword("connect_timeout"))

    def _keyword(self, name: str) -> str:
        return str(self.made_with.keywords.get(name, ""))


def endpoints(client: Connection, login: str | None = None) -> Iterator[Endpoint]:
    """Yield each host of a connection by itself. ``login`` names the connection whose credentials
    are used. Raises ``UnknownKeyError`` where there is none of that name.
    """
    made_with = conninfo(client.config, client.name, "normal")
    keywords = {key: value for key, value in made_with.keywords.items() if key not in _LEFT_OUT}
    if login is not None:
        theirs = conninfo(client.config, login, "normal").keywords
        keywords = {key: value for key, value in keywords.items() if key not in CREDENTIALS}
        keywords |= {key: value for key, value in theirs.items() if key in CREDENTIALS}
    keywords |= {
        "application_name": APPLICATION,
        "target_session_attrs": "any",
        "connect_timeout": str(_connect_seconds(client)),
    }
    common = replace(made_with, session=None, prepare=False, autocommit=True)
    for place in _places(client):
        yield Endpoint(client, replace(common, keywords=keywords | place), login is None)


def _places(client: Connection) -> list[dict[str, str]]:
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
    """Look at one endpoint. Whatever goes wrong is the snapshot's ``error``."""
    began = perf_counter()
    snapshot = _nothing(place)
    user = None if place.own_login else str(place.client.keyword("user") or "")
    try:
        seen = session.read(place.made_with, user)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is this endpoint's alone
        snapshot = replace(snapshot, error=_said(error))
    else:
        client = seen.facts["client"][0]
        snapshot = replace(
            snapshot,
            host=place.host or client["host"],
            port=str(client["server_port"]),
            viewer=seen.caps["session_user"],
            facts=seen.facts,
            gaps=seen.gaps,
        )
    return replace(snapshot, seconds=round(perf_counter() - began, 3))


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
