from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgstrata.errors import LocalServerError
from pgstrata.local import installation
from pgstrata.local.account import is_root, run, unprivileged_account

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = "#!/bin/sh\necho 'postgres (PostgreSQL) 99.1'\n"


def test_versions_are_what_they_say() -> None:
    """Every installed version is listed under its own number, oldest first."""
    found = installation.installed()
    assert list(found) == sorted(found)
    for major, programs in found.items():
        assert installation.full_version(programs).startswith(f"{major}.")


def test_newest_is_the_default() -> None:
    """Without a wish the newest version is taken."""
    found = installation.installed()
    assert installation.bindir() == found[max(found)]


def test_version_that_is_not_carried() -> None:
    """An unknown version's error lists those there are."""
    with pytest.raises(LocalServerError, match=r"version 9$") as caught:
        installation.bindir(9)
    assert str(max(installation.installed())) in caught.value.hint


@pytest.mark.parametrize("package", ["no_such_package", "pytest"])
def test_missing_package(package: str) -> None:
    """A package that is missing, or carries no PostgreSQL, is answered with how to install it."""
    with pytest.raises(LocalServerError) as caught:
        installation.installed(package)
    assert caught.value.hint == 'pip install "pgstrata[local]"'


@pytest.mark.parametrize("script", ["#!/bin/sh\necho no number here\n", None])
def test_damaged_installation(tmp_path: Path, script: str | None) -> None:
    """Programs that are missing or talk nonsense are an error, not a crash."""
    if script:
        (tmp_path / "postgres").write_text(script)
        (tmp_path / "postgres").chmod(0o755)
    with pytest.raises(LocalServerError, match=str(tmp_path)):
        installation.full_version(tmp_path)


def test_reachable_programs_stay_where_they_are(tmp_path: Path) -> None:
    """Nothing is copied where PostgreSQL's account can run the programs."""
    programs = installation.bindir()
    assert installation.reachable(programs, None, tmp_path) == programs
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not is_root(), reason="only root's programs can be out of reach")
def test_unreachable_programs_are_copied(tmp_path: Path, environ: dict[str, str]) -> None:
    """From a closed directory they are copied with their libraries, open to all, and only once."""
    programs = tmp_path / "closed" / "package" / "pginstall" / "bin"
    programs.mkdir(parents=True)
    (programs / "postgres").write_text(SCRIPT)
    (programs / "postgres").chmod(0o700)
    libraries = tmp_path / "closed" / "package.libs"
    libraries.mkdir(mode=0o700)
    (libraries / "libpq.so").touch(mode=0o600)
    (tmp_path / "closed").chmod(0o700)
    shared, account = type(tmp_path)(environ["PGSTRATA_LOCAL_DIR"]), unprivileged_account()

    copy = installation.reachable(programs, account, shared)

    assert copy == shared / "postgresql-99.1" / "package" / "pginstall" / "bin"
    assert run([copy / "postgres"], account).returncode == 0
    assert (copy.parents[2] / "package.libs" / "libpq.so").stat().st_mode & 0o777 == 0o644
    assert (programs / "postgres").stat().st_mode & 0o777 == 0o700
    assert [path.name for path in shared.iterdir()] == ["postgresql-99.1"]
    (programs / "postgres").write_text(SCRIPT + "# changed\n")
    assert installation.reachable(programs, account, shared) == copy
    assert (copy / "postgres").read_text() == SCRIPT
