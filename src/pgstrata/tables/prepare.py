"""Opening a file and finding out how it is written, from its beginning."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from pgstrata.tables.dialect import Dialect, Newline, guess_delimiter, guess_quote, split
from pgstrata.tables.encoding import Encoding, find_encoding, transcoded
from pgstrata.tables.errors import InputError
from pgstrata.tables.records import Block, Scanner
from pgstrata.tables.replay import Replay
from pgstrata.tables.source import Input, Source, codec_for, stored

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from pgstrata.tables.options import ImportOptions

SAMPLE = 256 * 1024  # bytes looked at before anything is decided
MAX_HEADER = 8 * 2**20  # bytes
_NAME_DELIMITERS = {".tsv": "\t", ".tab": "\t", ".psv": "|"}


@dataclass(slots=True)
class Opened:
    """A file whose dialect is known, standing before its first record.

    ``first`` are the fields of that record, ``head`` the bytes from there to the end of the sample,
    ``before`` what came earlier (BOM and skipped lines), ``rest`` what follows the head. With
    ``normalize_eol`` some records may end in CRLF though the dialect's newline is LF.
    """

    source: Source | Replay
    input: Input
    encoding: Encoding
    dialect: Dialect
    before: bytes
    head: bytes
    rest: Iterator[bytes]
    line: int
    first: list[str | None]
    doubts: list[str]
    normalize_eol: bool = False

    @property
    def name(self) -> str:
        """What messages call the file."""
        return self.input.name

    @property
    def repeatable(self) -> bool:
        """Whether it can be read a second time: a pipe cannot, even if it has a path."""
        return isinstance(self.source, Replay) or stored(self.source)

    def take_header(self) -> None:
        """Step over the first record."""
        length = _first_end(self.head, self.dialect) or len(self.head)
        record, self.head = self.head[:length], self.head[length:]
        self.before += record
        self.line += record.count(b"\r" if self.dialect.newline == "\r" else b"\n")

    @property
    def preamble(self) -> bytes:
        """All bytes before the data, as they are in the file."""
        bom = self.encoding.bom if self.encoding.transcoded else b""
        return bom + self.original(self.before)

    def blocks(self) -> Iterator[Block]:
        """Yield the records in blocks, numbered from 1."""
        scanner = Scanner(self.dialect, line=self.line, offset=len(self.before))
        return scanner.blocks(chain([self.head], self.rest))

    def original(self, data: bytes) -> bytes:
        """Return bytes as they are in the file, before they became UTF-8."""
        return data.decode().encode(self.encoding.name) if self.encoding.transcoded else data

    def text(self, data: bytes) -> str:
        """Return bytes as a person reads them."""
        return data.decode(self.encoding.sent, "replace")


def open_file(source: Source | Replay, options: ImportOptions, names: Sequence[str] = ()) -> Opened:
    """Open a file and find its dialect. ``names`` are the columns it is meant for.

    Raises ``InputError`` if it cannot be read, is empty, or its encoding cannot be told.
    """
    opened = _input(source, options.compression)
    try:
        return _looked_at(source, opened, options, names)
    except BaseException:
        opened.close()
        raise


def _input(source: Source | Replay, compression: str) -> Input:
    return Input(source.reader() if isinstance(source, Replay) else source, compression)


def chunks_again(file: Opened, offset: int) -> Generator[bytes, None, None]:
    """Read a ``repeatable`` file once more, as it was sent, from an offset on; see ``Block``."""
    encoding = file.encoding
    with closing(_input(file.source, file.input.compression)) as opened:
        bom = len(opened.read(len(encoding.bom)))
        left = offset - (0 if encoding.transcoded else bom)
        for chunk in transcoded(opened.chunks(), encoding, file.name):
            if left < len(chunk):
                yield chunk[max(left, 0) :]
            left -= len(chunk)


def read_again(file: Opened, offset: int, size: int) -> bytes:
    """Return some bytes of a file once more. Raises ``InputError`` if it is not what it was."""
    found = b""
    with closing(chunks_again(file, offset)) as chunks:
        for chunk in chunks:
            found += chunk
            if len(found) >= size:
                return found[:size]
    raise InputError(f"{file.name} has become shorter while it was imported")


def _looked_at(
    source: Source | Replay, opened: Input, options: ImportOptions, names: Sequence[str]
) -> Opened:
    sample = opened.read(SAMPLE)
    if not sample:
        raise InputError(f"{opened.name} is empty", hint="there is not even a header")
    name = opened.name
    encoding = find_encoding(sample, options.encoding, whole=len(sample) < SAMPLE, file=name)
    chunks = transcoded(opened.chunks(sample[len(encoding.bom) :]), encoding, name)
    head = next(chunks, b"")
    before, head = _skipped(head, options.skip, name)
    dialect, doubt = _dialect(head, encoding, options)
    while not _first_end(head, dialect) and len(head) < MAX_HEADER:
        if not (more := next(chunks, b"")):
            break
        head += more
    records = [_text(encoding, record) for record in _complete(head, dialect)]
    if records and not options.delimiter:
        guessed = guess_delimiter(records, dialect, names) or _by_name(opened.name)
        dialect = replace(dialect, delimiter=guessed)
    first: list[str | None] = split(records[0], dialect) if records else [None]
    bom = b"" if encoding.transcoded else encoding.bom
    return Opened(
        source,
        opened,
        encoding,
        dialect,
        bom + before,
        head,
        chunks,
        options.skip + 1,
        first,
        [d for d in (encoding.doubt, doubt) if d],
        options.normalize_eol,
    )


def _text(encoding: Encoding, data: bytes) -> str:
    """Decode a part of the sample; what is wrong in it is for the server to say."""
    return data.decode(encoding.sent, "replace")


def _skipped(head: bytes, lines: int, file: str) -> tuple[bytes, bytes]:
    parts = head.splitlines(keepends=True) if lines else []
    if lines and len(parts) <= lines:
        raise InputError(f"{file} has no record behind its first {lines} lines")
    before = b"".join(parts[:lines])
    return before, head[len(before) :]


def _dialect(head: bytes, encoding: Encoding, options: ImportOptions) -> tuple[Dialect, str]:
    sample = _text(encoding, head)
    quote = options.quote or guess_quote(sample)
    dialect = Dialect(
        delimiter=options.delimiter or ",",
        quote=quote,
        escape=options.escape or quote,
        null=options.null,
    )
    said = f"fields look quoted with {quote}" if quote != '"' and not options.quote else ""
    newline = _newline(head, dialect)
    lf = options.normalize_eol and newline == "\r\n"
    return replace(dialect, newline="\n" if lf else newline), said


def _newline(head: bytes, dialect: Dialect) -> Newline:
    inside = False
    for match in re.finditer(b"[\r\n" + re.escape(dialect.quote.encode()) + b"]", head):
        if match[0] == dialect.quote.encode():
            inside = not inside
        elif not inside:
            following = head[match.end() : match.end() + 1]
            return "\n" if match[0] == b"\n" else "\r\n" if following == b"\n" else "\r"
    return "\n"


def _first_end(head: bytes, dialect: Dialect) -> int:
    """Return the offset behind the first record, or 0 if it is not complete."""
    end = Scanner(dialect).first_end(head)
    return end if head[:end].endswith(dialect.newline.encode()) else 0


def _complete(head: bytes, dialect: Dialect) -> list[bytes]:
    """Return the first records; the last of a sample is cut off unless it is the only one."""
    records = Scanner(dialect).split(head)
    return records[:100] if len(records) < 2 else records[:-1][:100]  # noqa: PLR2004  # one is all


def _by_name(file: str) -> str:
    codec = codec_for(Path(file))
    bare = Path(file).with_suffix("") if codec else Path(file)
    return _NAME_DELIMITERS.get(bare.suffix.lower(), ",")
