from __future__ import annotations

import difflib
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgstrata.layers.document import parse
from pgstrata.layers.nodes import Map, Node, Scalar, Sequence
from pgstrata.promotion.comments import comments
from pgstrata.promotion.edit import edited, node_at

FILE = """\
# What is special here.

extends: staging    # one parent
connection_settings:
    host: [db1, db2]
    password: 0123        # digits
    dbname: no
    options: "-c a=b"     # quoted
    user: ~

session_settings:         # parameters
    TimeZone: UTC
    idle_in_transaction_session_timeout: null     # the role has its own
    # statement_timeout: 1s
pool_settings:
async_pool_settings: null
services:
    - {name: web, processes: 4}
    - name: worker
      processes: 010
application: >-
    folded
    text
# the end
"""


def node(text: str) -> Node:
    """Return a value as a file has it."""
    return parse(f"x: {text}".encode(), "overlay", "").root.entries["x"]


def changed(before: str, after: bytes) -> list[str]:
    """Return the lines that differ, with - and +."""
    lines = difflib.ndiff(before.splitlines(), after.decode().splitlines())
    return [line for line in lines if line[0] in "+-"]


def done(text: str | bytes, values: Mapping[tuple[str, ...], Node]) -> bytes:
    """Return what editing gives, which must be possible."""
    result = edited(text.encode() if isinstance(text, str) else text, values)
    assert result.problem == ""
    return result.content


def put(text: str, key: str, value: str) -> list[str]:
    """Return which lines change when a value is put into a file."""
    return changed(text, done(text, {tuple(key.split(".")): node(value)}))


@pytest.mark.parametrize(
    ("key", "value", "lines"),
    [
        (
            "connection_settings.dbname",
            "yes",
            ["-     dbname: no", "+     dbname: yes"],
        ),
        (
            "connection_settings.options",
            "'x: y'",
            ['-     options: "-c a=b"     # quoted', '+     options: "x: y"       # quoted'],
        ),
        (
            "connection_settings.host",
            "[a, 'b']",
            ["-     host: [db1, db2]", '+     host: [a, "b"]'],
        ),
        (
            "session_settings.timezone",
            "Europe/Paris",
            ["-     TimeZone: UTC", "+     TimeZone: Europe/Paris"],
        ),
        ("connection_settings.sslmode", "require", ["+     sslmode: require"]),
        ("pool_settings.max_size", "010", ["+     max_size: 010"]),
        ("connection_settings.port", "{from_env: PORT}", ["+     port: {from_env: PORT}"]),
        ("pooler", "null", ["+ pooler: null"]),
        (
            "connections.reports.pool_settings.max_size",
            "4",
            [
                "+ connections:",
                "+     reports:",
                "+         pool_settings:",
                "+             max_size: 4",
            ],
        ),
    ],
)
def test_only_the_lines_of_the_key_change(key: str, value: str, lines: list[str]) -> None:
    """Comments, order, quotes, indentation and odd values of all others stay to the letter."""
    assert put(FILE, key, value) == lines


def test_nothing_put_in_changes_nothing() -> None:
    """Not even in a file of odd values."""
    assert done(FILE, {}) == FILE.encode()


@pytest.mark.parametrize("text", ["", "# only a comment\n", "# no line end", "---\n", "{}\n"])
def test_an_empty_file_gets_the_key(text: str) -> None:
    """Its comments stay."""
    after = done(text, {("pool_settings", "max_size"): node("4")})
    found = node_at(parse(after, "overlay", "").root, ("pool_settings", "max_size"))
    assert isinstance(found, Scalar)
    assert found.text == "4"
    if "#" in text:
        assert after.decode().startswith(text.rstrip("\n"))


def test_line_ends_and_byte_order_mark_stay() -> None:
    """As an editor on Windows made them."""
    before = b"\xef\xbb\xbf# comment\r\npool_settings:\r\n  min_size: 1\r\n"
    after = done(before, {("pool_settings", "max_size"): node("4")})
    assert after == before + b"  max_size: 4\r\n"


def test_block_lists_keep_their_indentation() -> None:
    """With and without spaces before the dash."""
    for spaces in ("", "  ", "    "):
        text = f"a:\n{spaces}- one\n{spaces}- two\nb:\n  c: 1\n"
        assert put(text, "b.c", "2") == ["-   c: 1", "+   c: 2"]


