"""pgmonkey's manager: connection objects for configuration files and dictionaries."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from pgstrata.connect import manager
from pgstrata.connect.handles import AsyncHandle, AsyncPoolHandle, Handle
from pgstrata.pgmonkey.config import interpolation_reported
from pgstrata.pgmonkey.connection import PGAsyncConnection, PGConnection

if TYPE_CHECKING:
    from pgstrata.connect.pgmonkey import PathLike

Sync: TypeAlias = Literal["normal", "pool"]
Async: TypeAlias = Literal["async", "async_pool"]


class PGConnectionManager:
    """Connection objects for configuration files and dictionaries, made once for equal ones.

    A manager may be shared between threads and event loops.
    """

    def __init__(self) -> None:
        self._manager = manager.PGConnectionManager()
        self._made: dict[str, PGConnection | PGAsyncConnection] = {}

    @overload
    def get_database_connection(
        self,
        config_file_path: PathLike,
        connection_type: Sync,
        force_reload: bool = ...,
        resolve_env: bool = ...,
        allow_sensitive_defaults: bool = ...,
    ) -> PGConnection: ...
    @overload
    def get_database_connection(
        self,
        config_file_path: PathLike,
        connection_type: Async,
        force_reload: bool = ...,
        resolve_env: bool = ...,
        allow_sensitive_defaults: bool = ...,
    ) -> PGAsyncConnection: ...
    @overload
    def get_database_connection(
        self,
        config_file_path: PathLike,
        connection_type: str | None = ...,
        force_reload: bool = ...,
        resolve_env: bool = ...,
        allow_sensitive_defaults: bool = ...,
    ) -> Any: ...
    def get_database_connection(
        self,
        config_file_path: PathLike,
        connection_type: str | None = None,
        force_reload: bool = False,
        resolve_env: bool = False,
        allow_sensitive_defaults: bool = False,
    ) -> Any:
        """Return the object for a file; one of an async type may be awaited.

        ``connection_type`` falls back to the file's own. Raises ``InvalidConfigError`` with all
        that is wrong, ``EnvInterpolationError``, ``UsageError`` for an unknown type.
        """
        path = os.fspath(config_file_path)
        given = (force_reload, resolve_env, allow_sensitive_defaults)
        get = self._manager.get_database_connection
        return self._object(lambda: get(path, connection_type, *given), resolve_env=resolve_env)

    @overload
    def get_database_connection_from_dict(
        self,
        config_data_dictionary: Mapping[str, Any],
        connection_type: Sync,
        force_reload: bool = ...,
        resolve_env: bool = ...,
        allow_sensitive_defaults: bool = ...,
    ) -> PGConnection: ...
    @overload
    def get_database_connection_from_dict(
        self,
        config_data_dictionary: Mapping[str, Any],
        connection_type: Async,
        force_reload: bool = ...,
        resolve_env: bool = ...,
        allow_sensitive_defaults: bool = ...,
    ) -> PGAsyncConnection: ...
    @overload
    def get_database_connection_from_dict(
        self,
        config_data_dictionary: Mapping[str, Any],
        connection_type: str | None = ...,
        force_reload: bool = ...,
        resolve_env: bool = ...,
        allow_sensitive_defaults: bool = ...,
    ) -> Any: ...
    def get_database_connection_from_dict(
        self,
        config_data_dictionary: Mapping[str, Any],
        connection_type: str | None = None,
        force_reload: bool = False,
        resolve_env: bool = False,
        allow_sensitive_defaults: bool = False,
    ) -> Any:
        """Return the object for what a file would hold. Equal dictionaries share it."""
        given = (force_reload, resolve_env, allow_sensitive_defaults)
        get = self._manager.get_database_connection_from_dict
        data = config_data_dictionary
        return self._object(lambda: get(data, connection_type, *given), resolve_env=resolve_env)

    @property
    def cache_info(self) -> dict[str, Any]:
        """How many objects there are, and their types: ``{"size": 1, "connection_types": {"<12
        hex>": "pool"}}``.
        """
        return self._manager.cache_info

    def clear_cache(self) -> None:
        """Disconnect all objects and forget them; async pools are closed by their own loops."""
        for made in self._forgotten():
            made.abandon()
        self._manager.clear_cache()

    async def clear_cache_async(self) -> None:
        """Do the same, and wait for the async pools of the running event loop."""
        for made in self._forgotten():
            made.abandon()
        await self._manager.clear_cache_async()

    def _forgotten(self) -> list[PGConnection | PGAsyncConnection]:
        made, self._made = self._made, {}
        return list(made.values())

    def _object(
        self, get: Callable[[], Handle], *, resolve_env: bool
    ) -> PGConnection | PGAsyncConnection:
        with interpolation_reported():
            handle = get()
            if resolve_env:  # a reference that leads nowhere is told here, as in pgmonkey
                handle.plan.conninfo.taken()
        known = self._made.get(handle.plan.key)
        if known is not None and known.handle is handle:
            return known
        # Two threads that come here at once must end with the same object.
        fresh = self._made.setdefault(handle.plan.key, _wrapped(handle))
        if fresh.handle is not handle:  # of before a force_reload
            fresh.abandon()
            fresh = self._made[handle.plan.key] = _wrapped(handle)
        return fresh


def _wrapped(handle: Handle) -> PGConnection | PGAsyncConnection:
    if isinstance(handle, AsyncHandle | AsyncPoolHandle):
        return PGAsyncConnection(handle)
    return PGConnection(handle)
