"""A command line to type at, and projects to type in."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.servers import PASSWORD, Server

from pgstrata.cli.group import run
from pgstrata.errors import OK

SOURCE = Path(__file__).parents[2] / "src"
SERVER = """\
connection_settings:
  host: {host}
  port: {port}
  user: {user}
  password: {password}
  dbname: postgres
  connect_timeout: 5
"""


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The result, with the version of its shape checked and taken off."""
        shape = json.loads(self.out)
        assert shape.pop("schema_version") == 1
        return shape


Cli = Callable[..., Done]
BASE = "connection_settings: {host: db, dbname: app, user: app}\n"
KEY = "connection_settings.password"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(project: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Return a function that runs one command line in this process."""

    def command(*arguments: str) -> Done:
        code = run(list(arguments))
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return command


@pytest.fixture
def write(project: Path) -> Callable[..., None]:
    """Return a function that writes ``environments/<name>.yaml``; base.yaml is always there."""

    def files(**texts: str) -> None:
        folder = project / "environments"
        folder.mkdir(exist_ok=True)
        for name, text in {"base": "", **texts}.items():
            (folder / f"{name.replace('__', '.')}.yaml").write_text(text, encoding="utf-8")

    return files


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the home of somebody without keys and without a keyring."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    monkeypatch.delenv("CI", raising=False)
    return tmp_path / "home"


@pytest.fixture
def secret(cli: Cli, write: Callable[..., None], home: Path) -> Cli:
    """Return a function that runs ``pgstrata secret`` where production has a key."""
    write(base=BASE, production="", staging="")

    def command(*arguments: str) -> Done:
        return cli("secret", *arguments)

    assert command("keygen", "-e", "production").code == OK
    return command


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Return a function that says what standard input holds."""

    def give(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return give


@pytest.fixture
def sealed(secret: Cli, typed: Callable[[bytes], None]) -> Callable[[str, str], None]:
    """Return a function that seals a value for production."""

    def seal(key: str, value: str) -> None:
        typed(value.encode())
        assert secret("set", key, "-e", "production", "--stdin").code == OK

    return seal


def reveal(secret: Cli, key: str = KEY) -> str:
    """Return a value as ``get --reveal`` prints it."""
    done = secret("get", key, "-e", "production", "--reveal")
    assert done.code == OK, done.err
    return str(done.out.removesuffix("\n"))


def key_path(home: Path, project: Path) -> Path:
    """Return the file of production's private key."""
    return home / ".config" / "pgstrata" / "keys" / project.name / "production.key"


@pytest.fixture(scope="module")
def own_database(server: Server) -> Iterator[str]:
    """Return the name of a database of the module's own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    server.sql(f"CREATE DATABASE {name}")
    yield name
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def people(
    write: Callable[..., None], server: Server, own_database: str
) -> Iterator[psycopg.Connection[Any]]:
    """Return a connection to the development database of a project, with an empty table."""
    settings = SERVER.format(host=server.host, port=server.port, user="postgres", password=PASSWORD)
    own = f"connection_settings: {{dbname: {own_database}}}\n"
    write(base=settings, development=own, production=own + "protected: true\n", other="")
    with psycopg.connect(**server.keywords(dbname=own_database), autocommit=True) as connection:
        connection.execute("CREATE TABLE people (id int PRIMARY KEY, name text, amount numeric)")
        yield connection
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        connection.execute("GRANT ALL ON SCHEMA public TO public")


def process(*arguments: str, python: tuple[str, ...] = ()) -> list[str]:
    """Return the command of a fresh process that runs pgstrata."""
    main = "from pgstrata.cli import main; main()"
    return [sys.executable, *python, "-c", main, *arguments]


def environment(**more: str) -> Mapping[str, str]:
    """Return the variables of a fresh process, with ``more``."""
    return {**os.environ, "PYTHONPATH": str(SOURCE), **more}


def fresh(*arguments: str, **environ: str) -> Done:
    """Run pgstrata in a process of its own."""
    done = subprocess.run(
        process(*arguments),
        env=environment(**environ),
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=30,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def answer(line: list[str], answers: dict[str, str]) -> tuple[int, str]:
    """Run a command on a terminal of its own, and type an answer to each question."""
    spawn = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    with subprocess.Popen(
        [sys.executable, "-c", spawn, *process(*line)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as terminal:
        assert terminal.stdin is not None
        assert terminal.stdout is not None
        shown = b""
        for question, typed in answers.items():
            while not shown.endswith(question.encode()):
                shown += (byte := terminal.stdout.read(1))
                assert byte, shown
            terminal.stdin.write(f"{typed}\n".encode())
            terminal.stdin.flush()
        shown += terminal.stdout.read()
    return terminal.returncode, shown.decode()
