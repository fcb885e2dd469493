"""A project in a git repository."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.layers.project import write

IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@example.com")


def git(folder: Path, *arguments: str) -> str:
    """Run git, without the configuration of whoever runs the tests, and return what it says."""
    nowhere = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    environ = {**os.environ, **nowhere}
    return subprocess.run(
        ["git", *IDENTITY, *arguments],
        cwd=folder,
        env=environ,
        check=True,
        capture_output=True,
        encoding="utf-8",
    ).stdout.strip()


def commit(folder: Path, **files: str) -> Path:
    """Write a project's files, commit all that is there, and return the project."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch=main")
    write(folder, **files)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message=test")
    return folder
