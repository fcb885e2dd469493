"""Staged rows that the table itself refuses: doubled keys, missing parents, what triggers raise.

Such an error comes when all rows move at once, and names no line. So the rows are numbered as they
are staged, and moved in halves of halves, each under a savepoint, until the bad ones stand alone.
Their records are then read again from the file. Where rows refer to others of their own table, all
have to move at once; only those that refer to none are taken out.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from psycopg import sql

from pgstrata.tables.errors import InputError
from pgstrata.tables.hierarchy import OwnKey, take_orphans
from pgstrata.tables.locate import Record, of_row, split_block
from pgstrata.tables.modes import Merge, Merged, empty, move, refuse_doubled, unmoved
from pgstrata.tables.prepare import chunks_again
from pgstrata.tables.records import Scanner
from pgstrata.tables.steps import AnyConnection, Steps, query

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pgstrata.tables.catalog import Table
    from pgstrata.tables.prepare import Opened
    from pgstrata.tables.records import Block
    from pgstrata.tables.statement import Target


class Refused(NamedTuple):
    """The number of a staged row, and why the table did not take it: an error, of a ``key`` to
    itself if it is one.
    """

    number: int
    error: psycopg.Error
    key: OwnKey | None = None


def move_rows(
    connection: AnyConnection,
    table: Table,
    target: Target,
    merge: Merge,
    keys: Collection[OwnKey],
    most: int,
) -> Steps[tuple[Merged, list[Refused]]]:
    """Move what the table takes, which has such ``keys`` to itself; return that, and the rows it
    refuses, in their order.

    It stops at once when those are more than ``most``. Raises ``TransferError`` for what is not the
    fault of a row.
    """
    if merge.mode == "replace":
        yield from empty(connection, table)
    text = sql.SQL("SELECT coalesce(min({n}), 0), coalesce(max({n}), 0) FROM {}")
    rows = yield from query(
        connection, text.format(target.relation, n=sql.Identifier(target.number))
    )
    if keys:
        return (yield from _move_together(connection, table, target, merge, keys, rows[0], most))
    parts = [rows[0]]
    loaded = updated = 0
    refused: list[Refused] = []
    while parts and len(refused) <= most:
        first, last = parts.pop()
        outcome = yield from _attempt(connection, table, target, merge, (first, last))
        if not isinstance(outcome, psycopg.Error):
            loaded, updated = loaded + outcome[0], updated + outcome[1]
        elif first >= last:
            refused.append(Refused(first, outcome))
        else:
            if (first, last) == rows[0]:
                yield from _prepare(connection, table, target, merge)
            middle = (first + last) // 2
            parts += [(middle + 1, last), (first, middle)]
    return Merged(loaded, updated=updated), refused


def _move_together(
    connection: AnyConnection,
    table: Table,
    target: Target,
    merge: Merge,
    keys: Collection[OwnKey],
    part: tuple[int, int],
    most: int,
) -> Steps[tuple[Merged, list[Refused]]]:
    """Move all rows but those that refer to none. Raises ``TransferError`` for other bad rows."""
    outcome = yield from _attempt(connection, table, target, merge, part)
    refused: list[Refused] = []
    if isinstance(outcome, psycopg.errors.ForeignKeyViolation):
        lost = yield from take_orphans(connection, table, target, keys, most)
        refused = [Refused(number, outcome, key) for number, key in sorted(lost.items())]
        if len(refused) > most:
            return Merged(0), refused
        outcome = yield from _attempt(connection, table, target, merge, part)
    if isinstance(outcome, psycopg.Error):
        raise unmoved(outcome, table, merge) from outcome
    return Merged(outcome[0], updated=outcome[1]), refused


def places_of(
    connection: AnyConnection, table: Table, target: Target, merge: Merge, refused: list[Refused]
) -> Steps[list[int]]:
    """Return which of the staged rows were refused, counted from 1 as they were staged.

    Raises ``TransferError`` if it is no row that is refused, but every statement.
    """
    text = sql.SQL(
        "SELECT place FROM (SELECT n, row_number() OVER (ORDER BY n) AS place"
        " FROM (SELECT {} AS n FROM {} UNION SELECT pg_catalog.unnest(%s::bigint[])) AS u) AS s"
        " WHERE n = ANY (%s) ORDER BY place"
    ).format(sql.Identifier(target.number), target.relation)
    gone = [one.number for one in refused if one.key]
    rows = yield from query(connection, text, gone, [one.number for one in refused])
    if len(rows) < len(refused):
        raise unmoved(refused[0].error, table, merge) from refused[0].error
    return [place for (place,) in rows]


def found_again(
    file: Opened, start: Block, left_out: Collection[int], places: Sequence[int]
) -> list[Record]:
    """Return records of a file by their ascending places among those that were staged.

    ``start`` is the first block that was loaded, ``left_out`` are the records of it and the
    following ones that were not staged. Raises ``InputError`` if the file is not what it was.
    """
    scanner = Scanner(file.dialect, line=start.line, offset=start.offset, record=start.record)
    found: list[Record] = []
    gone, place = sorted(left_out), 0
    for block in scanner.blocks(chunks_again(file, start.offset)):
        missing = {*_between(gone, block.record, block.record + block.records)}
        last = place + block.records - len(missing)
        if wanted := {*_between(places, place + 1, last + 1)}:
            records = [r for r in split_block(block, scanner) if r.number not in missing]
            found += [r for at, r in enumerate(records, place + 1) if at in wanted]
        place = last
        if len(found) == len(places):
            return found
    raise InputError(f"{file.name} has become shorter while it was imported")


def _between(numbers: Sequence[int], first: int, end: int) -> Sequence[int]:
    """Return those of ascending numbers that are in a range."""
    return numbers[bisect_left(numbers, first) : bisect_left(numbers, end)]


def _attempt(
    connection: AnyConnection, table: Table, target: Target, merge: Merge, part: tuple[int, int]
) -> Steps[tuple[int, int] | psycopg.Error]:
    """Move the rows of some numbers; return how many went in and were updated, or the error."""
    yield from query(connection, "SAVEPOINT pgstrata_move")
    try:
        rows = yield from query(connection, move(table, target, merge, part))
    except psycopg.Error as error:
        if connection.closed or not of_row(error):
            raise unmoved(error, table, merge) from error
        undo = "ROLLBACK TO SAVEPOINT pgstrata_move; RELEASE SAVEPOINT pgstrata_move"
        yield from query(connection, undo)
        return error
    yield from query(connection, "RELEASE SAVEPOINT pgstrata_move")
    return rows[0][0], rows[0][1]


def _prepare(connection: AnyConnection, table: Table, target: Target, merge: Merge) -> Steps[None]:
    """Make ready for many small parts; doubled keys, unseen there, are an error as in one."""
    number = sql.Identifier(target.number)
    index = sql.SQL("CREATE INDEX ON {} ({})").format(target.relation, number)
    yield from query(connection, index)
    if merge.on_conflict == "update":
        yield from refuse_doubled(connection, table, target, merge)
