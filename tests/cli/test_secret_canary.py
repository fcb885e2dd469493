"""Unique values in every store, every command in every format, every failure: no value is seen."""

from __future__ import annotations

import json
import logging
import os
import pickle
import re
import subprocess
import sys
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from tests.cli.conftest import fresh
from tests.repository import git
from tests.secrets.test_keyring import UNLOCK, desktop
from tests.secrets.test_keyring import run as run_with_keyring
from tests.servers import Server

from pgstrata import PgstrataError, Secret, load
from pgstrata.cli.group import commands
from pgstrata.errors import USAGE
from pgstrata.secrets.sealed import edit, keyfile, keytext, lookup
from pgstrata.secrets.sealed.access import Access
from pgstrata.secrets.sealed.keys import new_identity

ROLE = "canary_keeper"
STORES = (
    "sealed",
    "analytics",
    "literal",
    "url",
    "file",
    "variable",
    "interpolated",
    "broken",
    "keyring",
)
CORES = {store: f"canary{number}7f3a{store}" for number, store in enumerate(STORES)}
CANARIES = {store: f"@ {core} %2F\"'\\" for store, core in CORES.items()}
PASSWORD = "connection_settings.password"
SKIPPED = ("local", "completion")  # start a server; need no project
PUBLIC = keytext.public_text(new_identity("bob"))
SINGLE = ["--connconfig", "single.yaml"]
BEFORE = {"init": ["-C", "fresh"]}  # makes a project of its own
# exec takes the place of the process, so each of its lines needs one of its own.
FEW = {"exec": ("production", "missing")}
# Arguments that a command cannot do without; any other command is run without. {env} is each of
# the environments in turn.
ARGUMENTS = {
    "init": ["--from", "production=single.yaml", "--store", "sealed"],
    "explain": [PASSWORD],
    "diff": ["production", "{env}"],
    "impact": ["--from", "HEAD"],
    "promote": ["production", "{env}", PASSWORD, "connection_settings.host", "--apply"],
    "exec": ["--", sys.executable, "-c", "import os; assert os.environ['PGHOST']"],
    "top": ["--once"],
    "secret set": [PASSWORD, "--generate", "--store", "keyring"],
    "secret get": [PASSWORD],
    "secret remove": ["connection_settings.sslpassword"],
    "secret rotate": [PASSWORD, "--apply"],
    "secret import": ["given.env", "--from", "dotenv"],
    "secret recipient add": [PUBLIC],
    "secret recipient remove": ["nobody"],
    "secret scan": ["environments"],
    "secret merge": [f"environments/{name}.sealed.yaml" for name in ("production",) * 4],
    "import": ["people", "people.csv"],
    "export": ["people"],
    "copy": ["people", "--from", "production", "--to", "{env}", "--truncate"],
    "pgconfig create": ["--filepath", "created.yaml"],
    "pgconfig test": SINGLE,
    "pgconfig generate-code": SINGLE,
    "pgserverconfig": [*SINGLE, "--audit"],
    "pgimport": [*SINGLE, "--import_file", "people.csv", "--table", "people"],
    "pgexport": [*SINGLE, "--table", "people"],
}
ENVIRONMENTS = ("production", "refused", "tls", "bad_url", "file", "variable", "missing", "broken")


