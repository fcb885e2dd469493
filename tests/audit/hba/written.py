"""Rules from lines as people write them, without a server."""

from __future__ import annotations

from ipaddress import ip_network

from pgstrata.audit.hba import Rule


def rule(columns: str, line: int = 1, *, regexes: bool = True) -> Rule:
    """Return a rule from its columns: ``host app,x bob 10.0.0.0/8 md5 map=m``."""
    kind, databases, users, *rest = columns.split()
    address = "" if kind == "local" else rest.pop(0)
    mask = ""
    if "/" in address:
        address, _, mask = ip_network(address, strict=False).with_netmask.partition("/")
    return Rule(
        kind,
        tuple(databases.split(",")),
        tuple(users.split(",")),
        address,
        mask,
        rest[0],
        tuple(rest[1:]),
        line=line,
        regexes=regexes,
    )


def rules(*columns: str) -> tuple[Rule, ...]:
    """Return rules in lines from 1 on."""
    return tuple(rule(text, line) for line, text in enumerate(columns, 1))
