"""What a server asks of a user before it lets them in, found out without any password.

One attempt to connect, up to the request for a password, which is never answered. So no failed
login is counted, and nothing of a secret leaves this machine. What the server's log gets of it:

- with ``log_connections``, that a connection was received;
- where it refuses (no line of pg_hba.conf, ``reject``, a missing certificate, no free slot), the
  FATAL line of that refusal, as for every client that it refuses;
- under ``ident`` and ``peer``, their FATAL line where the account does not fit;
- under ``gss`` and ``sspi``, "authentication failed" as FATAL, because a client that leaves without
  a ticket counts as a failure there;
- where it wants no password (``trust``, ``cert``, ``peer``), a session that ends at once in an
  orderly way; or the FATAL line that says why there can be none, e.g. that the database is missing;
- where there is no agreement about TLS, e.g. the server does not trust the client's certificate,
  the LOG line "could not accept SSL connection".

Nothing is logged where a client leaves at the request for a password (``password``, ``md5``,
``scram-sha-256``, ``ldap``, ``pam``, ``radius``).
"""

from __future__ import annotations

import getpass
import re
import ssl
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

from pgstrata.audit.hba.step import Request
from pgstrata.audit.wire.stream import SECONDS, TERMINATE, NotPostgresError, Stream, reason
from pgstrata.audit.wire.tls import context, server_name

# "no_tls": the server does not speak it; "unreachable": nobody answers at that address, or not in
# time; "tls_failed": no agreement about TLS; "garbled": whoever answers is not PostgreSQL;
# "unavailable": it refuses for a reason that has nothing to do with this user, e.g. no free slot.
Failure: TypeAlias = Literal["no_tls", "unreachable", "tls_failed", "garbled", "unavailable"]
ProbeTransport: TypeAlias = Literal["plain", "tls"]
REFUSALS: frozenset[Request] = frozenset(
    ("no_entry", "reject", "no_certificate", "no_client_ca", "refused")
)

# https://www.postgresql.org/docs/current/protocol-message-formats.html, the messages "R"
_REQUESTS: Mapping[int, Request] = {
    0: "nothing",
    3: "password",
    5: "md5",
    7: "gss",
    9: "sspi",
    10: "scram",
}
# Class 28, invalid authorization: the only errors that are about who asks.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_VERDICTS = "28"
# The code is the same for all of them (28000), so only the words tell. In a server that speaks
# another language each is a "refused" with its message.
_REFUSALS: tuple[tuple[str, Request], ...] = (
    ("no pg_hba.conf entry", "no_entry"),
    ("pg_hba.conf rejects", "reject"),
    ("requires a valid client certificate", "no_certificate"),
    ("client certificates can only be checked", "no_client_ca"),
)
_SEEN_AS = re.compile(r'\bhost "([^"]*)"')


