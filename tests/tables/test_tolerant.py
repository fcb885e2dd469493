from __future__ import annotations

import gzip
import json
import random
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.tables.conftest import create_people

from pgstrata.tables import (
    ImportOptions,
    InputError,
    RowError,
    TooManyRejectsError,
    TransferError,
    import_csv,
    pieces,
)
from pgstrata.tables.prepare import open_file
from pgstrata.tables.refusals import found_again

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

HEADER = "id,full name,amount\n"
BAD = {
    "conversion": '{n},"a\nb",zz\n',
    "short": "{n},a\n",
    "long": "{n},a,1,2,3\n",
    "blank": "\n",
    "null key": ",a,1\n",
    "duplicate": "-1,a,1\n",
    "nul": "{n},a\0,1\n",
    "encoding": "{n},caf\udce9,1\n",
    "two columns": "x{n},a,zz\n",
    "nul within": '{n},"a\0\n9,z,1\n",1\n',
    "encoding within": '{n},"caf\udce9\n9,y,1\n10,x",1\n',
    "carriage return": "{n},a\rb,1\n",
}
# In a file whose records end in CRLF, within quotes also in LF.
CRLF = {kind: text.removesuffix("\n") + "\r\n" for kind, text in BAD.items()} | {
    "line feed": "{n},a,1\n",
    "returns within": '{n},"a\r\r\nb",zz\r\n',
}


@pytest.fixture
def rejects(tmp_path: Path) -> Path:
    """Return where rejects go."""
    return tmp_path / "bad.csv"


def bad_file(count: int, bad: dict[int, str], newline: str = "\n") -> tuple[bytes, list[bytes]]:
    """Return a file of ``count`` records, and which of them are bad."""
    lines = [f'{n},"good\n{n}",{n}{newline}' for n in range(count)]
    for number, line in bad.items():
        lines[number] = line.format(n=number)
    encoded = [line.encode("utf-8", "surrogateescape") for line in lines]
    header = HEADER.rstrip() + newline
    return header.encode() + b"".join(encoded), [encoded[number] for number in sorted(bad)]


def details(rejects: Path) -> list[dict[str, Any]]:
    """Return what the file beside the rejects says."""
    lines = rejects.with_name("bad.csv.jsonl").read_bytes().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("newline", "kind"), [*(("\n", kind) for kind in BAD), *(("\r\n", kind) for kind in CRLF)]
)
@pytest.mark.parametrize("place", ["first", "last", "borders", "neighbours", "all"])
def test_bad_rows_go_to_the_file_and_good_ones_to_the_table(  # fixtures
    either: psycopg.Connection[Any],
    csv_file: Any,
    rejects: Path,
    monkeypatch: pytest.MonkeyPatch,
    newline: str,
    kind: str,
    place: str,
) -> None:
    """Whatever is wrong and wherever it is, the numbers and the bytes are right."""
    monkeypatch.setattr(pieces, "PART", 1000)
    create_people(either)
    either.execute("INSERT INTO people (id) VALUES (-1)")
    places = {
        "first": [0],
        "last": [199],
        "borders": [50, 51, 52, 100, 101, 102, 150],
        "neighbours": list(range(90, 99)),
        "all": list(range(200)),
    }[place]
    text = (BAD if newline == "\n" else CRLF)[kind]
    data, expected = bad_file(200, dict.fromkeys(places, text), newline)
    options = ImportOptions(rejects=rejects, max_rejects=200, encoding="utf-8")
    result = import_csv(either, "people", csv_file(data), options)
    assert (result.rows_read, result.rows_rejected) == (200, len(places))
    header = (HEADER.rstrip() + newline).encode()
    assert rejects.read_bytes() == header + b"".join(expected)
    assert [line["record"] for line in details(rejects)] == [place + 1 for place in places]
    loaded = either.execute("SELECT id FROM people WHERE id >= 0 ORDER BY id").fetchall()
    assert [number for (number,) in loaded] == [n for n in range(200) if n not in places]


