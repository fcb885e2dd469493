from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tables.test_records import tables, written

from pgstrata.tables.dialect import Dialect
from pgstrata.tables.locate import Sent, records_at, split_block
from pgstrata.tables.records import Scanner


@given(tables, st.sampled_from(["\n", "\r\n", "\r"]), st.data())
def test_a_record_is_found_by_the_mark_it_ends_on(
    rows: list[list[str]], newline: str, data: st.DataObject
) -> None:
    """Without the others being looked at, it is the one that splitting gives."""
    scanner = Scanner(Dialect(newline=newline))  # type: ignore[arg-type]  # sampled from its values
    (block,) = scanner.blocks([written(rows, newline)])
    every = split_block(block, scanner)
    marks = list(accumulate(record.data.count(scanner.mark) for record in every))
    chosen = data.draw(st.lists(st.sampled_from(range(len(every))), unique=True).map(sorted))
    assert records_at(block, [marks[i] for i in chosen], scanner) == [every[i] for i in chosen]


@pytest.mark.parametrize("end", ["", "\n"])
def test_the_last_record_may_lack_its_newline(end: str) -> None:
    """The server counts a line for it all the same."""
    scanner = Scanner(Dialect())
    (block,) = list(Scanner(Dialect()).blocks([f"a\nb{end}".encode()]))[-1:]
    found = records_at(block, [block.marks + (not end)], scanner)
    assert found[0].data == f"b{end}".encode()


def test_blocks_that_are_forgotten_are_not_searched() -> None:
    """Rather no place than a wrong one."""
    scanner, sent = Scanner(Dialect()), Sent(kept=10)
    for block in Scanner(Dialect()).blocks([b"1234567\n", b"abcdefg\n", b"ABCDEFG\n"]):
        sent.add(block)
    assert sent.find(2, scanner) is None
    last = sent.find(4, scanner)
    assert last is not None
    assert (last.data, last.number) == (b"ABCDEFG\n", 3)
