"""The calls of pgmonkey's manager, unchanged, so that code written for it works as it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, overload

from pgstrata.connect.cache import ENVIRONMENT, Cache, Source
from pgstrata.connect.handles import AsyncHandle, AsyncPoolHandle, Handle, NormalHandle, PoolHandle
from pgstrata.loading import load, load_file, load_mapping
from pgstrata.model import Config

PathLike: TypeAlias = "str | os.PathLike[str]"
FileName: TypeAlias = tuple[str, bool, bool]  # a path, and how references in it are resolved


class PgmonkeyCalls:
    """Handles for one environment, for files and for dictionaries."""

    def __init__(
        self, env: str | None, project: Path | None, environ: Mapping[str, str] | None
    ) -> None:
        self._env = env
        self._project = project
        self._environ = environ
        self._cache = Cache()

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
            name = (os.fspath(config_file_path), resolve_env, allow_sensitive_defaults)
            source = self._file(name, force_reload=force_reload)
        return self._cache.handle(source, connection, connection_type)

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
        source = self._cache.mapping(config, force_reload=force_reload)
        return self._cache.handle(source, connection, connection_type)

    @property
    def cache_info(self) -> dict[str, Any]:
        """How many handles there are, and their types: ``{"size": 1, "connection_types": {"<12
        hex>": "pool"}}``.
        """
        types = self._cache.types()
        return {"size": len(types), "connection_types": types}

    def clear_cache(self) -> None:
        """Close all pools and forget what was loaded. Async pools are closed by their own event
        loops.
        """
        for handle in self._cache.clear():
            handle.close()

    async def clear_cache_async(self) -> None:
        """Do the same, and wait for the async pools of the running event loop."""
        for handle in self._cache.clear():
            if isinstance(handle, AsyncHandle | AsyncPoolHandle):
                await handle.aclose()
            else:
                handle.close()

    def _environment(self, *, force_reload: bool = False) -> Source:
        return self._cache.source(ENVIRONMENT, None, self._load, force_reload=force_reload)

    def _load(self) -> Config:
        return load(self._env, project=self._project, environ=self._environ)

    def _file(self, name: FileName, *, force_reload: bool) -> Source:
        state = _state(name[0])
        known = None if force_reload else self._cache.known(name, state)
        return known or self._cache.source(
            name, state, self._reader(name), force_reload=force_reload
        )

    def _reader(self, name: FileName) -> Callable[[], Config]:
        path, resolve_env, allow_sensitive_defaults = name
        return lambda: load_file(
            path,
            resolve_env=resolve_env,
            allow_sensitive_defaults=allow_sensitive_defaults,
            environ=self._environ,
        )


def _state(path: str) -> object:
    """Return what changes when a file does. A missing file is reported by whoever reads it."""
    try:
        status = os.stat(path)  # noqa: PTH116  # half the time of Path.stat, on each call with a file
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)
