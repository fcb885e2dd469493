"""Lines of pg_hba.conf, read back by a server."""

from __future__ import annotations

import ipaddress

import pytest
from tests.audit.hba.generated import Ground, loaded, seen

from pgstrata.audit.hba import Attempt, Keyword, hba_line, quote_hba
from pgstrata.errors import ConfigError

NAMES = (
    *("app", "App", "my db", "a,b", 'quo"te', "#1", "all", "replication", "sameuser", "samerole"),
    *(
        "+staff",
        "@file",
        "/x",
        "/^a",
        "a\\",
        "tab\tname",
        "ümlaut",
        "a'b",
        "=",
        "",
        "@",
        "/",
        "/a[b*c",
    ),
)


@pytest.mark.parametrize("version", ["plain", "tls"])
def test_a_name_is_read_back_as_that_name(version: str, request: pytest.FixtureRequest) -> None:
    """Whatever a name looks like, the server reads no keyword, group, file or list from it."""
    where: Ground = request.getfixturevalue(version)
    names = [name for name in NAMES if name]
    regexes = where.server.version >= 16
    written = [
        f"host {quote_hba(name, where.server.version)} all 10.0.0.1/32 reject" for name in names
    ]
    _, *found = loaded(where, written)
    plain = [rule.databases for name, rule in zip(names, found, strict=True) if name[0] != "/"]
    assert plain == [(name,) for name in names if name[0] != "/"]
    slashed = [rule.databases[0] for name, rule in zip(names, found, strict=True) if name[0] == "/"]
    assert all(word.startswith("/^") for word in slashed) or not regexes


@pytest.mark.parametrize("name", [name for name in NAMES if name])
def test_only_that_name_matches(plain: Ground, name: str) -> None:
    """The line of a name lets that database in, and none that is spelt almost the same."""
    loaded(plain, [hba_line("host", name, Keyword("all"), "127.0.0.0/8", "trust")])
    client = ipaddress.ip_network("127.0.0.1")
    answers = [
        seen(plain, Attempt(database, "alice", client)).request
        for database in (name, f"{name}2", f"x{name}", name.strip("+/@") or "x")
    ]
    others = answers[1:] if name.strip("+/@") not in (name, "") else answers[1:3]
    assert (answers[0], set(others)) == ("nothing", {"no_entry"})


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (("host", "app", "me", "10.0.0.0/8", "md5"), "host app me 10.0.0.0/8 md5"),
        (("local", Keyword("all"), Keyword("+staff"), None, "peer"), "local all +staff peer"),
        (("hostssl", "all", "a b", "samenet", "cert"), 'hostssl "all" "a b" samenet cert'),
    ],
)
def test_columns(columns: tuple[str, str, str, str | None, str], line: str) -> None:
    """Keywords stay bare, names do not become keywords."""
    assert hba_line(*columns) == line


def test_options() -> None:
    """Options come last, with quotes where they need them."""
    line = hba_line(
        "hostssl", "d", "u", "::1/128", "cert", {"map": "m 1", "clientcert": "verify-full"}
    )
    assert line == 'hostssl d u ::1/128 cert map="m 1" clientcert=verify-full'


@pytest.mark.parametrize(
    "columns",
    [
        ("local", "d", "u", "10.0.0.1/32", "md5"),
        ("host", "d", "u", None, "md5"),
        ("host", "d\nhost all all all trust", "u", "10.0.0.1/32", "md5"),
    ],
)
def test_what_no_line_can_hold(columns: tuple[str, str, str, str | None, str]) -> None:
    """A line break would end the line, and an address is there if and only if it is needed."""
    with pytest.raises(ConfigError, match=r"pg_hba\.conf"):
        hba_line(*columns)
