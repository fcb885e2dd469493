from __future__ import annotations

import bz2
import gzip
import io
import lzma
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tests.tables.conftest import create_people

from pgstrata.errors import UsageError
from pgstrata.tables import (
    ImportOptions,
    ImportPlan,
    InputError,
    Progress,
    RowError,
    TransferError,
    import_csv,
    import_csv_async,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers import Server

HEADER = "id,full name,amount\n"


def rows(connection: psycopg.Connection[Any], table: str = "people") -> list[tuple[Any, ...]]:
    """Return all rows of a table."""
    return connection.execute(f"SELECT * FROM {table} ORDER BY 1".encode()).fetchall()


def texts(connection: psycopg.Connection[Any]) -> list[Any]:
    """Return the second column."""
    return [row[1] for row in rows(connection)]


def test_rows_arrive_exactly(people: psycopg.Connection[Any], csv_file: Any) -> None:
    """NULL and empty differ, newlines and quotes stay, missing columns take their defaults."""
    path = csv_file('id,full name,amount\n1,"a\nb",1.50\n2,"",\n3,,NaN\n4,"q""z\r\n",-1\n')
    result = import_csv(people, "people", path)
    assert (result.rows_read, result.rows_loaded, result.rows_rejected) == (4, 4, 0)
    assert result.committed
    assert result.bytes == path.stat().st_size
    assert texts(people) == ["a\nb", "", None, 'q"z\r\n']
    assert rows(people)[0][2:] == (Decimal("1.50"), date(2026, 1, 1), Decimal("3.00"))


def test_columns_go_by_name(people: psycopg.Connection[Any], csv_file: Any) -> None:
    """Any order, any case, and fields renamed or left out."""
    path = csv_file("AMOUNT,nobody,Key,Full NAME\n1,x,7,a\n")
    options = ImportOptions(rename={"Key": "id"}, columns=["AMOUNT", "id", "Full NAME"])
    plans: list[ImportPlan] = []
    import_csv(people, "people", path, options, on_plan=plans.append)
    assert rows(people)[0][:3] == (7, "a", 1)
    assert plans[0].ignored == ("nobody",)
    assert plans[0].columns == ("amount", "id", "Full Name")


def test_a_file_without_a_header(people: psycopg.Connection[Any], csv_file: Any) -> None:
    """Its columns are those of the table but the generated ones, or those named."""
    import_csv(people, "people", csv_file("1,a,2,2026-02-03\n"))
    import_csv(people, "people", csv_file("b,2\n"), ImportOptions(columns=["Full Name", "id"]))
    assert [row[:2] for row in rows(people)] == [(1, "a"), (2, "b")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "empty"),
        ("id,nmae\n", 'no column for the field "nmae"'),
        ("amount\n", 'no field for "id"'),
        ("id,ID\n", '"id" is there 2 times'),
        ("id,double\n", "generated"),
        ("1,a\n", "2 fields and no header"),
    ],
)
def test_a_file_that_does_not_fit(
    people: psycopg.Connection[Any], csv_file: Any, data: str, message: str
) -> None:
    """It is an error before anything is sent."""
    with pytest.raises(InputError, match=message):
        import_csv(people, "people", csv_file(data))


def test_all_problems_of_a_header_come_at_once(
    people: psycopg.Connection[Any], csv_file: Any
) -> None:
    """With the names of both sides."""
    with pytest.raises(InputError) as caught:
        import_csv(people, "people", csv_file("amuont,double\n"))
    assert "did you mean amount?" in str(caught.value)
    assert "generated" in str(caught.value)
    assert '"id"' in str(caught.value)
    assert "Full Name" in caught.value.hint


@pytest.mark.parametrize(
    ("table", "hint"),
    [("poeple", "people"), ('"People"', "people"), ("public.peoples", "people"), ("a b", "quotes")],
)
def test_a_table_that_is_not_there(
    people: psycopg.Connection[Any], csv_file: Any, table: str, hint: str
) -> None:
    """The nearest name is suggested."""
    with pytest.raises(InputError) as caught:
        import_csv(people, table, csv_file(HEADER))
    assert hint in caught.value.hint


