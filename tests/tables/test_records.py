from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgstrata.tables import records
from pgstrata.tables.dialect import Dialect
from pgstrata.tables.errors import TransferError
from pgstrata.tables.records import Scanner

fields = st.text(st.sampled_from('ab",\n\r;é\\'), max_size=6)
tables = st.lists(st.lists(fields, min_size=2, max_size=3), min_size=1, max_size=8)


def written(rows: list[list[str]], newline: str = "\n") -> bytes:
    """Return rows as a CSV file."""
    out = io.StringIO()
    csv.writer(out, lineterminator=newline, quoting=csv.QUOTE_ALL).writerows(rows)
    return out.getvalue().encode()


def chopped(data: bytes, size: int) -> list[bytes]:
    """Return the data in pieces."""
    return [data[i : i + size] for i in range(0, len(data), size)]


@given(tables, st.integers(1, 20), st.sampled_from(["\n", "\r\n", "\r"]))
def test_blocks_hold_the_whole_file_in_whole_records(
    rows: list[list[str]], size: int, newline: str
) -> None:
    """However the file is chopped, the blocks are its bytes, and each holds complete records."""
    data = written(rows, newline)
    dialect = Dialect(newline=newline)  # type: ignore[arg-type]  # sampled from its values
    scanner = Scanner(dialect)
    blocks = list(scanner.blocks(chopped(data, size)))
    assert b"".join(block.data for block in blocks) == data
    assert sum(block.records for block in blocks) == len(rows)
    assert [len(scanner.split(block.data)) for block in blocks] == [b.records for b in blocks]
    assert [b.offset for b in blocks] == [data.index(b.data, b.offset) for b in blocks]


@given(tables, st.integers(1, 20))
def test_blocks_know_their_lines(rows: list[list[str]], size: int) -> None:
    """The line of a block is one more than the newlines before it."""
    data = written(rows)
    for block in Scanner(Dialect()).blocks(chopped(data, size)):
        assert block.line == data[: block.offset].count(b"\n") + 1
        assert block.lines == block.data.count(b"\n")


@given(tables)
def test_the_first_record_ends_where_a_split_has_it(rows: list[list[str]]) -> None:
    """Without the newline it does not end."""
    scanner, data = Scanner(Dialect()), written(rows)
    first = len(scanner.split(data)[0]) if rows else 0
    assert scanner.first_end(data) == first
    assert scanner.first_end(data[: max(first - 1, 0)]) == 0


@given(tables, st.integers(0, 8))
def test_a_block_can_be_cut_behind_any_record(rows: list[list[str]], count: int) -> None:
    """Both halves are blocks in their own right."""
    scanner = Scanner(Dialect())
    (block,) = scanner.blocks([written(rows)])
    first, rest = scanner.cut(block, min(count, len(rows)))
    assert first.data + rest.data == block.data
    assert first.records + rest.records == len(rows)
    assert (rest.line, rest.offset) == (first.line + first.lines, len(first.data))


@pytest.mark.parametrize(
    ("data", "records"),
    [
        (b"a\n", 1),
        (b"a", 1),
        (b"\n\n", 2),
        (b'"a\nb"\nc', 2),
        (b'x"y\nz"w\n', 1),
        (b'"a""\n"\nb\n', 2),
        (b'"open\nto the end', 1),
    ],
)
def test_records_are_counted_as_the_server_counts_them(data: bytes, records: int) -> None:
    """A quote toggles wherever it stands."""
    assert sum(block.records for block in Scanner(Dialect()).blocks([data])) == records


def test_an_escape_of_its_own_hides_quotes() -> None:
    """A backslash before a quote keeps the field open, also across two chunks."""
    dialect = Dialect(escape="\\")
    data = b'"a\\"\n",1\n"b\\\\",2\n'
    for size in range(1, len(data)):
        blocks = list(Scanner(dialect).blocks(chopped(data, size)))
        assert sum(block.records for block in blocks) == 2


def test_a_quote_that_is_never_closed_does_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error names the record in which it was opened."""
    monkeypatch.setattr(records, "MAX_RECORD", 1000)
    chunks = [b'1,a\n2,"b\n', *[b"x" * 500] * 3]
    with pytest.raises(TransferError, match=r"record 2, which begins on line 2"):
        list(Scanner(Dialect()).blocks(chunks))
