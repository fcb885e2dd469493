from __future__ import annotations

import random
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgstrata.errors import PgstrataError, UsageError
from pgstrata.model import Secret
from pgstrata.tables import (
    CopyOptions,
    PartialTransferError,
    Progress,
    TransferError,
    copy_table,
    copy_table_async,
    copy_tables,
    wire,
)
from pgstrata.tables.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Server

# Copies a table in batches and tells each commit, so that the test knows when to strike.
PROGRAM = """
import sys, psycopg
from pgstrata.tables import CopyOptions, copy_table
ends = [psycopg.connect(sys.stdin.readline().strip()) for _ in range(2)]
copy_table(*ends, "t", CopyOptions(target="u", batch=100, resume=True),
           progress=lambda now: print(now.committed, flush=True))
"""


@pytest.fixture
def source(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Return a connection to a database with a table of 50 rows and its empty twin."""
    connection.execute(
        "CREATE TABLE t (id int PRIMARY KEY, name text); CREATE TABLE u (LIKE t INCLUDING ALL);"
        "INSERT INTO t SELECT n, 'name ' || n FROM generate_series(1, 50) n"
    )
    connection.commit()
    return connection


@pytest.fixture
def target(server: Server, source: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """Return a second connection to the same database."""
    with psycopg.connect(**server.keywords(dbname=source.info.dbname)) as connection:
        yield connection


def into_u(**options: Any) -> CopyOptions:
    """Return the options of a copy into the twin, in batches of ten."""
    chosen: dict[str, Any] = {"target": "u", "batch": 10, **options}
    return CopyOptions(**chosen)


def rows(connection: psycopg.Connection[Any], table: str) -> list[Any]:
    """Return a table's rows as the server writes them."""
    return connection.execute(f"SELECT t::text FROM {table} t ORDER BY 1".encode()).fetchall()


def test_batches_are_committed_as_they_come(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any]
) -> None:
    """So many rows each, and the last what is left; the ledger says how far that is."""
    seen: list[Progress] = []
    result = copy_table(source, target, "t", into_u(batch=20), progress=seen.append)
    assert (result.rows_read, result.rows_loaded, result.committed) == (50, 50, True)
    assert [one.committed for one in seen if one.committed] == [20, 40, 50]
    assert (seen[-1].rows, seen[-1].committed) == (50, 50)
    state = target.execute("SELECT after, loaded, done FROM pgstrata_copies").fetchall()
    assert state == [(["50"], 50, True)]
    assert target.execute("SELECT count(DISTINCT xmin::text) FROM u").fetchall() == [(3,)]
    assert rows(target, "u") == rows(source, "t")


def test_a_copy_goes_on_behind_its_last_commit(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any]
) -> None:
    """After what was wrong is mended, and not unasked."""
    target.execute("ALTER TABLE u ADD CONSTRAINT odd CHECK (id <> 33)")
    target.commit()
    with pytest.raises(PartialTransferError, match=r"^30 rows of public.u are committed; .*odd"):
        copy_table(source, target, "t", into_u())
    assert len(rows(target, "u")) == 30
    target.execute("ALTER TABLE u DROP CONSTRAINT odd")
    target.commit()
    with pytest.raises(UsageError, match=r"committed 30 rows and not ended") as caught:
        copy_table(source, target, "t", into_u())
    assert "--resume" in caught.value.hint
    result = copy_table(source, target, "t", into_u(batch=7, resume=True))
    assert (result.rows_resumed, result.rows_read, result.rows_loaded) == (30, 20, 20)
    assert rows(target, "u") == rows(source, "t")


def test_a_finished_copy_goes_on_with_what_has_come_since(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any]
) -> None:
    """Which is what is behind its last key."""
    copy_table(source, target, "t", into_u())
    source.execute("INSERT INTO t VALUES (0, 'before'), (51, 'behind'), (52, 'behind')")
    source.commit()
    result = copy_table(source, target, "t", into_u(resume=True))
    assert (result.rows_resumed, result.rows_read) == (50, 2)
    assert copy_table(source, target, "t", into_u(resume=True)).rows_read == 0


