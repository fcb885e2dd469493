"""Every program is run against a real server, and read by ruff and mypy."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.servers import Server

from pgstrata import load
from pgstrata.codegen import FRAMEWORKS, LIBRARIES, program
from pgstrata.codegen.program import ALL
from pgstrata.errors import UsageError

BASE = """\
connection_type: pool
connection_settings:
  host: {host}
  port: {port}
  user: {user}
  dbname: {dbname}
  password: {{from_env: CODE_PASSWORD}}
  connect_timeout: 10
session_settings:
  statement_timeout: 30s
  idle_in_transaction_session_timeout: 1min
  application_name: made by "code", not by hand
pool_settings: {{min_size: 1, max_size: 3}}
async_pool_settings: {{min_size: 1, max_size: 3, check_on_checkout: true}}
connections:
  Reports2: {{session_settings: {{statement_timeout: 5min}}}}
""".replace("Reports2", "reports")
# What each framework's user does with the file.
RUNS = {
    "script": "import runpy; runpy.run_path('program.py', run_name='__main__')",
    "sqlalchemy": "import runpy; runpy.run_path('program.py', run_name='__main__')",
    "flask": "from program import create_app\n"
    "print(create_app().test_client().get('/').json['database'])",
    "fastapi": "from fastapi.testclient import TestClient\nfrom program import app\n"
    "with TestClient(app) as client: print(client.get('/').json()['database'])",
    "django": "import os, django\nos.environ['DJANGO_SETTINGS_MODULE'] = 'program'\n"
    "django.setup()\nfrom django.db import connection\n"
    "cursor = connection.cursor()\ncursor.execute('SELECT current_database()')\n"
    "print(cursor.fetchone()[0])\nconnection.close()\n"
    "getattr(connection, 'close_pool', lambda: None)()",
    "celery": "from program import begin, current_database_task, end\n"
    "begin()\nprint(current_database_task.apply().get())\nend()",
    "pytest": "import pytest, sys\n"
    "options = ['-q', '-p', 'no:cacheprovider', '-W', 'error', '-o']\n"
    "options += ['asyncio_default_fixture_loop_scope=function', 'program.py']\n"
    "sys.exit(pytest.main(options))",
}
COMBINATIONS = [
    (library, framework, kind)
    for library, framework, kind in itertools.product(LIBRARIES, FRAMEWORKS, ALL)
    if kind in FRAMEWORKS[framework].types
] + [(library, "script", "all") for library in LIBRARIES]

RUN = [(*one, "default") for one in COMBINATIONS]
RUN += [(*one, "reports") for one in COMBINATIONS if one[1] in ("script", "django", "sqlalchemy")]


@pytest.fixture
def project(server: Server, database: str, tmp_path: Path) -> Path:
    """Return a project whose only environment is the test server's."""
    keywords = server.keywords(dbname=database)
    (tmp_path / "environments").mkdir()
    (tmp_path / "environments" / "base.yaml").write_text(BASE.format_map(keywords))
    (tmp_path / "environments" / "qa.yaml").write_text("")
    return tmp_path


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the project, with the password where the program looks for it."""
    environ = {**os.environ, "CODE_PASSWORD": Server.password, "PYTHONDONTWRITEBYTECODE": "1"}
    source = Path(__file__).parents[2] / "src"
    environ["PYTHONPATH"] = os.pathsep.join([str(source), str(project)])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("library", "framework", "kind", "connection"), RUN)
def test_every_program_runs(
    project: Path, database: str, library: str, framework: str, kind: str, connection: str
) -> None:
    """It connects to the environment's database, and leaves nothing on stderr."""
    made = program(
        load("qa", project=project, environ={}),
        connection,
        connection_type=kind,
        library=library,
        framework=framework,
    )
    (project / "program.py").write_text(made.text)
    done = run(project, "-c", RUNS[framework])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count(database if framework != "pytest" else "1 passed") == (
        4 if kind == "all" else 1
    )


@pytest.fixture(scope="module")
def all_programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with every program, of a server that need not exist."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "environments").mkdir()
    text = BASE.format(host="db.example.com", port=5432, user="app", dbname="app")
    (folder / "environments" / "base.yaml").write_text(text)
    (folder / "environments" / "qa.yaml").write_text("")
    (folder / "environments" / "pooled.yaml").write_text("pooler: session\n")
    for env in ("qa", "pooled"):
        config = load(env, project=folder, environ={})
        for library, framework, kind in COMBINATIONS:
            made = program(config, connection_type=kind, library=library, framework=framework)
            (folder / f"{env}_{library}_{framework}_{kind}.py").write_text(made.text)
    return folder


