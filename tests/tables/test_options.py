from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgstrata.errors import UsageError
from pgstrata.tables import CopyOptions, ExportOptions, ImportOptions, import_csv

if TYPE_CHECKING:
    import psycopg


@pytest.mark.parametrize("kind", [ImportOptions, CopyOptions])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "overwrite"}, "mode is one of append, truncate, replace"),
        ({"on_conflict": "ignore"}, "on_conflict is one of error, skip, update"),
        ({"mode": "replace", "on_conflict": "skip"}, "replace meets no conflicts"),
        ({"key": ["id"]}, "key goes with on_conflict only"),
        ({"columns": []}, "at least one"),
    ],
)
def test_no_way_to_meet_rows_is_guessed(kind: Any, options: dict[str, Any], said: str) -> None:
    """A word that is misspelt would else do what another one means."""
    with pytest.raises(UsageError, match=said):
        kind(**options)


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        (ImportOptions, {"sample": -1}, "sample must be at least 1"),
        (ImportOptions, {"sample": 0}, "sample must be at least 1"),
        (ExportOptions, {"columns": ()}, "at least one"),
        (ImportOptions, {"import_id": "nightly"}, "import_id goes with batch only"),
        (ImportOptions, {"overwrite": True}, "overwrite goes with rejects only"),
    ],
)
def test_what_would_do_nothing_is_refused(kind: Any, options: dict[str, Any], said: str) -> None:
    """Before a server is asked."""
    with pytest.raises(UsageError, match=said):
        kind(**options)


@pytest.mark.parametrize("options", [ImportOptions(), ImportOptions(verify=True, create=True)])
def test_no_file_is_no_import(people: psycopg.Connection[Any], options: ImportOptions) -> None:
    """An empty list is what a pattern makes that fits nothing."""
    with pytest.raises(UsageError, match="no file to import"):
        import_csv(people, "people", [], options)
