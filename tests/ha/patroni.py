"""A Patroni cluster: three PostgreSQL servers on this machine, and etcd, which they agree by."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.error import HTTPError

import psycopg
from tests.ha import nodes
from tests.servers import PASSWORD, SUPERUSER

from pgstrata.local.cluster import free_port

NAMES = ("one", "two", "three")
PATIENCE = 120.0
# The least that Patroni takes, so that a dead leader is replaced after 20 s. Commits wait for a
# standby: so no failover loses one.
AGREED = {
    "ttl": 20,
    "loop_wait": 1,
    "retry_timeout": 3,
    "synchronous_mode": True,
    "postgresql": {"use_pg_rewind": False, "parameters": {"max_connections": 60, "fsync": "off"}},
}
INITDB = ["no-sync", {"auth": "scram-sha-256"}, {"encoding": "UTF8"}, {"locale": "C"}]


class Node:
    """One server: ``name``, ``port``, and the port of its REST interface, ``rest``."""

    def __init__(self, name: str, folder: Path, etcd: int) -> None:
        self.name, self.port, self.rest = name, free_port(), free_port()
        self._folder, self._data = folder, folder / name
        content = json.dumps(_settings(self, etcd, self._data))  # JSON is YAML too
        self._file = nodes.private(folder / f"{name}.yaml", content)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start Patroni, which starts its server."""
        (patroni,) = nodes.programs("patroni")
        self._process = nodes.launch([patroni, self._file], self._folder, f"{self.name}.log")

    def stop(self) -> None:
        """Stop Patroni, and with it the server."""
        if self._process is not None:
            nodes.end(self._process)

    def kill(self) -> None:
        """Kill Patroni and its server, as when the machine dies."""
        assert self._process is not None
        postmaster = int((self._data / "postmaster.pid").read_text().split("\n")[0])
        self._process.kill()
        self._process.wait()
        os.kill(postmaster, signal.SIGKILL)

    def ask(self, path: str) -> dict[str, Any]:
        """Return what the node says; nothing while it does not answer."""
        with suppress(OSError, ValueError):
            url = f"http://127.0.0.1:{self.rest}/{path}"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return dict(json.load(answer))
        return {}

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Run a statement as the superuser; return the rows."""
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user=SUPERUSER, password=PASSWORD,
            dbname="postgres", autocommit=True,
        ) as connection:  # fmt: skip
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def log_text(self) -> str:
        """Return the end of what Patroni has said."""
        return (self._folder / f"{self.name}.log").read_text(errors="replace")[-2000:]


class Cluster:
    """The three nodes."""

    def __init__(self, folder: Path, etcd: int) -> None:
        self.nodes = [Node(name, folder, etcd) for name in NAMES]

    def leader(self, *, but: Node | None = None) -> Node:
        """Return the node that may be written to; wait until it has a standby that may replace it,
        and all of them know that.
        """
        deadline = monotonic() + PATIENCE
        while monotonic() < deadline:
            for node in self.nodes:
                members = node.ask("cluster").get("members", ())
                roles = {member["name"]: member["role"] for member in members}
                replaceable = "sync_standby" in roles.values()
                if node is not but and roles.get(node.name) == "leader" and replaceable:
                    return node
            sleep(0.05)
        raise AssertionError(f"no leader: {[node.log_text() for node in self.nodes]}")

    def switch_over(self, leader: Node) -> None:
        """Ask the leader to hand over, until one of the others is found fit."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{leader.rest}/switchover",
            data=json.dumps({"leader": leader.name}).encode(),
            headers={"Content-Type": "application/json"},
        )
        deadline = monotonic() + PATIENCE
        while True:
            try:
                urllib.request.urlopen(request, timeout=PATIENCE).close()
            except HTTPError as refusal:
                refusal.close()
                if monotonic() > deadline:
                    raise
                sleep(0.2)
            else:
                return


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Run a cluster whose three nodes are up; stop and remove it at the end."""
    (etcd,) = nodes.programs("etcd")
    nodes.programs("patroni")
    nodes.bindir()
    with nodes.home() as folder:
        client, peer = free_port(), free_port()
        agreeing = nodes.launch([etcd, *_etcd_options(folder, client, peer)], folder, "etcd.log")
        made = Cluster(folder, client)
        try:
            made.nodes[0].start()
            _wait(made.nodes[0], "master")
            for node in made.nodes[1:]:
                node.start()
            for node in made.nodes[1:]:
                _wait(node, "replica")
            yield made
        finally:
            for node in made.nodes:
                node.stop()
            nodes.end(agreeing)


def _wait(node: Node, role: str) -> None:
    deadline = monotonic() + PATIENCE
    while not {"role": role, "state": "running"}.items() <= node.ask("patroni").items():
        assert monotonic() < deadline, f"{node.name} is no {role}: {node.log_text()}"
        sleep(0.1)


def _etcd_options(folder: Path, client: int, peer: int) -> list[str]:
    return [
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls=http://127.0.0.1:{client}",
        f"--advertise-client-urls=http://127.0.0.1:{client}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-cluster=default=http://127.0.0.1:{peer}",
    ]


def _settings(node: Node, etcd: int, data: Path) -> dict[str, Any]:
    user = {"username": SUPERUSER, "password": PASSWORD}
    return {
        "scope": "faults",
        "name": node.name,
        "restapi": {"listen": f"127.0.0.1:{node.rest}"},
        "etcd3": {"host": f"127.0.0.1:{etcd}"},
        "bootstrap": {"dcs": AGREED, "initdb": INITDB},
        "postgresql": {
            "listen": f"127.0.0.1:{node.port}",
            "data_dir": str(data),
            "bin_dir": str(nodes.bindir()),
            "authentication": {"superuser": user, "replication": user},
            "parameters": {"unix_socket_directories": str(data.parent)},
            "pg_hba": [
                "host all all 127.0.0.1/32 scram-sha-256",
                "host replication all 127.0.0.1/32 scram-sha-256",
                "local all all scram-sha-256",
            ],
        },
    }
