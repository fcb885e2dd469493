"""What is in the table after a crash, and what the command line says of it."""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import SERVER, environment, fresh, process
from tests.cli.test_transfer import until
from tests.servers import PASSWORD, Server, embedded_bindir

pytestmark = pytest.mark.slow

ROWS = 30_000
BAD = {7: "seven", 15_000: "x", 29_999: "last"}  # which records have which text for a key


@pytest.fixture
def own_server(write: Callable[..., None]) -> Iterator[Server]:
    """Return the server of a project's development, with a table."""
    # A crash must not lose what was committed.
    with Server.running(embedded_bindir(), conf="synchronous_commit = on") as running:
        settings = SERVER.format(
            host=running.host, port=running.port, user="postgres", password=PASSWORD
        )
        write(base=settings, development="")
        running.sql("CREATE TABLE people (id int PRIMARY KEY, name text)")
        yield running


@pytest.fixture
def people_csv(project: Path) -> Path:
    """Return a file of which three records are bad."""
    path = project / "people.csv"
    records = (f'{BAD.get(n, n)},"name\nof {n}"\n' for n in range(ROWS))
    path.write_text("id,name\n" + "".join(records))
    return path


def started(*options: str) -> subprocess.Popen[str]:
    """Begin an import."""
    command = process("import", "people", "people.csv", "--rejects", "bad.csv", *options)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment(), **pipes)


def count(server: Server) -> int:
    """Return how many rows are committed."""
    (number,) = server.sql("SELECT count(*) FROM people")[0]
    return int(number)


def busy(server: Server) -> bool:
    """Return whether a COPY is under way."""
    query = "SELECT 1 FROM pg_stat_progress_copy WHERE tuples_processed > 0"
    return bool(server.sql(query))


@pytest.mark.parametrize("seed", range(3))
def test_kills_at_random_points_lose_and_double_nothing(
    own_server: Server, people_csv: Path, project: Path, seed: int
) -> None:
    """The ledger and the table agree after each, and at the end every row is in once."""
    chance = random.Random(seed)
    options = ("--batch", "500", "--resume")
    for _ in range(4):
        goal = min(count(own_server) + chance.randrange(1, 6000), ROWS - 500)
        with started(*options) as child:
            until(lambda goal=goal: count(own_server) >= goal, "a batch")  # type: ignore[misc]  # bound now
            child.send_signal(chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
            child.communicate()
        kept, (state,) = count(own_server), own_server.sql("SELECT loaded FROM pgstrata_imports")
        assert kept == state[0]
    done = fresh("import", "people", "people.csv", "--rejects", "bad.csv", *options)
    assert done.code == 4, done.err
    found = own_server.sql("SELECT id, name FROM people ORDER BY id")
    assert found == [(n, f"name\nof {n}") for n in range(ROWS) if n not in BAD]
    expected = "".join(f'{text},"name\nof {n}"\n' for n, text in BAD.items())
    assert (project / "bad.csv").read_text() == "id,name\n" + expected


@pytest.mark.parametrize("batch", [False, True])
def test_a_server_that_crashes(own_server: Server, people_csv: Path, *, batch: bool) -> None:
    """Exit code 1 and nothing in the table, or 5 and what the message says."""
    own_server.sql(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
        " IF new.id = 20000 THEN PERFORM pg_sleep(600); END IF; RETURN new; END$$;"
        "CREATE TRIGGER wait BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION wait()"
    )
    sleeping = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    with started(*(("--batch", "1000") if batch else ())) as child:
        until(lambda: own_server.sql(sleeping), "row 20000")
        own_server.stop("immediate")
        _, err = child.communicate(timeout=60)
    own_server.start()
    kept = count(own_server)
    assert "Traceback" not in err
    if batch:
        assert (child.returncode, kept) == (5, 20_000 - 2)
        assert f"{kept} rows of people are committed; the next batch failed: " in err
    else:
        assert (child.returncode, kept) == (1, 0)
        assert "nothing was loaded" in err


def test_an_interrupted_export_leaves_no_file(own_server: Server, project: Path) -> None:
    """Not even a part of one."""
    query = "SELECT n, pg_sleep(CASE WHEN n = 3 THEN 600 ELSE 0 END) FROM generate_series(1, 5) n"
    command = process("export", "--query", query, "out.csv")
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True) as child:
        sleeping = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        until(lambda: own_server.sql(sleeping), "the third row")
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert err.splitlines()[-1] == "pgstrata: interrupted"
    assert list(project.glob("out*")) == []
