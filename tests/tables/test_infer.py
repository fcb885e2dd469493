from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pgstrata.tables import ImportOptions, InputError, RowError, import_csv
from pgstrata.tables.infer import fitting, inferred

if TYPE_CHECKING:
    import psycopg

DIGITS = st.text("0123456789", min_size=1, max_size=25)
WHOLE = st.just("0") | st.builds("{}{}".format, st.sampled_from("123456789"), DIGITS)
NUMBER = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-"]),
    st.just("") | WHOLE,
    st.just("") | st.builds(".{}".format, DIGITS),
    st.just("") | st.builds("e{}".format, st.integers(-999, 999)),
).filter(lambda text: text.lstrip("-")[:1] not in ("", "e"))
VALUE = NUMBER | st.sampled_from(["", "NaN", "Infinity", "-Infinity", "1", "0.5", "1e5"])


def narrowest(*batches: list[str]) -> str:
    """Return the type of a column whose values come in batches."""
    fits = fitting(batches[0])
    for batch in batches[1:]:
        fits = fitting(batch, fits)
    return fits[0].name


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["t", "f", ""], "boolean"),
        (["1", "-5", "0"], "integer"),
        (["1", "9999999999"], "bigint"),
        (["123456789012345678901"], "numeric"),
        (["1", "2.50"], "numeric"),
        (["1", "1e5"], "double precision"),
        (["1.5", "NaN", "-Infinity"], "double precision"),
        (["0.000000123456789012345", "1E+005"], "double precision"),
        (["1e5", "0.1234567890123456789"], "numeric"),
        (["NaN", "12345678901234567890"], "numeric"),
        (["1e300", "1"], "numeric"),
        (["1e5", "1e-400"], "numeric"),
        (["Infinity", "12345678901234567890"], "text"),
        (["Infinity", "1e300"], "text"),
        (["1", "1e1000"], "text"),
        (["2026-01-31"], "date"),
        (["2024-02-29", "2000-02-29"], "date"),
        (["2024-02-30"], "text"),
        (["2023-02-29"], "text"),
        (["1900-02-29"], "text"),
        (["0000-01-01"], "text"),
        (["2026-04-31 12:00"], "text"),
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


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("9" * 100_000, "numeric"),
        ("9" * 100_001, "text"),
        ("9" * 100_000 + "e999", "numeric"),
        ("0." + "9" * 15_000, "numeric"),
        ("0." + "9" * 15_001, "text"),
        ("-." + "9" * 15_000 + "e-999", "numeric"),
        ("-." + "0" * 99 + "9e-199", "double precision"),
        ("99999999999999e199", "double precision"),
    ],
)
def test_the_longest_numbers(connection: psycopg.Connection[Any], text: str, kind: str) -> None:
    """What the server would refuse is text."""
    assert narrowest([text]) == kind
    (returned,) = connection.execute(f"SELECT (%s::text)::{kind}::text", [text]).fetchall()[0]
    assert Decimal(returned) == Decimal(text)


@given(st.lists(VALUE, min_size=1), st.lists(VALUE))
@example(["12345678901234567890"], ["1e5"])
@example(["1e5"], ["0.1234567890123456789"])
@example(["Infinity"], ["0.1234567890123456789"])
@example(["1.5"], ["Infinity"])
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_digit_of_a_number_is_lost(
    connection: psycopg.Connection[Any], first: list[str], second: list[str]
) -> None:
    """Whatever else is in the column, and wherever a batch of it ends."""
    kind = narrowest(first, second)
    assert kind == narrowest(first + second) == narrowest(second, first)
    values = [value for value in first + second if value]
    query = f"SELECT v::{kind}::text FROM unnest(%s::text[]) WITH ORDINALITY AS u(v, n) ORDER BY n"
    for (returned,), value in zip(connection.execute(query, [values]), values, strict=True):
        assert returned == value or Decimal(returned) == Decimal(value)


def test_long_numbers_arrive_as_they_are(
    connection: psycopg.Connection[Any], csv_file: Any
) -> None:
    """Beside an exponent, and beside what numeric cannot hold on every server."""
    path = csv_file("a,b\n1e5,Infinity\n" + "0.1234567890123456789,12345678901234567890\n")
    import_csv(connection, "t", path, ImportOptions(create=True))
    assert connection.execute("SELECT a::text, b::text FROM t").fetchall() == [
        ("100000", "Infinity"),
        ("0.1234567890123456789", "12345678901234567890"),
    ]


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


def test_fields_of_any_length(connection: psycopg.Connection[Any], csv_file: Any) -> None:
    """The csv module has a limit, which stays as the program has set it."""
    before = csv.field_size_limit(100_000)
    path = csv_file("a,b\n" + f"1,{'x' * 200_000}\n" * 3)
    try:
        assert import_csv(connection, "t", path, ImportOptions(create=True)).rows_loaded == 3
    finally:
        left = csv.field_size_limit(before)
    assert left == 100_000


def test_a_limit_is_restored_while_others_lift_it(csv_file: Any) -> None:
    """What several threads do to it at the same time is undone."""
    before = csv.field_size_limit()
    path = csv_file("a,b\n" + f"1,{'x' * 200_000}\n" * 30)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: inferred(path, ImportOptions()), range(20)))
    assert found == [[("a", "integer"), ("b", "text")]] * 20
    assert csv.field_size_limit() == before


UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"


@pytest.mark.parametrize("value", [UUID, "NaN", "-Infinity", "2026-01-31"])
@pytest.mark.parametrize("create", [False, True])
def test_a_value_that_begins_as_a_name_does(
    connection: psycopg.Connection[Any], csv_file: Any, value: str, *, create: bool
) -> None:
    """The first record is data for a new table and for one that is there, and that is said."""
    if not create:
        connection.execute("CREATE TABLE t (column_1 text, column_2 text)")
    path = csv_file(f"alice,{value}\nbob,{value}\n")
    result = import_csv(connection, "t", path, ImportOptions(create=create))
    assert (result.rows_loaded, result.plans[0].header) == (2, False)
    assert any("read as data" in doubt for doubt in result.plans[0].doubts)


@pytest.mark.parametrize(
    "chosen", [{"rename": {"#": "number", "1st": "first", "2nd": "second"}}, {"columns": ["#"]}, {}]
)
def test_names_that_begin_as_no_name_does(
    connection: psycopg.Connection[Any], csv_file: Any, chosen: dict[str, Any]
) -> None:
    """What made the names of the table is the header, whatever the columns are called now."""
    path = csv_file("#,1st,2nd\n1,2,3\n")
    result = import_csv(connection, "t", path, ImportOptions(create=True, **chosen))
    assert (result.rows_loaded, result.plans[0].header) == (1, True)


@pytest.mark.parametrize(
    ("body", "options", "kind"),
    [
        ('"1","5"\n"2",""\n', ImportOptions(create=True), "text"),
        ('"1","5"\n"2",""\n', ImportOptions(create=True, empty_as_null=True), "integer"),
        ('"1","5"\n"2",\n', ImportOptions(create=True), "integer"),
        ('"1","a ""x"""\n"2","b"\n', ImportOptions(create=True), "text"),
    ],
)
def test_a_file_fits_the_table_that_is_made_for_it(
    connection: psycopg.Connection[Any],
    csv_file: Any,
    body: str,
    options: ImportOptions,
    kind: str,
) -> None:
    """Empty text in quotes is a value, and no number has it."""
    path = csv_file('"id","n"\n' + body)
    assert dict(inferred(path, options))["n"] == kind
    assert import_csv(connection, "made", path, options).rows_loaded == 2
