"""Finding the records of a CSV file, at about a gigabyte a second and as the server finds them.

PostgreSQL toggles "inside quotes" at every quote (a doubled quote toggles twice), so parity tells
whether a newline ends a record. That needs no parsing: quotes and newlines are counted. It holds
for UTF-8 and every single-byte encoding, where these bytes are never part of another character.

Where the escape is not the quote, escaped pairs within quotes are first blanked out, keeping every
offset. Outside quotes the server takes an escape for a character like others.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from pgstrata.tables.errors import TransferError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pgstrata.tables.dialect import Dialect

MAX_RECORD = 256 * 2**20  # bytes; a quote that is never closed must not fill the memory


class Block(NamedTuple):
    """Some complete records, and where they are.

    ``record`` and ``line`` count from 1, ``offset`` from 0.
    ``lines`` and ``marks`` are how many newlines it holds, and how many of the character by which
    the server counts lines.
    """

    data: bytes
    records: int
    record: int
    line: int
    offset: int
    lines: int
    marks: int

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return len(self.data)


class Stored(NamedTuple):
    """A block whose data are elsewhere: each use of them reads them again."""

    read: Callable[[], bytes]
    size: int
    records: int
    record: int
    line: int
    offset: int
    lines: int
    marks: int

    @property
    def data(self) -> bytes:
        """The bytes of the records."""
        return self.read()


Piece: TypeAlias = "Block | Stored"


class Scanner:
    """Cuts a stream of bytes into blocks of complete records, counting them."""

    def __init__(
        self, dialect: Dialect, *, line: int = 1, offset: int = 0, record: int = 1
    ) -> None:
        self.line = line
        self.offset = offset
        self.record = record
        self.end = dialect.newline[-1].encode()
        self.mark = dialect.newline[0].encode()
        self.quote = dialect.quote.encode()
        self._keep_out = bytes(set(range(256)) - {self.quote[0], self.end[0]})
        self._escape = dialect.escape.encode() if dialect.escape != dialect.quote else b""
        quote, escape = re.escape(self.quote), re.escape(self._escape)
        self._sign = re.compile(quote + b"|" + escape + b"[" + escape + quote + b"]")

    def blocks(self, chunks: Iterable[bytes]) -> Iterator[Block]:
        """Yield the chunks again, cut after complete records; the last one may lack its newline."""
        held: list[bytes] = []
        inside = records = lines = size = 0
        for chunk in self._unsplit(chunks):
            plain = self.blank(chunk, inside)
            signs = plain.translate(None, self._keep_out)
            parts = signs.split(self.quote)
            end = self._last_end(plain, inside + len(parts) - 1)
            records += b"".join(parts[inside::2]).count(self.end)
            lines += signs.count(self.end)
            inside ^= (len(parts) - 1) & 1
            if not end:
                held.append(chunk)
                size += len(chunk)
                self._refuse_endless(size)
                continue
            rest = chunk[end:]
            after = rest.count(self.end)
            data = b"".join([*held, memoryview(chunk)[:end]])
            yield self._block(data, records, lines - after)
            held, records, lines, size = [rest], 0, after, len(rest)
        if data := b"".join(held):
            yield self._block(data, 1, lines)

    def cut(self, block: Block, records: int) -> tuple[Block, Block]:
        """Cut a block behind so many of its records."""
        self.record, self.line, self.offset = block.record, block.line, block.offset
        first = b"".join(self.split(block.data)[:records])
        rest, lines = block.data[len(first) :], first.count(self.end)
        return (
            self._block(first, records, lines),
            self._block(rest, block.records - records, block.lines - lines),
        )

    def split(self, data: bytes) -> list[bytes]:
        """Return the records of a block, each with its newline."""
        records: list[bytes] = []
        start = position = inside = 0
        for line in self.blank(data).split(self.end):
            position += len(line) + 1
            inside ^= line.count(self.quote) & 1
            if not inside:
                records.append(data[start:position])
                start = position
        if start < len(data):
            records.append(data[start:])
        return [record for record in records if record]

    def count(self, data: bytes) -> int:
        """Return how many records end in ``data``, which begins with one."""
        parts = self.blank(data).translate(None, self._keep_out).split(self.quote)
        return b"".join(parts[::2]).count(self.end)

    def first_end(self, data: bytes) -> int:
        """Return the offset behind the first record of ``data``, or 0 where it does not end."""
        plain, quotes, start = self.blank(data), 0, 0
        while (newline := plain.find(self.end, start)) >= 0:
            quotes += plain.count(self.quote, start, newline)
            start = newline + 1
            if not quotes & 1:
                return start
        return 0

    def last_end(self, data: bytes) -> int:
        """Return the offset behind the last record that ends in ``data``, which begins with one, or
        0.
        """
        plain = self.blank(data)
        return self._last_end(plain, plain.count(self.quote))

    def shapes(self, data: bytes, delimiter: bytes) -> list[bytes]:
        """Return the delimiters of each record, without everything between them.

        If ``data`` ends a record with its newline, a last, empty shape follows.
        """
        keep_out = self._keep_out.replace(delimiter, b"")
        parts = self.blank(data).translate(None, keep_out).split(self.quote)
        return b"".join(parts[::2]).split(self.end)

    def _block(self, data: bytes, records: int, lines: int) -> Block:
        # A record that ends otherwise than the file's is a line to the server all the same.
        marks = lines if self.mark == self.end else max(data.count(self.mark), records)
        block = Block(data, records, self.record, self.line, self.offset, lines, marks)
        self.record += records
        self.line += lines
        self.offset += len(data)
        return block

    def _last_end(self, data: bytes, quotes: int) -> int:
        """Return the offset behind the last newline outside quotes, or 0.

        ``quotes`` is how many there are from the beginning of the record to the end of ``data``.
        """
        position = len(data)
        while (newline := data.rfind(self.end, 0, position)) >= 0:
            quotes -= data.count(self.quote, newline, position)
            if not quotes & 1:
                return newline + 1
            position = newline
        return 0

    def blank(self, data: bytes, inside: int = 0) -> bytes:
        """Return the data, which begin ``inside`` quotes or not, with the escaped pairs in quotes
        blanked out, if they are not doubled quotes.
        """
        if not self._escape or self._escape not in data:
            return data

        def plain(sign: re.Match[bytes]) -> bytes:
            nonlocal inside
            if inside and len(sign[0]) > 1:
                return b"  "
            inside ^= sign[0].endswith(self.quote)
            return sign[0]

        return self._sign.sub(plain, data)

    def _unsplit(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Keep an escape and the character it escapes in one chunk."""
        if not self._escape:
            yield from chunks
            return
        carried = b""
        for chunk in chunks:
            data = carried + chunk
            odd = (len(data) - len(data.rstrip(self._escape))) & 1
            carried = data[len(data) - odd :]
            if len(data) > odd:
                yield data[: len(data) - odd]
        if carried:
            yield carried

    def _refuse_endless(self, size: int) -> None:
        if size > MAX_RECORD:
            raise TransferError(
                f"record {self.record}, which begins on line {self.line}, does not end within"
                f" {MAX_RECORD // 2**20} MiB",
                hint="a quote is opened there and never closed, or the quote character is another",
            )
