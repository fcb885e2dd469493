from __future__ import annotations

from typing import Any

import pytest

from pgstrata.client_addresses import networks
from pgstrata.errors import InvalidConfigError
from pgstrata.loading import load_mapping
from pgstrata.model import Config


def config(addresses: list[Any]) -> Config:
    """Return an environment whose clients connect from these addresses."""
    place = {"host": "a", "dbname": "a", "user": "a"}
    return load_mapping({"connection_settings": place, "client_addresses": addresses})


def test_networks_are_read_as_the_server_reads_them() -> None:
    """A bare address is one client, host bits are dropped, and what is said twice counts once."""
    said = ["10.20.1.7/16", "10.20.0.0/16", "192.0.2.9", "2001:db8::/32"]
    assert [str(network) for network in networks(config(said))] == [
        "10.20.0.0/16",
        "192.0.2.9/32",
        "2001:db8::/32",
    ]
    assert networks(config([])) == ()


def test_all_that_is_no_network_is_told_at_once() -> None:
    """A host name is none."""
    with pytest.raises(InvalidConfigError) as caught:
        networks(config(["10.0.0.0/33", "app.example.com", "10.0.0.0/8"]))
    assert [finding.message.split("'")[1] for finding in caught.value.findings] == [
        "10.0.0.0/33",
        "app.example.com",
    ]
