from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from pgstrata.errors import UsageError
from pgstrata.render import libpq
from pgstrata.schema.libpq import make_conninfo

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
LINE = st.text(
    st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"]), min_size=1, max_size=80
)
HOST = st.from_regex(
    r"[a-z0-9.-]{1,20}|/([a-z /:\\]{0,20}[a-z])?|[0-9a-f]{0,4}::[0-9a-f]{1,4}", fullmatch=True
)
PORTS = st.integers(1, 65535).map(str)


@st.composite
def keyword_sets(draw: st.DrawFn, text: st.SearchStrategy[str] = TEXT) -> dict[str, str]:
    """Return keywords with texts of any characters, and one to three hosts."""
    hosts = draw(st.lists(HOST, min_size=1, max_size=3))
    ports = draw(st.lists(PORTS, min_size=len(hosts), max_size=len(hosts)))
    texts = draw(
        st.fixed_dictionaries(
            {"user": text, "dbname": text},
            optional={"password": text, "application_name": text, "options": text},
        )
    )
    return {"host": ",".join(hosts), "port": ",".join(ports), **texts}


@settings(deadline=None, max_examples=60)
@given(keywords=keyword_sets())
def test_libpq_reads_a_url_as_it_was_written(keywords: dict[str, str]) -> None:
    """No character of a value ends it, and each host has its port."""
    assert _strings(conninfo_to_dict(libpq.url(keywords))) == keywords


@settings(deadline=None, max_examples=60)
@given(keywords=keyword_sets())
def test_libpq_reads_a_conninfo_string_as_it_was_written(keywords: dict[str, str]) -> None:
    """Quotes, backslashes and spaces are part of the value."""
    assert _strings(conninfo_to_dict(make_conninfo(keywords))) == keywords


def test_one_port_is_for_all_hosts() -> None:
    """In a URL each host has its own port."""
    keywords = {"host": "a,b", "port": "5433", "user": "u"}
    assert libpq.url(keywords) == "postgresql://u@a:5433,b:5433/"


def test_a_url_may_have_no_host() -> None:
    """Then libpq connects to a socket, as it would without the URL."""
    assert _strings(conninfo_to_dict(libpq.url({"dbname": "app"}))) == {"dbname": "app"}


@settings(deadline=None, max_examples=60)
@given(keywords=keyword_sets(LINE))
def test_libpq_reads_a_service_file_as_it_was_written(keywords: dict[str, str]) -> None:
    """What libpq would read otherwise is refused, not written."""
    try:
        text = libpq.service("my service", keywords)
    except UsageError:
        assert any(value != value.rstrip(" \t\n\v\f\r") for value in keywords.values())
        return
    assert keywords.items() <= _service_in_effect(text).items()


@pytest.mark.parametrize("text", ["qz\nq", "qz ", "qz\t", "qz\0", "q" * 1100, "ä" * 600])
def test_a_service_file_refuses_what_it_cannot_hold(text: str) -> None:
    """A line break would begin another keyword; the message does not quote the value."""
    with pytest.raises(UsageError, match="password: a service file cannot hold") as caught:
        libpq.service("x", {"password": text})
    assert text not in str(caught.value)


def test_a_service_names_no_other_service() -> None:
    """It would not be followed."""
    with pytest.raises(UsageError, match="cannot name another"):
        libpq.service("x", {"service": "y"})


@settings(deadline=None, max_examples=60)
@given(host=HOST, port=PORTS, user=LINE, password=LINE)
def test_libpq_finds_its_password(host: str, port: str, user: str, password: str) -> None:
    """Colons and backslashes are escaped wherever they are."""
    assume(not password.endswith("\r"))
    keywords = {"host": host, "port": port, "user": user}
    assert _password(libpq.pgpass(keywords, password), {**keywords, "dbname": "any"}) == password


@pytest.mark.parametrize(
    ("connect", "found"),
    [
        ({"host": "b", "port": "2"}, "secret"),
        ({"host": "a", "port": "1"}, "secret"),
        ({"host": "a", "port": "2"}, ""),
        ({"host": "c", "port": "1"}, ""),
        ({"host": "a", "port": "1", "user": "other"}, ""),
    ],
)
def test_the_password_goes_to_no_other_server(connect: dict[str, str], found: str) -> None:
    """Another host, port or user does not get it."""
    text = libpq.pgpass({"host": "a,b", "port": "1,2", "user": "u"}, "secret")
    assert _password(text, {"user": "u", "dbname": "d", **connect}) == found


@pytest.mark.parametrize(
    ("keywords", "lines"),
    [
        ({"user": "u"}, ["localhost:5432:*:u:p"]),
        ({"host": "h"}, ["h:5432:*:*:p"]),
        ({"host": "h,i", "port": "7"}, ["h:7:*:*:p", "i:7:*:*:p"]),
        ({"host": "", "hostaddr": "::1"}, [r"\:\:1:5432:*:*:p"]),
        ({"host": "/tmp"}, ["/tmp:5432:*:*:p", "localhost:5432:*:*:p"]),
        ({"service": "s"}, ["*:*:*:*:p"]),
    ],
)
def test_a_password_file_has_what_libpq_looks_up(
    keywords: dict[str, str], lines: list[str]
) -> None:
    """Where libpq fills in a host or port, so does the file."""
    assert libpq.pgpass(keywords, "p").splitlines() == lines


def test_a_password_file_refuses_a_line_break() -> None:
    """The second line would be an entry of its own."""
    with pytest.raises(UsageError, match="line break"):
        libpq.pgpass({"host": "h"}, "one\ntwo")


def _strings(keywords: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in keywords.items()}


def _service_in_effect(text: str) -> dict[str, str]:
    """Return what libpq itself reads from a service file."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as environment:
        path = Path(folder) / "service.conf"
        path.write_bytes(text.encode())
        environment.setenv("PGSERVICEFILE", os.fspath(path))
        environment.setenv("PGSERVICE", "my service")
        options = pq.Conninfo.get_defaults()
    return {option.keyword.decode(): option.val.decode() for option in options if option.val}


def _password(text: str, keywords: dict[str, str]) -> str:
    """Return the password that libpq itself finds in a file, or nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pgpass"
        path.touch(mode=0o600)
        path.write_bytes(text.encode())
        # An address keeps libpq from looking the host up; nothing listens there.
        where = {**keywords, "passfile": os.fspath(path)}
        if not keywords["host"].startswith("/"):
            where["hostaddr"] = "127.0.0.1"
            where["port"] = keywords["port"]
        attempt = pq.PGconn.connect_start(make_conninfo(where).encode())
        found = attempt.password.decode()
        attempt.finish()
    return found
