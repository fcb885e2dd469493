"""Parameters of two environments, as the program's sessions have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pgstrata.audit.checks.parity.pairs import against_model, named
from pgstrata.audit.model import Check, Fix, Outcome, Status, UnreadError
from pgstrata.audit.reading import Reading
from pgstrata.audit.remedy import for_program, for_server
from pgstrata.audit.view import View

BEHAVIOUR = (
    *("standard_conforming_strings", "backslash_quote", "DateStyle", "IntervalStyle", "TimeZone"),
    *("default_transaction_isolation", "default_transaction_read_only", "bytea_output"),
    *("extra_float_digits", "search_path", "transform_null_equals", "xmloption", "jit"),
    *("plan_cache_mode", "synchronous_commit", "wal_level", "shared_preload_libraries"),
    *("password_encryption", "ssl_min_protocol_version", "statement_timeout", "lock_timeout"),
    *("idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout"),
)
_PREPARED = "max_prepared_transactions"
SCALED = (
    *("shared_buffers", "effective_cache_size", "work_mem", "maintenance_work_mem"),
    *("max_connections", "max_worker_processes", "max_parallel_workers", "autovacuum_max_workers"),
    *("max_wal_size", "min_wal_size", "max_prepared_transactions"),
)


def behaviour(view: View, model: View) -> Iterator[Outcome]:
    """Compare what changes the meaning, the result or the end of a statement."""
    here, there = (one.server(_PREPARED) for one in (view, model))
    one_without = bool(here.number) != bool(there.number)  # only one takes two-phase commits
    if one_without:
        yield _differs("warn", view, model, here, there)
    said = _alike_or_not("warn", view, model, BEHAVIOUR)
    yield from (one for one in said if not (one_without and one.status == "ok"))


def scaled(view: View, model: View) -> Iterator[Outcome]:
    """Compare what grows with the machine."""
    yield from _alike_or_not("info", view, model, SCALED)


def _alike_or_not(
    status: Status, view: View, model: View, names: Iterable[str]
) -> Iterator[Outcome]:
    """Compare what both versions have: that these differ is said by another check."""
    alike, unseen = True, None
    for name in names:
        if view.lacks(name) or model.lacks(name):
            continue
        try:
            here, there = view.session(name), model.session(name)
        except UnreadError as error:
            unseen = error
            continue
        if here.value != there.value:
            alike = False
            yield _differs(status, view, model, here, there)
    if unseen is not None:
        raise UnreadError(unseen.gap, "what could be read was compared")
    if alike:
        yield Outcome("ok", f"as in {model.client.environment}")


def _differs(status: Status, view: View, model: View, here: Reading, there: Reading) -> Outcome:
    name, ratio = here.name, ""
    if status == "info" and there.number:
        ratio = f", {here.number / there.number:.2g} times"
    fix = () if status == "info" else _mended(view, here, there)
    return Outcome(
        status,
        f"{name}: {named(view, here.shown)}, {named(model, there.shown)}{ratio}",
        object=name,
        observed=here.shown,
        expected=there.shown,
        key=f"session_settings.{name.lower()}" if here.client else "",
        fix=fix,
        evidence=(str(here), str(there)),
    )


def _mended(view: View, here: Reading, there: Reading) -> tuple[Fix, ...]:
    context = view.setting(here.name)["context"]
    if context in ("user", "superuser"):
        return (for_program(view, here.name, there.text),)
    return for_server(view, here.name, there.text)


CHECKS = (
    Check(
        "par.behaviour",
        "warn",
        what="Parameters that change what a statement means, returns, or is ended by: as the"
        " program's session has them, with its own settings and those of ALTER ROLE and DATABASE.",
        why="What was tried in one environment does something else in the other.",
        verify="SELECT name, setting, source FROM pg_settings;",
        fix="The same value, at the narrowest scope.",
        ignore="For timeouts that are longer elsewhere on purpose.",
        cannot_see="Parameters that are hidden from the viewer, and those of extensions.",
        source="PostgreSQL documentation, Server Configuration.",
        compare=against_model(behaviour),
    ),
    Check(
        "par.scaled",
        "info",
        what="Parameters that grow with the machine, with the ratio.",
        why="A plan that uses memory in one environment goes to disk in the other.",
        verify="SELECT name, setting, unit FROM pg_settings;",
        fix="Nothing, where the machines differ by the same ratio.",
        ignore="When the machines are meant to differ.",
        cannot_see="What the machines have.",
        source="PostgreSQL documentation, Resource Consumption.",
        compare=against_model(scaled),
    ),
)