def test_names_follow_the_rules_of_sql(connection: psycopg.Connection[Any], csv_file: Any) -> None:
    """Double quotes keep case, blanks and reserved words."""
    connection.execute('CREATE SCHEMA "My Schema"; CREATE TABLE "My Schema"."select" ("a,b" int)')
    import_csv(connection, '"My Schema"."select"', csv_file('"a,b"\n1\n'))
    assert rows(connection, '"My Schema"."select"') == [(1,)]


def test_a_bad_value_is_found_in_the_file(people: psycopg.Connection[Any], csv_file: Any) -> None:
    """File, line, record, column, value and reason; nothing is loaded."""
    path = csv_file(HEADER + '1,"two\nlines",1\n2,"x\n\n",zz\n3,c,3\n')
    with pytest.raises(RowError) as caught:
        import_csv(people, "people", path)
    bad = caught.value.reject
    assert (bad.line, bad.record, bad.column, bad.value) == (4, 2, "amount", "zz")
    assert bad.data == b'2,"x\n\n",zz\n'
    assert bad.sqlstate == "22P02"
    assert f"{path}:4: record 2, column \"amount\", value 'zz'" in str(caught.value)
    assert path.read_bytes()[bad.offset :].startswith(bad.data)
    assert rows(people) == []


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("record", "sqlstate"),
    [
        ("2,b", "22P04"),
        ("2,b,1,1", "22P04"),
        ("", "22P04"),
        ("1,b,1", "23505"),
        (",b,1", "23502"),
        ('2,"b', "22P04"),
        ("2,\0,1", "22021"),
    ],
)
def test_every_kind_of_bad_row_is_located(
    people: psycopg.Connection[Any], csv_file: Any, record: str, sqlstate: str, newline: str
) -> None:
    """Whatever the ends of lines are, with newlines in quotes before it."""
    lines = ["id,full name,amount", '1,"a\nb\r\nc\rd",1', record, "9,z,9", ""]
    with pytest.raises(RowError) as caught:
        import_csv(people, "people", csv_file(newline.join(lines)))
    assert caught.value.reject.record == 2
    assert caught.value.reject.sqlstate == sqlstate


def test_a_bad_row_is_found_in_the_middle_of_many(
    people: psycopg.Connection[Any], csv_file: Any
) -> None:
    """Line numbers hold over the borders of blocks."""
    lines = [f'{n},"{"x" * (n % 300)}\n",1\n' for n in range(9000)]
    lines[7777] = "7777,bad,one\n"
    with pytest.raises(RowError) as caught:
        import_csv(people, "people", csv_file(HEADER + "".join(lines)))
    assert caught.value.reject.record == 7778
    assert caught.value.reject.data == b"7777,bad,one\n"


def test_a_bad_row_stops_the_sending(people: psycopg.Connection[Any]) -> None:
    """Two megabytes at most go out after the server has complained near the start."""
    data = io.BytesIO(HEADER.encode() + b"x,y,z\n" + b"1,some text,2\n" * 3_000_000)
    with pytest.raises(RowError):
        import_csv(people, "people", data)
    assert data.tell() < 2_500_000


def test_text_that_is_not_utf8_names_its_line_and_a_way_out(
    people: psycopg.Connection[Any], csv_file: Any
) -> None:
    """The sample was plain ASCII, and a wrong byte comes much later."""
    data = HEADER.encode() + b"".join(b"%d,x,1\n" % n for n in range(60_000)) + b"-1,caf\xe9,1\n"
    with pytest.raises(RowError) as caught:
        import_csv(people, "people", csv_file(data))
    assert caught.value.reject.record == 60_001
    assert "café" in caught.value.hint
    assert "cp1252" in caught.value.hint


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("utf-8-sig", "ž,é"), ("utf-16", "ž日"), ("utf-32", "ž日"), ("cp1252", "un café “là”")],
)
def test_encodings_are_found(
    people: psycopg.Connection[Any], csv_file: Any, encoding: str, text: str
) -> None:
    """The text in the table is the text in the file."""
    result = import_csv(people, "people", csv_file(f'{HEADER}1,"{text}",2\n'.encode(encoding)))
    assert texts(people) == [text]
    assert bool(result.plans[0].doubts) == (encoding == "cp1252")