@pytest.mark.parametrize("batch", [1, 3, 1000])
@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("a text, b int", "chr(33 + n % 7) || E' \\'\\\\é,\"', n"),
        (
            "b timestamptz, a numeric(9, 2)",
            "'today'::timestamptz + n % 5 * '1us'::interval, n",
        ),
        ('"A b" float8', "CASE n WHEN 1 THEN 'NaN' WHEN 2 THEN '-Infinity' ELSE 1.0 / n END"),
        ("a bytea", "sha256(n::text::bytea)"),
        ("a uuid, b varchar(3)", "gen_random_uuid(), (n % 3)::text"),
        ("a date, b char(4)", "'0044-03-15 BC'::date + n, 'x'"),
        ("a interval", "n % 20 * '-1 day'::interval + n * '1 hour'::interval"),
        ("a bool, b bigint", "n % 2 = 0, -n"),
    ],
)
def test_each_row_is_copied_once_whatever_its_key(
    source: psycopg.Connection[Any],
    target: psycopg.Connection[Any],
    key: str,
    values: str,
    batch: int,
) -> None:
    """Of several columns and many types, in an order of the columns that is not the table's."""
    names = ", ".join(part.rpartition(" ")[0] for part in key.replace("(9, 2)", "").split(", "))
    source.execute(
        f"CREATE TABLE k (filler int, {key}, PRIMARY KEY ({names}));"
        "CREATE TABLE l (LIKE k);"
        f"INSERT INTO k SELECT n, {values} FROM generate_series(1, 20) n".encode()
    )
    source.commit()
    result = copy_table(source, target, "k", CopyOptions(target="l", batch=batch))
    assert result.rows_read == 20
    assert rows(target, "l") == rows(source, "k")


def test_a_partitioned_table_is_copied_in_batches(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any]
) -> None:
    """Its key orders the rows of all its parts."""
    source.execute(
        "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY HASH (id);"
        "CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
        "CREATE TABLE q (id int); INSERT INTO p SELECT generate_series(1, 30)"
    )
    source.commit()
    copy_table(source, target, "p", CopyOptions(target="q", batch=7))
    assert rows(target, "q") == rows(source, "p")


@pytest.mark.parametrize(
    ("table", "options", "said"),
    [
        ("bare", {}, "public.bare has no primary key"),
        ("parent", {}, "public.parent has tables that inherit from it"),
        ("t", {"masks": {"id": "null"}}, "id is masked, generated or left out"),
        ("t", {"columns": ["name"], "target": "bare"}, "id is masked, generated or left out"),
    ],
)
def test_what_has_no_order_or_must_not_be_seen_is_refused(
    source: psycopg.Connection[Any],
    target: psycopg.Connection[Any],
    table: str,
    options: dict[str, Any],
    said: str,
) -> None:
    """The key of the last row stands in the target in clear."""
    source.execute(
        "CREATE TABLE bare (id int, name text); CREATE TABLE parent (LIKE t INCLUDING ALL);"
        "CREATE TABLE child () INHERITS (parent)"
    )
    source.commit()
    with pytest.raises(UsageError, match=said):
        copy_table(source, target, table, into_u(**options))
    assert rows(target, "u") == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch": 0}, "at least 1"),
        ({"batch": None, "resume": True}, "resume goes with batch only"),
        ({"mode": "replace"}, "one transaction"),
        ({"mode": "truncate", "verify": True}, "one transaction"),
        ({"dry_run": True}, "commits nothing"),
        ({"query": True}, "no key"),
        ({"masks": {"name": "hash"}}, "need a salt"),
    ],
)
def test_batches_do_not_go_with_everything(options: dict[str, Any], said: str) -> None:
    """Said before anything is connected."""
    with pytest.raises(UsageError, match=said):
        into_u(**options)


def test_masks_are_the_same_in_all_batches(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any]
) -> None:
    """With one salt; another one is another copy."""
    source.execute("UPDATE t SET name = 'same'")
    source.commit()
    masked = {"masks": {"name": "hash"}}
    copy_table(source, target, "t", into_u(salt=Secret("a"), **masked))
    hashed = target.execute("SELECT count(DISTINCT name), max(name) FROM u").fetchall()
    target.commit()
    assert hashed[0][0] == 1
    assert hashed[0][1] != "same"
    with pytest.raises(TransferError, match="duplicate key"):
        copy_table(source, target, "t", into_u(salt=Secret("b"), resume=True, **masked))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"mode": "truncate"}, (50, 0, 0)),
        ({"on_conflict": "skip"}, (48, 2, 0)),
        ({"on_conflict": "update"}, (50, 0, 2)),
    ],
)
def test_batches_meet_rows_that_exist_as_one_transaction_does(
    source: psycopg.Connection[Any],
    target: psycopg.Connection[Any],
    options: dict[str, Any],
    expected: tuple[int, int, int],
) -> None:
    """The table is emptied once, and conflicts are settled batch by batch."""
    target.execute("INSERT INTO u VALUES (1, 'old'), (49, 'old')")
    target.commit()
    result = copy_table(source, target, "t", into_u(**options))
    assert (result.rows_loaded, result.rows_skipped, result.rows_updated) == expected
    assert len(rows(target, "u")) == 50


