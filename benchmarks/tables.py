"""Import, export and copy against psql and pg_dump: whole processes, paired in rounds.

Run from the project's folder: ``python -m benchmarks.tables --rounds 9 --rows 1000000``. Every
round runs each case once, next to its baseline; printed are the median seconds, and the median of
the rounds' ratios to the baseline with its limit. ``peak`` is the largest resident memory of a
case; it is never less than this program's own, from which the case was started.
"""

from __future__ import annotations

import argparse
import gzip
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from tests.servers import Server, embedded_bindir

DDL = "(id int, big bigint, txt text, amount numeric, ts timestamptz, flag bool, uid uuid, opt int)"
WORDS = ("alpha", "beta, gamma", 'say ""q""', "line\nbreak", "kůň", "plain text for a while", "x")
CONNECT = """
import sys, psycopg
from pgstrata.tables import *
def c(database="one"): return psycopg.connect(sys.argv[1] + " dbname=" + database)
"""
IMPORT = CONNECT + "import_csv(c(), 'm', {file!r}, ImportOptions({options}))"
PARALLEL = (
    CONNECT
    + "cs = [c() for _ in range({jobs})]; import_csv(cs[0], '{table}', {file!r}, workers=cs[1:])"
)
EXPORT = CONNECT + "export_csv(c(), 'full_m', {file!r}, ExportOptions(overwrite=True))"
COPY = CONNECT + "copy_table(c(), c('two'), 'full_m')"


@dataclass(frozen=True)
class Case:
    """A command, its baseline, the limit of their ratio, and the statement that goes before it."""

    name: str
    command: list[str]
    baseline: str = ""
    limit: float = 0.0
    before: str = "TRUNCATE m"
    database: str = "one"


def make_file(path: Path, rows: int, bad: int = 0) -> Path:
    """Write a file of 8 mixed columns with some bad values spread evenly; the same every time."""
    chance = random.Random(7)
    step = rows // bad if bad else rows + 1
    with path.open("w", encoding="utf-8", newline="") as out:
        out.write("id,big,txt,amount,ts,flag,uid,opt\n")
        for n in range(rows):
            text = " ".join(chance.choices(WORDS, (8, 2, 2, 0.3, 2, 6, 4), k=3))
            amount = "bad" if n % step == step - 1 else chance.randrange(10**8) / 100
            moment = f"2026-0{chance.randrange(1, 9)}-11 12:00:33.{chance.randrange(10**6):06d}+00"
            key, opt = uuid.UUID(int=chance.getrandbits(128)), "" if n % 3 else n
            out.write(f'{n},{chance.getrandbits(50)},"{text}",{amount},{moment},t,{key},{opt}\n')
    return path


