"""What benchmarks/tables.py runs: our programs, what they are compared with, and the limits."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from math import inf
from pathlib import Path

from tests.servers import Server

from benchmarks import pgmonkey
from benchmarks.table_files import compress
from benchmarks.table_programs import (
    BARE_COPY,
    BARE_EXPORT,
    BARE_IMPORT,
    CONNECT,
    COPY,
    EXPORT,
    IMPORT,
    PARALLEL,
    RUNNING,
)

MEMORY = 64  # MiB


@dataclass(frozen=True)
class Case:
    """A command, its baseline, the limit of their ratio, and the table to be emptied before it;
    ``memory`` limits its MiB. What is only shown has no limits. A ``running`` command prints the
    seconds that count.
    """

    name: str
    server: Server
    command: list[str]
    baseline: str = ""
    limit: float = inf
    table: str = "m"
    database: str = "one"
    memory: float = inf
    running: bool = False


def dsn(server: Server, database: str = "") -> str:
    """Return how to connect; the password is in the environment."""
    name = f" dbname={database}" if database else ""
    return f"host={server.host} port={server.port} user={server.superuser}{name}"


def ours(server: Server, text: str) -> list[str]:
    """Return the command of one of the programs above."""
    return [sys.executable, "-c", text, dsn(server)]


def psql(server: Server, text: str) -> list[str]:
    """Return a command of psql."""
    return [str(server.bindir / "psql"), "-qX", dsn(server, "one"), "-c", text]


def running(server: Server, name: str, what: str, baseline: Case, databases: str = "one") -> Case:
    """Return a case of what a running program does with ``connections``."""
    text = CONNECT + RUNNING.format(what=what, databases=databases.split())
    into = baseline.table, baseline.database
    command = ours(server, text)
    named = f"{name}, in a running program"
    return Case(named, server, command, baseline.name, inf, *into, running=True)


def bare(server: Server, name: str, text: str, baseline: Case) -> Case:
    """Return a case of a program that has psycopg alone."""
    into = baseline.table, baseline.database
    command = ours(server, text)
    return Case(f"{name}, psycopg alone", server, command, baseline.name, inf, *into)


def importing(server: Server, file: Path) -> list[Case]:
    """Return the cases of one clean file, plain and compressed."""
    gz, zst = compress(file)
    copy, plain = "\\copy {} from '{}' (format csv, header)", str(file)

    def parallel(jobs: int, table: str = "m") -> list[str]:
        return ours(server, PARALLEL.format(file=plain, jobs=jobs, table=table))

    def single(path: Path, table: str = "m") -> list[str]:
        return ours(server, IMPORT.format(file=str(path), options="", table=table))

    keyed = "psql import, primary key"
    base = Case("psql import", server, psql(server, copy.format("m", plain)))
    one = f"import_csv(connections[0], 'm', {plain!r})"
    two = f"import_csv(connections[0], 'm', {plain!r}, workers=connections[1:])"
    return [
        base,
        bare(server, "import", BARE_IMPORT.format(file=plain), base),
        Case("import", server, single(file), "psql import", 1.05),
        running(server, "import", one, base),
        Case("import, 2 jobs", server, parallel(2), "psql import", 0.7),
        running(server, "import, 2 jobs", two, base, "one one"),
        Case("import .gz", server, single(gz), "import", 1.05),
        Case("import .zst", server, single(zst), "import", 1.05),
        Case(keyed, server, psql(server, copy.format("keyed", plain)), table="keyed"),
        Case("import, primary key, 2 jobs", server, parallel(2, "keyed"), keyed, 0.77, "keyed"),
    ]


def rejecting(server: Server, files: dict[int, Path], limits: tuple[float, ...]) -> list[Case]:
    """Return the cases of files with so many bad rows, against the clean import without rejects."""
    version = f"PostgreSQL {server.version}"
    rejects = str(files[0].with_name("rejects"))
    options = f"rejects={rejects!r}, max_rejects=10**6, overwrite=True"
    clean = IMPORT.format(file=str(files[0]), options="", table="m")
    found = [Case(f"import, {version}", server, ours(server, clean))]
    for (bad, file), limit in zip(files.items(), limits, strict=True):
        text = IMPORT.format(file=str(file), options=options, table="m")
        name = f"import, {bad} rejects, {version}"
        found.append(Case(name, server, ours(server, text), found[0].name, limit))
    return found


def leaving(server: Server, folder: Path) -> list[Case]:
    """Return the cases of an export and of a copy to another database."""
    out = str(folder / "out.csv")
    to_file = psql(server, f"\\copy full_m to '{out}' (format csv, header)")
    base = Case("psql export", server, to_file, table="")
    what = f"export_csv(connections[0], 'full_m', {out!r}, ExportOptions(overwrite=True))"
    moved = moving(server, "full_m")
    return [
        base,
        bare(server, "export", BARE_EXPORT.format(file=out), base),
        Case("export", server, ours(server, EXPORT.format(file=out)), "psql export", 1.05, ""),
        running(server, "export", what, base),
        *moved,
        bare(server, "copy", BARE_COPY, moved[0]),
        running(server, "copy", "copy_table(*connections, 'full_m')", moved[0], "one two"),
    ]


def moving(server: Server, table: str, size: str = "", memory: float = inf) -> list[Case]:
    """Return the cases of a copy to another database."""
    there, both = dsn(server, "two"), (table, "two")
    dumped = f"{server.bindir}/pg_dump -a -t {table} '{dsn(server, 'one')}'"
    piped = f"{dumped} | {server.bindir}/psql -qX '{there}' >{os.devnull}"
    base = Case(f"pg_dump piped to psql{size}", server, ["sh", "-c", piped], "", inf, *both)
    copied = ours(server, COPY.format(table=table))
    return [base, Case(f"copy{size}", server, copied, base.name, 0.55, *both, memory)]


def monkeys(server: Server, file: Path, folder: Path) -> list[Case]:
    """Return the cases of pgmonkey, which can only fill columns of text, where it can be had."""
    place = pgmonkey.install(folder)
    if place is None:
        return []
    connect = ("--connconfig", str(pgmonkey.settings(folder, server, "one")))
    out, psql_out = str(folder / "monkey.csv"), str(folder / "psql.csv")
    load = psql(server, f"\\copy texts from '{file}' (format csv, header)")
    leave = psql(server, f"\\copy full_m to '{psql_out}' (format csv, header)")
    loads = ("pgimport", "--import_file", str(file), "--table", "texts")
    leaves = ("pgexport", "--table", "full_m", "--export_file", out)
    base, base_out = "psql import, columns of text", "psql export, for pgmonkey"
    theirs, theirs_out = (pgmonkey.command(place, *words, *connect) for words in (loads, leaves))
    return [
        Case(base, server, load, table="texts"),
        Case("pgmonkey import, columns of text", server, theirs, base, table="texts"),
        Case(base_out, server, leave, table=""),
        Case("pgmonkey export", server, theirs_out, base_out, table=""),
    ]


def large(server: Server, big: Path) -> list[Case]:
    """Return the cases of a file that is larger than the memory they may take."""
    size = f"{big.stat().st_size / 1e9:.1f} GB"
    copy = psql(server, f"\\copy m from '{big}' (format csv, header)")
    one = ours(server, IMPORT.format(file=str(big), options="", table="m"))
    four = ours(server, PARALLEL.format(file=str(big), jobs=4, table="m"))
    base = Case(f"psql import, {size}", server, copy)
    out = str(big.with_name("big-out.csv"))
    to_file = psql(server, f"\\copy m to '{out}' (format csv, header)")
    leave = ours(server, CONNECT + f"export_csv(c(), 'm', {out!r}, ExportOptions(overwrite=True))")
    psql_export = Case(f"psql export, {size}", server, to_file, table="")
    return [
        base,
        Case(f"import, {size}", server, one, base.name, 1.05, memory=MEMORY),
        Case(f"import, {size}, 4 jobs", server, four, base.name, 0.7, memory=MEMORY),
        psql_export,
        Case(f"export, {size}", server, leave, psql_export.name, 1.05, "", memory=MEMORY),
        *moving(server, "m", f", {size}", MEMORY),
    ]
