"""Whatever is wrong with a file, a variable or an argument, no secret comes out with the error."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.layers.project import ENVIRON, settings, write

import pgstrata
from pgstrata import PgstrataError, load, load_file, load_many, load_mapping
from pgstrata.layers.urls import keywords
from pgstrata.model import Secret

CANARY = "CaNaRy"
PACKAGE = str(Path(pgstrata.__file__).parent)


def assert_silent(error: BaseException) -> None:
    """Look for the canary wherever an error may be shown: message, repr, hint, excerpt, locals of
    pgstrata's own frames, and the errors behind it.
    """
    seen: BaseException | None = error
    while seen is not None:
        shown = "".join(traceback.format_exception_only(type(seen), seen)) + repr(seen)
        shown += repr(vars(seen))
        frames = traceback.StackSummary.extract(
            traceback.walk_tb(seen.__traceback__), capture_locals=True
        )
        own = [frame for frame in frames if frame.filename.startswith(PACKAGE)]
        shown += repr([(frame.name, frame.locals) for frame in own])
        assert CANARY not in shown
        seen = seen.__cause__ or seen.__context__


def failure(call: Callable[[], object]) -> BaseException:
    """Return the error of a call."""
    with pytest.raises(PgstrataError) as caught:
        call()
    return caught.value


BROKEN_FILES = {
    "a misspelt key": "connection_settings: {pasword: CaNaRy}",
    "a misspelt key in a block": settings("  pasword: CaNaRy\n"),
    "a misspelt section": "conection_settings: {password: CaNaRy}",
    "a password at the top": "password: CaNaRy",
    "a password in another section": "pool_settings: {password: CaNaRy, min_size: x}",
    "a problem beside it": settings("").replace("  host: db", "  {password: CaNaRy, port: 54x2}"),
    "a problem in the same flow map": "connection_settings: {password: CaNaRy, port: 54x2}",
    "a problem before it": "connection_settings: {port: 54x2, password: CaNaRy}",
    "a duplicate": settings("  password: one\n  password: CaNaRy\n"),
    "a duplicate in a flow map": "connection_settings: {password: x, password: CaNaRy}",
    "an undefined alias": settings("  password: *CaNaRy\n"),
    "a tag": settings("  password: !CaNaRy\n"),
    "a tag with a value": settings("  password: !x CaNaRy\n"),
    "a tag handle": settings("  password: !x!CaNaRy\n"),
    "an anchor": settings("  password: &CaNaRy\n"),
    "an unclosed quote": settings('  password: "CaNaRy\n'),
    "an unclosed single quote": settings("  password: 'CaNaRy\n  port: 1\n"),
    "an unclosed quote over several lines": settings('  password: "x\nCaNaRy: y\n'),
    "an unclosed brace": settings("  password: {CaNaRy\n"),
    "a map": settings("  password: {CaNaRy: x}\n"),
    "a set": settings("  password: {CaNaRy}\n"),
    "a list": settings("  password: [CaNaRy]\n"),
    "a block map": settings("  password:\n    CaNaRy: x\n"),
    "an escape": settings('  password: "\\CaNaRy"\n'),
    "a percent sign": settings("  password: %CaNaRy\n"),
    "an at sign": settings("  password: @CaNaRy\n"),
    "a backquote": settings("  password: `CaNaRy\n"),
    "a block header": settings("  password: |CaNaRy\n"),
    "a second colon": settings("  password: a: CaNaRy\n"),
    "no space": settings("  password:CaNaRy\n  port: 1\n"),
    "no space in a flow map": "connection_settings: {password:CaNaRy, port: 1}",
    "no space as the only key": "connection_settings:\n  password:CaNaRy\n",
    "a block text beside a problem": settings("  password: |\n    CaNaRy\n  port: 54x2\n"),
    "a folded text with bad indentation": settings("  password: >\n    x\n   CaNaRy: 1\n"),
    "a comment": settings("  password: ${X:-f} #CaNaRy\n"),
    "a comment behind a problem": settings("  port: 54x2 # CaNaRy\n"),
    "a fallback": settings("  password: ${X:-CaNaRy}\n"),
    "a broken reference": settings("  password: CaNaRy${\n"),
    "no name of a variable": settings("  password: {from_env: CaNaRy!}\n"),
    "a control character": settings("  password: CaNaRy\x01\n"),
    "a tab": settings("\tpassword: CaNaRy\n"),
    "a section that is a URL": "connection_settings: postgresql://u:CaNaRy@h/db",
    "a URL in another key": settings("  application_name: postgresql://u:CaNaRy@h/db\n"),
    "a URL as port": settings("  port: postgresql://u:CaNaRy@h/db\n"),
    "a URL as sslmode": settings("  sslmode: postgresql://u:CaNaRy@h/db\n"),
    "a URL with a parameter": settings("  options: postgresql://h/db?password=CaNaRy\n"),
    "a conninfo string": settings("  options: host=db password=CaNaRy\n"),
    "a URL in a list": settings("").replace("host: db", "host: ['postgresql://u:CaNaRy@h/db']"),
    "a URL in a pool": "pool_settings: {min_size: 'postgresql://u:CaNaRy@h/db'}",
    "a map in a key": "connection_settings: {user: {password: CaNaRy}}",
    "a bad connection name": "connections: {Main: {connection_settings: {password: CaNaRy}}}",
    "a connection that is none": "connections: {main: [password, CaNaRy]}",
    "a misplaced section": "extends: {password: CaNaRy}",
    "a second document": settings("  password: CaNaRy\n---\npassword: CaNaRy\n"),
    "a list at the top": "- password: CaNaRy\n",
    "a text at the top": "password=CaNaRy",
    "a complex key": "? {password: CaNaRy}\n: x\n",
    "bytes": b"connection_settings:\n  password: CaNaRy\xff\n",
}

URLS = {
    "@": "postgresql://u:CaNaRy@CaNaRy@h/db",
    "@ and /": "postgresql://u:CaNaRy@x/y@h/db",
    "/": "postgresql://u:CaNaRy/x@h/db",
    "/ after digits": "postgresql://u:12/CaNaRy@h/db",
    "%": "postgresql://u:CaNaRy%zz@h/db",
    "[": "postgresql://u:x@[CaNaRy/db",
    "space": "postgresql://u:x@CaNaRy CaNaRy/db",
    "port": "postgresql://u:CaNaRy@h:54x2/db",
    "no host": "postgresql://u:CaNaRy",
    "parameter": "postgresql://u:CaNaRy@h/db?pasword=CaNaRy",
    "sslmode": "postgresql://u:CaNaRy@h/db?sslmode=CaNaRy",
    "timeout": "postgresql://u:x@h/db?connect_timeout=CaNaRy",
    "scheme": "mysql://u:CaNaRy@h/db",
    "driver": "postgresql+psycopg://u:CaNaRy@h/db",
    "no URL": "CaNaRy",
}


@pytest.mark.parametrize("text", BROKEN_FILES.values(), ids=BROKEN_FILES)
def test_broken_files_keep_the_secret(text: str | bytes, tmp_path: Path) -> None:
    """No finding, excerpt or frame shows a secret that stands in a broken file."""
    project = write(tmp_path, production=text)
    assert_silent(failure(lambda: load("production", project=project, environ=ENVIRON)))
    result = load_many(["production"], project=project, environ=ENVIRON)["production"]
    assert isinstance(result, PgstrataError)
    assert_silent(result)


@pytest.mark.parametrize("text", BROKEN_FILES.values(), ids=BROKEN_FILES)
def test_broken_lone_files_keep_the_secret(text: str | bytes, tmp_path: Path) -> None:
    """The same for a file that is all of the configuration."""
    path = write(tmp_path, production=text) / "environments" / "production.yaml"
    try:
        load_file(path, environ=ENVIRON)
    except PgstrataError as error:
        assert_silent(error)


@pytest.mark.parametrize("url", URLS.values(), ids=URLS)
def test_malformed_urls_keep_the_secret(url: str, tmp_path: Path) -> None:
    """No part of a URL that cannot be read is shown, wherever it comes from."""
    assert_silent(failure(lambda: keywords(Secret(url))))
    literal = write(tmp_path, production=f"connection_settings: {{url: {url!r}}}")
    assert_silent(failure(lambda: load("production", project=literal, environ=ENVIRON)))
    project = write(tmp_path, production="connection_settings: {url: {from_env: DATABASE_URL}}")
    environ = {**ENVIRON, "DATABASE_URL": url}
    assert_silent(failure(lambda: load("production", project=project, environ=environ)))
    environ = {**ENVIRON, "PGSTRATA_CONNECTION_SETTINGS__URL": url}
    assert_silent(failure(lambda: load("production", project=project, environ=environ)))


def test_a_good_secret_stays_out_of_an_error_elsewhere(tmp_path: Path) -> None:
    """The frames of a failed load show no password, URL, variable or argument."""
    project = write(
        tmp_path,
        settings("  password: CaNaRy\n  port: 54x2\n"),
        production="connections: {a: {connection_settings: {url: 'postgresql://u:CaNaRy@h/db'}}}",
    )
    environ = {**ENVIRON, "DB_PASSWORD": CANARY, "PGPASSWORD": CANARY}
    given = {"connection_settings.password": CANARY}

    def call() -> object:
        return load("production", project=project, environ=environ, overrides=given)

    assert_silent(failure(call))


def test_a_dictionary_stays_out_of_the_error() -> None:
    """The frames of ``load_mapping`` do not show the dictionary."""
    data = {"connection_settings": {"password": CANARY, "url": f"x{CANARY}", "port": "54x2"}}
    assert_silent(failure(lambda: load_mapping(data, environ={"X": CANARY})))


def test_a_revealed_secret_stays_out_of_the_error(tmp_path: Path) -> None:
    """A secret that cannot be resolved does not show the part of it that is there."""
    project = write(tmp_path, settings('  password: "CaNaRy${ABSENT}"\n'))
    secret = load("production", project=project, environ={**ENVIRON, "X": CANARY})[
        "connection_settings.password"
    ]
    assert isinstance(secret, Secret)
    assert_silent(failure(secret.reveal))


def test_a_config_shows_no_secret(tmp_path: Path) -> None:
    """Neither a Config nor its settings show a secret by repr, str or format."""
    text = settings("  password: CaNaRy\n  sslpassword: {from_env: X}\n")
    project = write(tmp_path, text, production="connections: {a: {}}")
    config = load("production", project=project, environ={**ENVIRON, "X": CANARY})
    shown = f"{config!r}{config}{dict(config)}{dict(config.settings)}{config.findings}"
    assert CANARY not in shown
    assert "********" in shown
