from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgstrata.errors import UsageError
from pgstrata.tables import (
    ImportOptions,
    InputError,
    RowError,
    TransferError,
    VerificationError,
    import_csv,
)

if TYPE_CHECKING:
    import psycopg
    from tests.servers import Server

HEADER = "id,full name,amount\n"


@pytest.fixture
def filled(people: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Return a connection to a database whose table has two rows."""
    people.execute(
        "INSERT INTO people (id, \"Full Name\", amount) VALUES (1, 'old', 1), (2, 'old', 2)"
    )
    people.commit()
    return people


def rows(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    """Return what the table holds."""
    return connection.execute('SELECT id, "Full Name" FROM people ORDER BY 1').fetchall()


@pytest.mark.parametrize("mode", ["truncate", "replace"])
def test_old_rows_make_way(filled: psycopg.Connection[Any], csv_file: Any, mode: Any) -> None:
    """In the same transaction: a bad row brings them back."""
    options = ImportOptions(mode=mode)
    with pytest.raises(RowError):
        import_csv(filled, "people", csv_file(HEADER + "1,new,1\n3,new,x\n"), options)
    assert rows(filled) == [(1, "old"), (2, "old")]
    files = [csv_file(HEADER + "1,new,1\n", "a.csv"), csv_file(HEADER + "3,new,1\n", "b.csv")]
    assert import_csv(filled, "people", files, options).rows_loaded == 2
    assert rows(filled) == [(1, "new"), (3, "new")]


def test_replacing_works_where_others_refer_to_the_table(
    filled: psycopg.Connection[Any], csv_file: Any
) -> None:
    """TRUNCATE would be refused there."""
    filled.execute("CREATE TABLE child (id int REFERENCES people); INSERT INTO child VALUES (1)")
    filled.execute("ALTER TABLE child ALTER CONSTRAINT child_id_fkey DEFERRABLE INITIALLY DEFERRED")
    filled.commit()
    import_csv(filled, "people", csv_file(HEADER + "1,new,1\n"), ImportOptions(mode="replace"))
    assert rows(filled) == [(1, "new")]


@pytest.mark.parametrize(
    ("mode", "batch"), [("truncate", None), ("truncate", 1), ("replace", None)]
)
@pytest.mark.parametrize("action", ["CASCADE", "SET NULL", "SET DEFAULT"])
def test_rows_of_other_tables_are_not_touched(
    filled: psycopg.Connection[Any], csv_file: Any, mode: Any, batch: int | None, action: str
) -> None:
    """What refers to the table and would follow it is named, and nothing is done."""
    filled.execute(
        f"CREATE TABLE child (id int REFERENCES people ON DELETE {action}, note text);"
        "INSERT INTO child VALUES (1, 'precious')".encode()
    )
    filled.commit()
    options = ImportOptions(mode=mode, batch=batch)
    with pytest.raises(InputError, match=r"rows of child that refer"):
        import_csv(filled, "people", csv_file(HEADER + "1,new,1\n"), options)
    assert filled.execute("SELECT id, note FROM child").fetchall() == [(1, "precious")]
    assert rows(filled) == [(1, "old"), (2, "old")]


def test_rows_that_refer_to_their_own_table_go_with_it(
    connection: psycopg.Connection[Any], csv_file: Any
) -> None:
    """Also where it has parts, whose keys are copies of its own."""
    connection.execute(
        "CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree ON DELETE CASCADE)"
        " PARTITION BY HASH (id);"
        "CREATE TABLE tree0 PARTITION OF tree FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
        "CREATE TABLE tree1 PARTITION OF tree FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
        "INSERT INTO tree VALUES (1, NULL), (2, 1)"
    )
    connection.commit()
    import_csv(connection, "tree", csv_file("id,up\n3,\n"), ImportOptions(mode="truncate"))
    assert connection.execute("SELECT id FROM tree").fetchall() == [(3,)]


def test_readers_see_the_old_rows_until_the_commit(
    filled: psycopg.Connection[Any], server: Server, csv_file: Any
) -> None:
    """While a replacing import is reading its file."""
    seen: list[Any] = []
    database = filled.info.dbname
    path = csv_file(HEADER + "7,new,1\n")

    def look(_: Any) -> None:
        seen.append(server.sql("SELECT count(*) FROM people WHERE id < 3", database))

    import_csv(filled, "people", path, ImportOptions(mode="replace"), on_plan=look)
    assert seen == [[(2,)]]


@pytest.mark.parametrize(
    ("on_conflict", "expected", "numbers"),
    [
        ("skip", [(1, "old"), (2, "old"), (3, "new")], (1, 2, 0)),
        ("update", [(1, "old"), (2, "new"), (3, "new")], (2, 1, 1)),
    ],
)
def test_rows_that_exist(
    filled: psycopg.Connection[Any],
    csv_file: Any,
    on_conflict: Any,
    expected: list[Any],
    numbers: tuple[int, int, int],
) -> None:
    """They are skipped or updated, and counted; one that would not change is left alone."""
    path = csv_file(HEADER + "1,old,1\n2,new,2\n3,new,3\n")
    result = import_csv(filled, "people", path, ImportOptions(on_conflict=on_conflict))
    assert rows(filled) == expected
    assert (result.rows_loaded, result.rows_skipped, result.rows_updated) == numbers
    assert result.rows_read == result.rows_loaded + result.rows_skipped


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("interval", "24:00:00", "1 day"),
        ("numeric", "1.5", "1.50"),
        ("float8", "-0", "0"),
        ("json", '{"a":1}', '{"a": 1}'),
        ("point", "(1,2)", "(1,3)"),
    ],
)
def test_a_value_that_only_counts_as_equal_is_updated(
    connection: psycopg.Connection[Any], csv_file: Any, kind: str, old: str, new: str
) -> None:
    """The table says what the file says, also in types that know no "="."""
    connection.execute(f"CREATE TABLE t (id int PRIMARY KEY, v {kind})".encode())
    connection.execute("INSERT INTO t VALUES (1, %s), (2, %s)", [old, new])
    connection.commit()
    quoted = new.replace('"', '""')
    path = csv_file(f'id,v\n1,"{quoted}"\n2,"{quoted}"\n')
    result = import_csv(connection, "t", path, ImportOptions(on_conflict="update"))
    assert (result.rows_updated, result.rows_skipped) == (1, 1)
    assert connection.execute("SELECT v::text FROM t ORDER BY id").fetchall() == [(new,)] * 2


def test_the_key_may_be_another_than_the_primary_one(
    filled: psycopg.Connection[Any], csv_file: Any
) -> None:
    """Any columns with a unique index."""
    filled.execute('CREATE UNIQUE INDEX ON people ("Full Name") WHERE id > 5')
    filled.execute("ALTER TABLE people ADD UNIQUE (amount)")
    filled.commit()
    options = ImportOptions(on_conflict="update", key=["amount"])
    import_csv(filled, "people", csv_file("id,amount,Full Name\n9,2,nine\n"), options)
    assert rows(filled) == [(1, "old"), (9, "nine")]


@pytest.mark.parametrize("body", ["5,a,1\n5,b,1\n", "1,old,1\n1,b,1\n", "1,b,1\n1,old,1\n"])
def test_a_key_twice_in_the_file(filled: psycopg.Connection[Any], csv_file: Any, body: str) -> None:
    """Which one is to win is not for us to guess, also where one of them would change nothing."""
    path = csv_file(HEADER + body)
    with pytest.raises(TransferError, match=r"rows with the same id"):
        import_csv(filled, "people", path, ImportOptions(on_conflict="update"))
    assert rows(filled) == [(1, "old"), (2, "old")]


def test_a_key_twice_in_the_file_may_be_skipped(
    filled: psycopg.Connection[Any], csv_file: Any
) -> None:
    """The first one goes in."""
    path = csv_file(HEADER + "5,a,1\n5,b,1\n")
    assert import_csv(filled, "people", path, ImportOptions(on_conflict="skip")).rows_skipped == 1


def test_without_a_key_there_is_nothing_to_go_by(
    connection: psycopg.Connection[Any], csv_file: Any
) -> None:
    """The caller has to name it; and the file has to have it."""
    connection.execute("CREATE TABLE t (a int NOT NULL DEFAULT 1, b int, PRIMARY KEY (a))")
    connection.execute("CREATE TABLE u (a int)")
    with pytest.raises(UsageError, match=r"no primary key"):
        import_csv(connection, "u", csv_file("a\n1\n"), ImportOptions(on_conflict="skip"))
    with pytest.raises(InputError, match=r"nothing is to go into the key: a"):
        import_csv(connection, "t", csv_file("b\n1\n"), ImportOptions(on_conflict="skip"))


def test_staged_rows_are_checked_with_their_lines(
    filled: psycopg.Connection[Any], csv_file: Any
) -> None:
    """Types, NOT NULL and CHECK are those of the table."""
    filled.execute("ALTER TABLE people ADD CHECK (amount > 0)")
    filled.commit()
    options = ImportOptions(on_conflict="update")
    for bad in ("4,b,x", "4,b,-1", ",b,1"):
        with pytest.raises(RowError, match=r"record 2"):
            import_csv(filled, "people", csv_file(HEADER + f"3,a,1\n{bad}\n"), options)


def test_an_identity_keeps_the_values_of_the_file(
    connection: psycopg.Connection[Any], csv_file: Any
) -> None:
    """Also through a staging table, and also GENERATED ALWAYS."""
    connection.execute("CREATE TABLE t (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, v text)")
    import_csv(connection, "t", csv_file("id,v\n7,a\n"))
    import_csv(connection, "t", csv_file("id,v\n7,b\n8,c\n"), ImportOptions(on_conflict="update"))
    import_csv(connection, "t", csv_file("v\nd\n"))
    assert connection.execute("SELECT * FROM t ORDER BY v").fetchall() == [
        (7, "b"),
        (8, "c"),
        (1, "d"),
    ]


def test_an_identity_that_is_always_made_cannot_be_updated(
    connection: psycopg.Connection[Any], csv_file: Any
) -> None:
    """What helps is said."""
    connection.execute("CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, k text UNIQUE, v int)")
    connection.commit()
    path = csv_file("id,k,v\n7,a,1\n")
    with pytest.raises(UsageError, match=r"makes the values of an identity itself"):
        import_csv(connection, "t", path, ImportOptions(on_conflict="update", key=["k"]))


@pytest.mark.parametrize(
    ("options", "bad", "said"),
    [
        (ImportOptions(columns=["id", "p"]), "3,900", "no partition"),
        (ImportOptions(mode="replace"), "3,900", "no partition"),
        (ImportOptions(on_conflict="update"), "3,7", "is not present in table"),
        (ImportOptions(columns=["id", "p"]), "2,1", r"Key \(id, p\)=\(2, 1\) already exists"),
        (ImportOptions(mode="replace"), "3,-1", 'relation "t" violates check constraint'),
    ],
)
def test_a_staged_row_that_the_table_refuses_is_named(
    connection: psycopg.Connection[Any],
    csv_file: Any,
    options: ImportOptions,
    bad: str,
    said: str,
) -> None:
    """By its record, though the server has met it far from the file."""
    connection.execute(
        "CREATE TABLE o (p int PRIMARY KEY); INSERT INTO o VALUES (1), (900), (-1);"
        "CREATE TABLE t (id int, p int REFERENCES o CHECK (p > 0), PRIMARY KEY (id, p))"
        " PARTITION BY RANGE (p);"
        "CREATE TABLE t0 PARTITION OF t FOR VALUES FROM (0) TO (100)"
    )
    connection.commit()
    path = csv_file(f"id,p,more\n1,1,x\n2,1,x\n{bad},x\n4,1,x\n")
    if options.columns is None:
        path = csv_file(f"id,p\n1,1\n2,1\n{bad}\n4,1\n")
    with pytest.raises(RowError, match=rf":4: record 3\b.*{said}"):
        import_csv(connection, "t", path, options)


def test_a_partitioned_table(connection: psycopg.Connection[Any], csv_file: Any) -> None:
    """Rows find their partitions; one that has none is located."""
    connection.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10)"
    )
    connection.commit()
    import_csv(connection, "t", csv_file("id,v\n1,a\n"))
    result = import_csv(
        connection, "t", csv_file("id,v\n1,b\n2,c\n"), ImportOptions(on_conflict="update")
    )
    assert result.rows_loaded == 2
    with pytest.raises(RowError, match=r"record 2.*no partition"):
        import_csv(connection, "t", csv_file("id,v\n3,a\n11,b\n"))


def test_verifying_counts_and_reports_a_checksum(
    filled: psycopg.Connection[Any], csv_file: Any
) -> None:
    """The same rows in another order have the same checksum."""
    one = csv_file(HEADER + "3,a,1\n4,b,2\n", "one.csv")
    two = csv_file(HEADER + "4,b,2\n3,a,1\n", "two.csv")
    options = ImportOptions(mode="truncate", verify=True)
    first = import_csv(filled, "people", one, options)
    assert first.checksum == import_csv(filled, "people", two, options).checksum
    assert first.checksum.startswith("2:")


def test_verifying_finds_rows_that_a_trigger_adds(
    filled: psycopg.Connection[Any], csv_file: Any
) -> None:
    """COPY's own count would not show them."""
    filled.execute(
        "CREATE FUNCTION more() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
        " IF NEW.id < 100 THEN INSERT INTO people (id) VALUES (NEW.id + 100); END IF;"
        " RETURN NEW; END$$;"
        "CREATE TRIGGER t BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION more()"
    )
    filled.commit()
    with pytest.raises(VerificationError, match=r"4 rows where 3 were expected"):
        import_csv(filled, "people", csv_file(HEADER + "3,a,1\n"), ImportOptions(verify=True))
    assert len(rows(filled)) == 2


def test_verifying_an_upsert_into_partitions(
    connection: psycopg.Connection[Any], csv_file: Any
) -> None:
    """They do not tell which rows were updated, so the count lies between two."""
    connection.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10); INSERT INTO t VALUES (1, 'a')"
    )
    connection.commit()
    options = ImportOptions(on_conflict="update", verify=True)
    result = import_csv(connection, "t", csv_file("id,v\n1,b\n2,c\n"), options)
    assert (result.rows_loaded, result.checksum[:2]) == (2, "2:")


def test_a_dry_run_finds_what_only_the_commit_would(
    filled: psycopg.Connection[Any], csv_file: Any
) -> None:
    """Deferred constraints are checked in its place."""
    filled.execute(
        "ALTER TABLE people ADD boss int REFERENCES people DEFERRABLE INITIALLY DEFERRED"
    )
    filled.commit()
    path = csv_file("id,boss\n3,9\n")
    with pytest.raises(TransferError, match="foreign key"):
        import_csv(filled, "people", path, ImportOptions(dry_run=True))


@pytest.mark.parametrize("options", [{}, {"columns": ["id"]}, {"mode": "replace"}])
def test_rows_that_a_trigger_drops_are_an_error(
    filled: psycopg.Connection[Any], csv_file: Any, options: Any
) -> None:
    """However they go in: they are not skipped, as nothing was to be."""
    filled.execute(
        "CREATE FUNCTION drop() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;"
        "CREATE TRIGGER t BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION drop()"
    )
    filled.commit()
    with pytest.raises(TransferError) as caught:
        import_csv(filled, "people", csv_file(HEADER + "3,a,1\n"), ImportOptions(**options))
    assert "may drop rows" in caught.value.hint
    assert len(rows(filled)) == 2
