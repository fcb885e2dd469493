from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tables.test_records import tables, written

from pgstrata.tables import ImportOptions, InputError
from pgstrata.tables.dialect import Dialect
from pgstrata.tables.locate import Sent, records_at, split_block
from pgstrata.tables.prepare import Opened, open_file, read_again
from pgstrata.tables.records import Scanner
from pgstrata.tables.source import Source


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


@given(tables, st.sampled_from(["\n", "\r\n", "\r"]), st.data())
def test_a_record_is_found_by_any_of_its_lines(
    rows: list[list[str]], newline: str, data: st.DataObject
) -> None:
    """Where the server cannot read a byte it names the line that it has come to."""
    scanner = Scanner(Dialect(newline=newline))  # type: ignore[arg-type]  # sampled from its values
    (block,) = scanner.blocks([written(rows, newline)])
    every = split_block(block, scanner)
    marks = list(accumulate((record.data.count(scanner.mark) for record in every), initial=0))
    place = data.draw(st.integers(0, len(every) - 1))
    mark = data.draw(st.integers(marks[place] + 1, marks[place + 1]))
    assert records_at(block, [mark], scanner) == [every[place]]


@pytest.mark.parametrize("end", ["", "\n"])
def test_the_last_record_may_lack_its_newline(end: str) -> None:
    """The server counts a line for it all the same."""
    scanner = Scanner(Dialect())
    (block,) = list(Scanner(Dialect()).blocks([f"a\nb{end}".encode()]))[-1:]
    found = records_at(block, [block.marks + (not end)], scanner)
    assert found[0].data == f"b{end}".encode()


TEXT = "id,name\n" + "".join(f"{n},\u017e{n}\n" for n in range(9))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_blocks_that_are_forgotten_are_read_again(
    tmp_path: Path, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    """From a file, however it is written; of a stream there is rather no place than a wrong one."""
    data = pack(TEXT.encode(encoding))
    path = tmp_path / "names.csv"
    path.write_bytes(data)
    for source in (path, io.BytesIO(data)):
        with opened(source) as file:
            scanner, sent = Scanner(file.dialect), Sent(file, kept=10)
            for record in scanner.split(file.head):
                (block,) = scanner.blocks([record])
                sent.add(block._replace(offset=block.offset + len(file.before)))
            found = [sent.find(line, scanner) for line in (3, 10)]
        assert [r and (r.data.decode(), r.number) for r in found] == [
            ("1,\u017e1\n", 2) if source is path else None,
            ("8,\u017e8\n", 9),
        ]


def test_a_file_that_has_become_shorter(tmp_path: Path) -> None:
    """What is to be read again is not there."""
    path = tmp_path / "names.csv"
    path.write_text(TEXT)
    with opened(path) as file, pytest.raises(InputError, match="has become shorter"):
        read_again(file, len(TEXT.encode()), 1)


@contextmanager
def opened(source: Source) -> Iterator[Opened]:
    """Yield a file that stands behind its header."""
    file = open_file(source, ImportOptions())
    with closing(file.input):
        file.take_header()
        yield file
