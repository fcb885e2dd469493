"""How long the server's release is still mended."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from pgstrata.audit.model import Check, Fix, Gap, Outcome, UnreadError
from pgstrata.audit.view import View

_SOON = dt.timedelta(days=180)
# The last day of each major version: five years after its first release, in the week of the
# minor release then.
_LAST = {
    13: dt.date(2025, 11, 13),
    14: dt.date(2026, 11, 12),
    15: dt.date(2027, 11, 11),
    16: dt.date(2028, 11, 9),
    17: dt.date(2029, 11, 8),
    18: dt.date(2030, 11, 14),
}
# The newest minor version of each when this was written. It ages, so that what it says is only ever
# that a server is behind it.
_NEWEST = {13: 23, 14: 23, 15: 18, 16: 14, 17: 10, 18: 4}


def eol(view: View) -> Iterator[Outcome]:
    """Compare the day of the audit with the last day of the server's major version."""
    last = _LAST.get(view.version)
    if last is None:
        raise UnreadError(Gap(f"the last day of PostgreSQL {view.version} is not known here"))
    today = dt.date.fromisoformat(view.snapshot.taken[:10])
    over, near = today > last, today + _SOON > last
    yield Outcome(
        "warn" if over else "info" if near else "ok",
        f"PostgreSQL {view.version} {'was' if over else 'is'} mended until {last}",
        object=str(view.version),
        observed=str(view.row("caps")["version"]),
        expected="a version that is mended",
        fix=(Fix("-- pg_upgrade to a newer major version", "restart"),) if over or near else (),
    )
    yield from _minor(view)


def _minor(view: View) -> Iterator[Outcome]:
    """Compare the minor version with the newest one that is known here; a newer one is fine."""
    here, newest = int(view.row("caps")["version_num"]) % 10000, _NEWEST[view.version]
    if here < newest:
        release = f"{view.version}.{newest}"
        yield Outcome(
            "info",
            f"{view.version}.{here} has faults that {release} has not",
            object="minor",
            observed=f"{view.version}.{here}",
            expected=f"{release} at least",
            fix=(Fix(f"-- install {release}, and restart the server", "restart"),),
        )


CHECKS = (
    Check(
        "topo.eol",
        "warn",
        what="The server's major version after its last day; half a year before, as information,"
        " like a minor version that is behind the newest one known to this release.",
        why="Security holes that are found from then on stay open.",
        verify="SHOW server_version;",
        fix="pg_upgrade, or logical replication to a newer server. A minor version needs its"
        " programs and a restart.",
        ignore="When somebody else mends it: a provider's extended support.",
        cannot_see="Minor versions that are newer than this release of pgstrata.",
        source="The versioning policy of the PostgreSQL project.",
        find=eol,
    ),
)