def test_the_details_say_where_and_why(
    either: psycopg.Connection[Any], csv_file: Any, rejects: Path
) -> None:
    """Line and offset lead to the record, SQLSTATE and message are the server's."""
    create_people(either)
    data, _ = bad_file(10, {4: BAD["conversion"]})
    import_csv(either, "people", csv_file(data), ImportOptions(rejects=rejects))
    (said,) = details(rejects)
    assert said["line"] == 2 + 4 * 2
    assert data[said["offset"] :].startswith(b'4,"a\nb",zz\n')
    assert (said["sqlstate"], said["column"], said["value"]) == ("22P02", "amount", "zz")
    assert said["message"] == 'invalid input syntax for type numeric: "zz"'


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_any_mixture_adds_up(
    either: psycopg.Connection[Any],
    csv_file: Any,
    rejects: Path,
    monkeypatch: pytest.MonkeyPatch,
    newline: str,
) -> None:
    """Random kinds in random places: every row is in the table or in the file, once."""
    monkeypatch.setattr(pieces, "PART", 5000)
    create_people(either)
    either.execute("INSERT INTO people (id) VALUES (-1)")
    either.commit()
    chance = random.Random(11)
    for density in (0.002, 0.05, 0.5):
        chosen = [n for n in range(2000) if chance.random() < density]
        kinds = list((BAD if newline == "\n" else CRLF).values())
        data, expected = bad_file(2000, {n: chance.choice(kinds) for n in chosen}, newline)
        options = ImportOptions(rejects=rejects, max_rejects=2000, overwrite=True, encoding="utf-8")
        result = import_csv(either, "people", csv_file(data), options)
        assert result.rows_loaded == 2000 - len(chosen)
        header = (HEADER.rstrip() + newline).encode()
        assert rejects.read_bytes() == header + b"".join(expected)
        either.execute("DELETE FROM people WHERE id >= 0")
        either.commit()


def test_mended_rejects_can_be_imported(
    people: psycopg.Connection[Any], csv_file: Any, rejects: Path
) -> None:
    """The file has the header and the ends of lines of the original."""
    data = "\ufeffid;full name;amount\r\n1;a;1\r\n2;b;zz\r\n3;c;yy".encode()
    import_csv(people, "people", csv_file(data), ImportOptions(rejects=rejects))
    assert rejects.read_bytes() == "\ufeffid;full name;amount\r\n2;b;zz\r\n3;c;yy\r\n".encode()
    rejects.write_bytes(rejects.read_bytes().replace(b"zz", b"2").replace(b"yy", b"3"))
    import_csv(people, "people", rejects)
    assert people.execute("SELECT id FROM people ORDER BY 1").fetchall() == [(1,), (2,), (3,)]


@pytest.mark.parametrize("other", ["id,amount,full name\n2,x,b\n", "id;full name;amount\n2;b;x\n"])
def test_one_file_of_rejects_is_of_one_form(
    people: psycopg.Connection[Any], csv_file: Any, rejects: Path, other: str
) -> None:
    """Or its records would be read by the header of another file."""
    files = [csv_file(HEADER + "1,a,x\n", "a.csv"), csv_file(other, "b.csv")]
    with pytest.raises(InputError, match=r"a.csv and .*b.csv differ in header, dialect"):
        import_csv(people, "people", files, ImportOptions(rejects=rejects))
    assert not rejects.exists()


def test_rejects_of_a_utf16_file_are_utf16(
    people: psycopg.Connection[Any], csv_file: Any, rejects: Path
) -> None:
    """Byte for byte what was there."""
    data = (HEADER + "1,ž,x\n2,b,2").encode("utf-16")
    import_csv(people, "people", csv_file(data), ImportOptions(rejects=rejects))
    assert rejects.read_bytes() == (HEADER + "1,ž,x\n").encode("utf-16")


def test_no_bad_rows_no_file(people: psycopg.Connection[Any], csv_file: Any, rejects: Path) -> None:
    """An empty file would only ask for attention."""
    result = import_csv(
        people, "people", csv_file(HEADER + "1,a,1\n"), ImportOptions(rejects=rejects)
    )
    assert (result.rows_rejected, result.rejects_file) == (0, "")
    assert not rejects.exists()


@pytest.mark.parametrize("batch", [None, 1])
def test_no_bad_rows_leave_none_of_an_earlier_import(
    people: psycopg.Connection[Any], csv_file: Any, rejects: Path, batch: int | None
) -> None:
    """Its file was to be replaced, and its rows are not those of this import."""
    import_csv(people, "people", csv_file(HEADER + "1,a,x\n"), ImportOptions(rejects=rejects))
    options = ImportOptions(rejects=rejects, overwrite=True, batch=batch)
    import_csv(people, "people", csv_file(HEADER + "1,a,1\n2,b,2\n", "clean.csv"), options)
    assert not rejects.exists()
    assert not rejects.with_name("bad.csv.jsonl").exists()


