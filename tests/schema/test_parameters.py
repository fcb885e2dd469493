from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pgstrata.schema.parameters import (
    Parameter,
    canonical,
    find,
    is_custom,
    lacks_unit,
    names,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Server

SERVERS = ["server", pytest.param("tls_server", marks=pytest.mark.tls)]

# Every type and unit that a session can set. None disturbs the next statements of the test, as
# statement_timeout would: at 1 ms it cancels them.
NUMBERS = (
    *("lock_timeout", "vacuum_cost_delay", "log_min_duration_statement", "work_mem"),
    *("log_temp_files", "wal_skip_threshold", "temp_buffers", "effective_cache_size"),
    *("geqo_threshold", "extra_float_digits", "commit_delay", "random_page_cost", "jit_above_cost"),
    *("geqo_selection_bias", "hash_mem_multiplier", "cursor_tuple_fraction"),
)
WORDS = (
    *("enable_sort", "synchronous_commit", "constraint_exclusion", "backslash_quote", "xmlbinary"),
    *("IntervalStyle", "default_transaction_isolation", "plan_cache_mode", "bytea_output"),
    *("client_min_messages", "session_replication_role", "compute_query_id", "wal_compression"),
)

# Booleans of older versions, of which newer ones made an enum and a list of words.
RETYPED = ("wal_compression", "log_connections")

SPACES = st.sampled_from(["", "", "", " ", "\t ", "\n"])
NUMERALS = st.one_of(
    st.integers(-10, 5000).map(str),
    st.integers(-(2**70), 2**70).map(str),
    st.decimals(-5, 5000, places=3).map(str),
    st.integers(0, 2**33).map(hex),
    st.integers(0, 2**20).map(lambda number: f"0{number:o}"),
    st.builds("{}e{}".format, st.integers(-3, 99), st.integers(-30, 30)),
    st.sampled_from(["", ".5", "-.5", "5.", "1e", "0x", "08", "0x1.8", "0x1p3", "1_000", "inf"]),
    st.sampled_from(["nan", "+5", "--5", "5,5", "0x.8", "010.5", "30.1", "-0", "1e3", "0x1e3"]),
)
UNITS = st.sampled_from(
    [
        *("", "", "", "B", "kB", "MB", "GB", "TB", "us", "ms", "s", "min", "h", "d"),
        *("K", "KB", "mb", "sec", "m", "minutes", "kB kB", "é"),
    ]
)
AMOUNTS = st.builds("".join, st.tuples(SPACES, NUMERALS, SPACES, UNITS, SPACES))
SPELLINGS = st.one_of(
    st.sampled_from(
        [
            *("on", "off", "true", "false", "yes", "no", "1", "0", "t", "f", "tr", "fal", "y", "n"),
            *("o", "of", "ON", "True", " on", "2", "", "debug", "info", "none", "default"),
        ]
    ),
    st.sampled_from(
        [value for name in WORDS for value in getattr(find(name), "values", ())]
    ).flatmap(lambda value: st.sampled_from([value, value.upper(), f"{value} ", value[:-1]])),
)


@pytest.fixture(scope="module", params=SERVERS)
def connection(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection]:
    """Return a connection, in no transaction, to each of the servers in turn."""
    server: Server = request.getfixturevalue(request.param)
    with psycopg.connect(**server.keywords(autocommit=True)) as connected:
        yield connected


def known(name: str) -> Parameter:
    """Return a parameter that is in the table."""
    parameter = find(name)
    assert parameter is not None
    return parameter


def as_on(connection: psycopg.Connection, name: str) -> Parameter:
    """Return the parameter with the range and the values that this server's version has."""
    minimum, maximum, values = connection.execute(
        "SELECT min_val::float, max_val::float, enumvals FROM pg_settings WHERE name = %s", [name]
    ).fetchall()[0]
    return replace(known(name), minimum=minimum, maximum=maximum, values=tuple(values or ()))


def read_by(connection: psycopg.Connection, name: str, text: str) -> str | None:
    """Return the setting that the server reads from ``text``, None where it refuses."""
    try:
        connection.execute("SELECT set_config(%s, %s, false)", [name, text])
    except psycopg.errors.InvalidParameterValue:
        return None
    row = connection.execute("SELECT setting FROM pg_settings WHERE name = %s", [name]).fetchone()
    assert row is not None
    return str(row[0])


def read_here(parameter: Parameter, text: str) -> str | float | None:
    """Return what ``canonical`` reads, in the server's way of writing booleans."""
    try:
        value = canonical(parameter, text)
    except ValueError:
        return None
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


@given(name=st.sampled_from(NUMBERS), text=AMOUNTS)
@example(name="geqo_threshold", text="010")
@example(name="work_mem", text="30.1GB")
@example(name="temp_buffers", text="1.1MB")
@example(name="lock_timeout", text="1.5 min")
@example(name="lock_timeout", text="2.5")
@settings(max_examples=400, deadline=None)
def test_numbers_are_read_as_by_the_server(
    connection: psycopg.Connection, name: str, text: str
) -> None:
    """Integers and reals, with and without units, are the same number here and there."""
    there, here = read_by(connection, name, text), read_here(as_on(connection, name), text)
    if there is None or here is None:
        assert here == there
    else:
        assert here == pytest.approx(float(there), rel=1e-5)  # reals are shown with six digits


@given(name=st.sampled_from(WORDS), text=SPELLINGS)
@settings(max_examples=300, deadline=None)
def test_words_are_read_as_by_the_server(
    connection: psycopg.Connection, name: str, text: str
) -> None:
    """Booleans and enums, listed or not, in any case, mean the same here and there."""
    assert read_here(as_on(connection, name), text) == read_by(connection, name, text)


def test_the_table_has_all_that_a_server_has(connection: psycopg.Connection) -> None:
    """No server has a parameter, a range or a value that the table does not allow."""
    major = connection.info.server_version // 10000
    rows = connection.execute(
        "SELECT name, vartype, coalesce(unit, ''), min_val::float, max_val::float, enumvals"
        " FROM pg_settings WHERE name NOT LIKE '%.%' AND name <> 'extension_destdir'"
    ).fetchall()
    for name, vartype, unit, minimum, maximum, values in rows:
        parameter = known(name)
        assert (parameter.name, parameter.unit) == (name, unit)
        assert parameter.vartype == vartype or name in RETYPED
        assert parameter.since <= major <= (parameter.until or major)
        assert set(values or ()) <= set(parameter.values), name
        if minimum is not None:
            assert parameter.minimum is not None
            assert parameter.maximum is not None
            assert parameter.minimum <= minimum <= maximum <= parameter.maximum, name


def test_the_table_knows_what_pg_settings_hides() -> None:
    """SET ROLE and the like are in the table although no server lists them."""
    for name in ("role", "session_authorization", "seed"):
        assert known(name).settable_by_session


@pytest.mark.parametrize("name", ["datestyle", "DATESTYLE", "DateStyle"])
def test_case_does_not_count_in_names(name: str) -> None:
    """A parameter is found in any case and keeps its official spelling."""
    assert known(name).name == "DateStyle"


def test_an_unknown_name_is_not_found() -> None:
    """What PostgreSQL does not have is None, and no line of the table is a name."""
    assert find("statement_time") is None
    assert find("name") is None
    assert find("") is None


def test_names_are_complete_and_sorted() -> None:
    """Every name is found again under itself."""
    assert len(names()) > 400
    assert list(names()) == sorted(names(), key=str.lower)
    assert [known(name).name for name in names()] == list(names())


@pytest.mark.parametrize(
    ("name", "settable"),
    [
        *[(name, True) for name in ("statement_timeout", "log_statement", "log_connections")],
        *[(name, False) for name in ("shared_buffers", "archive_command", "server_version")],
    ],
)
def test_who_may_set_it(name: str, settable: bool) -> None:  # noqa: FBT001  # a test's expectation
    """What needs a restart, a reload or a compiler is not for a session."""
    assert known(name).settable_by_session is settable


def test_versions() -> None:
    """First and last version are those of PostgreSQL's release notes."""
    assert (known("transaction_timeout").since, known("transaction_timeout").until) == (17, None)
    assert (known("work_mem").since, known("work_mem").until) == (13, None)
    assert known("force_parallel_mode").until == 15


@pytest.mark.parametrize(
    ("name", "custom"),
    [
        *[(name, True) for name in ("app.user_id", "a.b.c", "_x.y$1", "größe.wert")],
        *[
            (name, False)
            for name in ("app", "app.", ".app", "a..b", "1a.b", "a.1", "a-b.c", "$a.b")
        ],
        *[(name, False) for name in ("a b.c", "a.b\n", "a.b;c", "")],
    ],
)
def test_names_of_extensions_and_applications(
    connection: psycopg.Connection,
    name: str,
    custom: bool,  # noqa: FBT001  # a test's expectation
) -> None:
    """A custom name is valid here exactly where the server takes it."""
    try:
        connection.execute("SELECT set_config(%s, 'x', false)", [name])
        taken = "." in name
    except (psycopg.errors.InvalidName, psycopg.errors.UndefinedObject):
        taken = False
    assert is_custom(name) is custom is taken


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("statement_timeout", "5s", "5000"),
        ("work_mem", "1GB", "1048576kB"),
        ("enable_sort", "on", "true"),
        ("synchronous_commit", "ON", "1"),
        ("temp_buffers", "8MB", "1024"),
        ("random_page_cost", "1.10", "11e-1"),
    ],
)
def test_two_spellings_of_one_value(name: str, one: str, other: str) -> None:
    """What the server reads alike is equal."""
    assert canonical(known(name), one) == canonical(known(name), other)


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("statement_timeout", "5s", int),
        ("vacuum_cost_delay", "2", float),
        ("enable_sort", "off", bool),
        ("synchronous_commit", "off", str),
        ("search_path", "off", str),
    ],
)
def test_the_type_follows_the_parameter(name: str, text: str, kind: type) -> None:
    """The parameter decides the type, not the looks of the text."""
    assert type(canonical(known(name), text)) is kind


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("statement_timeout", "5 sec", "'5 sec' is not a time; write e.g. 30s, 500ms or 2min"),
        ("work_mem", "5mb", "'5mb' is not an amount of memory; write e.g. 64MB, 512kB or 1GB"),
        ("work_mem", "1", "'1' is out of range; allowed is 64 to 2147483647 kB"),
        ("temp_buffers", "0", "'0' is out of range; allowed is 100 to 1073741823 blocks of 8kB"),
        ("geqo_threshold", "5s", "'5s' is not a whole number, without a unit"),
        ("random_page_cost", "dear", "'dear' is not a number, without a unit"),
        ("geqo_seed", "1.5", "'1.5' is out of range; allowed is 0 to 1"),
        ("statement_timeout", "1e999", "'1e999' is out of range; allowed is 0 to 2147483647 ms"),
        ("enable_sort", "maybe", "'maybe' is not a boolean; write true or false"),
        ("bytea_output", "text", "'text' is not one of escape, hex"),
    ],
)
def test_a_refusal_says_what_is_allowed(name: str, text: str, message: str) -> None:
    """The message quotes the text and tells what to write."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the message is compared below
        canonical(known(name), text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "text", "lacks"),
    [
        *[("statement_timeout", text, True) for text in ("30", " 30 ", "1.5", "0x1e", "-2", "1e3")],
        *[
            ("statement_timeout", text, False)
            for text in ("0", "-1", "30s", "30 ms", "", "x", "0.0")
        ],
        ("temp_buffers", "1000", True),
        ("vacuum_cost_delay", "2", True),
        ("geqo_threshold", "30", False),
        ("application_name", "30", False),
    ],
)
def test_a_bare_number_lacks_its_unit(
    name: str,
    text: str,
    lacks: bool,  # noqa: FBT001  # a test's expectation
) -> None:
    """A time or an amount of memory wants a unit; 0 and -1 are the same in all units."""
    assert lacks_unit(known(name), text) is lacks


@given(st.sampled_from(names()), st.text(max_size=12))
def test_any_text_is_read_or_refused(name: str, text: str) -> None:
    """No text raises anything but ``ValueError``."""
    read_here(known(name), text)
    lacks_unit(known(name), text)


@pytest.mark.parametrize("digits", ["9" * 5000, "0" + "7" * 5000, "0x" + "f" * 5000, "1e99999"])
def test_a_number_beyond_all_bounds_is_refused(digits: str) -> None:
    """Not even one that Python itself cannot turn into a float."""
    with pytest.raises(ValueError, match="out of range"):
        canonical(known("statement_timeout"), digits)
