"""How many connections the declared services open: the one formula that all of pgstrata uses.

A service opens, at worst, (replicas + surge) * processes * the sum of its types: a pool counts with
its largest size, a type without a pool as one connection. At rest it keeps replicas * processes *
the sum of its pools' smallest sizes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pgstrata.model import Config, Origin, Setting, Value
from pgstrata.schema.keys import CONNECTION_TYPES, POOL_SECTIONS
from pgstrata.schema.suggest import closest

_COUNTS = {"processes": 1, "replicas": 1, "surge": 0}
# Python refuses to read a number of thousands of digits, which no server would admit anyway.
_COUNT = re.compile(r"\d{1,6}")
_KEYS = ("name", *_COUNTS, "connection", "types")


@dataclass(frozen=True, slots=True)
class Service:
    """One declared program: how often it runs, and what each process opens."""

    name: str
    processes: int
    replicas: int
    surge: int
    connection: str
    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Declared:
    """An entry of ``services``: the service, or None and what is wrong with it."""

    origin: Origin
    service: Service | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Demand:
    """The connections that one service asks of one server, as one role, in one database.

    ``most`` is the worst case, ``floor`` what is open at rest, ``formula`` how ``most`` comes
    about, without the result. ``keys`` are the connection's settings that it comes from. Role and
    database are empty where libpq would choose them.
    """

    service: str
    connection: str
    role: str
    dbname: str
    most: int
    floor: int
    formula: str
    keys: tuple[str, ...] = ()


def declared(config: Config) -> Iterator[Declared]:
    """Yield each entry of ``services``, in its order."""
    setting = config.settings.get("services")
    if setting is None or not isinstance(setting.value, tuple):
        return
    for number, (item, origin) in enumerate(zip(setting.value, setting.items, strict=True), 1):
        if problem := _problem(config, item):
            yield Declared(origin, None, f"service {number}: {problem}")
        else:
            yield Declared(origin, _service(item))


def demands(config: Config) -> tuple[Demand, ...]:
    """Return what each service that can be read asks for."""
    services = [entry.service for entry in declared(config) if entry.service]
    return tuple(demand(service, config.connection(service.connection)) for service in services)


def demand(service: Service, target: Mapping[str, Setting]) -> Demand:
    """Return what a service asks for, given the effective settings of its connection."""
    types = service.types or (str(value_of(target, "connection_type")),)
    sizes = [(kind, *pool_sizes(target, kind)) for kind in types]
    each = " + ".join(f"{most} {kind}" for kind, _, most in sizes)
    return Demand(
        service=service.name,
        connection=service.connection,
        role=str(value_of(target, "connection_settings.user") or ""),
        dbname=str(value_of(target, "connection_settings.dbname") or ""),
        most=(service.replicas + service.surge)
        * service.processes
        * sum(most for *_, most in sizes),
        floor=service.replicas * service.processes * sum(least for _, least, _ in sizes),
        formula=f"({_counted(service.replicas, 'replica')} + {service.surge} surge)"
        f" * {_counted(service.processes, 'process')} * ({each})",
        keys=tuple(f"{POOL_SECTIONS[kind]}.max_size" for kind in types if kind in POOL_SECTIONS),
    )


def with_spare(most: int) -> int:
    """Return the slots that ``most`` connections are given: ceil(1.1 * most), a tenth to spare.

    In whole numbers: as floating point, 1.1 * 10 is more than 11.
    """
    return (11 * most + 9) // 10


def pool_sizes(target: Mapping[str, Setting], connection_type: str) -> tuple[int, int]:
    """Return the fewest and the most connections that a handle of this type keeps open.

    A type without a pool has 0 and 1. A default ``min_size`` gives way to a smaller ``max_size``
    that a file gives, so that ``max_size: 2`` alone is no contradiction.
    """
    section = POOL_SECTIONS.get(connection_type)
    if section is None:
        return 0, 1
    least, most = _size(target, f"{section}.min_size"), _size(target, f"{section}.max_size")
    minimum = target.get(f"{section}.min_size")
    if most and minimum is not None and minimum.origin.layer == "default":
        least = min(least, most)
    return least, most or least or 1


def _counted(count: int, noun: str) -> str:
    plural = "es" if noun.endswith("s") else "s"
    return f"{count} {noun}{plural if count != 1 else ''}"


def _size(target: Mapping[str, Setting], key: str) -> int:
    value = value_of(target, key)
    return value if isinstance(value, int) else 0


def value_of(target: Mapping[str, Setting], key: str) -> Value:
    """Return the value of a key of a connection; None where it is not set."""
    return target[key].value if key in target else None


def _problem(config: Config, item: Any) -> str:
    if not isinstance(item, dict) or not item.get("name"):
        return "must be a map with a name"
    if not isinstance(item["name"], str):
        return "name must be a text"
    if unknown := [key for key in item if key not in _KEYS]:
        guess = closest(unknown[0], _KEYS)
        return f"has no key {unknown[0]!r}" + (f"; did you mean {guess!r}?" if guess else "")
    for key in _COUNTS:
        if key in item and not _COUNT.fullmatch(str(item[key])):
            return f"{key} must be a whole number of at most six digits"
    connection = item.get("connection") or "default"
    if connection not in config.connections:
        return f"there is no connection {connection!r}"
    wrong = [kind for kind in _types(item) if kind not in CONNECTION_TYPES]
    return f"{wrong[0]!r} is not one of {', '.join(CONNECTION_TYPES)}" if wrong else ""


def _service(item: dict[str, Any]) -> Service:
    counts = {key: int(item.get(key, default)) for key, default in _COUNTS.items()}
    connection = item.get("connection") or "default"
    return Service(item["name"], connection=connection, types=_types(item), **counts)


def _types(item: dict[str, Any]) -> tuple[str, ...]:
    types = item.get("types") or ()
    return types if isinstance(types, tuple) else (types,)
