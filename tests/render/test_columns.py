from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgstrata.render.columns import columns, width

ROWS = st.integers(1, 4).flatmap(
    lambda size: st.lists(
        st.lists(st.text("ab数é ", max_size=6), min_size=size, max_size=size), max_size=6
    )
)


@pytest.mark.parametrize(
    ("text", "cells"), [("", 0), ("abc", 3), ("数据", 4), ("é", 1), ("e\u0301", 1), ("\uff57", 2)]
)
def test_width_counts_cells(text: str, cells: int) -> None:
    """Wide characters take two cells, combining ones none."""
    assert width(text) == cells


def test_columns_are_aligned() -> None:
    """Also where characters are wide."""
    rows = [("数据", "x", "1"), ("abc", "yy", "")]
    assert columns(rows, header=("A", "B", "C")) == "A     B   C\n数据  x   1\nabc   yy"


def test_a_long_text_runs_over_in_its_own_row() -> None:
    """What follows it moves, and the other rows stay as they are."""
    rows = [("key", "1", "here"), ("a very long key", "2", "there"), ("k", "a long value", "there")]
    assert columns(rows, widest=(5, 4)).splitlines() == [
        "key    1     here",
        "a very long key  2  there",
        "k      a long value  there",
    ]


def test_no_rows() -> None:
    """Nothing is as wide as nothing."""
    assert columns([]) == ""
    assert columns([], header=("A", "B")) == "A  B"


@given(ROWS, st.lists(st.integers(1, 5), max_size=2))
def test_no_text_is_lost(rows: list[list[str]], widest: list[int]) -> None:
    """Every cell is in its line, in order, with nothing but spaces between."""
    lines = columns(rows, widest=widest).split("\n") if rows else []
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        rest = line + " " * 30
        for cell in row:
            before, _, rest = rest.partition(cell) if cell else ("", "", rest)
            assert before.strip() == ""
