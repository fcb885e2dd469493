"""The connection manager: one handle for each target and type, made once however many ask."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, overload

from pgstrata.connect.conninfo import ConnectionType
from pgstrata.connect.handles import AsyncHandle, AsyncPoolHandle, Handle, NormalHandle, PoolHandle
from pgstrata.connect.plan import Plan, plan
from pgstrata.errors import InvalidConfigError, UsageError
from pgstrata.loading import load, load_file, load_mapping
from pgstrata.model import Config
from pgstrata.schema.keys import CONNECTION_TYPES
from pgstrata.validation import file_problems

PathLike: TypeAlias = "str | os.PathLike[str]"

_HANDLES: dict[str, type[Handle]] = {
    "normal": NormalHandle,
    "pool": PoolHandle,
    "async": AsyncHandle,
    "async_pool": AsyncPoolHandle,
}


@dataclass(slots=True)
class _Source:
    """A loaded configuration, the state of the file it was read from, and the handles already made
    for it.
    """

    config: Config
    state: object = None
    handles: dict[tuple[str, str | None], Handle] = field(default_factory=dict)


class PGConnectionManager:
    """Connections of one environment, by type.

    ``env``, ``project`` and ``environ`` are those of ``pgstrata.load``; the environment is loaded
    when it is first needed, and once. Calls that name a file or a dictionary need none of them.

    A manager may be shared between threads and event loops. It closes its pools when it and its
    handles are no longer referenced, and when the program ends.
    """

    def __init__(
        self,
        env: str | None = None,
        *,
        project: PathLike | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._env = env
        self._project = Path(project) if project is not None else None
        self._environ = environ
        self._lock = threading.RLock()
        self._sources: dict[object, _Source] = {}
        self._handles: dict[str, Handle] = {}

    @property
    def config(self) -> Config:
        """The loaded environment. Raises what ``pgstrata.load`` raises."""
        return self._environment().config

    def normal(self, connection: str = "default") -> NormalHandle:
        """Return the handle that connects anew for each block."""
        return cast(NormalHandle, self._handle(self._environment(), connection, "normal"))

    def pool(self, connection: str = "default") -> PoolHandle:
        """Return the handle whose blocks borrow from a pool."""
        return cast(PoolHandle, self._handle(self._environment(), connection, "pool"))

    def async_(self, connection: str = "default") -> AsyncHandle:
        """Return the asynchronous handle that connects anew for each block."""
        return cast(AsyncHandle, self._handle(self._environment(), connection, "async"))

    def async_pool(self, connection: str = "default") -> AsyncPoolHandle:
        """Return the asynchronous handle whose blocks borrow from a pool."""
        return cast(AsyncPoolHandle, self._handle(self._environment(), connection, "async_pool"))

    @overload
    def get_database_connection(
        self,
        config_file_path: PathLike | None,
        connection_type: Literal["normal"],
        force_reload: bool = ...,
        resolve_env: bool = ...,
        allow_sensitive_defaults: bool = ...,
        *,
        connection: str = ...,
    ) -> NormalHandle: ...
    @overload
    def get_database_connection(
        self,
        *,
        connection_type: Literal["normal"],
        force_reload: bool = ...,
        resolve_env: bool = ...,
        allow_sensitive_defaults: bool = ...,
        connection: str = ...,
    ) -> NormalHandle: ...

    @overload
    def get_database_connection(
        self,
        config_file_path: PathLike | None,
        connection_type: Literal["pool"],
        force_reload: bool = ...,
        resolve_env: bool = ...,
        allow_sensitive_defaults: bool = ...,
        *,
        connection: str = ...,
    ) -> PoolHandle: ...
    @overload
    def get_database_connection(
        self,
        *,
        connection_type: Literal["pool"],
        force_reload: bool = ...,
        resolve_env: bool = ...,
        allow_sensitive_defaults: bool = ...,
        connection: str = ...,
    ) -> PoolHandle: ...

    @overload
    def get_database_connection(
        self,
        config_file_path: PathLike | None,
        connection_type: Literal["async"],
        force_reload: bool = ...,
        resolve_env: bool = ...,
        allow_sensitive_defaults: bool = ...,
        *,
        connection: str = ...,
    ) -> AsyncHandle: ...
    @overload
    def get_database_connection(
        self,
        *,
        connection_type: Literal["async"],
        force_reload: bool = ...,
        resolve_env: bool = ...,
        allow_sensitive_defaults: bool = ...,
        connection: str = ...,
    ) -> AsyncHandle: ...

    @overload
    def get_database_connection(
        self,
        config_file_path: PathLike | None,
        connection_type: Literal["async_pool"],
        force_reload: bool = ...,
        resolve_env: bool = ...,
        allow_sensitive_defaults: bool = ...,
        *,
        connection: str = ...,
    ) -> AsyncPoolHandle: ...
    @overload
    def get_database_connection(
        self,
        *,
        connection_type: Literal["async_pool"],
        force_reload: bool = ...,
        resolve_env: bool = ...,
        allow_sensitive_defaults: bool = ...,
        connection: str = ...,
    ) -> AsyncPoolHandle: ...

    @overload
    def get_database_connection(
        self,
        config_file_path: PathLike | None = ...,
        connection_type: str | None = ...,
        force_reload: bool = ...,
        resolve_env: bool = ...,
        allow_sensitive_defaults: bool = ...,
        *,
        connection: str = ...,
    ) -> Handle: ...

    def get_database_connection(
        self,
        config_file_path: PathLike | None = None,
        connection_type: str | None = None,
        force_reload: bool = False,
        resolve_env: bool = False,
        allow_sensitive_defaults: bool = False,
        *,
        connection: str = "default",
    ) -> Handle:
        """Return the handle for a connection of the environment, or of one file in pgmonkey's
        format.

        ``connection_type`` falls back to the configuration's own. The handles of async types may be
        awaited, which opens their pool. ``force_reload`` closes what is open and reads the
        configuration again. ``resolve_env`` and ``allow_sensitive_defaults`` only apply to a file:
        they make it follow references to variables and files.

        Raises ``InvalidConfigError`` with all that is wrong; ``UsageError`` for an unknown type.
        """
        if config_file_path is None:
            source = self._environment(force_reload=force_reload)
        else:
            flags = (resolve_env, allow_sensitive_defaults)
            source = self._file(os.fspath(config_file_path), flags, force_reload=force_reload)
        return self._handle(source, connection, connection_type)

    @overload
    def get_database_connection_from_dict(
        self,
        config_data_dictionary: Mapping[str, Any],
        connection_type: Literal["normal"],
        force_reload: bool = ...,
        resolve_env: bool = ...,
        allow_sensitive_defaults: bool = ...,
        *,
        connection: str = ...,
    ) -> NormalHandle: ...

    @overload
    def get_database_connection_from_dict(
        self,
        config_data_dictionary: Mapping[str, Any],
        connection_type: Literal["pool"],
        force_reload: bool = ...,
        resolve_env: bool = ...,
        allow_sensitive_defaults: bool = ...,
        *,
        connection: str = ...,
    ) -> PoolHandle: ...

    @overload
    def get_database_connection_from_dict(
        self,
        config_data_dictionary: Mapping[str, Any],
        connection_type: Literal["async"],
        force_reload: bool = ...,
        resolve_env: bool = ...,
        allow_sensitive_defaults: bool = ...,
        *,
        connection: str = ...,
    ) -> AsyncHandle: ...

    @overload
    def get_database_connection_from_dict(
        self,
        config_data_dictionary: Mapping[str, Any],
        connection_type: Literal["async_pool"],
        force_reload: bool = ...,
        resolve_env: bool = ...,
        allow_sensitive_defaults: bool = ...,
        *,
        connection: str = ...,
    ) -> AsyncPoolHandle: ...

    @overload
    def get_database_connection_from_dict(
        self,
        config_data_dictionary: Mapping[str, Any],
        connection_type: str | None = ...,
        force_reload: bool = ...,
        resolve_env: bool = ...,
        allow_sensitive_defaults: bool = ...,
        *,
        connection: str = ...,
    ) -> Handle: ...

    def get_database_connection_from_dict(
        self,
        config_data_dictionary: Mapping[str, Any],
        connection_type: str | None = None,
        force_reload: bool = False,
        resolve_env: bool = False,
        allow_sensitive_defaults: bool = False,
        *,
        connection: str = "default",
    ) -> Handle:
        """Return the handle for what a file in pgmonkey's format would hold. Equal dictionaries
        share it.
        """
        config = load_mapping(
            config_data_dictionary,
            resolve_env=resolve_env,
            allow_sensitive_defaults=allow_sensitive_defaults,
            environ=self._environ,
        )
        del config_data_dictionary  # a traceback with locals would show its passwords
        source = _Source(config)
        if force_reload:
            self._forget(source)
        return self._handle(source, connection, connection_type)

    @property
    def cache_info(self) -> dict[str, Any]:
        """How many handles there are, and their types: ``{"size": 1, "connection_types": {"<12
        hex>": "pool"}}``.
        """
        handles = dict(self._handles)
        return {
            "size": len(handles),
            "connection_types": {
                key[:12]: handle.connection_type for key, handle in handles.items()
            },
        }

    def clear_cache(self) -> None:
        """Close all pools and forget what was loaded. Async pools are closed by their own event
        loops.
        """
        for handle in self._empty():
            handle.close()

    async def clear_cache_async(self) -> None:
        """Do the same, and wait for the async pools of the running event loop."""
        for handle in self._empty():
            if isinstance(handle, AsyncHandle | AsyncPoolHandle):
                await handle.aclose()
            else:
                handle.close()

    def _empty(self) -> list[Handle]:
        with self._lock:
            handles = list(self._handles.values())
            self._handles.clear()
            self._sources.clear()
        return handles

    def _environment(self, *, force_reload: bool = False) -> _Source:
        source = self._sources.get(None)
        if source is not None and not force_reload:
            return source
        with self._lock:
            if force_reload and source is not None:
                self._forget(self._sources.pop(None, source))
            if None not in self._sources:
                config = load(self._env, project=self._project, environ=self._environ)
                self._sources[None] = _Source(config)
            return self._sources[None]

    def _file(self, path: str, flags: tuple[bool, bool], *, force_reload: bool) -> _Source:
        """Return the configuration of a file, read again only if the file has changed since."""
        key = (path, flags)
        source = self._sources.get(key)
        state = _state(path)
        if source is not None and source.state == state and not force_reload:
            return source
        with self._lock:
            known = self._sources.get(key)
            if known is not None and known is not source and known.state == state:
                return known  # another thread was faster
            config = load_file(
                path, resolve_env=flags[0], allow_sensitive_defaults=flags[1], environ=self._environ
            )
            if known is not None:
                self._forget(known)
            self._sources[key] = _Source(config, state)
            return self._sources[key]

    def _forget(self, source: _Source) -> None:
        """Close the handles of a configuration that is about to be replaced."""
        for name in source.config.connections:
            for connection_type in CONNECTION_TYPES:
                key = plan(source.config, name, cast(ConnectionType, connection_type)).key
                if handle := self._handles.pop(key, None):
                    handle.close()

    def _handle(self, source: _Source, connection: str, connection_type: str | None) -> Handle:
        handle = source.handles.get((connection, connection_type))
        if handle is None:
            with self._lock:
                made = self._plan(source.config, connection, connection_type)
                kind = _HANDLES[made.connection_type]
                handle = self._handles.setdefault(made.key, kind(made))
                source.handles[connection, connection_type] = handle
        return handle

    def _plan(self, config: Config, connection: str, connection_type: str | None) -> Plan:
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


def _state(path: str) -> object:
    """Return what changes when a file does. A missing file is reported by whoever reads it."""
    try:
        status = os.stat(path)  # noqa: PTH116  # half the time of Path.stat, on each call with a file
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)
