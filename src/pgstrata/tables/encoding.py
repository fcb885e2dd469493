"""Which encoding a file is in: said by its BOM, or found from a sample, and never a silent guess.

Without a BOM a sample that is valid UTF-8, or mostly is, is UTF-8; the server then checks every
byte. Else it is cp1252 (of which latin-1 text is a part) if every byte beyond ASCII is a letter or
sign of Western text standing among ASCII, which Cyrillic, Greek, Polish, Turkish or Asian text is
not. That is said as a doubt, and any other byte later in the file is an error with its line. All
else is an error that names what to give.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, NamedTuple

from pgstrata.errors import UsageError
from pgstrata.tables.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

AUTO = "auto"
_BOMS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# What the server can read by itself without a byte of a character ever looking like a separator.
# Everything else is turned into UTF-8 on the way.
SERVER_ENCODINGS = {
    "ascii": "UTF8",
    "utf-8": "UTF8",
    "iso8859-1": "LATIN1",
    "iso8859-2": "LATIN2",
    "iso8859-9": "LATIN5",
    "iso8859-15": "LATIN9",
    "cp1250": "WIN1250",
    "cp1251": "WIN1251",
    "cp1252": "WIN1252",
    "cp1253": "WIN1253",
    "cp1254": "WIN1254",
    "koi8-r": "KOI8R",
}
_WESTERN = "àáâãäåæçèéêëìíîïñòóôõöøùúûüÿßœÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜŒ€‘’“”–—…«»°§£©®·¿¡ºª\xa0"  # noqa: RUF001  # they are meant
_FOREIGN = re.compile(rb"[^\x00-\x7f" + re.escape(_WESTERN.encode("cp1252")) + rb"]")
_LETTER, _ACCENTED = re.compile(rb"[A-Za-z]"), re.compile(rb"[\x8c\x9c\x9f\xc0-\xff]")
_HIGH = re.compile(rb"[\x80-\xff]")
_MULTIBYTE = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
# Python's codecs for the names of hosts and in programs, in which no file is written.
_OF_NAMES = ("idna", "punycode", "unicode-escape", "raw-unicode-escape")
_RUN = re.compile(rb"[\xc0-\xff]{4}")  # no Western word has four accented letters in a row


class Encoding(NamedTuple):
    """A codec of Python's, the length of the BOM, and what is doubtful about it.

    ``server`` is PostgreSQL's name for it, or "" if the bytes have to become UTF-8 on the way.
    ``guessed`` bytes are watched: see ``watched``.
    """

    name: str = "utf-8"
    bom: bytes = b""
    doubt: str = ""

    @property
    def server(self) -> str:
        """PostgreSQL's name of the encoding in which the bytes are sent."""
        return SERVER_ENCODINGS.get(self.name, "UTF8")

    @property
    def transcoded(self) -> bool:
        """Whether the bytes become UTF-8 before anything else looks at them."""
        return self.name not in SERVER_ENCODINGS

    @property
    def sent(self) -> str:
        """Python's name of the encoding in which the bytes are scanned and sent."""
        return "utf-8" if self.transcoded else self.name


def find_encoding(
    sample: bytes, given: str = AUTO, *, whole: bool = True, file: str = "the file"
) -> Encoding:
    """Return the encoding of a file that begins with ``sample``, or is all of it.

    Raises ``UsageError`` for an unknown name, ``InputError`` if it cannot be told.
    """
    bom, marked = next(((b, n) for b, n in _BOMS if sample.startswith(b)), (b"", ""))
    if given != AUTO:
        name = _codec(given)
        order = marked or _wide(sample) or f"{name}-le"
        return Encoding(_with_order(name, order), bom if _family(name) == _family(marked) else b"")
    if marked:
        return Encoding(marked, bom)
    if wide := _wide(sample):
        return Encoding(
            wide, doubt=f"no byte order mark, but every other byte is zero: read as {wide}"
        )
    if _is_utf8(sample, whole=whole):
        return Encoding()
    return _guess(sample, file)


def transcoded(
    chunks: Iterable[bytes], encoding: Encoding, file: str = "the file"
) -> Iterator[bytes]:
    """Yield the chunks as the server is to get them. Raises ``InputError`` with the line."""
    if encoding.transcoded:
        yield from _decoded(chunks, encoding, file)
    elif encoding.doubt:
        yield from _watched(chunks, file)
    else:
        yield from chunks