@pytest.mark.parametrize(
    ("before", "key", "after"),
    [
        ("a:\n- b: 1\n  c: 2\n@\nd:\n  e: 4\n", "a", "a: x\n@\nd:\n  e: 4\n"),
        ("a:\n  b: >-\n    c\n  @\n  d: e\n", "a.b", "a:\n  b: x\n  @\n  d: e\n"),
        ("a:\n  b: |\n    c\n\n\n  @\n  d: e\n", "a.b", "a:\n  b: x\n\n\n  @\n  d: e\n"),
        (
            "a:\n  b:\n  - c\n  - d\n\n@\ne: f   # beside\n# the end\n",
            "a.b",
            "a:\n  b: x\n\n@\ne: f   # beside\n# the end\n",
        ),
        ("a:\n  b: c   # b\n\n@\nd: e\n", "a.f", "a:\n  b: c   # b\n  f: x\n\n@\nd: e\n"),
        (
            "a:\n  b:\n    c: d\n  @\n  e: f\n",
            "a.b.g",
            "a:\n  b:\n    c: d\n    g: x\n  @\n  e: f\n",
        ),
        ("a:\n@\nb: c\n", "a.d", "a:\n  d: x\n@\nb: c\n"),
        ("a: b\n@\n", "c", "a: b\nc: x\n@\n"),
        ("a: b\n\nc: >-\n  d\n@\n", "e.f", "a: b\n\nc: >-\n  d\ne:\n  f: x\n@\n"),
    ],
)
def test_comments_stay_above_what_they_are_about(before: str, key: str, after: str) -> None:
    """One that ignores a finding would hide another one elsewhere."""
    comment = "# pgstrata: ignore[tls-unverified] because of a tunnel"
    content = done(before.replace("@", comment), {tuple(key.split(".")): node("x")})
    assert content.decode() == after.replace("@", comment)


@pytest.mark.parametrize(
    "text",
    [
        "a:\n- b\n# about c\n- c\nd: e\n",
        "a:\n- b   # about b\n- c\n",
        "a:   # about a\n- b   # about b\n",
        "a:\n  # about b\n  b: c\n",
        "a: [b,   # about b\n  c]\n",
    ],
)
def test_a_comment_inside_of_what_is_replaced_is_not_dropped(text: str) -> None:
    """Nobody can tell what becomes of it but a person."""
    result = edited(text.encode(), {("a",): node("[x]")})
    assert result.problem == "a comment in it would be lost, or would stand at another key"
    assert result.content == b""


@pytest.mark.parametrize(
    "text",
    ["'a # b'", '"a # b"', "a#b", ">-\n  # a\n  b", "'a\n\n  # b'"],
)
def test_no_text_is_taken_for_a_comment(text: str) -> None:
    """A ``#`` in a value is a part of it."""
    before = f"x:\n  a: {text}\n"
    document = parse(before.replace("\n  ", "\n    ").encode(), "overlay", "")
    assert comments(document) == []


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("a: &a {x: 1}\nb: *a\n", "a.x"),
        ("session_settings: null\n", "session_settings.timezone"),
        ("a: &a\n  x: 1\nb:\n  <<: *a\n  y: 2\n", "a.x"),
        ("a: text\n", "a.x"),
    ],
)
def test_what_would_change_something_else_is_refused(text: str, key: str) -> None:
    """A shared value, or a section that is cleared as a whole."""
    result = edited(text.encode(), {tuple(key.split(".")): node("5")})
    assert result.problem
    assert result.content == b""


def test_the_other_user_of_an_anchor_stays() -> None:
    """What refers to it may have a value of its own."""
    assert put("a: &a {x: 1}\nb: *a\nc: {d: 1}\n", "c.d", "2") == ["- c: {d: 1}", "+ c: {d: 2}"]


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)


@settings(deadline=None, max_examples=60)
@given(text=TEXT)
@pytest.mark.parametrize("plain", [True, False])
def test_any_text_arrives(text: str, *, plain: bool) -> None:
    """As it is, quoted where it has to be."""
    span = node("x").span
    value = Scalar(text, plain=plain and text.isalnum() and text.isascii(), span=span)
    for given_ in (value, Sequence((value, value), span)):
        after = done(FILE, {("connection_settings", "application_name"): given_})
        root = parse(after, "overlay", "").root
        found = node_at(root, ("connection_settings", "application_name"))
        assert _texts(found) == _texts(given_)
        assert isinstance(root, Map)


def _texts(found: Node | None) -> list[str]:
    if isinstance(found, Scalar):
        return [found.text]
    assert isinstance(found, Sequence)
    return [item.text for item in found.items if isinstance(item, Scalar)]
