"""Session settings that do not mean, or do not reach, what was meant."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.checks.timeouts.session import of_kind
from pgstrata.audit.model import Check, Outcome
from pgstrata.audit.reading import Reading, duration
from pgstrata.audit.remedy import for_client, for_program
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
    for kind in view.session_kinds:
        for name in filter(view.has, _TIMEOUTS):
            said = view.session(name, kind)
            if _is_suspect(said):
                yield _suspected(view, kind, said)


def _is_suspect(said: Reading) -> bool:
    parameter = parameters.find(said.name)
    from_file = said.source != "default" and not said.source.startswith("ALTER")
    most = _SURELY if from_file and not said.client else _SUSPECT
    bare = parameter is not None and parameters.lacks_unit(parameter, said.text)
    return bare and 0 < said.number < most


def _suspected(view: View, kind: str, said: Reading) -> Outcome:
    meant = duration(said.number * 1000)
    section = view.section(said.name, kind)
    line = f"{section}: {{{said.name}: {meant}}}"
    return Outcome(
        "warn",
        f"{said.name} {said.text} is {said.text} milliseconds",
        object=of_kind(view, kind, said.name),
        observed=said.shown,
        expected=f"{meant}, if seconds were meant",
        key=f"{section}.{said.name}",
        fix=(for_client(view, line) if said.client else for_program(view, said.name, meant),),
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
    for kind in view.session_kinds:
        for name in dict.fromkeys(names):
            if wanted := view.wanted(name, kind):
                yield from _lost(view, kind, wanted)


def _lost(view: View, kind: str, wanted: Reading) -> Iterator[Outcome]:
    parameter = parameters.find(wanted.name)
    name = parameter.name if parameter else wanted.name
    there = view.altered(name) or (None if view.lacks(name) else view.server(name))
    if there is None or wanted.value != there.value:
        yield Outcome(
            "fail",
            f"{name} is set by the client, and the pooler gives the session to another client after"
            " each transaction: it is lost, or found by somebody else",
            object=of_kind(view, kind, name),
            observed=str(there or "not set"),
            expected=str(wanted),
            key=f"{view.section(name, kind)}.{name.lower()}",
            fix=(for_program(view, name, wanted.text),),
            evidence=(str(wanted), str(there or f"the server does not have {name}")),
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
