from __future__ import annotations

import json
import random
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgstrata.tables import (
    ImportOptions,
    TooManyRejectsError,
    TransferError,
    import_csv,
    pieces,
)
from pgstrata.tables.locate import records_at, split_block
from pgstrata.tables.prepare import open_file
from pgstrata.tables.records import Scanner, Stored
from pgstrata.tables.waiting import Waiting

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "id,boss\n"
ANY = ImportOptions()


@pytest.fixture(params=["", " DEFERRABLE INITIALLY DEFERRED"])
def staff(
    either: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> psycopg.Connection[Any]:
    """Return a connection to a table that refers to itself; parts are small."""
    either.execute(
        "CREATE TABLE staff (id int PRIMARY KEY CHECK (id <> 13),"
        f" boss int REFERENCES staff{request.param})"
    )
    either.commit()
    monkeypatch.setattr(pieces, "PART", 400)
    return either


def load(staff: psycopg.Connection[Any], path: Path, **options: Any) -> Any:
    """Import with rejects beside the file."""
    rejects = path.with_suffix(".bad")
    return import_csv(staff, "staff", path, ImportOptions(rejects=rejects, **options))


def ids(staff: psycopg.Connection[Any]) -> list[int]:
    """Return the keys in the table."""
    return [number for (number,) in staff.execute("SELECT id FROM staff ORDER BY 1").fetchall()]


def test_parents_may_come_in_a_later_part(staff: psycopg.Connection[Any], csv_file: Any) -> None:
    """Each refers to the next, so only all together fit."""
    chain = [f"{n},{n + 1}\n" for n in range(100, 299)] + ["299,\n"]
    result = load(staff, csv_file(HEADER + "".join(chain)))
    assert (result.rows_loaded, result.rows_rejected) == (200, 0)


def test_orphans_are_rejected_with_all_who_refer_to_them(
    staff: psycopg.Connection[Any], csv_file: Any
) -> None:
    """Wherever they stand; circles are none, and other bad rows do not disturb."""
    good = [f"{n},{n // 2 + 50}\n" for n in range(100, 300)] + [
        f"{n},{n}\n" for n in range(50, 100)
    ]
    circle = ["301,302\n", "302,303\n", "303,301\n"]
    bad = ["x,1\n", "13,\n", "401,9999\n", "402,401\n", "403,402\n"]
    lines = good + circle + bad
    random.Random(4).shuffle(lines)
    path = csv_file(HEADER + "".join(lines))
    result = load(staff, path)
    assert (result.rows_loaded, result.rows_rejected) == (253, 5)
    assert sorted(path.with_suffix(".bad").read_text().splitlines()[1:]) == sorted(
        line.strip() for line in bad
    )
    details = [json.loads(line) for line in path.with_suffix(".bad.jsonl").read_text().splitlines()]
    assert {d["value"]: d["sqlstate"] for d in details if d["column"] == "boss"} == {
        "9999": "23503",
        "401": "23503",
        "402": "23503",
    }
    assert ids(staff) == sorted([*range(50, 300), 301, 302, 303])


def test_rows_of_an_earlier_import_count(staff: psycopg.Connection[Any], csv_file: Any) -> None:
    """And so do doubled keys among those that waited."""
    load(staff, csv_file(HEADER + "1,\n"))
    lines = ["2,1\n", "3,4\n", "3,4\n", *(f"{n},1\n" for n in range(100, 200)), "4,2\n"]
    path = csv_file(HEADER + "".join(lines), "more.csv")
    result = load(staff, path)
    assert (result.rows_loaded, result.rows_rejected) == (103, 1)
    assert path.with_suffix(".bad").read_text() == HEADER + "3,4\n"


@pytest.mark.parametrize(
    "options", [{"mode": "replace"}, {"on_conflict": "update"}, {"on_conflict": "skip"}]
)
def test_orphans_are_rejected_where_rows_meet_others(
    staff: psycopg.Connection[Any], csv_file: Any, options: dict[str, Any]
) -> None:
    """All rows move at once, so only those that refer to none are left out; one refers to an old
    row, which a replaced table has no more.
    """
    staff.execute("INSERT INTO staff VALUES (1, NULL), (200, 1)")
    staff.commit()
    kept = options.get("mode") != "replace"
    lines = [f"{n},{n + 1}\n" for n in range(200, 299)] + ["299,299\n", "301,302\n", "302,301\n"]
    bad = ["x,1\n", "401,9999\n", "402,401\n", "403,402\n"]
    old = ["500,1\n"]
    path = csv_file(HEADER + "".join([*bad[:2], *lines, *bad[2:], *old]))
    result = load(staff, path, **options)
    rejected = bad if kept else bad + old
    assert path.with_suffix(".bad").read_text() == HEADER + "".join(rejected)
    assert result.rows_rejected == len(rejected)
    assert result.rows_loaded + result.rows_skipped == 102 + kept
    assert set(ids(staff)) == {*range(200, 300), 301, 302} | ({1, 500} if kept else set())
    details = [json.loads(line) for line in path.with_suffix(".bad.jsonl").read_text().splitlines()]
    assert [d["value"] for d in details][1:4] == ["9999", "401", "402"]


@pytest.mark.parametrize("options", [{}, {"mode": "replace"}])
def test_orphans_without_number_end_the_import(
    staff: psycopg.Connection[Any], csv_file: Any, options: dict[str, Any]
) -> None:
    """As soon as they are too many; the first of them are in the file."""
    path = csv_file(HEADER + "".join(f"{n},{n + 5000}\n" for n in range(100, 900)))
    with pytest.raises(TooManyRejectsError):
        load(staff, path, max_rejects=7, **options)
    bad = path.with_suffix(".bad").read_text().splitlines()
    assert bad[1:] == [f"{n},{n + 5000}" for n in range(100, 107)]


def test_another_refusal_of_rows_that_have_to_move_together(
    staff: psycopg.Connection[Any], csv_file: Any
) -> None:
    """Undoes all of them, and names the key."""
    staff.execute("CREATE TABLE place (id int PRIMARY KEY)")
    staff.execute("ALTER TABLE staff ADD COLUMN place int CONSTRAINT there REFERENCES place")
    staff.commit()
    with pytest.raises(TransferError, match="there"):
        load(staff, csv_file("id,boss,place\n2,3,\n3,,7\n"), mode="replace")
    assert ids(staff) == []


def test_a_key_to_another_table_is_still_told_apart(
    staff: psycopg.Connection[Any], csv_file: Any
) -> None:
    """Its violation has no line, so the rows that wait have to be halved."""
    staff.execute("CREATE TABLE place (id int PRIMARY KEY); INSERT INTO place VALUES (1)")
    staff.execute("ALTER TABLE staff ADD COLUMN place int REFERENCES place")
    staff.commit()
    lines = [f"{n},{n + 1},{2 if n == 150 else 1}\n" for n in range(151, 299)] + ["299,,1\n"]
    lines += ["90,299,2\n", "91,299,1\n"]
    path = csv_file("id,boss,place\n" + "".join(lines))
    result = load(staff, path)
    assert (result.rows_loaded, result.rows_rejected) == (150, 1)
    assert path.with_suffix(".bad").read_text() == "id,boss,place\n90,299,2\n"


def test_rows_that_wait_are_not_in_memory(csv_file: Any) -> None:
    """Only where they are; what is read back is what was there, with its places."""
    file = open_file(csv_file("id,boss\n" + "".join(f'{n},"{n}\n"\n' for n in range(900))), ANY)
    with closing(file.input):
        file.take_header()
        scanner = Scanner(file.dialect)
        (block,) = file.blocks()
    records = split_block(block, scanner)
    some = [record for record in records if record.number % 300]
    waiting = Waiting()
    waiting.add(pieces.without([block], {300, 600, 900}, scanner))
    assert waiting.count == len(some) == 897
    taken = waiting.take()
    assert (waiting.count, len(taken)) == (0, 3)
    assert all(isinstance(piece, Stored) for piece in taken)
    assert [record for piece in taken for record in split_block(piece, scanner)] == some
    assert records_at(taken[1], [2, 4], scanner) == some[299:301]
    waiting.close()
