from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import SOURCE, Cli, environment
from tests.servers import PASSWORD, Server

from pgstrata.loading import load_file


@pytest.fixture
def config(project: Path, server: Server, database: str) -> str:
    """Return the name of a file in pgmonkey's format, in the current folder."""
    settings = server.keywords(dbname=database)
    sections = {"connection_type": "pool", "connection_settings": settings}
    (project / "config.yaml").write_text(json.dumps(sections), encoding="utf-8")
    return "config.yaml"


def test_create_writes_a_file_once(cli: Cli, project: Path) -> None:
    """What is there already is not overwritten, and that is an exit code."""
    done = cli("pgconfig", "create", "--type", "pg", "--filepath", "new.yaml")
    assert (done.code, done.out) == (0, "new.yaml\n")
    assert load_file("new.yaml", environ={})["connection_settings.host"] == "localhost"
    assert cli("pgconfig", "create", "--connconfig", "new.yaml").code == 2


def test_test_connects_with_the_type_of_the_file(cli: Cli, config: str) -> None:
    """Or with the one that is asked for."""
    done = cli("pgconfig", "test", "--connconfig", config)
    assert (done.code, done.err) == (0, "")
    assert "pool" in done.out
    assert "ok" in done.out
    done = cli("pgconfig", "test", "--filepath", config, "--connection-type", "async")
    assert done.code == 0
    assert done.out.splitlines()[1].startswith("async ")


def test_test_fails_where_it_cannot_connect(cli: Cli, config: str, project: Path) -> None:
    """Pgmonkey said "completed successfully" to a pool with a wrong password."""
    wrong = (project / config).read_text().replace(PASSWORD, "wrong-password")
    (project / "wrong.yaml").write_text(wrong)
    done = cli("pgconfig", "test", "--connconfig", "wrong.yaml")
    assert done.code == 1
    assert "password authentication failed" in done.out
    assert cli("pgconfig", "test", "--connconfig", "missing.yaml").code == 3