def forms(core: str) -> Iterator[str]:
    """Yield how a value may be recognized: as it is, which no encoding of text changes, in base64
    at any offset, in hexadecimal.
    """
    yield core
    yield core.encode().hex()
    for offset in range(3):
        encoded = b64encode(b"x" * offset + core.encode()).decode()
        yield encoded[offset + 1 : len(core) * 4 // 3 - 2]


FORBIDDEN = re.compile("|".join(re.escape(form) for core in CORES.values() for form in forms(core)))


def seen(text: str) -> list[str]:
    """Return every trace of a canary."""
    return FORBIDDEN.findall(text)


@pytest.fixture
def shop(project: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a project with a canary in every store, and environments that fail in every way.

    That of production is right: its commands reach the server.
    """
    monkeypatch.setenv("HOME", str(project / "home"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    monkeypatch.setenv("EDITOR", "true")
    monkeypatch.setenv("CANARY", CANARIES["interpolated"])
    password = CANARIES["sealed"].replace("'", "''")
    server.sql(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{password}'")
    server.sql(f"CREATE SCHEMA {ROLE} AUTHORIZATION {ROLE}")
    server.sql(f"CREATE TABLE {ROLE}.people (id int, name text)")
    server.sql(f"ALTER TABLE {ROLE}.people OWNER TO {ROLE}")
    build(project, f"host: {server.host}, port: {server.port}, dbname: postgres, user: {ROLE}")
    yield project
    server.sql(f"DROP OWNED BY {ROLE}")
    server.sql(f"DROP ROLE {ROLE}")


def build(project: Path, where: str) -> None:
    """Write the project, in a repository of git."""
    (project / "mounted").write_text(CANARIES["file"])
    literal = json.dumps(CANARIES["literal"])
    texts = {
        "base": f"connection_settings: {{{where}, connect_timeout: 2, password: {literal}}}\n"
        "connections: {analytics: {connection_settings: {user: nobody}}}\n",
        "production": "",
        "refused": "connection_settings: {port: 1}\n",
        "tls": "connection_settings: {sslmode: require}\n",
        "bad_url": f"connection_settings: {{url: 'postgresql://app:{CORES['url']}@x y@/z'}}\n",
        "file": "connection_settings: {password: {from_file: mounted}}\n",
        "variable": "connection_settings: {password: '${CANARY}'}\n",
        "missing": f"connection_settings: {{pasword: {literal}, password: ['{CORES['literal']}']}}",
        "broken": f"connection_settings:\n  password: '{CORES['broken']}\n  other: [\n",
    }
    folder = project / "environments"
    folder.mkdir()
    (project / "fresh").mkdir()
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    path = folder / "production.sealed.yaml"
    key = edit.create(path, "production", [])
    access = Access("production", project=project, environ=os.environ)
    keyfile.save(lookup.key_path(access), keytext.private_text(key))
    edit.set_entry(path, access, PASSWORD, Secret(CANARIES["sealed"]))
    edit.set_entry(path, access, f"connections.analytics.{PASSWORD}", Secret(CANARIES["analytics"]))
    single = f"connection_settings: {{{where}, password: {json.dumps(CANARIES['sealed'])}}}\n"
    (project / "single.yaml").write_text(single)
    (project / "given.env").write_text(f"PGPASSWORD={CORES['file']}\n")
    (project / "people.csv").write_text("id,name\n1,Ada\n")
    for line in ("init --quiet", "add --all", "commit --quiet --message x"):
        git(project, *line.split())


def leaves(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield all commands with their names, but groups."""
    context = click.Context(group, **commands.context_settings)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if name in SKIPPED and not path:
            continue
        if isinstance(command, click.Group):
            yield from leaves(command, f"{path}{name} ")
        elif command is not None:
            yield f"{path}{name}", command


COMMANDS = dict(leaves(commands))


def _type(options: dict[str, click.Parameter], name: str) -> Any:
    return options[name].type if name in options else None


def lines(
    name: str, command: click.Command, environments: tuple[str, ...] = ENVIRONMENTS
) -> Iterator[list[str]]:
    """Yield all command lines to try: each environment in each format, and verbose in the first."""
    options = {option: param for param in command.params for option in param.opts}
    flag = [option for option in ("--format", "--as") if hasattr(_type(options, option), "choices")]
    formats = _type(options, flag[0]).choices if flag else ("",)
    given = ARGUMENTS.get(name, [])
    each = "--env" in options or "{env}" in given
    for environment in FEW.get(name, environments) if each else ("",):
        for verbose, form in [([], form) for form in formats] + [(["-v"], formats[0])]:
            line = [*verbose, *BEFORE.get(name, []), *name.split()]
            line += ["-e", environment] if "--env" in options else []
            line += [*flag, form] if form else []
            yield line + [argument.format(env=environment) for argument in given]


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_shows_a_value(
    cli: Callable[..., Any], shop: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In any format, verbose too, whatever fails; and no traceback without being asked for. Each
    command does more than refuse its arguments.
    """
    caplog.set_level(logging.DEBUG)
    codes = set()
    for line in lines(name, COMMANDS[name]):
        done = (fresh if name == "exec" else cli)(*line)
        assert seen(done.out + done.err + caplog.text) == [], line
        assert "-v" in line or "Traceback" not in done.err
        assert "internal error" not in done.err, done.err
        codes.add(done.code)
    assert codes - {USAGE}


KEYRING = """
import io
from contextlib import redirect_stderr, redirect_stdout
from pgstrata.cli.group import run
from tests.cli import test_secret_canary as canary

del os.environ["PYTHON_KEYRING_BACKEND"]                  # which the tests' modules set
os.chdir({folder!r})
with open("environments/production.yaml", "a") as overlay:
    overlay.write("secret_stores: [sealed, keyring]\\n")
for key in ({password!r}, "connections.analytics.{password}"):
    keyring.set({project!r}, "production", key, Secret(canary.CANARIES["keyring"]))

def told(*line):
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    with redirect_stdout(out), redirect_stderr(out):
        code = run(list(line))
    return code, out.buffer.getvalue().decode()

used = set()
for name in {names!r}:
    for line in canary.lines(name, canary.COMMANDS[name], ("production",)):
        code, text = told(*line)
        assert not canary.seen(text), line
        assert "internal error" not in text, text
        used.add((name, code))
assert ("test", 0) in used, used                          # so it was the keyring's value
assert ("secret rotate", 0) in used, used
reveal = "secret", "get", "connections.analytics.{password}", "-e", "production", "--reveal"
assert canary.seen(told(*reveal)[1])
"""
ASKED = (
    *("show", "explain", "check", "diff", "test", "render", "doctor"),
    *("secret get", "secret list", "secret edit", "secret rotate", "secret set", "secret accept"),
)


@desktop
def test_no_command_shows_what_is_in_the_keyring(shop: Path, server: Server) -> None:
    """Of the commands that look there, while it is right, rotated and wrong."""
    password = CANARIES["keyring"].replace("'", "''")
    server.sql(f"ALTER ROLE {ROLE} PASSWORD '{password}'")
    code = KEYRING.format(folder=str(shop), project=shop.name, password=PASSWORD, names=ASKED)
    run_with_keyring(code, shop / "home", *UNLOCK, EDITOR="true")


@pytest.mark.parametrize("environment", ["production", "file", "variable"])
def test_the_search_would_find_them(cli: Callable[..., Any], shop: Path, environment: str) -> None:
    """Where a value is asked for, it is seen."""
    assert seen(cli("show", "-e", environment, "--reveal").out) != []


def test_the_variables_layer_too(
    cli: Callable[..., Any], shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A canary as the value of a setting's own variable."""
    monkeypatch.setenv("PGSTRATA_CONNECTION_SETTINGS__PASSWORD", CANARIES["variable"])
    monkeypatch.setenv("PGSTRATA_CONNECTION_SETTINGS__PASWORD", CANARIES["variable"])
    for line in (["show"], ["explain", PASSWORD], ["test"], ["doctor"], ["secret", "list"]):
        done = cli("-v", *line, *(["-e", "production"] if line != ["doctor"] else []))
        assert seen(done.out + done.err) == []


def test_a_reporter_with_locals_sees_nothing(shop: Path) -> None:
    """Neither in the frames of a failed load, nor of a failed connection."""
    from pgstrata import PGConnectionManager

    for environment in ENVIRONMENTS:
        try:
            with PGConnectionManager(environment, project=shop).normal():
                pass
        except PgstrataError as error:
            told = traceback.TracebackException.from_exception(error, capture_locals=True)
            text = "".join(told.format())
            # the test's own frame shows what the test has in its hands
            assert seen(text) == [], environment


@pytest.mark.parametrize("dump", [pickle.dumps, yaml.dump, json.dumps])
def test_a_config_cannot_be_dumped_with_its_secrets(
    shop: Path, dump: Callable[[Any], str | bytes]
) -> None:
    """Whatever a library makes of it."""
    config = load("production", project=shop)
    for thing in (config, config.explain(PASSWORD), dict(config)):
        try:
            dumped = dump(thing)
        except (TypeError, ValueError, yaml.YAMLError, AttributeError):
            continue
        assert seen(str(dumped)) == []


def test_children_are_told_nothing(
    cli: Callable[..., Any], shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editor gets the values in its file, and not in its arguments or variables."""
    script = shop / "editor.py"
    script.write_text(
        "import os, sys, pathlib\n"
        "pathlib.Path('told').write_text(repr((sys.argv, {k: v for k, v in os.environ.items() "
        "if k != 'CANARY'})))\n"
    )
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
    monkeypatch.setenv("TMPDIR", str(shop / "tmp"))
    (shop / "tmp").mkdir()
    assert cli("secret", "edit", "-e", "production").code == 0
    assert seen((shop / "told").read_text()) == []
    for path in [*(shop / "tmp").rglob("*"), *(shop / "home").rglob("*")]:
        assert path.is_dir() or seen(path.read_text()) == []


def test_the_server_sees_no_password(cli: Callable[..., Any], shop: Path, server: Server) -> None:
    """Not even where it logs every statement, while a password is changed."""
    server.sql("CREATE ROLE canary LOGIN PASSWORD 'x'")
    server.sql("ALTER SYSTEM SET log_statement = 'all'")
    server.reload()
    try:
        overlay = shop / "environments" / "production.yaml"
        overlay.write_text("connection_settings: {user: canary}")
        access = Access("production", project=shop, environ=os.environ)
        sealed = shop / "environments" / "production.sealed.yaml"
        edit.set_entry(sealed, access, PASSWORD, Secret("x"))
        (shop / "new").write_text(CANARIES["sealed"])
        line = ("secret", "rotate", PASSWORD, "-e", "production", "--apply", "--file", "new")
        done = cli(*line)
        assert done.code == 0, done.err
        assert seen(done.out + done.err) == []
        assert cli("test", "-e", "production", "--type", "normal").code == 0
    finally:
        server.sql("ALTER SYSTEM RESET log_statement")
        server.reload()
        server.sql("DROP ROLE canary")
    assert seen(server.log_text()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the numbers are Linux's")
def test_no_core_file() -> None:
    """The command line has its memory to itself."""
    code = (
        "import ctypes, resource; from pgstrata.cli.memory import keep_memory_private as keep\n"
        "keep(); print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3))"
    )
    environ = {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == "(0, 0) 0\n"
