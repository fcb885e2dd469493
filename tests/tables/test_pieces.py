from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st
from tests.tables.test_records import chopped, tables, written

from pgstrata.tables.dialect import Dialect
from pgstrata.tables.locate import split_block
from pgstrata.tables.pieces import Lines
from pgstrata.tables.records import Scanner

ends_of_lines = st.sampled_from(["\n", "\r\n"])


@given(tables, st.integers(1, 30), ends_of_lines, st.integers(0, 1), st.data())
def test_records_are_found_while_lines_are_told(
    rows: list[list[str]], size: int, newline: str, cut: int, data: st.DataObject
) -> None:
    """In whatever portions the server speaks of them, and if the last one has no newline."""
    text = written(rows, newline)
    text = text.removesuffix(newline.encode()) if cut else text
    scanner = Scanner(Dialect(newline=newline))  # type: ignore[arg-type]  # sampled from its values
    pieces = list(scanner.blocks(chopped(text, size)))
    every = [record for piece in pieces for record in split_block(piece, scanner)]
    ends = [1 + n for n in accumulate(record.data.count(scanner.mark) for record in every)]
    ends[-1] += cut  # the server counts a line for it all the same
    chosen = data.draw(st.lists(st.sampled_from(range(len(every))), unique=True).map(sorted))
    told = data.draw(st.lists(st.integers(0, len(chosen)), max_size=4).map(sorted))
    lines = Lines(scanner)
    for count in told:
        lines.find(pieces, [ends[i] for i in chosen[:count]], all_told=False)
    lines.find(pieces, [ends[i] for i in chosen], all_told=True)
    assert lines.found == [every[i] for i in chosen]
