from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from tests.audit.conftest import endpoint
from tests.servers import PASSWORD, Server

from pgstrata.audit.gather import endpoints, gather, look
from pgstrata.check.scope import Connection
from pgstrata.loading import load_mapping


@contextmanager
def black_hole() -> Iterator[int]:
    """Give the port of a listener that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def of(**settings: Any) -> Connection:
    """Return a connection with these settings."""
    config = load_mapping({"connection_settings": settings}, environ={})
    return Connection(config, "default", config.connection())


BASIC = {"user": "u", "dbname": "d"}


@pytest.mark.parametrize(
    ("settings", "places"),
    [
        ({"host": "a"}, ["a:5432"]),
        ({"host": "a,b,c"}, ["a:5432", "b:5432", "c:5432"]),
        ({"host": "a,b", "port": "1,2"}, ["a:1", "b:2"]),
        ({"host": "a,b", "port": 6432}, ["a:6432", "b:6432"]),
        ({"hostaddr": "10.0.0.1,10.0.0.2"}, ["10.0.0.1:5432", "10.0.0.2:5432"]),
        ({"host": "a,b", "hostaddr": "10.0.0.1,10.0.0.2"}, ["a:5432", "b:5432"]),
        ({"host": "/run/Postgres"}, ["/run/Postgres:5432"]),
        ({"host": "::1"}, ["::1:5432"]),
    ],
)
def test_every_host_is_an_endpoint(settings: dict[str, Any], places: list[str]) -> None:
    """Each with its own port, and none with the address of another."""
    found = list(endpoints(of(**BASIC, **settings)))
    assert [f"{one.host}:{one.port}" for one in found] == places
    addresses = [one.login.keywords.get("hostaddr") for one in found]
    assert addresses == (
        str(settings.get("hostaddr", "")).split(",")
        if "hostaddr" in settings
        else [None] * len(found)
    )


def test_what_would_choose_or_disturb_is_left_out() -> None:
    """Each host is visited whatever its role, and a pooler takes no options."""
    (place,) = endpoints(
        of(
            **BASIC,
            host="a",
            target_session_attrs="primary",
            options="-c work_mem=1MB",
            connect_timeout=0,
        )
    )
    keywords = place.login.keywords
    assert keywords["target_session_attrs"] == "any"
    assert "options" not in keywords
    assert keywords["connect_timeout"] == "5"
    assert not place.login.prepare
    assert place.login.session is None


def test_the_order_of_the_endpoints_stays(server: Server) -> None:
    """However long each takes."""
    made = [endpoint(server, user="postgres", dbname=name) for name in ("template1", "postgres")]
    seen = gather(made * 2, probe=False)
    assert [one.facts["caps"][0]["dbname"] for one in seen] == ["template1", "postgres"] * 2


def test_those_that_hang_delay_nobody(server: Server) -> None:
    """They wait side by side, and what the others say is there."""
    with black_hole() as port:
        began = time.monotonic()
        silent = endpoint(server, port=port, connect_timeout=2)
        *hung, fine = gather([*[silent] * 15, endpoint(server, user="postgres")])
        took = time.monotonic() - began
    assert all("timeout" in one.error for one in hung)
    assert fine.error == ""
    assert took < 15 * 2  # one after the other


def test_a_server_that_stops_answering_is_left_behind(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its snapshot says so when the time for a look is over, though its thread still waits."""
    monkeypatch.setattr("pgstrata.audit.gather.LOOK_SECONDS", 1)
    released = threading.Event()
    with stalled(server, released) as port:
        (seen,) = gather([endpoint(server, user="postgres", port=port, connect_timeout=2)])
        released.set()
    assert seen.error == "no answer within 3 s"
    assert seen.facts == {}


@contextmanager
def stalled(server: Server, released: threading.Event) -> Iterator[int]:
    """Give the port of a proxy to a server that passes a log-in on, and then nothing more."""
    ends: list[socket.socket] = []

    def serve() -> None:
        near, _ = listener.accept()
        far = socket.create_connection((server.host, server.port))
        ends.extend((near, far))
        back = threading.Thread(target=_pass_on, args=(far, near, None), daemon=True)
        back.start()
        _pass_on(near, far, released)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        for end in ends:
            end.close()


def _pass_on(
    source: socket.socket, target: socket.socket, released: threading.Event | None
) -> None:
    """Copy bytes; with an event, hold back the first query until it is set."""
    try:
        while data := source.recv(65536):
            if released is not None and data[:1] == b"Q":
                released.wait(60)
                return
            target.sendall(data)
    except OSError:
        return  # an end was closed


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"port": 1}, "Connection refused"),
        ({"password": "wrong-made-up"}, "password authentication failed"),
        ({"dbname": "nowhere"}, 'database "nowhere" does not exist'),
    ],
)
def test_why_a_server_could_not_be_looked_at_is_said(
    server: Server, over: dict[str, Any], words: str
) -> None:
    """In one line, without the password."""
    seen = look(endpoint(server, **{"user": "postgres", **over}))
    assert words in seen.error
    assert "\n" not in seen.error
    assert "wrong-made-up" not in seen.error
    assert PASSWORD not in repr(seen)


def test_what_the_server_asks_is_seen_though_nobody_gets_in(server: Server) -> None:
    """The probe needs no password, so a wrong one does not blind it."""
    seen = look(endpoint(server, user="postgres", password="wrong-made-up"))
    assert seen.error
    assert seen.probe is not None
    assert seen.probe["plain"]["request"] == "scram"
    assert seen.handshake is not None
    assert seen.handshake["offered"] is False


def test_without_the_probe_the_server_is_only_logged_in_to(server: Server) -> None:
    """Then nothing is known of what it asks."""
    seen = look(endpoint(server, user="postgres"), probe=False)
    assert (seen.probe, seen.handshake) == (None, None)


def test_auditors_are_not_counted_as_programs(server: Server) -> None:
    """Those of other environments are there at the same moment."""
    with psycopg.connect(**server.keywords(application_name="pgstrata_audit")):
        seen = look(endpoint(server, user="postgres"), probe=False)
    names = {one["application_name"] for one in seen.facts["connections"]}
    assert "pgstrata_audit" not in names
