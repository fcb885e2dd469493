"""A TLS handshake as the client would do it, with the reason where it does not trust the server.

It takes one connection where the server is trusted, and two where it is not. A second one that
ends quietly then finds out what can be known of it. The server's log gets, besides the connections,
one LOG line from a client that does not trust it ("could not accept SSL connection"), as it gets
from libpq in that case.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pgstrata.audit.wire.certificate import Certificate, chain_of
from pgstrata.audit.wire.stream import SECONDS, Stream, reason, socket_path
from pgstrata.audit.wire.tls import (
    SYSTEM,
    client_certificate,
    context,
    roots_of,
    server_name,
    verifying,
)

# RFC 8446, sections 5.1 and 4; the numbers were the same before TLS 1.3.
_HANDSHAKE = 22
_CERTIFICATE_REQUEST = 13


@dataclass(frozen=True, slots=True)
class Handshake:
    """What came of it.

    - ``offered``: whether the server speaks TLS; None where it could not be asked.
    - ``error``: why there was no handshake; empty where there was one.
    - ``version``, ``cipher``, ``bits``, ``alpn``: what was agreed on.
    - ``chain``: the certificates that the server sent, its own first.
    - ``roots``: the authorities that were trusted: a path, or ``system``; ``configured`` is False
      where libpq would find none and the machine's own were tried in their place.
    - ``trusted``: whether ``chain`` ends at one of ``roots``; ``distrust`` is OpenSSL's reason.
    - ``host``: the name that the certificate must be for, and ``host_matches`` whether it is.
    - ``asks_certificate``: whether the server asks for a client certificate, which it does if and
      only if it has ssl_ca_file; None where that cannot be observed.
    - ``presented``: whether the client has one to present.
    """

    host: str
    offered: bool | None = None
    error: str = ""
    version: str = ""
    cipher: str = ""
    bits: int = 0
    alpn: str = ""
    chain: tuple[Certificate, ...] = ()
    roots: str = ""
    configured: bool = True
    trusted: bool | None = None
    distrust: str = ""
    host_matches: bool | None = None
    asks_certificate: bool | None = None
    presented: bool = False

    @property
    def verifies(self) -> bool:
        """Whether ``sslmode=verify-full`` works, given ``roots``."""
        return bool(self.trusted and self.host_matches)

    def as_json(self) -> dict[str, Any]:
        """Return plain data, for ``from_json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Handshake:
        """Return the handshake of ``as_json``."""
        return cls(**{**data, "chain": tuple(map(Certificate.from_json, data["chain"]))})


def handshake(
    parameters: Mapping[str, str],
    *,
    seconds: float = SECONDS,
    environ: Mapping[str, str] = os.environ,
) -> Handshake:
    """Try TLS with the server of these libpq parameters, as ``sslmode=verify-full`` would.

    A failure is part of what is returned. ``seconds`` is the limit of each of its connections.
    """
    found = Handshake(parameters.get("host", ""))
    if socket_path(parameters):
        return replace(found, offered=False, error="a Unix socket is never encrypted")
    roots = roots_of(parameters, environ)
    found = replace(found, roots=roots or SYSTEM, configured=bool(roots))
    try:
        plain = context(parameters, environ)
    except OSError as error:
        return replace(found, error=reason(error))
    found = replace(found, presented=client_certificate(parameters, environ) is not None)
    try:
        made = verifying(parameters, found.roots, environ)
    except OSError as error:
        found = replace(found, trusted=False, distrust=f"{found.roots}: {reason(error)}")
    else:
        found = _shake(replace(found, trusted=True), parameters, made, seconds)
    return found if found.trusted or found.error else _shake(found, parameters, plain, seconds)


def _shake(
    found: Handshake, parameters: Mapping[str, str], made: ssl.SSLContext, seconds: float
) -> Handshake:
    received = _watch(made)
    try:
        with Stream(parameters, seconds) as stream:
            if parameters.get("sslnegotiation") != "direct" and not stream.request_tls():
                return _failed(found, "the server does not speak TLS", offered=False)
            encrypted = stream.encrypt(made, server_name(parameters))
            return _agreed(found, encrypted, received)
    except ssl.SSLCertVerificationError as error:
        return replace(found, offered=True, trusted=False, distrust=reason(error))
    except ssl.SSLError as error:
        return _failed(found, reason(error), offered=True)
    except OSError as error:
        return _failed(found, reason(error), offered=None)


def _watch(made: ssl.SSLContext) -> list[int] | None:
    """Return a list that gets the numbers of the messages that the server will send, if possible.

    Python has no other way to see the request for a certificate, which TLS 1.3 encrypts.
    """
    if not hasattr(made, "_msg_callback"):
        return None
    received: list[int] = []

    def note(
        _connection: object, direction: str, _version: object, kind: int, message: int, _: bytes
    ) -> None:
        if direction == "read" and kind == _HANDSHAKE:
            received.append(message)

    made._msg_callback = note  # noqa: SLF001 # it has no public name
    return received


def _agreed(found: Handshake, encrypted: ssl.SSLSocket, received: list[int] | None) -> Handshake:
    cipher, _, bits = encrypted.cipher() or ("", "", 0)
    try:
        chain = chain_of(encrypted)
    except ValueError:  # a certificate that OpenSSL takes, and that cannot be read all the same
        chain = ()
    return replace(
        found,
        offered=True,
        version=encrypted.version() or "",
        cipher=cipher,
        bits=bits,
        alpn=encrypted.selected_alpn_protocol() or "",
        chain=chain,
        host_matches=chain[0].is_for(found.host) if chain else None,
        asks_certificate=None if received is None else _CERTIFICATE_REQUEST in received,
    )


def _failed(found: Handshake, error: str, *, offered: bool | None) -> Handshake:
    trusted = False if found.trusted is False else None
    return replace(found, error=error, offered=offered, trusted=trusted)