def test_another_choice_of_rows_is_not_gone_on_with(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any]
) -> None:
    """The one that was begun can be named."""
    target.execute("ALTER TABLE u ADD CONSTRAINT odd CHECK (id <> 33)")
    target.commit()
    with pytest.raises(PartialTransferError):
        copy_table(source, target, "t", into_u())
    with pytest.raises(UsageError, match="no copy with these options was begun") as caught:
        copy_table(source, target, "t", into_u(where="id < 99", resume=True))
    copy_id = caught.value.hint.split()[1]
    target.execute("ALTER TABLE u DROP CONSTRAINT odd")
    target.commit()
    again = into_u(where="id < 99", resume=True, copy_id=copy_id)
    assert copy_table(source, target, "t", again).rows_resumed == 30


def test_two_runs_do_not_go_on_with_one_copy(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any], server: Server
) -> None:
    """The one that finds the other's commit stops before it copies a row."""

    def overtake(now: Progress) -> None:
        if now.committed == 20:
            server.sql("UPDATE pgstrata_copies SET after = '{50}'", source.info.dbname)

    with pytest.raises(PartialTransferError, match="another run has gone on"):
        copy_table(source, target, "t", into_u(), progress=overtake)
    assert len(rows(target, "u")) == 20


def test_ctrl_c_says_what_is_committed(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any]
) -> None:
    """And that the copy can be resumed, which it then can."""

    def interrupt(now: Progress) -> None:
        if now.committed == 20:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=r"20 rows of public.u are committed; it can be"):
        copy_table(source, target, "t", into_u(), progress=interrupt)
    assert copy_table(source, target, "t", into_u(resume=True)).rows_resumed == 20


def test_tables_are_committed_one_by_one(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any]
) -> None:
    """What is complete when the next one fails is said."""
    source.execute("CREATE TABLE v (id int PRIMARY KEY); INSERT INTO v VALUES (1)")
    source.commit()
    tables = {"t": into_u(), "v": CopyOptions(target="u", batch=10, columns=["id"])}
    with pytest.raises(PartialTransferError, match=r"complete: public.u; the next table failed"):
        copy_tables(source, target, tables)
    assert len(rows(target, "u")) == 50


async def test_async_connections_copy_in_batches_too(
    server: Server, source: psycopg.Connection[Any]
) -> None:
    """The same steps."""
    keywords = server.keywords(dbname=source.info.dbname)
    async with (
        await psycopg.AsyncConnection.connect(**keywords) as here,
        await psycopg.AsyncConnection.connect(**keywords) as there,
    ):
        result = await copy_table_async(here, there, "t", into_u())
    assert result.rows_loaded == 50
    assert rows(source, "u") == rows(source, "t")


def test_a_transaction_of_the_caller_is_refused(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any]
) -> None:
    """No batch could be committed in it."""
    target.execute("SELECT 1")
    with pytest.raises(UsageError, match="in a transaction"):
        copy_table(source, target, "t", into_u())


@pytest.mark.parametrize("seed", [1, 2])
def test_a_copy_killed_again_and_again_loses_and_doubles_nothing(
    server: Server, source: psycopg.Connection[Any], seed: int
) -> None:
    """Each run goes on where the last commit of the one before was."""
    source.execute(
        "TRUNCATE t; ALTER TABLE u DROP CONSTRAINT u_pkey;"
        "INSERT INTO t SELECT n * 3, repeat('x', 200) FROM generate_series(1, 5000) n"
    )
    source.commit()
    chance, dsn = random.Random(seed), make_conninfo(**server.keywords(dbname=source.info.dbname))
    ended = None
    while ended != 0:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{dsn}\n{dsn}\n")
        process.stdin.flush()
        for _ in range(chance.randrange(2, 15)):
            process.stdout.readline()
        process.kill() if chance.random() < 0.9 else None
        process.communicate()
        ended = process.returncode
    assert rows(source, "u") == rows(source, "t")


