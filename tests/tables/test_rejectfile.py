from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgstrata.tables.errors import InputError
from pgstrata.tables.rejectfile import RejectFile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["b.csv", "b.csv.jsonl"])
def test_no_imported_file_is_overwritten(tmp_path: Path, name: str) -> None:
    """Not by bad records of another one either, although overwriting is allowed."""
    files = [tmp_path / "a.csv", tmp_path / name]
    for file in files:
        file.write_text("a\nx\n")
    rejects = RejectFile(tmp_path / "b.csv", 100, overwrite=True)
    with pytest.raises(InputError, match="is a file that is imported"):
        rejects.refuse_inputs(files)
    rejects.refuse_inputs(files[:1])


def test_a_missing_folder_is_found_before_the_first_bad_row(tmp_path: Path) -> None:
    """For that may come after hours."""
    with pytest.raises(InputError, match="no folder"):
        RejectFile(tmp_path / "missing" / "bad.csv", 100, overwrite=False)
