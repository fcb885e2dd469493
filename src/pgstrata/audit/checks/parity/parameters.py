"""Parameters of two environments, as the program's sessions have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pgstrata.audit.checks.parity.pairs import named, pairs
from pgstrata.audit.model import Check, Fix, Outcome, Status, UnreadError
from pgstrata.audit.reading import Reading
from pgstrata.audit.remedy import for_program, for_server
from pgstrata.audit.view import Fleet, View

BEHAVIOUR = (
    *("standard_conforming_strings", "backslash_quote", "DateStyle", "IntervalStyle", "TimeZone"),
    *("default_transaction_isolation", "default_transaction_read_only", "bytea_output"),
    *("extra_float_digits", "search_path", "transform_null_equals", "xmloption", "jit"),
    *("plan_cache_mode", "synchronous_commit", "wal_level", "shared_preload_libraries"),
    *("password_encryption", "ssl_min_protocol_version", "statement_timeout", "lock_timeout"),
    *("idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout"),
)
SCALED = (
    *("shared_buffers", "effective_cache_size", "work_mem", "maintenance_work_mem"),
    *("max_connections", "max_worker_processes", "max_parallel_workers", "autovacuum_max_workers"),
    *("max_wal_size", "min_wal_size", "max_prepared_transactions"),
)


def behaviour(fleet: Fleet) -> Iterator[tuple[View, Outcome]]:
    """Compare what changes the meaning, the result or the end of a statement."""
    hidden: UnreadError | None = None
    for view, model in pairs(fleet):
        found, unseen = _differences(view, model, BEHAVIOUR)
        for here, there in found:
            yield view, _differs("warn", view, model, here, there)
        if _one_without(view, model):
            prepared = "max_prepared_transactions"
            yield view, _differs("warn", view, model, view.server(prepared), model.server(prepared))
        if not found:
            yield view, Outcome("ok", f"as in {model.client.environment}")
        hidden = unseen or hidden
    if hidden is not None:
        raise UnreadError(hidden.gap, "what could be read was compared")


def _one_without(view: View, model: View) -> bool:
    """Tell whether only one of two servers takes two-phase commits."""
    name = "max_prepared_transactions"
    return bool(view.count(name)) != bool(model.count(name))


def scaled(fleet: Fleet) -> Iterator[tuple[View, Outcome]]:
    """Compare what grows with the machine."""
    for view, model in pairs(fleet):
        found, _ = _differences(view, model, SCALED)
        for here, there in found:
            yield view, _differs("info", view, model, here, there)
        if not found:
            yield view, Outcome("ok", f"as in {model.client.environment}")


def _differences(
    view: View, model: View, names: Iterable[str]
) -> tuple[list[tuple[Reading, Reading]], UnreadError | None]:
    """Return the readings that differ, and why others could not be compared.

    What one of the versions does not have is not compared: that the versions differ is said by
    another check.
    """
    found, unseen = [], None
    for name in names:
        try:
            here, there = view.session(name), model.session(name)
        except UnreadError as error:
            unseen = error if error.gap.grant else unseen
            continue
        if here.value != there.value:
            found.append((here, there))
    return found, unseen


def _differs(status: Status, view: View, model: View, here: Reading, there: Reading) -> Outcome:
    name, ratio = here.name, ""
    if status == "info" and there.number:
        ratio = f", {here.number / there.number:.2g} times"
    fix = () if status == "info" else _alike(view, here, there)
    return Outcome(
        status,
        f"{name}: {named(view, here.shown)}, {named(model, there.shown)}{ratio}",
        object=name,
        observed=here.shown,
        expected=there.shown,
        key=f"session_settings.{name.lower()}" if here.client else "",
        fix=tuple(fix),
        evidence=(str(here), str(there)),
    )


def _alike(view: View, here: Reading, there: Reading) -> tuple[Fix, ...]:
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
        compare=behaviour,
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
        compare=scaled,
    ),
)
