"""Where the bytes of a file come from: a path or a stream, compressed or not."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import sys
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias, cast

from pgstrata.errors import UsageError
from pgstrata.tables.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Source: TypeAlias = "str | os.PathLike[str] | IO[bytes]"

CHUNK = 256 * 1024  # bytes; larger ones fall out of the processor's cache and fill the memory
PACKED = 4096  # bytes of zstd unpacked at once: that may be a thousand times as many
_OPEN_ALREADY = ("/dev/fd/", "/dev/stdin")
_BROKEN = (EOFError, lzma.LZMAError, zlib.error, OSError, ValueError)


def _broken() -> tuple[type[Exception], ...]:
    """Return what reading a damaged file raises, by any of the libraries that are in use."""
    zstd = (sys.modules.get(name) for name in ("zstandard", "compression.zstd"))
    return (*_BROKEN, *(module.ZstdError for module in zstd if module))


class _Zstd(io.RawIOBase):
    """Unpacks zstd, and misses the end of a frame, which the reader of ``zstandard`` does not."""

    def __init__(self, raw: IO[bytes], frame: Callable[[], Any]) -> None:
        self._raw, self._frame = raw, frame
        self._open: Any = None
        self._packed = self._data = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._data and self._more():
            self._open = self._open or self._frame()
            self._data = self._open.decompress(self._packed)
            self._packed = self._open.unused_data
            if self._open.eof:
                self._open = None
        size = min(len(buffer), len(self._data))
        buffer[:size], self._data = self._data[:size], self._data[size:]
        return size

    def _more(self) -> bool:
        self._packed = self._packed or self._raw.read(PACKED)
        if not self._packed and self._open:
            raise EOFError("it ends in the middle of a frame")
        return bool(self._packed)


def _open_zstd(raw: IO[bytes], mode: str) -> IO[bytes]:
    """Open a zstd stream with the standard library (Python 3.14) or the package ``zstandard``."""
    try:
        from compression import zstd  # type: ignore[import-not-found]  # Python 3.14

        return cast("IO[bytes]", zstd.open(raw, mode))
    except ImportError:
        pass
    try:
        import zstandard  # type: ignore[import-not-found,unused-ignore]  # optional
    except ImportError as error:
        raise UsageError(
            "a .zst file needs the package zstandard", hint="pip install zstandard"
        ) from error
    if mode == "rb":
        unpacked = _Zstd(raw, lambda: zstandard.ZstdDecompressor().decompressobj())
        return io.BufferedReader(unpacked, CHUNK)
    return cast("IO[bytes]", zstandard.open(cast(BinaryIO, raw), mode))


def _open_gzip(raw: IO[bytes], mode: str) -> IO[bytes]:
    # No time and no name inside: the same rows give the same bytes. Level 6 would take thrice as
    # long.
    return cast("IO[bytes]", gzip.GzipFile("", mode, 3, fileobj=raw, mtime=0))


def _open_xz(raw: IO[bytes], mode: str) -> IO[bytes]:
    return cast("IO[bytes]", lzma.LZMAFile(raw, mode))


def _open_bz2(raw: IO[bytes], mode: str) -> IO[bytes]:
    return cast("IO[bytes]", bz2.BZ2File(cast("Any", raw), cast("Any", mode)))


class Codec(NamedTuple):
    """A compression: the name of it, its magic bytes, the endings of file names, how to open it."""

    name: str
    magic: bytes
    endings: tuple[str, ...]
    open: Callable[[IO[bytes], str], IO[bytes]]


CODECS = (
    Codec("gz", b"\x1f\x8b", (".gz",), _open_gzip),
    Codec("zst", b"\x28\xb5\x2f\xfd", (".zst", ".zstd"), _open_zstd),
    Codec("xz", b"\xfd7zXZ\x00", (".xz",), _open_xz),
    Codec("bz2", b"BZh", (".bz2",), _open_bz2),
)
AUTO, NONE = "auto", "none"


class Input:
    """An opened source: bytes after decompression, and how far the file itself has been read."""

    def __init__(self, source: Source, compression: str = AUTO) -> None:
        self.name = name_of(source)
        self._owned = isinstance(source, (str, os.PathLike))
        self._file = opened(source)
        seekable = self._owned and self._file.seekable()
        self._raw = cast("Any", self._file) if seekable else _peekable(self._file)
        self.size = _size(self._raw)
        try:
            codec = find_codec(self._raw, compression)
            self.compression = codec.name if codec else NONE
            self._data = codec.open(cast("IO[bytes]", self._raw), "rb") if codec else self._raw
        except BaseException:
            self.close()
            raise

    def read(self, size: int | None = None) -> bytes:
        """Return up to ``size`` or ``CHUNK`` bytes, none at the end. Raises ``InputError`` for a
        broken file.
        """
        try:
            return self._data.read(CHUNK if size is None else size)
        except _broken() as error:
            raise InputError(
                f"{self.name} is damaged or cut off: {error}", hint="get the file again"
            ) from error

    def chunks(self, first: bytes = b"") -> Iterator[bytes]:
        """Yield ``first``, which was read already, and all the rest."""
        if first:
            yield first
        while chunk := self.read():
            yield chunk

    def position(self) -> int:
        """Return how many bytes of the file have been read, before decompression."""
        return self._raw.tell()

    def close(self) -> None:
        """Close what was opened here; a stream of the caller stays open."""
        if self._owned:
            self._file.close()


def stored(source: object) -> bool:
    """Return whether it is the path of a file that begins anew each time it is opened.

    A pipe does not. On some systems neither does a file that is named as what is open already: each
    who opens that reads on where the one before has come.
    """
    if not isinstance(source, (str, os.PathLike)):
        return False
    return Path(source).is_file() and not os.fspath(source).startswith(_OPEN_ALREADY)


def opened(source: Source) -> IO[bytes]:
    """Return a stream of the source: of a path a new one, which the caller has to close.

    Raises ``InputError``.
    """
    if not isinstance(source, (str, os.PathLike)):
        return source
    try:
        return Path(source).open("rb")
    except OSError as error:
        raise InputError(f"cannot read {os.fspath(source)}: {error.strerror}") from error


def name_of(source: Source) -> str:
    """Return what messages call the source."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "<stream>"


def find_codec(raw: io.BufferedReader, given: str = AUTO) -> Codec | None:
    """Return how a file is compressed: as ``given``, or told by its first bytes."""
    if given == NONE:
        return None
    if given == AUTO:
        head = raw.peek(8)
        return next((codec for codec in CODECS if head.startswith(codec.magic)), None)
    return codec_named(given)


def codec_named(name: str) -> Codec:
    """Return a compression by name. Raises ``UsageError``."""
    for codec in CODECS:
        if name == codec.name:
            return codec
    names = ", ".join(codec.name for codec in CODECS)
    raise UsageError(f"there is no compression {name!r}", hint=f"one of {names}, none, auto")


def codec_for(path: Path) -> Codec | None:
    """Return the compression that a file's name asks for."""
    return next((codec for codec in CODECS if path.name.lower().endswith(codec.endings)), None)


class _Counted(io.RawIOBase):
    """A stream that cannot seek, which counts instead what was read of it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._count += len(data)
        return len(data)

    def tell(self) -> int:
        return self._count

    def fileno(self) -> int:
        return self._stream.fileno()


def _peekable(stream: IO[bytes]) -> io.BufferedReader:
    return io.BufferedReader(_Counted(stream), CHUNK)


def _size(raw: io.BufferedReader) -> int | None:
    try:
        status = os.fstat(raw.fileno())
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
