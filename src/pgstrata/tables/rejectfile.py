"""The file of bad records, ready to be mended and imported again, and a line of JSON for each."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pgstrata.tables.errors import (
    InputError,
    Interrupted,
    OutcomeUnknownError,
    TooManyRejectsError,
    TransferError,
    refusing,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pgstrata.tables.ledger import State
    from pgstrata.tables.prepare import Opened
    from pgstrata.tables.results import Reject
    from pgstrata.tables.source import Source

_ENCODE = json.JSONEncoder(ensure_ascii=False).encode
_BEGIN = b'{"file": "'  # of every line of reasons
_ANOTHER = "give another name, or overwrite it (--force)"


class RejectFile:
    """Holds the header of the import file and the bytes of its bad records as they were.

    Beside it ``<name>.jsonl`` says of each record where it was and what is wrong. Nothing is
    created before the first bad record. What it holds is on disk before the good rows are
    committed, so a crash can leave a record in both, but never in none.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        maximum: int,
        *,
        overwrite: bool = False,
        resumed: bool = False,
    ) -> None:
        self.path = Path(path)
        self.details = self.path.with_name(self.path.name + ".jsonl")
        self.count = 0
        self.earlier = 0  # of them by runs before this one
        self._maximum = maximum
        self._overwrite = overwrite
        self._mode = os.O_TRUNC if overwrite else os.O_EXCL
        self._files: tuple[BinaryIO, BinaryIO] | None = None
        self._sealed = False
        self._refuse_folder()
        if not resumed:
            self.refuse_existing()

    @property
    def room(self) -> int:
        """How many more records may be bad."""
        return self._maximum - self.count

    def refuse_existing(self) -> None:
        """Raise ``InputError`` if a file is there that may not be replaced."""
        for path in (self.path, self.details):
            if path.exists() and not self._overwrite:
                raise InputError(f"{path} exists", hint=_ANOTHER)

    def resume(self, known: State) -> None:
        """Go on behind what an earlier run had committed, dropping what it had not.

        Files that are gone are begun anew. Raises ``InputError`` if those there are not that run's.
        """
        self.count = self.earlier = known.rejected
        if not (self.path.exists() or self.details.exists()):
            return
        if not self._left_by(known):
            if self._overwrite:
                return
            raise InputError(
                f"{self.path} is not as the import that is to be resumed has left it", hint=_ANOTHER
            )
        self._mode = 0
        if known.rejected:
            sizes = known.rejects_size, known.details_size
            self._files = self._create(self.path, sizes[0]), self._create(self.details, sizes[1])
        else:
            self._delete()

    def add(self, rejects: Sequence[Reject], file: Opened) -> None:
        """Write records. Raises ``TooManyRejectsError`` where that makes too many."""
        for bad in rejects:
            if self.count == self._maximum:
                self.sync()
                raise TooManyRejectsError(
                    f"more than {self._maximum} bad rows undo the transaction; the next is {bad}",
                    hint=f"the first {self._maximum} are in {self.path}; --max-rejects allows more",
                )
            with refusing(self.path):
                records, details = self._files or self._open(file)
                records.write(_with_newline(file.original(bad.data), file))
                details.write(_ENCODE(bad.as_json()).encode() + b"\n")
            self.count += 1

    def sync(self) -> tuple[int, int]:
        """Bring everything to disk; return the sizes of the two files."""
        with refusing(self.path):
            for file in self._files or ():
                file.flush()
                os.fsync(file.fileno())
        return (self._files[0].tell(), self._files[1].tell()) if self._files else (0, 0)

    def seal(self) -> None:
        """Bring everything to disk; what comes next is the commit of the good rows."""
        self.sync()
        self.drop_earlier()
        self._sealed = True

    def drop_earlier(self) -> None:
        """Delete the file of another import, which was to be replaced, where nothing replaces it:
        its rows would be taken for those that this one has rejected.
        """
        if self._overwrite and not self._files and not self.count:
            self._delete()

    def close(self) -> None:
        """Close the files and leave them there."""
        for file in self._files or ():
            with suppress(OSError):  # of what was never synced, and so never promised
                file.close()

    def kept_after(self, error: BaseException) -> bool:
        """Return whether the file is worth keeping after an import that failed.

        From the commit on that is so unless the good rows are known not to be in the table.
        """
        if isinstance(error, (TooManyRejectsError, OutcomeUnknownError)):
            return True
        interrupted = isinstance(error, asyncio.CancelledError) or (
            isinstance(error, Interrupted) and not error.committed
        )
        return self._sealed and not interrupted and not isinstance(error, TransferError)

    def discard(self) -> None:
        """Close and delete the files: the import was undone."""
        if self._files:
            self.close()
            self._delete()

    def _delete(self) -> None:
        self.path.unlink(missing_ok=True)
        self.details.unlink(missing_ok=True)

    def _left_by(self, known: State) -> bool:
        """Return whether the files are those of an earlier run, which may have crashed since."""
        records = self.path.stat().st_size if self.path.exists() else 0
        details = self.details.read_bytes() if self.details.exists() else None
        if details is None:
            return not records and not known.rejected
        if known.done and (records, len(details)) != (known.rejects_size, known.details_size):
            return False
        written, more = details[: known.details_size], details[known.details_size :]
        whole = records >= known.rejects_size and len(written) == known.details_size
        ours = _BEGIN.startswith(more[: len(_BEGIN)])
        return whole and ours and written.count(b"\n") == known.rejected

    def _open(self, file: Opened) -> tuple[BinaryIO, BinaryIO]:
        self._files = (self._create(self.path, 0), self._create(self.details, 0))
        self._files[0].write(file.preamble)
        return self._files

    def _create(self, path: Path, size: int) -> BinaryIO:
        flags = os.O_WRONLY | os.O_CREAT | self._mode
        flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        try:
            file = os.fdopen(os.open(path, flags, 0o600), "wb")
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}") from error
        file.truncate(size)
        file.seek(size)
        return file

    def refuse_inputs(self, sources: Iterable[Source]) -> None:
        """Raise ``InputError`` if one of the imported files would be overwritten by bad records."""
        for source in sources:
            if not isinstance(source, (str, os.PathLike)) or not Path(source).exists():
                continue
            for path in (self.path, self.details):
                if path.exists() and path.samefile(source):
                    raise InputError(
                        f"{path} is a file that is imported",
                        hint="give another name for the rejects",
                    )

    def _refuse_folder(self) -> None:
        # Else it is the first bad record that fails, perhaps after hours.
        if not self.path.parent.is_dir():
            raise InputError(f"{self.path.parent} is no folder, so {self.path} cannot be written")


def _with_newline(data: bytes, file: Opened) -> bytes:
    """End the record that was last in its file: another may follow it here."""
    newline, name = file.dialect.newline, file.encoding.name
    return data if data.endswith(newline[-1].encode(name)) else data + newline.encode(name)
