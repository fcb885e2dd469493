"""What can go wrong while data moves, and what is in the table afterwards.

::

    PgstrataError
    ├── InputError               the input does not fit; nothing was kept              exit 3
    └── TransferError            the server or the data said no; nothing was kept      exit 1
        ├── RowError             one row did, and here it is
        ├── TooManyRejectsError  more bad rows than allowed
        ├── VerificationError    a count or a checksum is not what it has to be
        ├── PartialTransferError some of it is committed, and the message says what    exit 5
        └── OutcomeUnknownError  the answer to COMMIT was lost                         exit 5
    KeyboardInterrupt
    └── Interrupted              Ctrl-C, and what is in the table                      exit 130
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pgstrata.errors import CONFIG, PARTIAL, PgstrataError

if TYPE_CHECKING:
    from pgstrata.tables.results import Reject

SHOWN = 100  # characters of a value that a message shows


class InputError(PgstrataError):
    """The input does not fit the table or the options, or cannot be read. Nothing was kept."""

    exit_code = CONFIG


class TransferError(PgstrataError):
    """The server or the data said no. Unless a subclass says otherwise nothing was kept."""


class RowError(TransferError):
    """One row cannot be loaded. ``reject`` holds its place, its value and the reason."""

    def __init__(self, reject: Reject, *, hint: str = "") -> None:
        super().__init__(str(reject), hint=hint)
        self.reject = reject


class TooManyRejectsError(TransferError):
    """More rows were bad than ``max_rejects`` allows; the first of them are in the reject file."""


class VerificationError(TransferError):
    """A count or a checksum is not what it has to be."""


class PartialTransferError(TransferError):
    """A part is committed; the message says which."""

    exit_code = PARTIAL


class OutcomeUnknownError(TransferError):
    """The connection was lost, or the task was cancelled, while COMMIT was under way.

    ``xid`` is the transaction's id: ``commit_status(connection, xid)`` on a new connection tells
    whether it was committed.
    """

    exit_code = PARTIAL

    def __init__(self, message: str, *, xid: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.xid = xid


class Interrupted(KeyboardInterrupt):  # as the one it is
    """Ctrl-C. The message says what is in the table.

    ``committed``: it came too late for the transaction, which is kept.
    """

    def __init__(self, message: str, *, committed: bool = False) -> None:
        super().__init__(message)
        self.committed = committed


def part_kept(kept: str, error: Exception, failed: str = "the next batch failed") -> PgstrataError:
    """Return the error of a transfer that commits as it goes: ``kept`` says what is committed."""
    message = f"{kept}; {failed}: {error}"
    if isinstance(error, OutcomeUnknownError):
        return OutcomeUnknownError(message, xid=error.xid, hint=error.hint)
    hint = "mend what is wrong and resume: it goes on after the last committed record"
    return PartialTransferError(message, hint=hint)


@contextmanager
def refusing(name: object, *others: type[OSError]) -> Iterator[None]:
    """Raise ``TransferError`` for an ``OSError``, but not for some ``others``."""
    try:
        yield
    except others:
        raise
    except OSError as error:
        raise TransferError(f"cannot write {name}: {error.strerror or error}") from error


def shorten(text: str) -> str:
    """Return ``text``, cut to what a message may show of a value."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text)} characters)"
