"""The timeouts of a session, as the program's own session has them."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.model import Check, Fix, Outcome, Status
from pgstrata.audit.reading import Reading, duration
from pgstrata.audit.remedy import for_client, for_program
from pgstrata.audit.view import View
from pgstrata.capacity import pool_sizes
from pgstrata.schema.keys import POOL_SECTIONS

_LIMITS = {"statement_timeout": "30s", "idle_in_transaction_session_timeout": "1min"}
_MANY = 6  # dead connections that psycopg_pool replaces one by one, each after a longer wait


def of_kind(view: View, kind: str, name: str) -> str:
    """Return what a finding about a parameter is about: with the connection type, where they
    differ.
    """
    return f"{kind} {name}" if len(view.session_kinds) > 1 else name


def idle_kill(view: View) -> Iterator[Outcome]:
    """Find pools whose spare connections the server ends."""
    for kind in view.kinds:
        least, _ = pool_sizes(view.client.settings, kind)
        if kind not in POOL_SECTIONS or not least or not view.has("idle_session_timeout"):
            continue
        limit = view.session("idle_session_timeout", kind)
        if not limit.number:
            yield Outcome("ok", f"nothing ends the {kind}'s idle connections", object=kind)
            continue
        checked = view.client.value(f"{POOL_SECTIONS[kind]}.check_on_checkout")
        mild: Status = "warn" if least >= _MANY else "info"
        yield Outcome(
            mild if checked else "fail",
            f"the server ends sessions after {duration(limit.number)} of silence, and the {kind}"
            f" keeps {least} open however long nobody uses them",
            object=kind,
            observed=limit.shown,
            expected="0",
            key=f"{POOL_SECTIONS[kind]}.min_size",
            fix=_without(view, kind, limit),
            evidence=(str(limit), f"min_size = {least}"),
        )


def _without(view: View, kind: str, said: Reading) -> tuple[Fix, ...]:
    if said.client:
        line = f"{view.section(said.name, kind)}: {{{said.name}: 0}}"
        return (for_client(view, line, f"SHOW {said.name};"),)
    return (for_program(view, said.name, "0"),)


def chain(view: View) -> Iterator[Outcome]:
    """Find timeouts that end what another should have ended first."""
    found = [one for kind in view.session_kinds for one in _chain(view, kind)]
    yield from found or [Outcome("ok", "no timeout stands in another's way")]


def _chain(view: View, kind: str) -> Iterator[Outcome]:
    lock, statement = view.session("lock_timeout", kind), view.session("statement_timeout", kind)
    deadlock = view.session("deadlock_timeout", kind)
    hidden = "deadlocks are never found: the wait ends before the look"
    yield from _ordered(view, kind, lock, deadlock, hidden)
    yield from _ordered(view, kind, statement, lock, "lock_timeout never fires")
    if view.has("transaction_timeout"):
        whole = view.session("transaction_timeout", kind)
        idle = view.session("idle_in_transaction_session_timeout", kind)
        for part in (statement, idle):
            yield from _ordered(view, kind, whole, part, f"{part.name} never fires")


def _ordered(
    view: View, kind: str, longer: Reading, shorter: Reading, why: str
) -> Iterator[Outcome]:
    """Find ``longer`` not to be longer; 0 means never, which is longer than all."""
    if not longer.number or not shorter.number or longer.number > shorter.number:
        return
    better = duration(shorter.number * 2)
    section = view.section(longer.name, kind)
    fix = (
        for_client(view, f"{section}: {{{longer.name}: {better}}}")
        if longer.client
        else for_program(view, longer.name, better)
    )
    yield Outcome(
        "warn",
        f"{longer.name} {duration(longer.number)} is not longer than {shorter.name}"
        f" {duration(shorter.number)}: {why}",
        object=of_kind(view, kind, longer.name),
        observed=longer.shown,
        expected=f"more than {shorter.shown}",
        key=f"{section}.{longer.name}",
        fix=(fix,),
        evidence=(str(longer), str(shorter)),
    )


def unset(view: View) -> Iterator[Outcome]:
    """Find what nothing limits."""
    for kind in view.session_kinds:
        for name, value in _LIMITS.items():
            yield _limited(view, kind, name, value)


def _limited(view: View, kind: str, name: str, value: str) -> Outcome:
    whole = view.has("transaction_timeout") and view.session("transaction_timeout", kind).number
    said = view.session(name, kind)
    open_ended = not said.number and not whole
    return Outcome(
        "warn" if open_ended else "ok",
        f"{of_kind(view, kind, name)} is {said.shown}"
        + (": nothing ends it" if open_ended else ""),
        object=of_kind(view, kind, name),
        observed=said.shown,
        expected="a limit",
        key=f"{view.section(name, kind)}.{name}",
        fix=(for_program(view, name, value),) if open_ended else (),
        evidence=(str(said),),
    )


CHECKS = (
    Check(
        "to.idle_kill",
        "fail",
        what="idle_session_timeout as the program's session has it, while a pool keeps min_size"
        " connections open. Milder with check_on_checkout.",
        why="psycopg_pool never closes the first min_size connections, however short max_idle and"
        " max_lifetime are; the server does, and the next caller gets a dead one. A check on"
        " checkout costs one attempt for each.",
        verify="SELECT name, setting, source FROM pg_settings WHERE name = 'idle_session_timeout';"
        "  -- as the program's role",
        fix="ALTER ROLE … SET idle_session_timeout = 0 for the program; people may keep theirs.",
        ignore="When the pool is used more often than the timeout, day and night.",
        cannot_see="A proxy between that ends idle connections by itself: see ka.client.",
        source="psycopg_pool documentation: max_idle; PostgreSQL documentation:"
        " idle_session_timeout.",
        find=idle_kill,
    ),
    Check(
        "to.chain",
        "warn",
        what="lock_timeout against deadlock_timeout and statement_timeout; transaction_timeout"
        " against the timeouts inside of it.",
        why="The shorter one fires first. A lock_timeout below deadlock_timeout hides every"
        " deadlock; a timeout that is longer than the one around it does nothing.",
        verify="SHOW lock_timeout; SHOW deadlock_timeout; SHOW statement_timeout;",
        fix="deadlock_timeout < lock_timeout < statement_timeout < transaction_timeout.",
        ignore="When a short lock_timeout is meant, e.g. for migrations.",
        cannot_see="What single transactions set for themselves.",
        source="PostgreSQL documentation, Client Connection Defaults; Lock Management.",
        find=chain,
    ),
    Check(
        "to.unset",
        "warn",
        what="statement_timeout and idle_in_transaction_session_timeout are 0, and so is"
        " transaction_timeout.",
        why="One query that hangs keeps its locks; one transaction that is left open keeps VACUUM"
        " from all that died since.",
        verify="SHOW statement_timeout; SHOW idle_in_transaction_session_timeout;",
        fix="session_settings of the client, or ALTER ROLE … SET for the program.",
        ignore="For a role that runs long jobs, and is watched.",
        cannot_see="What the program sets for single statements.",
        source="PostgreSQL documentation, Client Connection Defaults: Statement Behavior.",
        find=unset,
    ),
)