@pytest.mark.parametrize(
    "wrong",
    [
        {"masks": {"name": "hsah"}, "salt": Secret("a")},
        {"where": "idd > 3"},
        {"batch": 10**23},
        {"on_conflict": "update", "key": ["name"]},
    ],
)
def test_a_table_is_not_emptied_for_a_copy_that_cannot_begin(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any], wrong: dict[str, Any]
) -> None:
    """It is emptied with the first batch."""
    target.execute("INSERT INTO u VALUES (1, 'old')")
    target.commit()
    with pytest.raises(PgstrataError):
        copy_table(source, target, "t", into_u(mode="truncate", **wrong))
    assert rows(target, "u") == [("(1,old)",)]


OWN_TYPES = """
CREATE SCHEMA ext; CREATE TYPE ext.ci;
CREATE FUNCTION ext.ci_in(cstring) RETURNS ext.ci IMMUTABLE STRICT LANGUAGE internal AS 'textin';
CREATE FUNCTION ext.ci_out(ext.ci) RETURNS cstring IMMUTABLE STRICT LANGUAGE internal AS 'textout';
CREATE TYPE ext.ci (input = ext.ci_in, output = ext.ci_out, like = text);
CREATE CAST (ext.ci AS text) WITHOUT FUNCTION AS IMPLICIT;
CREATE FUNCTION ext.cmp(ext.ci, ext.ci) RETURNS int IMMUTABLE STRICT LANGUAGE sql
  AS 'SELECT bttextcmp(lower($1::text), lower($2::text))';
CREATE FUNCTION ext.lt(ext.ci, ext.ci) RETURNS bool IMMUTABLE STRICT LANGUAGE sql
  AS 'SELECT lower($1::text) < lower($2::text)';
CREATE OPERATOR ext.< (leftarg = ext.ci, rightarg = ext.ci, function = ext.lt);
CREATE OPERATOR CLASS ext.ci_ops DEFAULT FOR TYPE ext.ci USING btree AS
  OPERATOR 1 ext.< , FUNCTION 1 ext.cmp(ext.ci, ext.ci);
CREATE DOMAIN ext.di AS ext.ci;
CREATE TABLE k (id {key} PRIMARY KEY); CREATE TABLE l (id text)
"""


@pytest.mark.parametrize("key", ["ext.ci", "ext.di"])
def test_a_key_whose_type_compares_in_its_own_way_is_refused(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any], key: str
) -> None:
    """What its operators are is found by the search path, so rows would be left out."""
    source.execute(OWN_TYPES.replace("{key}", key).encode())
    source.commit()
    with pytest.raises(UsageError, match="the type of id has an order of its own"):
        copy_table(source, target, "k", CopyOptions(target="l", batch=2))


def test_a_key_whose_cast_to_text_is_somebodys_own(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any]
) -> None:
    """Its text is what its type writes."""
    source.execute(
        "CREATE TYPE e AS ENUM ('a', 'b', 'c', 'd');"
        "CREATE FUNCTION lab(e) RETURNS text IMMUTABLE LANGUAGE sql AS"
        " $$SELECT CASE WHEN $1 = 'b'::e THEN 'd' ELSE 'a' END$$;"
        "CREATE CAST (e AS text) WITH FUNCTION lab(e);"
        "CREATE TABLE k (id e PRIMARY KEY); CREATE TABLE l (id e);"
        "INSERT INTO k SELECT unnest(enum_range(NULL::e))"
    )
    source.commit()
    assert copy_table(source, target, "k", CopyOptions(target="l", batch=1)).rows_read == 4


def test_an_id_is_that_of_one_copy(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any]
) -> None:
    """Of one target with one key, and as long as the target is the same."""
    copy_table(source, target, "t", into_u(copy_id="nightly"))
    source.execute("CREATE TABLE v (LIKE t INCLUDING ALL)")
    source.commit()
    with pytest.raises(UsageError, match="--copy-id nightly is that of another copy"):
        copy_table(source, target, "t", into_u(target="v", copy_id="nightly", resume=True))
    target.execute("DROP TABLE u; CREATE TABLE u (LIKE t INCLUDING ALL)")
    target.commit()
    with pytest.raises(UsageError, match="made anew"):
        copy_table(source, target, "t", into_u(copy_id="nightly", resume=True))
    assert copy_table(source, target, "t", into_u(resume=True)).rows_loaded == 50


