"""A file in pgmonkey's format as a dictionary."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pgstrata.errors import EnvInterpolationError, InvalidConfigError
from pgstrata.loading import load_file
from pgstrata.model import Config, Secret


def load_config(
    file_path: str | os.PathLike[str],
    resolve_env: bool = False,
    allow_sensitive_defaults: bool = False,
) -> dict[str, Any]:
    """Return what a file says, as a dictionary of sections: ``{"pool_settings": {"max_size": 9}}``.

    Values have the types of their keys. Secrets are in it in clear, as in pgmonkey:
    ``redact_config`` masks them for a log. References are followed with ``resolve_env`` only;
    fallbacks for secrets are taken with ``allow_sensitive_defaults``. Raises
    ``EnvInterpolationError`` where a reference leads nowhere, ``InvalidConfigError``.
    """
    with interpolation_reported():
        config = load_file(
            os.fspath(file_path),
            resolve_env=resolve_env,
            allow_sensitive_defaults=allow_sensitive_defaults,
        )
    return _sections(config)


@contextmanager
def interpolation_reported() -> Iterator[None]:
    """Raise ``EnvInterpolationError`` where nothing but references is wrong."""
    try:
        yield
    except InvalidConfigError as error:
        errors = [finding for finding in error.findings if finding.severity == "error"]
        if any(finding.rule != "interpolation" for finding in errors):
            raise
        raise EnvInterpolationError(str(error), hint=errors[0].hint) from None


def _sections(config: Config) -> dict[str, Any]:
    sections: dict[str, Any] = {}
    for key, setting in config.settings.items():
        if setting.value is None or setting.origin.layer != "file":
            continue
        # A PostgreSQL parameter may have a dot in its name.
        *path, name = key.split(".", 3 if key.startswith("connections.") else 1)
        target = sections
        for part in path:
            target = target.setdefault(part, {})
        value = setting.value
        target[name] = value.reveal() if isinstance(value, Secret) else value
    return sections