def test_an_encoding_can_be_given(people: psycopg.Connection[Any], csv_file: Any) -> None:
    """Those the server reads, and those that Python turns into UTF-8."""
    for number, encoding in enumerate(["cp1250", "iso8859-2", "cp852", "utf-8"]):
        data = f"{HEADER}{number},žluťoučký,1\n".encode(encoding)
        import_csv(people, "people", csv_file(data), ImportOptions(encoding=encoding))
    assert texts(people) == ["žluťoučký"] * 4


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gz": gzip.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
}


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("piped", [False, True])
def test_compressed_files_and_streams(
    people: psycopg.Connection[Any], csv_file: Any, compression: str, *, piped: bool
) -> None:
    """Told by their bytes, whatever their names are."""
    data = COMPRESSIONS[compression](f"{HEADER}1,a,1\n".encode())
    source = io.BytesIO(data) if piped else csv_file(data)
    result = import_csv(people, "people", source)
    assert result.plans[0].compression == compression
    assert result.bytes == len(data)
    assert texts(people) == ["a"]


def test_zstd(people: psycopg.Connection[Any], csv_file: Any) -> None:
    """With the optional package."""
    zstandard = pytest.importorskip("zstandard")
    import_csv(people, "people", csv_file(zstandard.compress(f"{HEADER}1,a,1\n".encode())))
    assert texts(people) == ["a"]


def test_frames_of_zstd(people: psycopg.Connection[Any], csv_file: Any) -> None:
    """Archives may be joined, and unpack to a thousand times their size."""
    zstandard = pytest.importorskip("zstandard")
    frames = HEADER.encode(), b"".join(b"%d,,\n" % n for n in range(100_000))
    import_csv(people, "people", csv_file(b"".join(map(zstandard.compress, frames))))
    assert people.execute("SELECT count(*) FROM people").fetchone() == (100_000,)


@pytest.mark.parametrize("damage", ["cut", "changed"])
@pytest.mark.parametrize("compression", ["gz", "bz2", "xz", "zst"])
def test_a_damaged_archive(
    people: psycopg.Connection[Any], csv_file: Any, compression: str, damage: str
) -> None:
    """Nothing is loaded of a file that is cut off, or changed on the way."""
    if compression == "zst":
        packed = pytest.importorskip("zstandard").ZstdCompressor(write_checksum=True).compress
    else:
        packed = COMPRESSIONS[compression]
    data = bytearray(packed(HEADER.encode() + b"".join(b"%d,x,1\n" % n for n in range(100_000))))
    half = len(data) // 2
    data[half:] = b"" if damage == "cut" else bytes(~byte & 255 for byte in data[half:])
    with pytest.raises(InputError, match=r"damaged or cut off"):
        import_csv(people, "people", csv_file(bytes(data)))
    assert rows(people) == []


@pytest.mark.parametrize(
    ("data", "options"),
    [
        ("id;full name;amount\n1;a;1.5\n", {}),
        ("id\tfull name\tamount\n1\ta\t1.5\n", {}),
        ("id|full name|amount\n1|a|1.5\n", {}),
        ("'id','full name','amount'\n'1','a','1.5'\n", {}),
        ("made by hand\n\nid,full name,amount\n1,a,1.5\n", {"skip": 2}),
        ('id,full name,amount\n1,"a",1.5\n', {"quote": '"', "delimiter": ","}),
    ],
)
def test_dialects_are_found_or_given(
    people: psycopg.Connection[Any], csv_file: Any, data: str, options: Any
) -> None:
    """The row is the same."""
    import_csv(people, "people", csv_file(data), ImportOptions(**options))
    assert rows(people)[0][:3] == (1, "a", Decimal("1.5"))


def test_an_escape_of_its_own(people: psycopg.Connection[Any], csv_file: Any) -> None:
    """A backslash before a quote."""
    import_csv(
        people, "people", csv_file(HEADER + '1,"a\\"\n,b",1\n2,c,2\n'), ImportOptions(escape="\\")
    )
    assert texts(people) == ['a"\n,b', "c"]


