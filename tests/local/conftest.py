"""A place for local servers, cleared of them at the end."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pgstrata import local
from pgstrata.local.account import is_root

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def environ() -> Iterator[dict[str, str]]:
    """Return variables that put local servers into a directory of this module's own.

    Not below pytest's own directory, which root's servers, under another account, cannot enter.
    """
    root = Path(tempfile.mkdtemp(prefix="pgstrata-local-"))
    if is_root():
        root.chmod(0o755)
    yield {"PGSTRATA_LOCAL_DIR": str(root)}
    shutil.rmtree(root)


@pytest.fixture
def project(tmp_path: Path, environ: dict[str, str]) -> Iterator[Path]:
    """Return a project whose server, if a test starts one, is stopped afterwards."""
    yield tmp_path
    local.stop(tmp_path, environ=environ)
