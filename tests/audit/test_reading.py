from __future__ import annotations

import datetime as dt

import pytest

from pgstrata.audit.reading import duration, moment, reading, size


@pytest.mark.parametrize(
    ("name", "text", "shown", "number"),
    [
        ("statement_timeout", "30s", "30s", 30_000),
        ("statement_timeout", "30", "30ms", 30),
        ("statement_timeout", "90000", "90s", 90_000),
        ("authentication_timeout", "60", "1min", 60),
        ("statement_timeout", "0", "0", 0),
        ("shared_buffers", "16384", "128MB", 16384),
        ("work_mem", "4096", "4MB", 4096),
        ("max_wal_size", "1024", "1GB", 1024),
        ("max_connections", "100", "100", 100),
        ("random_page_cost", "1.1", "1.1", 1.1),
        ("wal_buffers", "-1", "-1", -1),
        ("fsync", "off", "off", 0),
        ("some.extension", "x", "x", 0),
        ("work_mem", "banana", "banana", 0),
    ],
)
def test_a_value_is_read_and_shown_with_its_unit(
    name: str, text: str, shown: str, number: float
) -> None:
    """A bare number counts in the parameter's own unit, whichever that is."""
    found = reading(name, text, "default")
    assert (found.shown, found.number) == (shown, number)
    assert str(found) == f"{name} = {shown} (default)"


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("2026-11-22T22:10:01+00:00", 0),
        ("2026-11-22T22:10:01.5+00:00", 500_000),
        ("2026-11-22T22:10:01.12345+00:00", 123_450),
        ("2026-11-22T22:10:01.123456+00:00", 123_456),
    ],
)
def test_times_as_postgresql_writes_them(text: str, microseconds: int) -> None:
    """It leaves out the last zeros, which not every Python can read."""
    utc = dt.timezone.utc
    assert moment(text) == dt.datetime(2026, 11, 22, 22, 10, 1, microseconds, tzinfo=utc)


def test_amounts_are_written_in_the_largest_unit_that_fits() -> None:
    """So that PostgreSQL reads back the same."""
    assert [duration(ms) for ms in (1, 1500, 30_000, 90_000, 300_000, 7_200_000)] == [
        *("1ms", "1500ms", "30s", "90s", "5min", "2h"),
    ]
    assert [size(kb) for kb in (64, 4096, 65536, 1048576)] == ["64kB", "4MB", "64MB", "1GB"]
