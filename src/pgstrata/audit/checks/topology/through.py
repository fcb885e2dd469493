"""A pooler between, found by what differs at its two ends."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.model import Check, Fix, Gap, Outcome, UnreadError
from pgstrata.audit.remedy import for_client
from pgstrata.audit.view import View

_SHARING = ("transaction", "pgbouncer")
_KEEPS = Fix(
    "max_prepared_statements = 200  -- PgBouncer 1.21 and newer, libpq 17 and newer",
    "reload",
    "SHOW CONFIG;  -- on the pooler's admin console",
)


def between(view: View) -> str:
    """Return what stands between: ``transaction``, ``session`` or nothing. Raises
    ``UnreadError`` where that cannot be told.

    Such a proxy gives its clients numbers of its own for what the server calls its processes, and
    two idle clients of it have one session only if it shares them.
    """
    here = view.row("client")
    if here["backend_pid"] == view.row("identity")["backend_pid"]:
        return ""
    if here.get("shares_backend") is None:
        raise UnreadError(
            Gap("a pooler stands between, and a second connection to learn its mode failed")
        )
    return "transaction" if here["shares_backend"] else "session"


def pooler(view: View) -> Iterator[Outcome]:
    """Compare what stands between with what the client says of it."""
    said, found = str(view.client.value("pooler") or ""), between(view)
    shares, knows = found == "transaction", said in _SHARING
    if shares and view.prepares:
        yield _prepared(view, said)
    elif bool(found) != bool(said) or (shares and not knows):
        what = f"a pooler in {found} mode" if found else "no pooler"
        yield Outcome(
            "info",
            f"{what} stands between, and the client says {said or 'nothing'}",
            observed=found or "none",
            expected=said or "none",
            key="pooler",
            fix=(for_client(view, f"pooler: {found}"),) if found else (),
            evidence=_numbers(view) if found else (),
        )
    else:
        yield Outcome("ok", f"{found or 'nothing'} stands between, as the client says")
    if not found:
        yield from _handed_on(view)


def _prepared(view: View, said: str) -> Outcome:
    """Tell of prepared statements where sessions are shared. A client that knows of the pooler and
    asks for them all the same may know that it keeps them.
    """
    asked = said in _SHARING
    key = "connection_settings.prepared_statements" if asked else "pooler"
    line = "connection_settings: {prepared_statements: false}" if asked else "pooler: transaction"
    return Outcome(
        "warn" if asked else "fail",
        "a pooler gives the server's session to another client after each transaction, and this"
        " client prepares statements, which stay in the session"
        + (" unless the pooler keeps them itself" if asked else ""),
        object="prepared statements",
        observed="a pooler in transaction mode",
        expected=f"pooler: {said}" if said else "none",
        key=key,
        fix=(for_client(view, line), _KEEPS),
        evidence=_numbers(view),
    )


def _numbers(view: View) -> tuple[str, ...]:
    here, there = (view.row(fact)["backend_pid"] for fact in ("client", "identity"))
    return (f"process {here} at this end, {there} at the server's",)


def _handed_on(view: View) -> Iterator[Outcome]:
    """Find what hands a connection on without speaking the protocol: the ends' ports differ."""
    here, there = view.row("client")["port"], view.row("identity")["client_port"]
    if here and there and here != there:
        yield Outcome(
            "info",
            "something between hands the connection on: address translation, or a proxy of TCP",
            object="ports",
            observed="another port at the server's end",
            expected="one port at both ends",
            evidence=(f"port {here} at this end, inet_client_port() = {there}",),
        )


CHECKS = (
    Check(
        "topo.pooler",
        "fail",
        what="A pooler that shares sessions between, while the client prepares statements: a"
        " warning where it knows of the pooler and says `prepared_statements: true`. A `pooler` in"
        " the configuration that is not what was found, and ports that differ at the two ends, are"
        " information.",
        why="A prepared statement stays with one session of the server, and the next transaction"
        ' gets another: `prepared statement "_pg3_0" does not exist`, or already exists. It'
        " starts with the sixth use of a query, under load.",
        verify="SELECT pg_backend_pid();  -- differs from the number that the client was given",
        fix="`pooler: transaction`, which stops the client from preparing.",
        ignore="When the pooler keeps prepared statements: PgBouncer 1.21 with"
        " max_prepared_statements, and a client that uses libpq 17.",
        cannot_see="The pooler's version and configuration; one that hands the server's own numbers"
        " on.",
        source="PgBouncer documentation: max_prepared_statements; psycopg documentation: Prepared"
        " statements.",
        find=pooler,
    ),
)
