from __future__ import annotations

from typing import Any

import pytest
from tests.recommend.conftest import Recommended, lines, notes

FULL = {"sslmode": "verify-full", "sslrootcert": "system"}


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({}, ["listen_addresses = '*'"]),
        ({"host": "localhost"}, ["listen_addresses = 'localhost'"]),
        ({"host": "localhost,db"}, ["listen_addresses = '*'"]),
        ({"port": 5433}, ["listen_addresses = '*'", "port = 5433"]),
        ({"host": "a,b", "port": "5433,5434"}, ["listen_addresses = '*'"]),
        ({"host": "/run/Pg"}, ["unix_socket_directories = '/run/Pg'"]),
        ({"host": "/my pg,/it's"}, ["unix_socket_directories = '\"/my pg\", \"/it''s\"'"]),
        ({"host": r"/a\b"}, [r"""unix_socket_directories = '"/a\\b"'"""]),
    ],
)
def test_where_the_server_listens(
    recommended: Recommended, over: dict[str, Any], expected: list[str]
) -> None:
    """Where the clients look for it, and nowhere else."""
    found = [line for line in lines(recommended(over), "conf") if "password_encryption" not in line]
    assert found == expected


@pytest.mark.parametrize("mode", [None, "disable", "allow", "prefer"])
def test_tls_is_not_asked_of_a_server_that_no_client_asks(
    recommended: Recommended, mode: str | None
) -> None:
    """An optional one is not contradicted either: no line turns it off."""
    assert not [line for line in lines(recommended({"sslmode": mode})) if "ssl" in line]


@pytest.mark.parametrize(
    ("over", "oldest"),
    [
        ({}, "TLSv1.2"),
        ({"ssl_min_protocol_version": "TLSv1.3"}, "TLSv1.3"),
        ({"ssl_min_protocol_version": "TLSv1"}, "TLSv1.2"),
        ({"ssl_min_protocol_version": "TLSv1", "ssl_max_protocol_version": "TLSv1.1"}, "TLSv1.1"),
    ],
)
def test_the_oldest_version(recommended: Recommended, over: dict[str, Any], oldest: str) -> None:
    """What the clients agree to, and nothing that is broken unless a client can do no better."""
    found = lines(recommended({**FULL, **over}))
    assert "ssl = on" in found
    assert f"ssl_min_protocol_version = '{oldest}'" in found


def test_the_weakest_client_decides(recommended: Recommended) -> None:
    """All of them have to get in."""
    found = recommended(
        {**FULL, "ssl_min_protocol_version": "TLSv1.3"},
        connections={"old": {"connection_settings": {"ssl_min_protocol_version": "TLSv1.2"}}},
    )
    assert "ssl_min_protocol_version = 'TLSv1.2'" in lines(found)


def test_a_ca_only_for_clients_with_a_certificate(recommended: Recommended) -> None:
    """verify-full is about the server's certificate, and asks for none of the client."""
    assert not [line for line in lines(recommended(FULL)) if "ssl_ca_file" in line]
    found = recommended({**FULL, "sslcert": "client.crt"})
    assert "ssl_ca_file = 'root.crt'" in lines(found)


@pytest.mark.parametrize(
    ("over", "says"),
    [
        (FULL, "directory, for db.example.com, signed by a CA of the client system"),
        (
            {"sslmode": "verify-full", "sslrootcert": "ca.crt", "host": "a,b"},
            "directory, for a and b, signed by a CA of ca.crt",
        ),
        ({"sslmode": "verify-ca", "sslrootcert": "ca.crt"}, "directory, signed by a CA of ca.crt"),
        ({"sslmode": "require"}, "directory"),
    ],
)
def test_the_servers_certificate_is_left_to_do_by_hand(
    recommended: Recommended, over: dict[str, Any], says: str
) -> None:
    """With what the client will verify."""
    assert notes(recommended(over)).endswith(says)