def test_references_are_followed_when_asked(
    cli: Cli, config: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By every command, and never otherwise."""
    text = (project / config).read_text().replace(PASSWORD, "${MONKEY_PW}")
    (project / "env.yaml").write_text(text)
    monkeypatch.setenv("MONKEY_PW", PASSWORD)
    assert cli("pgconfig", "test", "--connconfig", "env.yaml").code == 1
    assert cli("pgconfig", "test", "--connconfig", "env.yaml", "--resolve-env").code == 0
    (project / "data.csv").write_text("n\n1\n")
    load = ("pgimport", "--import_file", "data.csv", "--table", "t", "--connconfig", "env.yaml")
    assert cli(*load).code == 1
    assert cli(*load, "--resolve-env").code == 0
    export = ("pgexport", "--table", "t", "--connconfig", "env.yaml")
    assert cli(*export, "--resolve-env").code == 0
    assert cli("pgserverconfig", "--filepath", "env.yaml", "--resolve-env").code == 0
    fallback = text.replace("${MONKEY_PW}", f"${{MONKEY_UNSET:-{PASSWORD}}}")
    (project / "fallback.yaml").write_text(fallback)
    test = ("pgconfig", "test", "--connconfig", "fallback.yaml", "--resolve-env")
    assert cli(*test).code == 3
    assert cli(*test, "--allow-sensitive-defaults").code == 0


@pytest.mark.parametrize(
    ("kind", "library"),
    [
        *((kind, "pgmonkey") for kind in ("normal", "pool", "async", "async_pool")),
        ("pool", "psycopg"),
    ],
)
def test_generated_code_runs(cli: Cli, config: str, project: Path, kind: str, library: str) -> None:
    """Nothing but the program is on stdout, and no password is in it."""
    given = ("--filepath", config, "--connection-type", kind, "--library", library)
    done = cli("pgconfig", "generate-code", *given)
    assert done.code == 0
    assert PASSWORD not in done.out
    (project / "program.py").write_text(done.out)
    ran = subprocess.run(
        [sys.executable, "program.py"],
        cwd=project,
        env=environment(PGPASSWORD=PASSWORD, PYTHONPATH=str(SOURCE)),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout


def test_generated_code_does_not_take_a_url_for_a_password(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable of the URL is not what the program sends as the password."""
    (project / "url.yaml").write_text("connection_settings: {url: '${MONKEY_URL}'}\n")
    monkeypatch.setenv("MONKEY_URL", f"postgresql://a:{PASSWORD}@h/d")
    given = ("--filepath", "url.yaml", "--library", "psycopg", "--resolve-env")
    done = cli("pgconfig", "generate-code", *given)
    assert 'os.environ["PGPASSWORD"]' in done.out
    assert "MONKEY_URL" not in done.out


def test_server_configuration(cli: Cli, config: str) -> None:
    """The advice is that of ``recommend``, and the audit that of ``audit``."""
    done = cli("pgserverconfig", "--filepath", config)
    assert done.code == 0
    assert done.out.startswith(f"{config}: 127.0.0.1")
    assert "pg_hba.conf" in done.out
    audited = cli("pgserverconfig", "--filepath", config, "--audit")
    assert audited.code in (0, 1)
    assert config in audited.out
    assert PASSWORD not in done.out + audited.out + audited.err


def test_import_and_export_are_done_at_once(
    cli: Cli, config: str, project: Path, server: Server, database: str
) -> None:
    """No settings file is made first; names of columns are lower case; the export comes back."""
    (project / "people.csv").write_text("Id,Name\n1,Ann\n2,\n")
    given = ("--table", "people", "--connconfig", config)
    done = cli("pgimport", "--import_file", "people.csv", *given)
    assert done.code == 0, done.err
    people = server.sql("SELECT id, name FROM people ORDER BY id", database)
    assert people == [(1, "Ann"), (2, None)]
    done = cli("pgexport", "--table", "public.people", "--connconfig", config)
    assert done.code == 0, done.err
    assert (project / "public.people.csv").read_text() == "id,name\n1,Ann\n2,\n"
    assert not list(project.glob("p*.yaml"))
    server.sql("TRUNCATE people", database)
    assert cli("pgimport", "--import_file", "public.people.csv", *given).code == 0
    assert server.sql("SELECT count(*) FROM people", database) == [(2,)]


def test_settings_beside_the_file_are_used(
    cli: Cli, config: str, project: Path, server: Server, database: str
) -> None:
    """As pgmonkey wrote them, tabulator and all."""
    server.sql("CREATE TABLE t (a int, b text)", database)
    (project / "data.csv").write_text("1\t'x\ty'\n", encoding="utf-16")
    sidecar = "has_headers: false\ndelimiter: \\t\nquotechar: ''''\nencoding: utf-16\n"
    (project / "data.yaml").write_text(sidecar)
    done = cli("pgimport", "--import_file", "data.csv", "--table", "t", "--connconfig", config)
    assert done.code == 0, done.err
    assert "as data.yaml says" in done.err
    assert server.sql("SELECT * FROM t", database) == [(1, "x\ty")]
    (project / "out.yaml").write_text("delimiter: ;\n")
    given = ("--table", "t", "--connconfig", config, "--export_file", "out.csv")
    assert cli("pgexport", *given).code == 0
    assert (project / "out.csv").read_text() == "a;b\n1,x\ty\n".replace("1,", "1;")


def test_a_table_is_not_made_where_the_settings_say_so(
    cli: Cli, config: str, project: Path
) -> None:
    """And a failure is an exit code."""
    (project / "data.csv").write_text("a\n1\n")
    (project / "data.yaml").write_text("auto_create_table: false\n")
    given = ("--table", "nothing", "--connconfig", config)
    done = cli("pgimport", "--import_file", "data.csv", *given)
    assert done.code == 3
    assert "nothing" in done.err
    (project / "data.yaml").write_text("auto_create_table: perhaps\n")
    assert cli("pgimport", "--import_file", "data.csv", *given).code == 2
    assert cli("pgimport", "--import_file", "gone.csv", *given).code != 0
    assert cli("pgexport", *given).code == 3