def test_what_null_is(people: psycopg.Connection[Any], csv_file: Any) -> None:
    """Another text than nothing, or quoted nothing too."""
    import_csv(
        people,
        "people",
        csv_file(HEADER + '1,NA,\n2,"NA",1\n'.replace(",\n", ",NA\n")),
        ImportOptions(null="NA"),
    )
    import_csv(people, "people", csv_file(HEADER + '3,"",1\n'), ImportOptions(empty_as_null=True))
    assert texts(people) == [None, "NA", None]


@pytest.mark.parametrize("mark", ["\\.", '"\\."'])
def test_the_old_end_of_data_mark_is_data(
    either: psycopg.Connection[Any], csv_file: Any, mark: str
) -> None:
    """Servers before 18 would silently stop there."""
    either.execute("CREATE TABLE marks (t text)")
    result = import_csv(either, "marks", csv_file(f't\na\n{mark}\n"x\n\\.\n"\nb\n'))
    assert result.rows_loaded == 4
    assert [t for (t,) in either.execute("SELECT t FROM marks").fetchall()] == [
        "a",
        "\\.",
        "x\n\\.\n",
        "b",
    ]


def test_blank_lines_of_one_column_are_null(
    connection: psycopg.Connection[Any], csv_file: Any
) -> None:
    """They are rows, not decoration."""
    connection.execute("CREATE TABLE one (t text)")
    assert import_csv(connection, "one", csv_file('t\n\n""\nx')).rows_loaded == 3
    assert connection.execute("SELECT t FROM one").fetchall() == [(None,), ("",), ("x",)]


def test_a_header_alone_is_no_rows(people: psycopg.Connection[Any], csv_file: Any) -> None:
    """And no error."""
    assert import_csv(people, "people", csv_file("id,amount")).rows_read == 0


def test_several_files_are_one_transaction(people: psycopg.Connection[Any], csv_file: Any) -> None:
    """If one is bad, none is in."""
    good = csv_file(HEADER + "1,a,1\n", "good.csv")
    other = csv_file("amount;id\n2;2\n", "other.csv")
    bad = csv_file(HEADER + "3,c,x\n", "bad.csv")
    with pytest.raises(RowError, match=r"bad.csv:2"):
        import_csv(people, "people", [good, other, bad])
    assert rows(people) == []
    result = import_csv(people, "people", [good, other])
    assert (result.rows_loaded, len(result.files)) == (2, 2)


def test_inside_a_transaction_the_caller_commits(
    people: psycopg.Connection[Any], csv_file: Any
) -> None:
    """A failed import undoes itself only, and the settings of the session come back."""
    people.execute("SET IntervalStyle = 'iso_8601'; SET statement_timeout = '7s'")
    people.execute("INSERT INTO people (id) VALUES (100)")
    with pytest.raises(RowError):
        import_csv(people, "people", csv_file(HEADER + "1,a,x\n"))
    assert not import_csv(people, "people", csv_file(HEADER + "1,a,1\n")).committed
    assert people.execute("SHOW statement_timeout").fetchall() == [("7s",)]
    assert len(rows(people)) == 2
    people.rollback()
    assert rows(people) == []


def test_an_autocommit_connection_is_used_as_well(
    server: Server, database: str, csv_file: Any
) -> None:
    """The import is one transaction there too."""
    with psycopg.connect(**server.keywords(dbname=database), autocommit=True) as connection:
        create_people(connection)
        with pytest.raises(RowError):
            import_csv(connection, "people", csv_file(HEADER + "1,a,1\n2,b,x\n"))
        assert rows(connection) == []
        assert import_csv(connection, "people", csv_file(HEADER + "1,a,1\n")).committed
        assert len(rows(connection)) == 1


def test_a_failed_transaction_is_refused(people: psycopg.Connection[Any], csv_file: Any) -> None:
    """The caller has to roll back first."""
    with pytest.raises(psycopg.Error):
        people.execute("SELECT 1/0")
    with pytest.raises(UsageError, match=r"INERROR"):
        import_csv(people, "people", csv_file(HEADER))