def test_programs_are_formatted_and_without_lint(all_programs: Path) -> None:
    """Ruff's formatter would change nothing, and its rules find nothing."""
    ruff = ("-m", "ruff")
    done = run(all_programs, *ruff, "format", "--isolated", "--check", "--quiet", ".")
    assert (done.stdout, done.returncode) == ("", 0)
    rules = "A,ANN,ARG,ASYNC,B,C4,D1,E,F,I,N,PERF,PL,PT,RET,RUF,SIM,TRY,UP,W"
    done = run(
        all_programs,
        *ruff,
        "check",
        "--isolated",
        "--quiet",
        "--select",
        rules,
        "--ignore",
        "PT",
        ".",
    )
    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.slow
def test_programs_are_typed(all_programs: Path) -> None:
    """Mypy, when strict, has nothing to say."""
    programs = sorted(path.name for path in all_programs.glob("*.py"))
    done = run(
        all_programs,
        "-m",
        "mypy",
        "--strict",
        "--ignore-missing-imports",
        "--no-incremental",
        *programs,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", ["async", "async_pool"])
@pytest.mark.parametrize("framework", ["flask", "django", "celery"])
def test_what_does_not_go_together_is_refused(
    all_programs: Path, framework: str, kind: str
) -> None:
    """The error says what to take instead."""
    config = load("qa", project=all_programs, environ={})
    with pytest.raises(UsageError, match=f"{framework} does not take the type {kind}") as caught:
        program(config, connection_type=kind, framework=framework)
    assert caught.value.hint


@pytest.mark.parametrize("framework", sorted({*FRAMEWORKS} - {"script"}))
def test_all_types_at_once_are_for_a_script(all_programs: Path, framework: str) -> None:
    """A framework has one way to its database; the error names those that it can take."""
    config = load("qa", project=all_programs, environ={})
    with pytest.raises(
        UsageError, match=f"a program for {framework} connects in one way"
    ) as caught:
        program(config, connection_type="all", framework=framework)
    assert caught.value.hint
    assert ", ".join(FRAMEWORKS[framework].types) in caught.value.hint


def test_secrets_are_not_in_it(tmp_path: Path) -> None:
    """A literal password becomes a variable, whose name is said."""
    folder = tmp_path / "environments"
    folder.mkdir()
    text = "connection_settings: {host: db, user: app, dbname: app, password: canary}\n"
    (folder / "base.yaml").write_text(text)
    (folder / "qa.yaml").write_text("")
    made = program(load("qa", project=tmp_path, environ={}), library="psycopg")
    assert made.secrets == ("PGPASSWORD",)
    assert "canary" not in made.text
    assert 'os.environ["PGPASSWORD"]' in made.text


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        ("{url: {from_env: DATABASE_URL}}", "PGPASSWORD"),
        ('{url: "${DATABASE_URL}"}', "PGPASSWORD"),
        ("{url: {from_file: url}}", "PGPASSWORD"),
        ("{url: {from_env: DATABASE_URL}, password: {from_env: APP_PW}}", "APP_PW"),
        ('{host: db, user: app, dbname: d, password: "a${APP_PW}"}', "PGPASSWORD"),
        ("{host: db, user: app, dbname: d, password: {from_file: pw}}", "PGPASSWORD"),
    ],
)
def test_a_program_reads_the_password_and_nothing_else(
    tmp_path: Path, settings: str, variable: str
) -> None:
    """Where no variable holds just that, it is libpq's own: a URL is never sent as a password."""
    (tmp_path / "environments").mkdir()
    (tmp_path / "environments" / "base.yaml").write_text(f"connection_settings: {settings}\n")
    (tmp_path / "environments" / "qa.yaml").write_text("")
    url = "postgresql://app:canary@db/d"
    (tmp_path / "url").write_text(url)
    (tmp_path / "pw").write_text("canary")
    environ = {"DATABASE_URL": url, "APP_PW": "canary"}
    made = program(load("qa", project=tmp_path, environ=environ), library="psycopg")
    assert made.secrets == (variable,)
    assert f'"password": os.environ["{variable}"]' in made.text
    assert "canary" not in made.text


def test_the_embedded_server_needs_pgstrata(tmp_path: Path) -> None:
    """Only pgstrata starts it."""
    folder = tmp_path / "environments"
    folder.mkdir()
    (folder / "base.yaml").write_text(
        "local: true\nconnection_settings: {dbname: a, user: postgres}\n"
    )
    (folder / "qa.yaml").write_text("")
    config = load("qa", project=tmp_path, environ={})
    with pytest.raises(UsageError, match="the embedded server"):
        program(config, library="psycopg")
    assert "manager" in program(config).text
