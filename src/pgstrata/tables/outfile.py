"""The file that an export writes: its compression, its encoding, and when it gets its name."""

from __future__ import annotations

import codecs
import io
import os
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from pgstrata.tables.errors import InputError, TransferError, refusing
from pgstrata.tables.source import AUTO, NONE, Codec, codec_for, codec_named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgstrata.tables.options import ExportOptions

EARLY = 8 * 2**20  # bytes after which the system is asked to begin writing them to the disk


def chosen_codec(target: Any, options: ExportOptions) -> Codec | None:
    """Return how to compress: as asked for, or as the name of the file says."""
    if options.compression == NONE:
        return None
    if options.compression != AUTO:
        return codec_named(options.compression)
    return codec_for(Path(target)) if isinstance(target, (str, os.PathLike)) else None


def encoder(out: IO[bytes], encoding: str, *, transcoded: bool) -> Callable[[bytes], Any]:
    """Return a function that writes what came from the server, in another encoding if need be."""
    name = codecs.lookup(encoding).name if encoding != AUTO else "utf-8"
    if name == "utf-8-sig":
        out.write(codecs.BOM_UTF8)
    if not transcoded:
        return out.write
    encode = codecs.getincrementalencoder(name)("strict").encode

    def write(data: bytes) -> None:
        try:
            out.write(encode(data.decode()))
        except UnicodeEncodeError as error:
            lacking = error.object[error.start : error.start + 1]
            raise TransferError(f"{name} has no {lacking!r}", hint="use utf-8") from error

    return write


class Out(NamedTuple):
    """``data`` takes what is to be written. ``finish`` brings it to where it goes, which takes a
    while: it is called when all of it is there, and not at all if something went wrong.
    """

    data: IO[bytes]
    finish: Callable[[], None]


@contextmanager
def written(target: Any, codec: Codec | None, *, overwrite: bool) -> Iterator[Out]:
    """Open what to write to; a file appears under its name only when it is complete.

    Raises ``InputError`` if it exists, ``TransferError`` if the disk says no, also to what is
    written meanwhile. That the reader of a stream has gone is left to the caller.
    """
    if not isinstance(target, (str, os.PathLike)):
        stream, name = cast("IO[bytes]", target), getattr(target, "name", "the stream")
        with refusing(name, BrokenPipeError), _compressed(stream, codec) as out:
            yield Out(out, partial(_finish, out, stream, stream.flush))
        return
    path = Path(target)
    with refusing(path):
        if path.exists() and not path.is_file():  # a pipe or device, which must stay one
            with path.open("wb") as raw, _compressed(raw, codec) as out:
                yield Out(out, partial(_finish, out, raw, raw.flush))
            return
        with _named(path, overwrite=overwrite) as part, _compressed(part, codec) as out:
            yield Out(out, partial(_finish, out, part, partial(_sync, part)))


@contextmanager
def _named(path: Path, *, overwrite: bool) -> Iterator[IO[bytes]]:
    """Open a file that gets its name when it is complete."""
    if os.path.lexists(path) and not overwrite:  # also a link that leads nowhere
        raise InputError(f"{path} exists", hint="give another name, or overwrite it (--force)")
    part = _part_of(path)
    try:
        with io.BufferedWriter(_Early(part, "wb")) as raw:
            yield raw
        if os.path.lexists(path) and not overwrite:
            raise InputError(f"{path} has appeared meanwhile", hint="overwrite it, or rename it")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _part_of(path: Path) -> Path:
    """Create a file of a name that nobody has, beside the target; only its owner may read it."""
    number, name = tempfile.mkstemp(suffix=".part", prefix=f"{path.name}.", dir=path.parent)
    os.close(number)
    return Path(name)


def _finish(out: IO[bytes], raw: IO[bytes], end: Callable[[], None]) -> None:
    if out is not raw:
        out.close()
    end()


def _sync(raw: IO[bytes]) -> None:
    raw.flush()
    os.fsync(raw.fileno())


class _Early(io.FileIO):
    """A file that goes to the disk while more of it comes, so its end is not awaited.

    Asking the system to forget pages makes it begin to write them, without waiting for that.
    """

    _size = _begun = 0  # bytes written, and how many of them are on their way to the disk

    def write(self, data: Any, /) -> int:
        written = super().write(data) or 0
        self._size += written
        if self._size - self._begun >= EARLY and hasattr(os, "posix_fadvise"):
            length = self._size - self._begun
            os.posix_fadvise(self.fileno(), self._begun, length, os.POSIX_FADV_DONTNEED)
            self._begun = self._size
        return written


@contextmanager
def _compressed(raw: IO[bytes], codec: Codec | None) -> Iterator[IO[bytes]]:
    if codec is None:
        yield raw
        return
    with codec.open(raw, "wb") as out:
        yield out
