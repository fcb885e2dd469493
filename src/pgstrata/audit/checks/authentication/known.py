"""What the decision of pg_hba.conf depends on besides its lines."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

from pgstrata.audit.checks.pooled import behind_pooler
from pgstrata.audit.hba import Known, Mapped
from pgstrata.audit.model import UnreadError
from pgstrata.audit.reading import moment
from pgstrata.audit.view import View
from pgstrata.audit.wire.probe import Probe


def known(view: View) -> Known:
    """Return what the decision depends on besides the lines. Raises ``UnreadError``."""
    kinds = view.snapshot.facts.get("password_kinds", ())
    ident = view.snapshot.facts.get("ident")
    address = view.row("identity")["server_addr"]
    return Known(
        memberships=memberships(view),
        regexes={
            (row["pattern"], row["subject"]): row["matches"]
            for row in view.snapshot.facts.get("hba_regexes", ())
        },
        server_addresses=frozenset([ip_address(address.partition("/")[0])] if address else []),
        password_kinds={row["rolname"]: row["kind"] for row in kinds} | own_kind(view),
        client_ca=bool(view.server("ssl_ca_file").text),
        ident=ident
        if ident is None
        else tuple(Mapped(r["map_name"], r["sys_name"], r["pg_username"]) for r in ident),
        unsettled=unsettled(view),
    )


def memberships(view: View) -> Mapping[str, frozenset[str]]:
    """Return each role with all that it is a member of, itself among them."""
    direct: dict[str, set[str]] = {row["rolname"]: set() for row in view.rows("roles")}
    for row in view.rows("members"):
        direct.setdefault(row["member"], set()).add(row["role"])
    return {role: frozenset(_reached(role, direct)) for role in direct}


def _reached(role: str, direct: Mapping[str, set[str]]) -> set[str]:
    reached, next_ones = {role}, [role]
    while next_ones:
        more = direct.get(next_ones.pop(), set()) - reached
        reached |= more
        next_ones.extend(more)
    return reached


def own_kind(view: View) -> dict[str, str]:
    """Return how the program's own password is kept, where a probe has shown it: by the method md5
    only such a role is asked for md5. What a pooler asks for says nothing of it.
    """
    asked = () if behind_pooler(view) else [probe.request for probe in _probed(view)]
    return {view.user: "md5"} if "md5" in asked else {}


def _probed(view: View) -> list[Probe]:
    try:
        return list(view.probes.values())
    except UnreadError:
        return []


def unsettled(view: View) -> str:
    """Return why the lines in force may be others than those in the file."""
    try:
        newer = changed(view)
    except UnreadError as error:
        return f"whether the server has read the file as it is now is not known: {error.gap.why}"
    return f"{newer[0]} was changed after the server last read it" if newer else ""


def changed(view: View) -> tuple[str, ...]:
    """Return the files of pg_hba.conf's lines that are newer than the server's last look at them,
    those that it includes among them. Raises ``UnreadError``.
    """
    own = view.row("hba_mtime")
    times = {"pg_hba.conf": own["mtime"]} | {
        row["file_name"]: row["mtime"] for row in view.snapshot.facts.get("hba_files", ())
    }
    return tuple(name for name, time in times.items() if moment(time) > moment(own["loaded"]))