def test_too_many_rejects_undo_everything(
    either: psycopg.Connection[Any], csv_file: Any, rejects: Path
) -> None:
    """The first of them are kept to be looked at."""
    create_people(either)
    data, _ = bad_file(100, dict.fromkeys(range(10, 20), BAD["conversion"]))
    with pytest.raises(TooManyRejectsError, match=r"more than 5 bad rows undo the transaction"):
        import_csv(either, "people", csv_file(data), ImportOptions(rejects=rejects, max_rejects=5))
    assert len(details(rejects)) == 5
    assert either.execute("SELECT count(*) FROM people").fetchall() == [(0,)]


def test_another_failure_leaves_no_reject_file(
    people: psycopg.Connection[Any], csv_file: Any, rejects: Path
) -> None:
    """It would say that the other rows were loaded."""
    files = [csv_file(HEADER + "1,a,x\n", "a.csv"), csv_file(HEADER + "2,b,1\n", "b.csv")]
    people.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
        " IF NEW.id = 2 THEN RAISE SQLSTATE '53100'; END IF; RETURN NEW; END$$;"
        "CREATE TRIGGER t BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION fail()"
    )
    people.commit()
    with pytest.raises(TransferError):
        import_csv(people, "people", files, ImportOptions(rejects=rejects))
    assert not rejects.exists()


def test_an_existing_reject_file_is_not_overwritten(
    people: psycopg.Connection[Any], csv_file: Any, rejects: Path
) -> None:
    """Unless it is asked for; and never the file that is read."""
    rejects.write_text(HEADER + "1,a,x\n")
    with pytest.raises(InputError, match=r"exists"):
        import_csv(people, "people", csv_file(HEADER), ImportOptions(rejects=rejects))
    with pytest.raises(InputError, match=r"is a file that is imported"):
        import_csv(people, "people", rejects, ImportOptions(rejects=rejects, overwrite=True))


@pytest.mark.parametrize("deferred", ["", "DEFERRABLE INITIALLY DEFERRED"])
def test_a_missing_parent_is_a_reject(
    either: psycopg.Connection[Any], csv_file: Any, rejects: Path, deferred: str
) -> None:
    """The server names no line for it: parts are halved."""
    either.execute(
        "CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1);"
        f"CREATE TABLE child (id int, parent int REFERENCES parent {deferred})".encode()
    )
    either.commit()
    data = "id,parent\n" + "".join(f"{n},{2 if n in (3, 70) else 1}\n" for n in range(100))
    result = import_csv(either, "child", csv_file(data), ImportOptions(rejects=rejects))
    assert (result.rows_loaded, result.rows_rejected) == (98, 2)
    assert [line["record"] for line in details(rejects)] == [4, 71]
    assert details(rejects)[0]["sqlstate"] == "23503"


