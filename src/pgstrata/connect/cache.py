"""What one manager has loaded, and the handles that it made: one for each target and type."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, cast

from pgstrata.connect import lifecycle
from pgstrata.connect.conninfo import ConnectionType
from pgstrata.connect.failure import shut_down
from pgstrata.connect.handles import AsyncHandle, AsyncPoolHandle, Handle, NormalHandle, PoolHandle
from pgstrata.connect.meter import Listener
from pgstrata.connect.plan import Plan, plan
from pgstrata.errors import InvalidConfigError, UsageError
from pgstrata.model import Config
from pgstrata.schema.keys import CONNECTION_TYPES
from pgstrata.validation import file_problems

Handles: TypeAlias = dict[tuple[str, str | None], Handle]

ENVIRONMENT = None  # the name of the source that is no file and no dictionary

_HANDLES: dict[str, type[Handle]] = {
    "normal": NormalHandle,
    "pool": PoolHandle,
    "async": AsyncHandle,
    "async_pool": AsyncPoolHandle,
}


@dataclass(slots=True, eq=False)
class Source:
    """A loaded configuration, the state of the file it was read from, how to read it again, and the
    handles already made for it, by connection and the type that was asked for.
    """

    config: Config
    state: object = None
    read: Callable[[], Config] | None = None
    handles: Handles = field(default_factory=dict)


class Cache:
    """Reading is free of locks; whatever changes something holds the one lock.

    ``ready`` has the handles of the environment that were asked for before, for the quick way.
    """

    def __init__(self) -> None:
        self.ready: dict[tuple[str, str | None], Any] = {}
        self._lock = threading.RLock()
        self._sources: dict[object, Source] = {}
        self._handles: dict[str, Handle] = {}
        self._made: weakref.WeakSet[Handle] = weakref.WeakSet()  # also those forgotten since
        self._refuses = False
        self._listeners: list[Listener] = []
        lifecycle.watch(self)

    def known(self, name: object, state: object) -> Source | None:
        """Return a configuration that was read when its ``state`` was this one, if there is one."""
        known = self._sources.get(name)
        return known if known is not None and known.state == state else None

    def source(
        self, name: object, state: object, read: Callable[[], Config], *, force_reload: bool = False
    ) -> Source:
        """Return a configuration, read again only if its ``state`` is another than before, or if
        forced to.

        What the new one does not connect to any more is closed. Raises what ``read`` raises; the
        old configuration then stays.
        """
        known = self.known(name, state)
        if known is not None and not force_reload:
            return known
        with self._lock:
            newest = self._sources.get(name)
            if newest is not None and newest is not known and newest.state == state:
                return newest  # another thread was faster
            source = Source(read(), state, read)
            self._sources[name] = source
            unused = set() if newest is None else _keys_of(newest)
            kept = set() if force_reload else self._keys_in_use()
            closing = self._forget(unused - kept)
        _close(closing)
        return source

    def mapping(self, config: Config, *, force_reload: bool) -> Source:
        """Return a configuration that was given as a dictionary. Equal ones share their handles."""
        source = Source(config)
        with self._lock:
            closing = self._forget(_keys(config)) if force_reload else []
            self._sources[frozenset(_keys(config))] = source
        _close(closing)
        return source

    def handle(self, source: Source, connection: str, connection_type: str | None) -> Handle:
        """Return the handle for a connection. Raises ``UsageError`` for an unknown type, and
        ``InvalidConfigError`` where a file that it needs cannot be used.
        """
        ask = (connection, connection_type)
        handle = source.handles.get(ask)
        if handle is None:
            made = _checked_plan(source.config, connection, connection_type)
            with self._lock:
                self.admit()
                if made.key not in self._handles:
                    self._handles[made.key] = self._new(made)
                handle = source.handles[ask] = self._handles[made.key]
        if ask not in self.ready and source is self._sources.get(ENVIRONMENT):
            with self._lock:  # neither may have been replaced meanwhile
                if source is self._sources.get(ENVIRONMENT) and source.handles.get(ask) is handle:
                    self.ready[ask] = handle
        return handle

    def _new(self, plan: Plan) -> Handle:
        handle = _HANDLES[plan.connection_type](plan)
        if isinstance(handle, PoolHandle | AsyncPoolHandle):
            handle.listeners.extend(self._listeners)
        self._made.add(handle)
        return handle

    def handles(self) -> list[Handle]:
        """Return all handles, in the order in which they were made."""
        return list(self._handles.values())

    def listen(self, listener: Listener) -> None:
        """Call this with each duration that a pool measures from now on."""
        with self._lock:
            self._listeners.append(listener)
            for handle in self._handles.values():
                if isinstance(handle, PoolHandle | AsyncPoolHandle):
                    handle.listeners.append(listener)

    def types(self) -> dict[str, str]:
        """Return the type of each handle by the beginning of its key."""
        return {key[:12]: handle.connection_type for key, handle in dict(self._handles).items()}

    def clear(self) -> list[Handle]:
        """Forget everything, and return the handles, which are to be closed."""
        with self._lock:
            handles = list(self._handles.values())
            self._handles.clear()
            self._sources.clear()
            self.ready = {}
        return handles

    def admit(self) -> None:
        """Raise ``ShutDownError`` if no connections are given out any more."""
        if self._refuses:
            raise shut_down()

    def refuse(self) -> list[Handle]:
        """Let no handle give out connections any more, and return them all: also those that are
        forgotten here, and held elsewhere.
        """
        with self._lock:
            self._refuses = True
            handles = list(self._made)
        for handle in handles:
            handle.refuse()
        return handles

    def reload(self) -> None:
        """Read all sources again, and have the handles go over to what has changed.

        New pools are open before an old one is closed; if anything fails, nothing has changed.
        """
        with self._lock:
            fresh = {name: one.read() for name, one in self._sources.items() if one.read}
            moves = self._moves(fresh)
            pools = _prepared(moves)
            for handle, new in moves:
                self._handles[new.key] = self._handles.pop(handle.plan.key)
            renamed = {id(handle): new.key for handle, new in moves}
            for name, config in fresh.items():
                source = replace(self._sources[name], config=config)
                source.handles = {
                    ask: handle
                    for ask, handle in source.handles.items()
                    if renamed.get(id(handle), handle.plan.key) == _key(config, *ask)
                }
                self._sources[name] = source
            closing = self._forget(set(self._handles) - self._keys_in_use())
        for (handle, new), pool in zip(moves, pools, strict=True):
            handle.replace(new, pool)
        _close(closing)

    def _moves(self, fresh: Mapping[object, Config]) -> list[tuple[Handle, Plan]]:
        """Return the handles that must follow a new plan. One that several sources share, of which
        not all go the same way, stays; those who go get another one when they ask again.
        """
        wanted: dict[Handle, dict[str, Plan]] = {}
        moves: dict[str, tuple[Handle, Plan]] = {}
        for name, source in self._sources.items():
            config = fresh.get(name, source.config)
            for (connection, _), handle in source.handles.items():
                if connection in config.connections:
                    new = plan(config, connection, handle.connection_type)
                    wanted.setdefault(handle, {})[new.key] = new
        for handle, plans in wanted.items():
            for key, new in plans.items():
                if len(plans) == 1 and key not in self._handles:
                    moves.setdefault(key, (handle, new))
        return list(moves.values())

    def after_fork(self) -> None:
        """Have a lock that no thread of the parent holds."""
        self._lock = threading.RLock()

    def borrowed(self) -> tuple[()]:
        """Leave it to the handles."""
        return ()

    def at_exit(self) -> None:
        """Leave it to the handles."""

    def _keys_in_use(self) -> set[str]:
        return {key for source in self._sources.values() for key in _keys_of(source)}

    def _forget(self, keys: Iterable[str]) -> list[Handle]:
        """Take these handles out of the cache, and return them."""
        self.ready = {}
        gone = [handle for key in keys if (handle := self._handles.pop(key, None)) is not None]
        for source in self._sources.values():
            source.handles = {ask: made for ask, made in source.handles.items() if made not in gone}
        return gone


def _prepared(moves: Iterable[tuple[Handle, Plan]]) -> list[Any]:
    """Open what the handles will need. If one cannot be had, close those that were opened."""
    prepared: list[tuple[Any, Any]] = []
    try:
        for handle, new in moves:
            prepared.append((handle, handle.prepare(new)))  # those before a failure are needed
    except BaseException:
        for handle, pools in prepared:
            handle.discard(pools)
        raise
    return [pools for _, pools in prepared]


def _close(handles: Iterable[Handle]) -> None:
    """Close handles; never under the lock, as a pool that hangs takes seconds."""
    for handle in handles:
        handle.close()


def _keys_of(source: Source) -> set[str]:
    """Return the keys of the handles that a configuration leads to, and of those that it led to
    before a secret in it changed.
    """
    return _keys(source.config) | {handle.plan.key for handle in source.handles.values()}


def _keys(config: Config) -> set[str]:
    return {
        plan(config, name, cast(ConnectionType, connection_type)).key
        for name in config.connections
        for connection_type in CONNECTION_TYPES
    }


def _key(config: Config, connection: str, connection_type: str | None) -> str:
    """Return the key of the handle that an ask leads to, or nothing where it leads nowhere."""
    if connection not in config.connections:
        return ""
    target = config.connection(connection)
    chosen = connection_type or target["connection_type"].value
    return plan(config, connection, cast(ConnectionType, chosen)).key


def _checked_plan(config: Config, connection: str, connection_type: str | None) -> Plan:
    target = config.connection(connection)
    chosen = connection_type or str(target["connection_type"].value)
    if chosen not in CONNECTION_TYPES:
        raise UsageError(
            f"{chosen!r} is not a connection type",
            hint=f"use one of {', '.join(CONNECTION_TYPES)}",
        )
    if findings := file_problems(target, config.project):
        raise InvalidConfigError(findings)
    return plan(config, connection, cast(ConnectionType, chosen))
