"""A network of its own, in which packets can be lost: only for root on Linux."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

from pgstrata.local.account import is_root

if TYPE_CHECKING:
    from typing_extensions import Self

NEWNET = 0x40000000  # CLONE_NEWNET of sched.h
NOBODY = "02:00:00:00:00:01"  # a hardware address that no card has


@cache
def available() -> bool:
    """Say whether this process may make namespaces and mounts; root in a container may not."""
    if not is_root() or which("ip") is None or which("unshare") is None:
        return False
    trial = ["unshare", "--mount", "--net", "true"]
    return subprocess.run(trial, check=False, capture_output=True).returncode == 0


class Network:
    """A namespace with one address, at the other end of a pair of virtual cards.

    The network is 198.18.0.0/15, which is set aside for tests and routed nowhere.
    """

    def __init__(self) -> None:
        tag = uuid.uuid4()
        self.name = f"faults-{tag.hex[:6]}"
        self._card, self._far = f"f{tag.hex[:6]}a", f"f{tag.hex[:6]}b"
        base = tag.int % (1 << 15) * 4
        self._near, self.host = (_address(base + offset) for offset in (1, 2))

    def __enter__(self) -> Self:
        _ip("netns", "add", self.name)
        inside = ("-n", self.name)
        _ip("link", "add", self._card, "type", "veth", "peer", self._far, "netns", self.name)
        _ip("addr", "add", f"{self._near}/30", "dev", self._card)
        _ip(*inside, "addr", "add", f"{self.host}/30", "dev", self._far)
        _ip("link", "set", self._card, "up")
        _ip(*inside, "link", "set", self._far, "up")
        return self

    def __exit__(self, *_: object) -> None:
        _ip("netns", "del", self.name)  # and with it both cards

    def listener(self) -> socket.socket:
        """Return a socket that listens inside the namespace; this process may accept from it."""
        made: list[socket.socket] = []
        _within(self.name, lambda: made.append(socket.create_server((self.host, 0))))
        return made[0]

    def lose(self) -> None:
        """Lose all packets in both directions, without a word: no card has their address."""
        _ip("neigh", "replace", self.host, "lladdr", NOBODY, "dev", self._card, "nud", "permanent")
        _ip(
            *("-n", self.name, "neigh", "replace", self._near, "lladdr", NOBODY),
            *("dev", self._far, "nud", "permanent"),
        )

    def heal(self) -> None:
        """Let packets pass again."""
        _ip("neigh", "del", self.host, "dev", self._card)
        _ip("-n", self.name, "neigh", "del", self._near, "dev", self._far)


def _within(name: str, work: Callable[[], object]) -> None:
    """Do something in a namespace: a thread enters it, and ends."""

    def enter() -> None:
        with Path("/run/netns", name).open() as file:
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), NEWNET):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        work()

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()


def _address(offset: int) -> str:
    return socket.inet_ntoa(((198 << 24 | 18 << 16) + offset).to_bytes(4, "big"))


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