def test_a_source_that_goes_at_the_end_undoes_nothing(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any], server: Server
) -> None:
    """All is committed by then, and said to be."""

    def end(now: Progress) -> None:
        if now.committed == 50:
            server.sql(f"SELECT pg_terminate_backend({source.info.backend_pid})")

    assert copy_table(source, target, "t", into_u(batch=20), progress=end).rows_loaded == 50


def test_a_source_that_sees_rows_come_is_refused(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any]
) -> None:
    """A transaction of the caller has to be as of one moment."""
    source.execute("SELECT 1")
    with pytest.raises(UsageError, match="sees rows come and go"):
        copy_table(source, target, "t", into_u())
    source.rollback()
    source.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    source.execute("SELECT 1")
    assert copy_table(source, target, "t", into_u()).rows_loaded == 50


def test_ctrl_c_in_a_later_table_says_what_is_complete(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any]
) -> None:
    """And a table that cannot be copied is found before the first is."""
    source.execute("CREATE TABLE v (LIKE t INCLUDING ALL); CREATE TABLE bare (id int)")
    source.commit()
    seen: set[int] = set()

    def interrupt(now: Progress) -> None:
        seen.add(now.committed)
        if now.committed == 20 and 50 in seen:
            raise KeyboardInterrupt

    with pytest.raises(UsageError, match="bare has no primary key"):
        copy_tables(source, target, {"t": into_u(), "bare": into_u()})
    assert rows(target, "u") == []
    target.rollback()
    tables = {"t": into_u(), "public.t": into_u(target="v")}
    with pytest.raises(Interrupted, match=r"complete: public.u; 20 rows of public.v are"):
        copy_tables(source, target, tables, progress=interrupt)


def test_a_role_that_may_not_make_tables_uses_the_ledger_of_others(
    source: psycopg.Connection[Any], target: psycopg.Connection[Any], server: Server
) -> None:
    """In a schema with an awkward name."""
    target.execute(
        'CREATE SCHEMA "50%"; CREATE TABLE "50%".u (LIKE t INCLUDING ALL);'
        'CREATE TABLE "50%".w (LIKE t INCLUDING ALL)'
    )
    target.commit()
    copy_table(source, target, "t", into_u(target='"50%".u'))
    role = f"limited_{source.info.dbname}"
    target.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'limited'; GRANT USAGE ON SCHEMA \"50%\" TO {role};"
        f' GRANT ALL ON ALL TABLES IN SCHEMA "50%" TO {role}'.encode()
    )
    target.commit()
    keywords = server.keywords(dbname=source.info.dbname, user=role, password="limited")
    with psycopg.connect(**keywords) as limited:
        options = into_u(target='"50%".w', columns=["id", "name"])
        assert copy_table(source, limited, "t", options).rows_loaded == 50
    target.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())
    target.commit()


@pytest.mark.parametrize("batch", [20, None])
@pytest.mark.parametrize("name", ["start", "read", "taken"])
def test_ctrl_c_at_any_step_is_told_as_such(
    source: psycopg.Connection[Any],
    target: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    batch: int | None,
) -> None:
    """It leaves the source amid a statement, which must not become the error; both ends are usable
    then.
    """
    real, calls = getattr(wire, name), 0

    def interrupted(pgconn: Any, *arguments: Any) -> Any:
        nonlocal calls
        calls += pgconn is source.pgconn
        if pgconn is source.pgconn and calls == (2 if batch else 1):
            if name == "start":
                pgconn.send_query(arguments[0])
            raise KeyboardInterrupt
        return (yield from real(pgconn, *arguments))

    monkeypatch.setattr(wire, name, interrupted)
    said = "20 rows of public.u are committed" if batch else "nothing was kept"
    with pytest.raises(Interrupted, match=said):
        copy_table(source, target, "t", into_u(batch=batch))
    assert len(rows(target, "u")) == (20 if batch else 0)
    assert len(rows(source, "t")) == 50
