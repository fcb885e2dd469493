from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.recommend.conftest import PLACE, Recommended, lines, missing, notes, project

from pgstrata.errors import ConfigError, InvalidConfigError
from pgstrata.recommend.run import recommend

HERE = ["10.20.0.0/16"]
FULL = {"sslmode": "verify-full", "sslrootcert": "system"}
CERT = {**FULL, "sslcert": "client.crt", "sslkey": "client.key"}


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({}, "host app app 10.20.0.0/16 scram-sha-256"),
        ({"sslmode": "disable"}, "host app app 10.20.0.0/16 scram-sha-256"),
        ({"sslmode": "require"}, "hostssl app app 10.20.0.0/16 scram-sha-256"),
        (FULL, "hostssl app app 10.20.0.0/16 scram-sha-256"),
        (CERT, "hostssl app app 10.20.0.0/16 scram-sha-256 clientcert=verify-ca"),
        ({**CERT, "password": None}, "hostssl app app 10.20.0.0/16 cert"),
        ({**CERT, "sslcertmode": "disable"}, "hostssl app app 10.20.0.0/16 scram-sha-256"),
        (
            {**CERT, "sslmode": "prefer", "sslrootcert": "ca.crt"},
            "host app app 10.20.0.0/16 scram-sha-256",
        ),
        ({"require_auth": "scram-sha-256"}, "host app app 10.20.0.0/16 scram-sha-256"),
        ({"require_auth": "!password,!md5"}, "host app app 10.20.0.0/16 scram-sha-256"),
        ({"dbname": "all", "user": "a b"}, 'host "all" "a b" 10.20.0.0/16 scram-sha-256'),
        ({"replication": "true"}, "host replication app 10.20.0.0/16 scram-sha-256"),
        ({"replication": "database"}, "host app app 10.20.0.0/16 scram-sha-256"),
        ({"host": "/run/postgresql"}, "local app app scram-sha-256"),
        ({"host": "/run/postgresql", "password": None}, "local app app peer"),
    ],
)
def test_one_line_for_one_way_in(
    recommended: Recommended, over: dict[str, Any], expected: str
) -> None:
    """Exactly as wide as the client needs: its role, its database, its networks, its proof."""
    assert lines(recommended(over, client_addresses=HERE), "hba") == [expected]


def test_the_servers_own_host_is_no_client(recommended: Recommended) -> None:
    """Without declared addresses nothing is recommended, and they are asked for."""
    found = recommended({"host": "10.1.2.3"})
    assert lines(found, "hba") == []
    assert "client_addresses" in missing(found)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", ["127.0.0.1/32", "::1/128"]),
        ("127.0.0.1", ["127.0.0.1/32"]),
        ("::1", ["::1/128"]),
    ],
)
def test_a_client_of_a_loopback_host_comes_from_loopback(
    recommended: Recommended, host: str, expected: list[str]
) -> None:
    """That is known without a declaration; what is declared comes on top."""
    found = recommended({"host": host})
    assert [line.split()[3] for line in lines(found, "hba")] == expected
    assert "client_addresses" not in missing(found)
    found = recommended({"host": host}, client_addresses=HERE)
    assert [line.split()[3] for line in lines(found, "hba")] == [*HERE, *expected]


def test_an_address_is_what_is_connected_to(recommended: Recommended) -> None:
    """With hostaddr, host is only a name for the certificate."""
    found = recommended({"host": "db.example.com", "hostaddr": "127.0.0.1"})
    assert [line.split()[3] for line in lines(found, "hba")] == ["127.0.0.1/32"]
    assert "listen_addresses = 'localhost'" in lines(found)


def test_each_connection_has_its_lines(recommended: Recommended) -> None:
    """And what two of them ask for alike is said once."""
    found = recommended(
        client_addresses=HERE,
        connections={
            "same": {"session_settings": {"statement_timeout": "1h"}},
            "other": {"connection_settings": {"dbname": "other"}},
        },
    )
    assert lines(found, "hba") == [
        "host app app 10.20.0.0/16 scram-sha-256",
        "host other app 10.20.0.0/16 scram-sha-256",
    ]


@pytest.mark.parametrize("over", [{"require_auth": "gss"}, {"require_auth": "!scram-sha-256"}])
def test_what_cannot_be_told_is_no_line(recommended: Recommended, over: dict[str, Any]) -> None:
    """Other methods are set up by hand."""
    found = recommended(over, client_addresses=HERE)
    assert lines(found, "hba") == []
    assert "default: no line is recommended" in notes(found)


def test_a_client_without_any_proof_is_asked_for_one(recommended: Recommended) -> None:
    """By the key of its own connection."""
    found = recommended(
        client_addresses=HERE,
        connections={"bare": {"connection_settings": {"password": None, "user": "bare"}}},
    )
    assert "connections.bare.connection_settings.password" in missing(found)
    assert "connection_settings.password" not in missing(found)


def test_every_line_says_why_and_where_from(recommended: Recommended) -> None:
    """The role, the mode and the addresses have places in the client's files."""
    (item,) = recommended(FULL, client_addresses=HERE).servers[0].of("hba")
    assert item.reason == "default: the client logs in with a password; sslmode verify-full"
    assert item.applies == "reload"
    assert len(item.origins) == 3
    assert all(str(origin).startswith("environments/base.yaml:") for origin in item.origins)


def test_a_network_that_is_none_is_an_error(tmp_path: Path) -> None:
    """Leaving it out would lock a client out."""
    config = project(tmp_path, connection_settings=PLACE, client_addresses=["10.0.0.0/33"])
    with pytest.raises(InvalidConfigError, match="is not a network"):
        recommend(config)


def test_a_name_that_no_line_can_hold_is_an_error(recommended: Recommended) -> None:
    """A line break would start a line of its own."""
    with pytest.raises(ConfigError, match=r"a\\nhost all all all trust.*line break"):
        recommended({"user": "a\nhost all all all trust"}, client_addresses=HERE)


def test_names_that_a_service_file_has_are_asked_for(recommended: Recommended) -> None:
    """Where the service is not known on this machine."""
    found = recommended({"host": None, "dbname": None, "user": None, "service": "shop"})
    assert {"connection_settings.user", "connection_settings.dbname"} <= set(missing(found))
    assert lines(found, "hba") == []