@dataclass(frozen=True, slots=True)
class Probe:
    """What one attempt came to.

    ``request`` is what the server asks for, ``nothing`` where it lets the user in as they are, or
    how it refuses. ``mechanisms`` are those of SASL, e.g. ``SCRAM-SHA-256-PLUS``. ``code``
    (SQLSTATE) and ``message`` are those of a refusal, or of a session that was let in and could
    not start all the same. ``seen_as`` is the client's address as the server sees it, where it
    tells.
    """

    transport: ProbeTransport
    request: Request | Failure
    mechanisms: tuple[str, ...] = ()
    code: str = ""
    message: str = ""
    seen_as: str = ""

    @property
    def answered(self) -> bool:
        """Whether it is PostgreSQL's word on this user, not a failure on the way there."""
        return self.request not in get_args(Failure)

    @property
    def admitted(self) -> bool:
        """Whether pg_hba.conf lets the attempt in, perhaps after the right password."""
        return self.answered and not self.refused

    @property
    def refused(self) -> bool:
        """Whether pg_hba.conf, or the method of its line, keeps this user out."""
        return self.request in REFUSALS

    def agrees(self, expected: Collection[str]) -> bool:
        """Tell whether it may be one of these requests. A refusal in another language may be any
        refusal.
        """
        unnamed = self.request == "refused" and not REFUSALS.isdisjoint(expected)
        return unnamed or self.request in expected

    def as_json(self) -> dict[str, Any]:
        """Return plain data, for ``from_json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Probe:
        """Return the probe of ``as_json``."""
        return cls(**{**data, "mechanisms": tuple(data["mechanisms"])})


def probe(
    parameters: Mapping[str, str],
    transport: ProbeTransport,
    *,
    seconds: float = SECONDS,
    replication: bool = False,
    source: str = "",
) -> Probe:
    """Ask the server of these libpq parameters what it wants of their user.

    A failure is part of what is returned.

    ``host``, ``hostaddr`` and ``port`` name one server. The client's certificate is presented where
    there is one; that of the server is not verified, as nothing secret is sent. ``replication``
    asks for physical replication. ``source`` is the address of this machine to come from.
    """
    try:
        made = context(parameters) if transport == "tls" else None
    except OSError as error:
        return Probe(transport, "tls_failed", message=reason(error))
    try:
        stream = Stream(parameters, seconds, source)
    except OSError as error:
        return Probe(transport, "unreachable", message=reason(error))
    with stream:
        try:
            return _ask(stream, parameters, transport, made, replication=replication)
        except NotPostgresError as error:
            return Probe(transport, "garbled", message=str(error))
        except ssl.SSLError as error:
            return Probe(transport, "tls_failed", message=reason(error))
        except OSError as error:
            return Probe(transport, "unreachable", message=reason(error))


def _ask(
    stream: Stream,
    parameters: Mapping[str, str],
    transport: ProbeTransport,
    made: ssl.SSLContext | None,
    *,
    replication: bool,
) -> Probe:
    if made is not None:
        direct = parameters.get("sslnegotiation") == "direct"
        if not direct and not stream.request_tls():
            return Probe(transport, "no_tls", message="the server does not speak TLS")
        stream.encrypt(made, server_name(parameters))
    stream.start(_startup(parameters, replication=replication))
    kind, body = _skip_notices(stream)
    if kind == b"E":
        said = _refusal(Probe(transport, "refused"), body)
        return said if said.code.startswith(_VERDICTS) else replace(said, request="unavailable")
    if kind != b"R" or len(body) < len(b"code"):
        raise NotPostgresError(f"a message {kind!r} came instead of a request")
    return _requested(stream, Probe(transport, "refused"), body)


def _startup(parameters: Mapping[str, str], *, replication: bool) -> dict[str, str]:
    user = parameters.get("user") or getpass.getuser()
    asked = {"user": user, "database": parameters.get("dbname") or user}
    asked["application_name"] = "pgstrata"
    return {**asked, "replication": "true"} if replication else asked


def _requested(stream: Stream, found: Probe, body: bytes) -> Probe:
    code = int.from_bytes(body[:4], "big")
    found = replace(found, request=_REQUESTS.get(code, "refused"))
    if found.request == "nothing":
        return _session(stream, found)
    if found.request == "scram":
        offered = tuple(part.decode("ascii", "replace") for part in body[4:].split(b"\0") if part)
        bearer = "OAUTHBEARER" in offered
        return replace(found, request="oauth" if bearer else "scram", mechanisms=offered)
    if found.request == "refused":
        return replace(found, message=f"the server asks for something unknown ({code})")
    return found


def _session(stream: Stream, found: Probe) -> Probe:
    """Wait until the session has started, so as to end it in an orderly way, or cannot start."""
    while True:
        kind, body = stream.receive()
        if kind == b"E":
            return replace(_refusal(found, body), request=found.request)
        if kind == b"Z":
            stream.send(TERMINATE)
            return found


def _skip_notices(stream: Stream) -> tuple[bytes, bytes]:
    while True:
        kind, body = stream.receive()
        if kind not in (b"N", b"v"):
            return kind, body


def _refusal(found: Probe, body: bytes) -> Probe:
    fields = {part[:1]: part[1:].decode("utf-8", "replace") for part in body.split(b"\0") if part}
    message = fields.get(b"M", "")
    request = next((word for words, word in _REFUSALS if words in message), found.request)
    address = _SEEN_AS.search(message)
    return replace(
        found,
        request=request,
        code=fields.get(b"C", ""),
        message=message,
        seen_as=address[1] if address else "",
    )