async def test_the_asynchronous_function(server: Server, database: str, csv_file: Any) -> None:
    """Rows, errors and rollback are the same."""
    keywords = server.keywords(dbname=database)
    with psycopg.connect(**keywords) as connection:
        create_people(connection)
    async with await psycopg.AsyncConnection.connect(**keywords) as aconn:
        result = await import_csv_async(aconn, "people", csv_file(HEADER + "1,a,1\n"))
        assert result.rows_loaded == 1
        with pytest.raises(RowError, match=r"record 2"):
            await import_csv_async(aconn, "people", csv_file(HEADER + "2,a,1\n3,a,x\n"))
        cursor = await aconn.execute("SELECT id FROM people")
        assert await cursor.fetchall() == [(1,)]


def test_progress_ends_at_the_end(people: psycopg.Connection[Any], csv_file: Any) -> None:
    """The last call has all rows and all bytes."""
    seen: list[Progress] = []
    path = csv_file(HEADER + "1,a,1\n2,b,2\n")
    import_csv(people, "people", path, progress=seen.append)
    assert (seen[-1].rows, seen[-1].bytes, seen[-1].total) == (
        2,
        path.stat().st_size,
        seen[-1].bytes,
    )


def test_a_dry_run_leaves_nothing(people: psycopg.Connection[Any], csv_file: Any) -> None:
    """But it finds what is wrong, and says what it would do."""
    result = import_csv(people, "people", csv_file(HEADER + "1,a,1\n"), ImportOptions(dry_run=True))
    assert (result.rows_loaded, result.committed) == (1, False)
    assert rows(people) == []


def test_a_trigger_that_drops_rows_is_not_silent(
    people: psycopg.Connection[Any], csv_file: Any
) -> None:
    """What was read has to be loaded, or nothing is."""
    people.execute(
        "CREATE FUNCTION drop_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER t BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION drop_it()"
    )
    people.commit()
    with pytest.raises(TransferError, match=r"1 records were sent, but the server took 0"):
        import_csv(people, "people", csv_file(HEADER + "1,a,1\n"))


def test_a_trigger_that_complains_is_located(
    people: psycopg.Connection[Any], csv_file: Any
) -> None:
    """Its own lines of context come before COPY's, and its notices are no errors."""
    people.execute(
        "CREATE FUNCTION check_it() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
        " RAISE NOTICE 'seen %', NEW.id;"
        " IF NEW.id = 3 THEN RAISE 'not three'; END IF; RETURN NEW; END$$;"
        "CREATE TRIGGER t BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION check_it()"
    )
    people.commit()
    with pytest.raises(RowError, match=r"record 3.*not three"):
        import_csv(people, "people", csv_file(HEADER + "1,a,1\n2,b,1\n3,c,1\n4,d,1\n"))


def test_what_the_server_refuses_is_said_in_its_words(
    people: psycopg.Connection[Any], csv_file: Any
) -> None:
    """A view without a trigger."""
    people.execute("CREATE VIEW v AS SELECT 1 AS id")
    people.commit()
    with pytest.raises(TransferError, match=r"cannot copy to view") as caught:
        import_csv(people, "v", csv_file("id\n1\n"))
    assert "INSTEAD OF" in caught.value.hint


def test_a_lost_connection_leaves_nothing(
    people: psycopg.Connection[Any], server: Server, csv_file: Any
) -> None:
    """A backend that is killed in mid-import."""
    pid = people.info.backend_pid

    class Killing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 1_000_000:
                server.sql(f"SELECT pg_terminate_backend({pid})")
            return super().read(size)

    data = HEADER.encode() + b"".join(b"%d,some text,2\n" % n for n in range(200_000))
    with pytest.raises(TransferError, match=r"nothing was loaded"):
        import_csv(people, "people", Killing(data))
    assert server.sql("SELECT count(*) FROM people", people.info.dbname) == [(0,)]


def test_a_file_that_is_not_there(people: psycopg.Connection[Any], tmp_path: Path) -> None:
    """It is an error that names it."""
    with pytest.raises(InputError, match=r"nothing.csv"):
        import_csv(people, "people", tmp_path / "nothing.csv")