def cases(folder: Path, rows: int, dsn: str, bindir: Path) -> list[Case]:
    """Return what is measured; a baseline stands before the cases that refer to it."""
    psql, dump = str(bindir / "psql"), str(bindir / "pg_dump")
    clean, out = str(make_file(folder / "m.csv", rows)), str(folder / "out.csv")
    packed = shutil.which("gzip") and str(folder / "m.csv.gz")
    with Path(clean).open("rb") as plain, gzip.open(folder / "m.csv.gz", "wb", 6) as archive:
        shutil.copyfileobj(plain, archive)

    def ours(text: str) -> list[str]:
        return [sys.executable, "-c", text, dsn]

    def meta(text: str, database: str = "one") -> list[str]:
        return [psql, "-qX", f"{dsn} dbname={database}", "-c", text]

    found = [
        Case("psql import", meta(f"\\copy m from '{clean}' (format csv, header)")),
        Case("import", ours(IMPORT.format(file=clean, options="")), "psql import", 1.05),
        Case(
            "import, 2 jobs",
            ours(PARALLEL.format(file=clean, jobs=2, table="m")),
            "psql import",
            0.7,
        ),
        Case(
            "import, 4 jobs",
            ours(PARALLEL.format(file=clean, jobs=4, table="m")),
            "psql import",
            0.7,
        ),
        Case(
            "psql import, key",
            meta(f"\\copy keyed from '{clean}' (format csv, header)"),
            before="TRUNCATE keyed",
        ),
        Case(
            "import, key, 2 jobs",
            ours(PARALLEL.format(file=clean, jobs=2, table="keyed")),
            "psql import, key",
            0.77,
            before="TRUNCATE keyed",
        ),
        Case("import .gz", ours(IMPORT.format(file=packed, options="")), "import", 1.05),
    ]
    for bad, limit in ((0, 1.08), (100, 1.2), (10_000, 1.5)):
        file = clean if not bad else str(make_file(folder / f"bad{bad}.csv", rows, bad))
        options = f"rejects={str(folder / 'rejects')!r}, max_rejects=10**6, overwrite=True"
        text = IMPORT.format(file=file, options=options)
        found.append(Case(f"import, {bad} rejects", ours(text), "import", limit))
    return [
        *found,
        Case("psql export", meta(f"\\copy full_m to '{out}' (format csv, header)")),
        Case("export", ours(EXPORT.format(file=out)), "psql export", 1.05),
        Case(
            "pg_dump | psql",
            ["sh", "-c", f"{dump} -a -t full_m '{dsn} dbname=one' | {psql} -qX '{dsn} dbname=two'"],
            before="TRUNCATE full_m",
            database="two",
        ),
        Case("copy", ours(COPY), "pg_dump | psql", 0.55, "TRUNCATE full_m", "two"),
    ]


def timed(case: Case, server: Server) -> tuple[float, int]:
    """Run a case; return its seconds and the largest resident memory of its processes in MiB."""
    server.sql(case.before, case.database)
    server.sql("CHECKPOINT")
    start = time.perf_counter()
    process = subprocess.Popen(case.command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{case.name} failed")
    return seconds, int(used.ru_maxrss / 1024)


def report(found: list[Case], measured: dict[str, list[float]], peak: dict[str, int]) -> None:
    """Print the table."""
    print(f"{'case':<24}{'seconds':>9}{'ratio':>8}{'limit':>8}{'peak MiB':>10}")
    for case in found:
        seconds = statistics.median(measured[case.name])
        line = f"{case.name:<24}{seconds:>9.2f}"
        if case.baseline:
            pairs = zip(measured[case.name], measured[case.baseline], strict=True)
            ratio = statistics.median(own / other for own, other in pairs)
            line += f"{ratio:>8.2f}{case.limit:>8.2f}"
        else:
            line += " " * 16
        print(f"{line}{peak[case.name]:>10}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pg", type=int, default=18, help="major version of the embedded server")
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    bindir = embedded_bindir(given.pg)
    conf = "shared_buffers = 1GB\nmax_wal_size = 8GB\nautovacuum = off\nfsync = on"
    with tempfile.TemporaryDirectory() as name, Server.running(bindir, conf=conf) as server:
        os.environ["PGPASSWORD"] = server.password
        for database in ("one", "two"):
            server.sql(f"CREATE DATABASE {database}")
            for table in ("m", "keyed", "full_m"):
                server.sql(f"CREATE TABLE {table} {DDL}", database)
            server.sql("ALTER TABLE keyed ADD PRIMARY KEY (id)", database)
        dsn = f"host={server.host} port={server.port} user={server.superuser}"
        found = cases(Path(name), given.rows, dsn, bindir)
        subprocess.run(
            [*found[0].command[:-1], found[0].command[-1].replace("copy m", "copy full_m")],
            check=True,
        )
        measured: dict[str, list[float]] = {case.name: [] for case in found}
        peak = dict.fromkeys(measured, 0)
        for _ in range(given.rounds):
            for case in found:
                seconds, memory = timed(case, server)
                measured[case.name].append(seconds)
                peak[case.name] = max(peak[case.name], memory)
        report(found, measured, peak)


if __name__ == "__main__":
    main()
