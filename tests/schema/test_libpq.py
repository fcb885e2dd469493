"""What the installed libpq is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from pgstrata.schema.keys import CONNECTION
from pgstrata.schema.libpq import (
    OURS,
    Keyword,
    complain,
    connection_keys,
    keywords,
    make_conninfo,
    parse_url,
    version,
)

ROOT = Path(__file__).parent.parent.parent


def test_every_keyword_of_libpq_is_a_key() -> None:
    """None is dropped, and those that hold secrets are known as such."""
    there = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    assert connection_keys().keys() == there | set(OURS)
    assert {name for name, key in connection_keys().items() if key.secret} >= {"password", "url"}
    assert keywords()["host"].variable == "PGHOST"
    assert version() == psycopg.pq.version()


def test_what_a_unix_socket_cannot_have_is_no_complaint() -> None:
    """The oracle asks over one, whatever the host is; a misspelt value is still found."""
    assert complain({"host": "db.example.com", "gssencmode": "require"}) == ""
    assert "requre" in complain({"host": "db.example.com", "gssencmode": "requre"})


def test_the_table_documents_what_this_libpq_knows() -> None:
    """Each key of the table has words, and its secrets are those of libpq and ours."""
    assert all(key.doc.endswith(".") for key in CONNECTION.values())
    for name, keyword in keywords().items():
        if keyword.secret and name in CONNECTION:
            assert CONNECTION[name].secret, name


@pytest.mark.parametrize("text", ["", "a b", "it's", "back\\slash", "\\'", "a=b", "é\n"])
def test_conninfo_is_quoted(text: str) -> None:
    """Libpq reads back what was written."""
    assert conninfo_to_dict(make_conninfo({"dbname": text})) == {"dbname": text}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({}, ""),
        ({"host": "no.such.host", "sslmode": "require"}, ""),
        ({"hostaddr": "192.0.2.1", "port": "1"}, ""),
        ({"service": "no such service"}, ""),
        ({"sslmode": "x"}, 'invalid sslmode value: "x"'),
        ({"host": "a,b", "port": "1,2,3"}, "could not match 3 port numbers to 2 hosts"),
    ],
)
def test_complaints(settings: dict[str, str], complaint: str) -> None:
    """Values are judged without a connection, a lookup or a service file."""
    assert complain(settings) == complaint


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://h/d", {"host": "h", "dbname": "d"}),
        ("postgres://u:a%40b%2F@h:1,i:2/d?sslmode=require", {
            "user": "u", "password": "a@b/", "host": "h,i", "port": "1,2", "dbname": "d",
            "sslmode": "require"}),
        ("postgresql:///d?host=/tmp", {"host": "/tmp", "dbname": "d"}),
        ("http://h/d", "a URL begins with postgresql:// or postgres://"),
        ("postgresql://u:p@q@h/d", "not a PostgreSQL URL: it has an @ or a space too many"),
        ("postgresql://u:p%zz@h/d", "not a PostgreSQL URL"),
    ],
)  # fmt: skip
def test_urls(url: str, expected: object) -> None:
    """Keywords, or a reason that quotes nothing."""
    assert parse_url(url) == expected


def test_complaints_do_not_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address in the environment does not make the check a connection."""
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    assert complain({"host": "db.example.com", "port": "1"}) == ""


@pytest.mark.parametrize("keyword", [k for k in keywords().values() if k.variable])
def test_variables_of_the_process_do_not_count(
    monkeypatch: pytest.MonkeyPatch, keyword: Keyword
) -> None:
    """Whatever is in them, and of all of them at once too, libpq judges the settings alone."""
    for variable in {keyword.variable, "PGSSLMODE", "PGPORT"}:
        monkeypatch.setenv(variable, "1,x")
    assert complain({"sslrootcert": "system"}) == ""
    assert complain({"host": "db", "port": "1"}) == ""
    expected = "" if keyword.name == "service" else 'invalid sslmode value: "x"'
    assert complain({"sslmode": "x"}) == expected


@pytest.mark.parametrize("command", ["test", "show", "check"])
def test_no_libpq(command: str) -> None:
    """Where psycopg finds no libpq, commands that need one say which extra to install."""
    environ = {**os.environ, "PSYCOPG_IMPL": "nosuch", "PGSTRATA_PROJECT": str(ROOT)}
    environ["PYTHONPATH"] = str(ROOT / "src")
    done = subprocess.run(
        [sys.executable, "-m", "pgstrata", command],
        env=environ,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert 'pip install "pgstrata[binary]"' in done.stderr
    assert "internal error" not in done.stderr
