"""Session settings that do not mean, or do not reach, what was meant."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.model import Check, Outcome
from pgstrata.audit.reading import duration
from pgstrata.audit.remedy import for_program
from pgstrata.audit.view import View
from pgstrata.schema import parameters

_SUSPECT = 1000  # a bare number below it was most likely meant as seconds
_SURELY = 100  # the same in a file of the server, whose own text cannot be seen
_TIMEOUTS = (
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
)


def units(view: View) -> Iterator[Outcome]:
    """Find durations that were written without a unit."""
    for name in _TIMEOUTS:
        said = view.session(name) if view.has(name) else None
        parameter = parameters.find(name)
        if said is None or parameter is None or not said.number:
            continue
        from_file = said.source != "default" and not said.source.startswith("ALTER")
        most = _SURELY if from_file and not said.client else _SUSPECT
        if parameters.lacks_unit(parameter, said.text) and said.number < most:
            meant = duration(said.number * 1000)
            yield Outcome(
                "warn",
                f"{name} {said.text} is {said.text} milliseconds",
                object=name,
                observed=said.shown,
                expected=f"{meant}, if seconds were meant",
                key=f"session_settings.{name}",
                fix=(for_program(view, name, meant),),
                evidence=(str(said),),
            )


def lost_in_pooler(view: View) -> Iterator[Outcome]:
    """Find session settings of a client whose sessions a pooler shares."""
    shares = (view.snapshot.facts.get("client") or ({},))[0].get("shares_backend")
    if not view.pooled and not shares:
        return
    names = [
        key.partition(".")[2]
        for key in view.client.settings
        if key.startswith(("session_settings.", "sync_settings.", "async_settings."))
    ]
    for name in dict.fromkeys(names):
        wanted, there = view.wanted(name), view.altered(name) or view.server(name)
        if wanted is None or wanted.value == there.value:
            continue
        yield Outcome(
            "fail",
            f"{name} is set by the client, and the pooler gives the session to another client after"
            " each transaction: it is lost, or found by somebody else",
            object=name,
            observed=str(there),
            expected=str(wanted),
            key=f"session_settings.{name}",
            fix=(for_program(view, name, wanted.text),),
            evidence=(str(wanted), str(there)),
        )


CHECKS = (
    Check(
        "to.units",
        "warn",
        what="A timeout that is a bare number below 1000: it counts milliseconds.",
        why="`statement_timeout = 30` ends every statement after 30 ms.",
        verify="SELECT * FROM pg_db_role_setting;",
        fix="Write the unit: 30s.",
        ignore="When milliseconds were meant: write ms.",
        cannot_see="The text in the server's files: of those, only values below 100 are suspected.",
        source="PostgreSQL documentation, Parameter Names and Values.",
        find=units,
    ),
    Check(
        "to.lost_in_pooler",
        "fail",
        what="Session settings of a client behind a pooler that shares sessions, which the server"
        " does not have by itself.",
        why="A SET stays with the server's session, and that goes to the next client.",
        verify="SELECT pg_backend_pid();  -- twice: another number is another session",
        fix="ALTER ROLE … IN DATABASE … SET, which every new session of the server has.",
        ignore="When the pooler tracks the parameter by itself.",
        cannot_see="The pooler's track_extra_parameters and ignore_startup_parameters.",
        source="PgBouncer documentation: features by pool mode; track_extra_parameters.",
        find=lost_in_pooler,
    ),
)