def likely(record: bytes) -> str:
    """Return which encoding a record that is not UTF-8 may be in, as a hint for its reader."""
    try:
        shown = record.decode("cp1252").strip()
    except UnicodeDecodeError:
        return "give the encoding the file was written in (--encoding)"
    return f'if this reads right: "{shown[:60]}", give the encoding cp1252'


def _decoded(chunks: Iterable[bytes], encoding: Encoding, file: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding.name)()
    line = 1
    for chunk in _ending(chunks):
        try:
            text = decoder.decode(chunk or b"", final=chunk is None)
        except UnicodeDecodeError as error:
            line += error.object[: error.start].decode(encoding.name, "replace").count("\n")
            raise InputError(
                f"{file}: line {line} is not {encoding.name}: {error.reason}",
                hint="give the encoding the file was written in (--encoding)",
            ) from error
        line += text.count("\n")
        yield text.encode()


def _ending(chunks: Iterable[bytes]) -> Iterator[bytes | None]:
    yield from chunks
    yield None


def _watched(chunks: Iterable[bytes], file: str) -> Iterator[bytes]:
    line = 1
    for chunk in chunks:
        if found := _MULTIBYTE.search(chunk) or _FOREIGN.search(chunk):
            line += chunk.count(b"\n", 0, found.start())
            raise InputError(
                f"{file}: line {line} has the bytes {found[0].hex(' ')}, so it is not cp1252",
                hint="give the encoding the file was written in (--encoding)",
            )
        line += chunk.count(b"\n")
        yield chunk


def _guess(sample: bytes, file: str) -> Encoding:
    characters = len(_MULTIBYTE.findall(sample))
    if characters and characters >= len(_HIGH.findall(_MULTIBYTE.sub(b"", sample))):
        return Encoding()  # a few bad rows, which the server will name
    if characters or not _is_western(sample):
        bad = _first_bad_line(sample)
        raise InputError(
            f"{file}: line {bad} is not UTF-8, and which encoding it is cannot be told",
            hint="give the encoding it was written in (--encoding), e.g. cp1250 or shift_jis",
        )
    word = re.search(rb"[A-Za-z]*[\x80-\xff]+[A-Za-z]*", sample)
    shown = word[0].decode("cp1252") if word else ""
    return Encoding(
        "cp1252",
        doubt=f'not UTF-8: read as cp1252, where line {_first_bad_line(sample)} has "{shown}"',
    )


def _is_western(sample: bytes) -> bool:
    """Return whether all beyond ASCII is Western, and accents are rarer than plain letters."""
    if _FOREIGN.search(sample) or _RUN.search(sample):
        return False
    accented = [line for line in sample.splitlines() if not line.isascii()]
    letters = sum(len(_LETTER.findall(line)) for line in accented)
    return letters >= sum(len(_ACCENTED.findall(line)) for line in accented)


def _first_bad_line(sample: bytes) -> int:
    try:
        sample.decode()
    except UnicodeDecodeError as error:
        return sample.count(b"\n", 0, error.start) + 1
    return 1


def _is_utf8(sample: bytes, *, whole: bool) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample, final=whole)
    except UnicodeDecodeError:
        return False
    return True


def _wide(sample: bytes) -> str:
    head = sample[:4096]
    even, odd = head[::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    if len(head) < 4 or max(even, odd) < half * 0.6:  # noqa: PLR2004  # two characters at least
        return ""
    return "" if even and odd else ("utf-16-le" if odd else "utf-16-be")


def _codec(name: str) -> str:
    try:
        found = codecs.lookup(name).name
        "x".encode(found)
    except (LookupError, UnicodeError) as error:
        raise UsageError(f"there is no encoding {name!r}", hint="e.g. utf-8, cp1252") from error
    if found in _OF_NAMES:
        raise UsageError(f"{name!r} is no encoding of files", hint="e.g. utf-8, cp1252")
    return "utf-8" if found == "utf-8-sig" else found


def _family(name: str) -> str:
    return name.removesuffix("-le").removesuffix("-be")


def _with_order(name: str, marked: str) -> str:
    """Return UTF-16 or UTF-32 with a byte order, without which each text would get a BOM."""
    return marked if name in ("utf-16", "utf-32") and _family(marked) == name else name
