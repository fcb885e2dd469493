from __future__ import annotations

import pytest
from tests.recommend.conftest import Recommended, lines, missing, notes

SERVICES = [{"name": "web", "replicas": 50}]


def test_memory_is_shared_out(recommended: Recommended) -> None:
    """A quarter for shared_buffers, and the rest of it by connections and workers."""
    found = recommended(server={"memory": "16GB"}, services=SERVICES)
    assert [line for line in lines(found, "conf") if "mem" in line or "buffers" in line] == [
        "shared_buffers = 4096MB",
        "maintenance_work_mem = 1024MB",
        "work_mem = 37MB",
    ]
    assert "effective_cache_size = 12288MB" in lines(found)
    formulas = {item.line.split()[0]: item.formula for item in found.servers[0].advice}
    assert formulas["work_mem"] == (
        "max((16GB - shared_buffers) / ((100 + 8 workers) * 3), 4MB) = 37MB"
    )


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        ("1TB", "maintenance_work_mem = 8192MB"),
        ("1GB", "work_mem = 4MB"),
        ("300MB", "shared_buffers = 75MB"),
    ],
)
def test_limits(recommended: Recommended, memory: str, expected: str) -> None:
    """A small machine keeps PostgreSQL's default, a large one does not give all to one job."""
    assert expected in lines(recommended(server={"memory": memory}, services=SERVICES))


def test_work_mem_needs_the_number_of_connections(recommended: Recommended) -> None:
    """Which the services say."""
    found = recommended(server={"memory": "16GB"})
    assert not [line for line in lines(found) if line.startswith("work_mem")]


def test_nothing_is_guessed_of_the_machine(recommended: Recommended) -> None:
    """Each of the three is asked for by its name; for another server, by its own."""
    keys = {"server.memory", "server.cpus", "server.storage"}
    assert keys <= set(missing(recommended()))
    found = recommended(
        server={"memory": "1GB", "cpus": 2, "storage": "disk"},
        connections={"other": {"connection_settings": {"host": "other"}, "server": {"cpus": 4}}},
    )
    assert not {key for key in missing(found) if key.endswith(tuple(keys))}
    found = recommended(connections={"other": {"connection_settings": {"host": "other"}}})
    asked = {item.key: item.example for item in found.servers[1].missing}
    assert asked["connections.other.server.cpus"] == (
        "connections:\n  other:\n    server:\n      cpus: 8"
    )


def test_storage(recommended: Recommended) -> None:
    """A disk is what PostgreSQL's default is made for, and a warehouse that reads in order."""
    warehouse = recommended(server={"storage": "ssd", "workload": "dw"})
    assert not [line for line in lines(warehouse) if "random_page_cost" in line]
    assert "random_page_cost = 1.1" in lines(recommended(server={"storage": "ssd"}))
    assert not [
        line for line in lines(recommended(server={"storage": "disk"})) if "page_cost" in line
    ]


def test_too_many_connections_for_the_processors(recommended: Recommended) -> None:
    """Then a pooler helps, and more slots do not."""
    assert "more than 10 * 4 CPUs" in notes(recommended(server={"cpus": 4}, services=SERVICES))
    assert "CPUs" not in notes(recommended(server={"cpus": 5}, services=SERVICES))


def test_memory_that_all_together_cannot_have(recommended: Recommended) -> None:
    """The client's own work_mem, times what may be open."""
    sections = {"server": {"memory": "16GB"}, "services": SERVICES}
    found = recommended(session_settings={"work_mem": "256MB"}, **sections)
    assert "work_mem * 2 (hash_mem_multiplier) * 50 connections = 25600MB" in notes(found)
    assert "work_mem" not in notes(recommended(session_settings={"work_mem": "64MB"}, **sections))
