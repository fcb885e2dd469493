"""Robustness: whether the program gives up in time when a server, a network or a query hangs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

from pgstrata.check.scope import Connection, Found, Rule, Unknown, each, reading

_PROXY = re.compile(r"(^|[^a-z0-9])(n?lb|elb|haproxy|proxy|pgbouncer|pooler|pgpool|vip)([^a-z]|$)")
LONG_LIFE = 3600.0  # seconds
_OPTIONS = "connection_settings.options"
# As the server reads them: -c name=value, -cname=value, --name=value; a backslash escapes a space.
_OPTION = re.compile(r"(?:(?<=\s)|^)(?:-c\s*|--)([\w.-]+)=((?:\\.|\S)*)")
_POOLERS = ("transaction", "pgbouncer")


def no_connect_timeout(connection: Connection) -> Iterator[Found]:
    """Find connections that wait for a dead host without end."""
    key = "connection_settings.connect_timeout"
    if not connection.local and not connection.value(key):
        yield connection.found(
            key, "connect_timeout 0 waits for a dead host without end", hint="connect_timeout: 5"
        )


def no_statement_timeout(connection: Connection) -> Iterator[Found | Unknown]:
    """Find connections whose statements may run without end, of any type that is in use."""
    if connection.local or connection.value("pooler") in _POOLERS:
        return
    for key in dict.fromkeys(connection.session_keys("statement_timeout")):
        # Session settings follow `options` at the start of a session, and the last one counts.
        value = connection.value(key)
        if not reading(key, _option(connection, "statement_timeout") if value is None else value):
            found = connection.found(
                key,
                "a statement may run without end",
                _OPTIONS,
                hint="session_settings: {statement_timeout: 30s}",
            )
            yield from connection.undecided(key) or (found,)


def _option(connection: Connection, name: str) -> str | None:
    """Return the value that ``options`` has for a parameter, the last one; None for none."""
    said = _OPTION.findall(str(connection.keyword("options") or ""))
    values = [text for option, text in said if option.replace("-", "_").lower() == name]
    return re.sub(r"\\(.)", r"\1", values[-1]) if values else None


def keepalives_off(connection: Connection) -> Iterator[Found]:
    """Find connections that never notice that the other side is gone."""
    key = "connection_settings.keepalives"
    if connection.remote and connection.value(key) == 0:
        yield connection.found(
            key, "without keepalives a lost connection looks like a slow one", hint="keepalives: 1"
        )


def pool_timeout(connection: Connection) -> Iterator[Found]:
    """Find pools that give up before every host has been tried."""
    each_host = connection.keyword("connect_timeout")
    if connection.local or not isinstance(each_host, int) or not each_host:
        return
    needed = max(len(connection.hosts), 1) * each_host
    for _, section in connection.pools():
        timeout = connection.value(f"{section}.timeout")
        if isinstance(timeout, int | float) and timeout < needed:
            yield connection.found(
                f"{section}.timeout",
                f"timeout {timeout:g} s is over before {len(connection.hosts)} hosts of"
                f" {each_host} s each have been tried",
                "connection_settings.connect_timeout",
                hint=f"timeout: {needed} at least, or a smaller connect_timeout",
            )


def no_max_lifetime(connection: Connection) -> Iterator[Found]:
    """Find pools that use a connection for very long."""
    for _, section in () if connection.local else connection.pools():
        key = f"{section}.max_lifetime"
        lifetime = cast("float", connection.value(key) or 0.0)
        if lifetime > LONG_LIFE:
            yield connection.found(
                key,
                f"{section} uses a connection for {lifetime:g} s",
                hint="max_lifetime: 1800, shorter than any proxy's or firewall's own limit",
            )


def pool_without_check(connection: Connection) -> Iterator[Found]:
    """Find pools behind something that may end connections on its own."""
    between = _between(connection)
    for _, section in connection.pools() if between else ():
        key = f"{section}.check_on_checkout"
        if not connection.value(key):
            yield connection.found(
                key,
                f"{between} may end connections, and the pool hands them out unchecked",
                "pooler",
                "connection_settings.load_balance_hosts",
                "connection_settings.host",
                hint="check_on_checkout: true",
            )


def _between(connection: Connection) -> str:
    """Return what stands between the program and the server, or nothing."""
    if connection.local:
        return ""
    if pooler := connection.value("pooler"):
        return f"the pooler ({pooler})"
    if connection.keyword("load_balance_hosts") == "random":
        return "load balancing"
    proxies = [host for host in connection.hosts if _PROXY.search(host)]
    return f"the proxy {proxies[0]}" if proxies else ""


def no_target_session_attrs(connection: Connection) -> Iterator[Found]:
    """Find several hosts of which any is good enough by default."""
    key = "connection_settings.target_session_attrs"
    if len(connection.hosts) > 1 and connection.value(key) is None:
        yield connection.found(
            key,
            f"of {len(connection.hosts)} hosts the first that answers is taken, also a standby",
            "connection_settings.host",
            hint="target_session_attrs: read-write; any, if reading is all that is done",
        )


RULES = (
    Rule(
        "no-connect-timeout",
        "warning",
        each(no_connect_timeout),
        what="`connect_timeout` is 0.",
        why="A host that drops packets holds the program for minutes, until the system gives up.",
        remedy="`connect_timeout: 5`; with several hosts it counts for each.",
    ),
    Rule(
        "no-statement-timeout",
        "warning",
        each(no_statement_timeout),
        what="`statement_timeout` is neither set nor in `options`, or 0, for a connection type that"
        " is in use: the default one, one whose pool is configured, or one of `services`. Not"
        " looked for behind a pooler that cannot keep session settings, and where a service file"
        " decides.",
        why="One query that hangs keeps its connection and its locks until somebody finds it.",
        remedy="`session_settings: {statement_timeout: 30s}`; long jobs get a connection of their"
        " own.",
    ),
    Rule(
        "keepalives-off",
        "warning",
        each(keepalives_off),
        what="`keepalives` is 0 for a host that is another machine.",
        why="Firewalls forget silent connections; without keepalives the program waits for an"
        " answer that cannot come.",
        remedy="`keepalives: 1`, with `keepalives_idle` below the firewall's limit.",
    ),
    Rule(
        "pool-timeout",
        "warning",
        each(pool_timeout),
        what="A pool's `timeout` is shorter than the number of hosts times `connect_timeout`.",
        why="While the first host is down, callers give up before the next one is tried, and a"
        " failover looks like an outage.",
        remedy="Make `timeout` longer, or `connect_timeout` shorter.",
    ),
    Rule(
        "no-max-lifetime",
        "info",
        each(no_max_lifetime),
        what="A pool that is used has a `max_lifetime` of more than an hour.",
        why="Proxies and firewalls end old connections, and after a failover a pool stays where it"
        " was.",
        remedy="Leave it out, which is `max_lifetime: 1800`, or set one shorter than the limit of"
        " whatever stands between.",
    ),
    Rule(
        "pool-without-check",
        "warning",
        each(pool_without_check),
        what="A pooler or a load balancer stands between, and `check_on_checkout` is off.",
        why="It may end connections that the pool still holds. One that idled for half a second is"
        " tested before it is handed out; one that was just given back is not, and its caller gets"
        " the error.",
        remedy="`check_on_checkout: true`, which costs one round trip.",
    ),
    Rule(
        "no-target-session-attrs",
        "warning",
        each(no_target_session_attrs),
        what="Several hosts, and `target_session_attrs` is not set.",
        why="libpq takes the first host that answers, and after a failover that is a standby:"
        " every write fails.",
        remedy="`target_session_attrs: read-write`, or `any` if that is what is meant.",
    ),
)
