"""What makes a CSV file or a table awkward, and what has to come of it."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tests.servers import PASSWORD, Server
from tests.tables.conftest import create_people

from pgstrata.tables import (
    ExportOptions,
    ImportOptions,
    InputError,
    RowError,
    TransferError,
    export_csv,
    import_csv,
    prepare,
    source,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TALKS = """
CREATE FUNCTION talk() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN IF new.id % 1000 = 0 THEN RAISE INFO 'at %', new.id; END IF; RETURN new; END$$;
CREATE TRIGGER talk BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION talk();
"""
REFUSES = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN IF new.id = 2 THEN RAISE 'not you' USING errcode = '45000'; END IF; RETURN new; END$$;
CREATE TRIGGER refuse BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION refuse();
"""


@pytest.fixture
def pair(either: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Return a connection to a database with a table of two columns."""
    either.execute("CREATE TABLE pair (a int, b text)")
    either.commit()
    return either


def rows(connection: psycopg.Connection[Any], table: str = "pair") -> list[Any]:
    """Return all rows in the order of loading."""
    return connection.execute(f"SELECT * FROM {table}".encode()).fetchall()


@pytest.mark.parametrize("data", [b"\xef\xbb\xbf1,x\n", b"\xef\xbb\xbfa,b\n1,x\n"])
def test_a_byte_order_mark_is_no_data(
    pair: psycopg.Connection[Any], csv_file: Any, data: bytes
) -> None:
    """With and without a header."""
    import_csv(pair, "pair", csv_file(data))
    assert rows(pair) == [(1, "x")]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_newlines_of_another_kind_in_quotes_are_data(
    pair: psycopg.Connection[Any], csv_file: Any, newline: str
) -> None:
    """They are kept to the byte, also in the very first record."""
    text = f'a,b{newline}1,"x\ny\r\nz\r"{newline}2,end{newline}'
    assert import_csv(pair, "pair", csv_file(text)).rows_read == 2
    assert rows(pair) == [(1, "x\ny\r\nz\r"), (2, "end")]


@pytest.mark.parametrize(
    ("text", "what"),
    [("a,b\n1,x\n2,y\r\n3,z\n", "carriage return"), ("a,b\r\n1,x\r\n2,y\n3,z\r\n", "newline")],
)
def test_mixed_ends_of_records(
    pair: psycopg.Connection[Any], csv_file: Any, text: str, what: str
) -> None:
    """The line is named, and what helps; a file like that was glued together from two."""
    with pytest.raises(RowError, match=rf"people.csv:3: record 2.*{what}") as caught:
        import_csv(pair, "pair", csv_file(text))
    assert "--normalize-eol" in caught.value.hint


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_an_escape_outside_quotes_is_data(
    pair: psycopg.Connection[Any], csv_file: Any, tmp_path: Path, end: str, *, normalize: bool
) -> None:
    """So a quote behind it opens, as the server has it, and what is in the quotes stays."""
    text = f'a,b{end}1,x\\"b\r\nc"{end}2,"y\\"\\\\"{end}3,z\\\\"{end}q"{end}'
    chosen = ImportOptions(
        escape="\\", quote='"', normalize_eol=normalize, rejects=tmp_path / "bad.csv"
    )
    assert import_csv(pair, "pair", csv_file(text), chosen).rows_loaded == 3
    assert rows(pair) == [(1, "x\\b\r\nc"), (2, 'y"\\'), (3, f"z\\\\{end}q")]


@pytest.mark.parametrize("first", ["\n", "\r\n"])
@pytest.mark.parametrize("mode", ["one", "rejects", "batches", "verified"])
def test_mixed_ends_of_records_may_be_taken_for_one(
    pair: psycopg.Connection[Any], csv_file: Any, tmp_path: Path, first: str, mode: str
) -> None:
    """On every way in; what stands in quotes stays, and so do the bytes of what is rejected."""
    ways: dict[str, dict[str, Any]] = {
        "one": {},
        "rejects": {"rejects": tmp_path / "bad.csv"},
        "batches": {"batch": 2},
        "verified": {"verify": True},
    }
    bad = "bad,row\r\n" if mode == "rejects" else ""
    text = f'a,b{first}1,"x\ny\r\nz"\r\n2,end\n{bad}3,"q"\r\n4,last'
    chosen = ImportOptions(normalize_eol=True, **ways[mode])
    result = import_csv(pair, "pair", csv_file(text), chosen)
    assert (result.rows_loaded, result.rows_rejected) == (4, len(bad[:1]))
    assert rows(pair) == [(1, "x\ny\r\nz"), (2, "end"), (3, "q"), (4, "last")]
    if bad:
        assert (tmp_path / "bad.csv").read_bytes() == f"a,b{first}{bad}".encode()
        assert json.loads((tmp_path / "bad.csv.jsonl").read_text())["line"] == 6


@pytest.mark.parametrize("bad", [b"2,\x00\n", b"2,caf\xe9\n"])
def test_bytes_that_are_no_text(
    pair: psycopg.Connection[Any], csv_file: Any, tmp_path: Path, bad: bytes
) -> None:
    """NUL and what is not UTF-8 spoil one row, which is rejected as it was."""
    good = "".join(f"{n},ü\n" for n in range(100)).encode()
    path, rejects = csv_file(b"a,b\n" + good + bad + b"3,x\n"), tmp_path / "bad.csv"
    with pytest.raises(RowError, match=r"people.csv:102: record 101") as error:
        import_csv(pair, "pair", path)
    assert error.value.reject.sqlstate == "22021"
    result = import_csv(pair, "pair", path, ImportOptions(rejects=rejects))
    assert (result.rows_loaded, result.rows_rejected) == (101, 1)
    assert rejects.read_bytes() == b"a,b\n" + bad


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("1\n", "missing data for column"),
        ("1,x,y\n", "extra data after last expected column"),
        ("\n", "missing data for column"),
    ],
)
def test_records_are_neither_padded_nor_cut(
    pair: psycopg.Connection[Any], csv_file: Any, tmp_path: Path, record: str, reason: str
) -> None:
    """Short, long and blank ones are bad rows."""
    path, rejects = csv_file(f"a,b\n1,x\n{record}2,y\n"), tmp_path / "bad.csv"
    with pytest.raises(RowError, match=rf"people.csv:3: record 2.*{reason}"):
        import_csv(pair, "pair", path)
    import_csv(pair, "pair", path, ImportOptions(rejects=rejects))
    assert rows(pair) == [(1, "x"), (2, "y")]
    details = json.loads((tmp_path / "bad.csv.jsonl").read_text())
    assert reason in details["message"]


def test_a_stray_quote_is_read_as_the_server_reads_it(
    pair: psycopg.Connection[Any], csv_file: Any
) -> None:
    """It toggles in the middle of a field."""
    import_csv(pair, "pair", csv_file('a,b\n1,x"y,z"w\n'))
    assert rows(pair) == [(1, "xy,zw")]


def test_a_quote_that_is_never_closed(pair: psycopg.Connection[Any], csv_file: Any) -> None:
    """The error names the record in which it opens, not the end of the file."""
    text = 'a,b\n1,x\n2,"y\n' + "".join(f"{n},z\n" for n in range(50))
    with pytest.raises(RowError, match=r"people.csv:3: record 2.*unterminated"):
        import_csv(pair, "pair", csv_file(text))


@pytest.mark.parametrize("header", ['"a","b ""x"""', '"a"," B ""X"" "', 'a,"b ""x"""'])
def test_awkward_names(either: psycopg.Connection[Any], csv_file: Any, header: str) -> None:
    """Quotes and blanks in them, and another case."""
    either.execute('CREATE TABLE awkward (a int, "b ""x""" text)')
    import_csv(either, "awkward", csv_file(f"{header}\n1,x\n"))
    assert rows(either, "awkward") == [(1, "x")]


def test_a_name_of_two_lines(either: psycopg.Connection[Any], csv_file: Any) -> None:
    """It is a name; the lines of the file go on behind it."""
    either.execute('CREATE TABLE tall ("one\ntwo" int, b text)')
    with pytest.raises(RowError, match=r"(?s)people.csv:4: record 2, .*value 'x'"):
        import_csv(either, "tall", csv_file('"one\ntwo",b\n1,y\nx,y\n'))
    import_csv(either, "tall", csv_file('"one\ntwo",b\n1,x\n'))
    assert rows(either, "tall") == [(1, "x")]


def test_as_many_columns_as_a_table_can_have(
    either: psycopg.Connection[Any], csv_file: Any, tmp_path: Path
) -> None:
    """They come back as they were, and a bad value in the last one is found."""
    names = [f"c{n}" for n in range(1600)]
    either.execute(f"CREATE TABLE wide ({', '.join(f'{name} int' for name in names)})".encode())
    text = f"{','.join(names)}\n{','.join(map(str, range(1600)))}\n"
    path = csv_file(text)
    assert import_csv(either, "wide", path).rows_loaded == 1
    export_csv(either, "wide", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == text
    with pytest.raises(RowError, match=r'record 1, column "c1599", value \'x\''):
        import_csv(either, "wide", csv_file(text.replace(",1599", ",x")))


def test_an_error_within_a_value(
    either: psycopg.Connection[Any], csv_file: Any, tmp_path: Path
) -> None:
    """JSON has lines of its own, of which the server speaks first."""
    either.execute("CREATE TABLE docs (a int, doc json)")
    path = csv_file('a,doc\n1,{}\n2,"[1,\nx]"\n3,[]\n')
    with pytest.raises(RowError, match=r'people.csv:3: record 2, column "doc"'):
        import_csv(either, "docs", path)
    options = ImportOptions(rejects=tmp_path / "rejects.csv")
    assert import_csv(either, "docs", path, options).rows_loaded == 2
    assert (tmp_path / "rejects.csv").read_text() == 'a,doc\n2,"[1,\nx]"\n'


@pytest.mark.parametrize(
    ("header", "said"),
    [("a,a", "2 times"), ("a,", 'no column for the field ""'), ("a,xmin", '"xmin"')],
)
def test_names_that_do_not_fit(
    pair: psycopg.Connection[Any], csv_file: Any, header: str, said: str
) -> None:
    """Doubled, empty, or a column of the system's own."""
    with pytest.raises(InputError, match=said):
        import_csv(pair, "pair", csv_file(f"{header}\n1,2\n"), ImportOptions(header=True))


def test_a_generated_column_in_the_file(either: psycopg.Connection[Any], csv_file: Any) -> None:
    """It cannot be loaded; the others can."""
    either.execute("CREATE TABLE g (a int, twice int GENERATED ALWAYS AS (a * 2) STORED)")
    path = csv_file("a,twice\n1,2\n")
    with pytest.raises(InputError, match=r'"twice" is generated'):
        import_csv(either, "g", path)
    import_csv(either, "g", path, ImportOptions(columns=["a"]))
    assert rows(either, "g") == [(1, 2)]


def test_an_identity_and_defaults_are_left_alone(
    either: psycopg.Connection[Any], csv_file: Any
) -> None:
    """Where the file says nothing of them."""
    either.execute(
        "CREATE TABLE i (id int GENERATED ALWAYS AS IDENTITY, a int, d text DEFAULT 'd' NOT NULL)"
    )
    import_csv(either, "i", csv_file("a\n7\n8\n"))
    assert rows(either, "i") == [(1, 7, "d"), (2, 8, "d")]


def test_a_view(pair: psycopg.Connection[Any], csv_file: Any) -> None:
    """Is written through its trigger, and exported as it shows."""
    pair.execute("CREATE VIEW shown AS SELECT a, upper(b) AS b FROM pair")
    pair.execute(
        "CREATE FUNCTION put() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO pair VALUES (new.a, new.b); RETURN new; END$$;"
        "CREATE TRIGGER put INSTEAD OF INSERT ON shown FOR EACH ROW EXECUTE FUNCTION put()"
    )
    import_csv(pair, "shown", csv_file("a,b\n1,x\n"))
    out = io.BytesIO()
    export_csv(pair, "shown", out)
    assert out.getvalue() == b"a,b\n1,X\n"


def test_a_materialized_view(pair: psycopg.Connection[Any], csv_file: Any) -> None:
    """Can be exported, but not filled."""
    pair.execute("CREATE MATERIALIZED VIEW m AS SELECT 1 AS a")
    with pytest.raises(TransferError, match=r"materialized view"):
        import_csv(pair, "m", csv_file("a\n1\n"))
    out = io.BytesIO()
    assert export_csv(pair, "m", out).rows == 1


@pytest.fixture
def guest(pair: psycopg.Connection[Any], server: Server) -> Iterator[psycopg.Connection[Any]]:
    """Return a connection of a role with no right at all."""
    name = f"guest_{pair.info.dbname}"
    pair.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'".encode())
    pair.commit()
    info = pair.info
    with psycopg.connect(
        host=info.host, port=info.port, dbname=info.dbname, user=name, password=PASSWORD
    ) as connection:
        yield connection
    pair.rollback()
    pair.execute(f"DROP OWNED BY {name}; DROP ROLE {name}".encode())
    pair.commit()


def test_a_right_on_one_column_is_enough(
    pair: psycopg.Connection[Any], guest: psycopg.Connection[Any], csv_file: Any
) -> None:
    """For that column; what is not granted is refused in the server's words."""
    pair.execute(f"GRANT INSERT (a) ON pair TO {guest.info.user}".encode())
    pair.commit()
    import_csv(guest, "pair", csv_file("a\n1\n"))
    assert rows(pair) == [(1, None)]
    pair.rollback()
    with pytest.raises(TransferError, match=r"permission denied for table pair"):
        import_csv(guest, "pair", csv_file("a,b\n1,x\n"))
    with pytest.raises(TransferError, match=r"permission denied for table pair"):
        export_csv(guest, "pair", io.BytesIO())


def test_row_security(
    pair: psycopg.Connection[Any], guest: psycopg.Connection[Any], csv_file: Any
) -> None:
    """COPY does not load under it, and says so; an export shows what the role may see."""
    pair.execute(f"GRANT ALL ON pair TO {guest.info.user}".encode())
    pair.execute("INSERT INTO pair VALUES (1, 'seen'), (2, 'hidden')")
    pair.execute("ALTER TABLE pair ENABLE ROW LEVEL SECURITY")
    pair.execute("CREATE POLICY one ON pair USING (a = 1)")
    pair.commit()
    with pytest.raises(TransferError, match=r"row-level security") as error:
        import_csv(guest, "pair", csv_file("a,b\n1,x\n"))
    assert error.value.hint
    out = io.BytesIO()
    export_csv(guest, "pair", out)
    assert out.getvalue() == b"a,b\n1,seen\n"


def test_a_missing_parent_names_its_key(pair: psycopg.Connection[Any], csv_file: Any) -> None:
    """The server gives no line for it, but the value."""
    pair.execute("CREATE TABLE parent (id int PRIMARY KEY)")
    pair.execute("ALTER TABLE pair ADD FOREIGN KEY (a) REFERENCES parent")
    with pytest.raises(TransferError, match=r"Key \(a\)=\(7\) is not present"):
        import_csv(pair, "pair", csv_file("a,b\n7,x\n"))


def test_which_day_an_ambiguous_date_is(either: psycopg.Connection[Any], csv_file: Any) -> None:
    """The session says, or the option."""
    either.execute("CREATE TABLE days (d date)")
    either.execute("SET DateStyle = 'ISO, DMY'")
    either.commit()
    path = csv_file("d\n01/02/2026\n")
    import_csv(either, "days", path)
    import_csv(either, "days", path, ImportOptions(datestyle="ISO, MDY"))
    assert [str(d) for (d,) in rows(either, "days")] == ["2026-02-01", "2026-01-02"]


def test_settings_of_the_session_do_not_spoil_values(
    either: psycopg.Connection[Any], csv_file: Any, tmp_path: Path
) -> None:
    """Floats keep all their digits, dates and intervals their meaning, bytes theirs."""
    either.execute(
        "CREATE TABLE v AS SELECT 0.1::float8 + 0.2 AS f, date '2026-02-01' AS d,"
        " interval '-1 day 2 hours' AS i, '\\x5c6100ff'::bytea AS b, now() AS t"
    )
    either.execute(
        "SET extra_float_digits = 0; SET DateStyle = 'German'; SET IntervalStyle = 'sql_standard';"
        "SET bytea_output = 'escape'; SET TimeZone = 'Asia/Kathmandu'"
    )
    either.commit()
    export_csv(either, "v", tmp_path / "v.csv")
    import_csv(either, "v", tmp_path / "v.csv")
    assert either.execute("SELECT count(DISTINCT v::text) FROM v").fetchone() == (1,)


@pytest.mark.parametrize("rejects", [False, True])
def test_a_trigger_that_talks(
    either: psycopg.Connection[Any],
    csv_file: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    rejects: bool,
) -> None:
    """INFO comes whatever the session wants to hear, and is no complaint."""
    monkeypatch.setattr(source, "CHUNK", 4096)
    monkeypatch.setattr(prepare, "SAMPLE", 4096)
    create_people(either)
    either.execute(TALKS)
    options = ImportOptions(rejects=tmp_path / "bad.csv" if rejects else None)
    lines = "".join(f"{n},a,1\n" for n in range(20_000))
    result = import_csv(either, "people", csv_file("id,full name,amount\n" + lines), options)
    assert result.rows_loaded == 20_000


def test_a_trigger_that_refuses_rows(
    either: psycopg.Connection[Any], csv_file: Any, tmp_path: Path
) -> None:
    """Under the code that is usual for that, only these are rejected."""
    create_people(either)
    either.execute(REFUSES)
    options = ImportOptions(rejects=tmp_path / "bad.csv")
    result = import_csv(either, "people", csv_file("id,full name,amount\n1,a,1\n2,b,1\n"), options)
    assert (result.rows_loaded, result.rows_rejected) == (1, 1)
    assert "not you" in (tmp_path / "bad.csv.jsonl").read_text()


def test_a_link_in_the_place_of_a_file_is_not_followed(
    pair: psycopg.Connection[Any], csv_file: Any, tmp_path: Path
) -> None:
    """Somebody else may have laid it there: what it leads to is not written."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    for name in ("out.csv", "out.csv.part", "bad.csv"):
        (tmp_path / name).symlink_to(precious)
    export_csv(pair, "pair", tmp_path / "out.csv", ExportOptions(overwrite=True))
    assert not (tmp_path / "out.csv").is_symlink()
    options = ImportOptions(rejects=tmp_path / "bad.csv", overwrite=True)
    with pytest.raises(InputError, match=r"cannot write"):
        import_csv(pair, "pair", csv_file("a,b\nx,y\n"), options)
    assert precious.read_text() == "precious"


def test_what_was_written_is_for_its_owner_only(
    pair: psycopg.Connection[Any], csv_file: Any, tmp_path: Path
) -> None:
    """Exports and rejects hold data."""
    export_csv(pair, "pair", tmp_path / "out.csv", ExportOptions())
    import_csv(pair, "pair", csv_file("a,b\nx,y\n"), ImportOptions(rejects=tmp_path / "bad.csv"))
    for name in ("out.csv", "bad.csv", "bad.csv.jsonl"):
        assert (tmp_path / name).stat().st_mode & 0o77 == 0
