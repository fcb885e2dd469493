"""What can be seen of a server without logging in, and of the files that the client brings along.

Nothing secret is sent: see ``wire.probe``. It is seen with the client's own user and files, whoever
logs in for the rest.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pgstrata.audit.model import Row
from pgstrata.audit.wire.certificate import certificates
from pgstrata.audit.wire.handshake import Handshake, handshake
from pgstrata.audit.wire.probe import ProbeTransport, probe
from pgstrata.audit.wire.stream import socket_path
from pgstrata.audit.wire.tls import SYSTEM, client_certificate, default_file, roots_of
from pgstrata.connect.conninfo import Conninfo
from pgstrata.model import Secret


def parameters_of(own: Conninfo) -> dict[str, str]:
    """Return the libpq parameters that a probe and a handshake need: of the secrets, only that of
    the client's key. Raises ``SecretError``.
    """
    return {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in own.keywords.items()
        if name == "sslpassword" or not isinstance(value, Secret)
    }


def probes(
    parameters: Mapping[str, str], seconds: float, *, replication: bool = False
) -> dict[str, Any]:
    """Return what the server asks of the user without and with TLS: ``Probe.as_json`` by transport.

    A Unix socket has no TLS, and of a server that does not answer nothing more is asked.
    ``replication`` means physical replication.
    """
    plain = probe(parameters, "plain", seconds=seconds, replication=replication)
    found = {"plain": plain.as_json()}
    if plain.request not in ("unreachable", "garbled") and not socket_path(parameters):
        tls: ProbeTransport = "tls"
        found[tls] = probe(parameters, tls, seconds=seconds, replication=replication).as_json()
    return found


def shaken(
    parameters: Mapping[str, str], seconds: float, probed: Mapping[str, Any]
) -> dict[str, Any]:
    """Return ``Handshake.as_json``. ``probed`` are the probes, which may have told already that the
    server has no TLS.
    """
    tls = probed.get("tls", {})
    if tls.get("request") == "no_tls":
        host = parameters.get("host", "")
        return Handshake(host, offered=False, error=tls["message"]).as_json()
    return handshake(parameters, seconds=seconds).as_json()


def files(parameters: Mapping[str, str]) -> dict[str, tuple[Row, ...]]:
    """Return two facts about the client's own files, those of libpq's own folder among them:
    ``client_certificates``, a row for each in ``sslcert`` and ``sslrootcert``, and ``client_key``
    with the owner and permissions of ``sslkey``.
    """
    return {
        "client_certificates": tuple(_certificates(parameters)),
        "client_key": tuple(_key(parameters)),
    }


def _certificates(parameters: Mapping[str, str]) -> Iterator[Row]:
    paths = {"sslcert": client_certificate(parameters), "sslrootcert": roots_of(parameters)}
    for name, path in paths.items():
        if path and path != SYSTEM:
            with suppress(OSError, ValueError):  # what is wrong with it, the handshake says
                for one in certificates(path):
                    yield {"keyword": name, "path": path, **one.as_json()}


def _key(parameters: Mapping[str, str]) -> Iterator[Row]:
    if client_certificate(parameters) is None:  # libpq does not look for the key then
        return
    path = str(parameters.get("sslkey") or default_file("postgresql.key") or "")
    with suppress(OSError):
        if path and not path.startswith("engine:"):
            seen = Path(path).stat()
            yield {"path": path, "mode": f"{stat.S_IMODE(seen.st_mode):04o}", "uid": seen.st_uid}
