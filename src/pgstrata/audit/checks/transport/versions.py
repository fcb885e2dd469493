"""Which versions of TLS both ends speak."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.checks.pooled import behind_pooler
from pgstrata.audit.checks.transport.encryption import KEY, OLD, SOURCE
from pgstrata.audit.model import Check, Gap, Outcome, UnreadError
from pgstrata.audit.reading import Reading
from pgstrata.audit.remedy import for_client, for_server
from pgstrata.audit.view import View

_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")


def min_protocol(view: View) -> Iterator[Outcome]:
    """Compare the versions of TLS that either end allows."""
    if not view.tcp or view.sslmode == "disable" or view.handshake.offered is False:
        return
    wanted = str(view.client.keyword("ssl_min_protocol_version") or "TLSv1.2")
    try:
        least, most = _allowed(view)
    except UnreadError as error:
        if "protocol" in view.handshake.error:
            yield _disagreed(view, wanted)
            return
        spoken = view.handshake.version or view.handshake.error
        raise UnreadError(error.gap, f"a handshake gave {spoken}") from None
    if most.text in _VERSIONS and _VERSIONS.index(wanted) > _VERSIONS.index(most.text):
        yield Outcome(
            "fail",
            f"the client wants {wanted} at least, and the server allows {most.text} at most",
            object=most.name,
            observed=most.text,
            expected=f"{wanted} or newer",
            key="connection_settings.ssl_min_protocol_version",
            fix=for_server(view, most.name, ""),
            evidence=(str(most),),
        )
    old = least.text in OLD or not least.text
    yield Outcome(
        "warn" if old else "ok",
        f"the server accepts {least.text or 'any version of TLS'}",
        object=least.name,
        observed=least.text,
        expected="TLSv1.2 or newer",
        key=KEY,
        fix=for_server(view, least.name, "TLSv1.2") if old else (),
        evidence=(str(least),),
    )


def _allowed(view: View) -> tuple[Reading, Reading]:
    """Return the oldest and the newest version that the server takes. Raises ``UnreadError``."""
    if behind_pooler(view):
        raise UnreadError(Gap("a pooler stands between, and SQL shows what is behind it"))
    least, most = (view.server(f"ssl_{end}_protocol_version") for end in ("min", "max"))
    return least, most


def _disagreed(view: View, wanted: str) -> Outcome:
    line = "connection_settings: {ssl_min_protocol_version: …}, or a newer server"
    return Outcome(
        "fail",
        f"the client wants {wanted} at least, and the server does not speak it:"
        f" {view.handshake.error}",
        object="ssl_max_protocol_version",
        observed=view.handshake.error,
        expected=f"{wanted} or newer",
        key="connection_settings.ssl_min_protocol_version",
        fix=(for_client(view, line),),
    )


CHECKS = (
    Check(
        "tls.min_protocol",
        "fail",
        what="ssl_min_protocol_version of the server below TLSv1.2, a warning; and of the client"
        " above what the server allows.",
        why="Older versions are broken; and two ends without a common version cannot connect.",
        verify="SHOW ssl_min_protocol_version; SHOW ssl_max_protocol_version;",
        fix="ALTER SYSTEM SET ssl_min_protocol_version = 'TLSv1.2', and reload.",
        ignore="Never.",
        cannot_see="What the machine's own OpenSSL forbids besides.",
        source=SOURCE,
        find=min_protocol,
    ),
)
