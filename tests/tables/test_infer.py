from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgstrata.tables import ImportOptions, InputError, RowError, import_csv
from pgstrata.tables.infer import narrowest

if TYPE_CHECKING:
    import psycopg


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["t", "f", ""], "boolean"),
        (["1", "-5", "0"], "integer"),
        (["1", "9999999999"], "bigint"),
        (["123456789012345678901"], "numeric"),
        (["1", "2.50"], "numeric"),
        (["1", "1e5"], "double precision"),
        (["2026-01-31"], "date"),
        (["2026-01-31 12:00", "2026-01-31T12:00:00.5"], "timestamp"),
        (["2026-01-31 12:00:00+02"], "timestamptz"),
        (["6F9619FF-8B86-D011-B42D-00CF4FC964FF"], "uuid"),
        (["1", ".5e-3"], "double precision"),
        (["E12"], "text"),
        (["1", "-"], "text"),
        (["1", "."], "text"),
        (["007", "1"], "text"),
        (["2026-01-31", "1"], "text"),
        (["line\nbreak"], "text"),
    ],
)
def test_the_narrowest_type_that_holds_all(values: list[str], kind: str) -> None:
    """Codes with leading zeros are texts."""
    assert narrowest(values) == kind


def test_a_table_is_created_for_the_file(
    connection: psycopg.Connection[Any], csv_file: Any
) -> None:
    """Names as they are, types from all values, in the transaction of the import."""
    path = csv_file('id,Full Name,when,zip,none\n1,"a\nb",2026-01-01,00420,\n2.5,,,10000,\n')
    result = import_csv(connection, "new_people", path, ImportOptions(create=True))
    assert result.plans[0].ddl.splitlines()[1:-1] == [
        '  "id" numeric,',
        '  "Full Name" text,',
        '  "when" date,',
        '  "zip" text,',
        '  "none" text',
    ]
    assert result.rows_loaded == 2
    import_csv(connection, "new_people", path, ImportOptions(create=True))
    assert connection.execute("SELECT count(*) FROM new_people").fetchall() == [(4,)]


def test_a_failed_import_leaves_no_table(
    connection: psycopg.Connection[Any], csv_file: Any
) -> None:
    """A sample may be too small; the error names the value that it did not see."""
    path = csv_file("n\n1\n2\nx\n")
    with pytest.raises(RowError, match=r"record 3.*'x'"):
        import_csv(connection, "t", path, ImportOptions(create=True, sample=2))
    with pytest.raises(InputError, match="no table"):
        import_csv(connection, "t", path)
    import_csv(connection, "t", path, ImportOptions(create=True))


@pytest.mark.parametrize("columns", [["Nr", "b"], ["number", "b"]])
def test_some_fields_under_other_names(
    connection: psycopg.Connection[Any], csv_file: Any, columns: list[str]
) -> None:
    """They are chosen by the name of the field or of the column."""
    options = ImportOptions(create=True, columns=columns, rename={"Nr": "number"})
    import_csv(connection, "made", csv_file("Nr,a,b\n1,x,y\n"), options)
    assert connection.execute("SELECT number, b FROM made").fetchone() == (1, "y")


def test_a_table_without_a_header(connection: psycopg.Connection[Any], csv_file: Any) -> None:
    """Its columns are numbered."""
    path = csv_file("1,a\n2,b\n")
    import_csv(connection, "t", path, ImportOptions(create=True, header=False))
    assert connection.execute("SELECT column_1, column_2 FROM t").fetchall() == [(1, "a"), (2, "b")]


def test_a_family_of_types_grows_and_others_do_not_mix(
    connection: psycopg.Connection[Any], csv_file: Any
) -> None:
    """Numbers of later batches widen the type; a date among numbers makes it text."""
    body = "".join(f"{n},{n}\n" for n in range(1500)) + "99999999999,2026-01-01\n"
    result = import_csv(connection, "t", csv_file("a,b\n" + body), ImportOptions(create=True))
    assert '"a" bigint' in result.plans[0].ddl
    assert '"b" text' in result.plans[0].ddl


@pytest.mark.parametrize("header", ["a,a\n1,2\n", "a,\n1,2\n"])
def test_names_that_cannot_be_columns(
    connection: psycopg.Connection[Any], csv_file: Any, header: str
) -> None:
    """Empty and doubled ones."""
    with pytest.raises(InputError, match="empty or doubled"):
        import_csv(connection, "t", csv_file(header), ImportOptions(create=True, header=True))


def test_a_line_separator_of_unicode_ends_no_record(
    connection: psycopg.Connection[Any], csv_file: Any
) -> None:
    """It is a character of the value, which so is text."""
    path = csv_file("a,b\n1,2\n3\u20284,5\n")
    assert import_csv(connection, "t", path, ImportOptions(create=True)).rows_loaded == 2
