"""Which sealed file a command is about, and who asks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from pgstrata.cli.options import Session
from pgstrata.errors import UsageError
from pgstrata.layers.project import environment_name
from pgstrata.schema.keys import SECRET_STORES

if TYPE_CHECKING:
    from pgstrata.secrets.sealed.access import Access

Command = TypeVar("Command", bound=Callable[..., Any])


class SealedFile(NamedTuple):
    """The sealed file of an environment, which need not exist, and who asks for it."""

    environment: str
    path: Path
    access: Access

    @property
    def name(self) -> str:
        """Its name as messages show it."""
        return f"environments/{self.path.name}"


def key_file(command: Command) -> Command:
    """Add ``--key-file``."""
    return click.option(
        "--key-file",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="The file with the private key [found as the documentation says].",
    )(command)


def kept_in(command: Command) -> Command:
    """Add ``--store``."""
    return click.option(
        "--store",
        type=click.Choice(SECRET_STORES),
        default=SECRET_STORES[0],
        show_default=True,
        help="Where the value is kept.",
    )(command)


def sealed_file(session: Session, environment: str | None, key: Path | None = None) -> SealedFile:
    """Return the sealed file that is meant. Raises ``EnvironmentNotFoundError``."""
    from pgstrata.layers.files import Reader
    from pgstrata.layers.folder import on_disk
    from pgstrata.layers.variables import Environ
    from pgstrata.secrets.sealed.access import Access
    from pgstrata.secrets.stores import sealed_path

    environ: Mapping[str, str] = Environ(os.environ)
    name = environment_name(environment, environ)
    Reader(on_disk(session.folder), environ).require(name)
    access = Access(name, project=session.folder, environ=environ, key_file=key)
    return SealedFile(name, sealed_path(session.folder, name), access)


def require_storable(key: str) -> None:
    """Raise ``UsageError`` unless a store can hold the setting. Never quotes it."""
    from pgstrata.layers import stores

    if problem := stores.problem(key):
        raise UsageError(problem, hint=stores.advice(key))