@pytest.fixture
def choosy(either: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Return a connection to a table that refuses rows for many reasons, on its own only."""
    either.execute(
        "CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1);"
        "CREATE TABLE people (id int PRIMARY KEY, name text, parent int DEFAULT 1"
        " REFERENCES parent DEFERRABLE INITIALLY DEFERRED) PARTITION BY RANGE (id);"
        "CREATE TABLE near PARTITION OF people FOR VALUES FROM (-9) TO (9000);"
        "CREATE UNIQUE INDEX ON near (name);"
        "INSERT INTO people VALUES (0, 'taken'), (7, 'seven');"
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
        " IF NEW.name = 'never' THEN RAISE 'not you'; END IF; RETURN NEW; END$$;"
        "CREATE TRIGGER t BEFORE INSERT ON near FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    either.commit()
    return either


@pytest.mark.parametrize(
    ("options", "lost"),
    [
        ({"columns": ["id", "name", "parent"]}, {7: "23505"}),
        ({"mode": "truncate", "columns": ["id", "name", "parent"]}, {}),
        ({"mode": "replace"}, {}),
        ({"on_conflict": "update"}, {}),
        ({"on_conflict": "skip"}, {}),
        ({"on_conflict": "update", "batch": 100}, {}),
    ],
)
def test_staged_rows_that_the_table_refuses_are_rejects(
    choosy: psycopg.Connection[Any], csv_file: Any, rejects: Path, options: Any, lost: Any
) -> None:
    """The server names no line for them either; and the others are all in."""
    lines = [f"{n},name {n},1,-\n" for n in range(1, 400)]
    bad = {
        5: "5,short\n",
        20: "9001,far,1,-\n",
        21: "9002,far,1,-\n",
        150: "150,child,2,-\n",
        151: "x,child,1,-\n",
        300: "300,never,1,-\n",
        301: '301,"name\n 300",1,-\n',
        302: '302,"name\n 300",1,-\n',
    }
    for number, line in bad.items():
        lines[number - 1] = line
    given = csv_file("id,name,parent,other\n" + "".join(lines))
    chosen = {"columns": ["id", "name", "parent"], **options}
    result = import_csv(choosy, "people", given, ImportOptions(rejects=rejects, **chosen))
    codes = {one["record"]: one["sqlstate"] for one in details(rejects)}
    expected = {5: "22P04", 20: "23514", 21: "23514", 150: "23503", 151: "22P02", 300: "P0001"}
    assert codes == {**expected, 302: "23505", **lost}
    written = rejects.read_text().splitlines(keepends=True)
    assert sorted("".join(written[1:])) == sorted("".join(lines[n - 1] for n in codes))
    kept = choosy.execute("SELECT count(*) FROM people WHERE id > 0 AND id <> 7").fetchall()
    assert kept == [(399 - len({*codes} | {7}),)]
    assert result.rows_read == result.rows_loaded + result.rows_skipped + result.rows_rejected


def test_a_doubled_key_is_seen_in_halves_too(
    choosy: psycopg.Connection[Any], csv_file: Any, rejects: Path
) -> None:
    """The later one must not win unseen, only because another row made halves of them."""
    path = csv_file("id,name,parent\n1,a,1\n2,never,1\n1,b,1\n")
    with pytest.raises(TransferError, match="rows with the same id"):
        import_csv(choosy, "people", path, ImportOptions(on_conflict="update", rejects=rejects))


def test_too_many_rows_that_the_table_refuses(
    choosy: psycopg.Connection[Any], csv_file: Any, rejects: Path
) -> None:
    """It stops at the first that is too much."""
    lines = "".join(f"{n},never\n" for n in range(100, 200))
    options = ImportOptions(mode="replace", rejects=rejects, max_rejects=3)
    with pytest.raises(TooManyRejectsError, match=r"more than 3 bad rows.*record 4"):
        import_csv(choosy, "people", csv_file("id,name\n" + lines), options)
    assert len(details(rejects)) == 3


def test_a_settings_error_is_not_a_bad_row(
    people: psycopg.Connection[Any], csv_file: Any, rejects: Path
) -> None:
    """What the server refuses altogether is not blamed on records."""
    people.execute("CREATE VIEW v AS SELECT 1 AS id")
    people.commit()
    with pytest.raises(TransferError, match=r"cannot copy to view"):
        import_csv(people, "v", csv_file("id\n1\n"), ImportOptions(rejects=rejects))


def test_without_a_reject_file_a_bad_row_is_an_error(
    people: psycopg.Connection[Any], csv_file: Any
) -> None:
    """The hint says what could be done."""
    with pytest.raises(RowError) as caught:
        import_csv(people, "people", csv_file(HEADER + "1,a,x\n"))
    assert "rejects" in caught.value.hint


@pytest.mark.parametrize(
    ("data", "place", "hint"),
    [
        (b"id,amount\r\n1,1\r\n2,2\n3,3\r\n", ":3: record 2", "--normalize-eol"),
        (b"id,amount\r\n1,1\r\n2,2\n3,3", ":3: record 2", "--normalize-eol"),
        (b"id,full name\n1,a\n2,b\0c\n", ":3: record 2", "--rejects"),
        (b'id,full name\n1,a\n2,"b\n\0c\n"\n', ":3: record 2", "--rejects"),
    ],
)
def test_a_record_that_cannot_be_read_is_named(
    people: psycopg.Connection[Any], csv_file: Any, data: bytes, place: str, hint: str
) -> None:
    """And what helps."""
    with pytest.raises(RowError) as error:
        import_csv(people, "people", csv_file(data), ImportOptions(encoding="utf-8"))
    assert place in str(error.value)
    assert hint in error.value.hint


def test_a_damaged_archive_is_no_end_of_the_file(
    people: psycopg.Connection[Any],
    csv_file: Any,
    rejects: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is noticed while a part is ending, and nothing of the parts before it stays."""
    monkeypatch.setattr(pieces, "PART", 1000)
    data = gzip.compress(HEADER.encode() + b"".join(b"%d,x,1\n" % n for n in range(300_000)))
    with pytest.raises(InputError, match=r"damaged or cut off"):
        import_csv(people, "people", csv_file(data[:-1000]), ImportOptions(rejects=rejects))
    assert people.execute("SELECT count(*) FROM people").fetchone() == (0,)


def test_records_are_found_again_in_one_go(csv_file: Any) -> None:
    """However many they are, each is compared a few times only."""
    compared = 0

    class Counted(int):
        __hash__ = int.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return int(self) == other

        def __lt__(self, other: int) -> bool:
            nonlocal compared
            compared += 1
            return int(self) < other

    path = csv_file("id\n" + "".join(f"{n},{'x' * 90}\n" for n in range(1, 20_001)))
    file = open_file(path, ImportOptions())
    file.take_header()
    start = next(file.blocks())
    left_out, places = {*range(1, 20_000, 20)}, [Counted(n) for n in range(1, 19_000, 10)]
    with closing(file.input):
        found = found_again(file, start, left_out, places)
    staged = [n for n in range(1, 20_001) if n not in left_out]
    assert [record.number for record in found] == [staged[place - 1] for place in places]
    assert compared < 10 * len(places)


@pytest.fixture
def later(either: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Return a connection in a transaction that has put off a check, of another table."""
    either.execute(
        "CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1);"
        "CREATE TABLE child (id int PRIMARY KEY, parent int"
        " REFERENCES parent DEFERRABLE INITIALLY DEFERRED);"
        "CREATE TABLE other (id int,"
        " parent int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)"
    )
    either.commit()
    either.execute("INSERT INTO other VALUES (1, 9)")
    return either


@pytest.mark.parametrize("options", [{}, {"on_conflict": "skip"}])
def test_what_else_is_put_off_stays_so(
    later: psycopg.Connection[Any], csv_file: Any, rejects: Path, options: Any
) -> None:
    """It is no fault of the rows; and the caller may put off more of it, on the same table too."""
    path = csv_file("id,parent\n1,1\n2,2\n3,1\n4,1\n")
    result = import_csv(later, "child", path, ImportOptions(rejects=rejects, **options))
    assert (result.rows_loaded, [one["record"] for one in details(rejects)]) == (3, [2])
    later.execute("INSERT INTO child VALUES (5, 9); INSERT INTO parent VALUES (9)")
    later.commit()
    assert later.execute("SELECT count(*) FROM child").fetchone() == (4,)


def test_rows_of_the_caller_that_do_not_hold_yet(
    later: psycopg.Connection[Any], csv_file: Any, rejects: Path
) -> None:
    """With them no row could be told good, so none is called bad; the transaction goes on."""
    later.execute("INSERT INTO child VALUES (5, 9)")
    path = csv_file("id,parent\n1,1\n")
    with pytest.raises(TransferError, match=r"do not hold: .*foreign key"):
        import_csv(later, "child", path, ImportOptions(rejects=rejects))
    later.execute("INSERT INTO parent VALUES (9)")
    later.commit()
    assert later.execute("SELECT id FROM child").fetchall() == [(5,)]
    assert not rejects.exists()


@pytest.mark.parametrize("into", ["above", "apart.below"])
def test_what_partitions_put_off_of_their_own(
    either: psycopg.Connection[Any], csv_file: Any, rejects: Path, into: str
) -> None:
    """A key and a trigger, in another schema: that the table above knows of none is no matter."""
    either.execute(
        "CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1);"
        "CREATE TABLE above (id int, parent int) PARTITION BY RANGE (id); CREATE SCHEMA apart;"
        "CREATE TABLE apart.below PARTITION OF above DEFAULT;"
        'ALTER TABLE apart.below ADD CONSTRAINT "a key" FOREIGN KEY (parent)'
        " REFERENCES parent DEFERRABLE INITIALLY DEFERRED;"
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
        " IF NEW.id = 3 THEN RAISE 'not you'; END IF; RETURN NEW; END$$;"
        "CREATE CONSTRAINT TRIGGER t AFTER INSERT ON apart.below DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    either.commit()
    path = csv_file("id,parent\n1,1\n2,2\n3,1\n4,1\n")
    import_csv(either, into, path, ImportOptions(rejects=rejects))
    assert {one["record"]: one["sqlstate"] for one in details(rejects)} == {2: "23503", 3: "P0001"}
    assert either.execute("SELECT id FROM above ORDER BY 1").fetchall() == [(1,), (4,)]
