"""What hides the values of a column, as SQL that runs on the source: they never leave it.

All but ``null`` keep NULL as NULL and map equal values of one type to equal ones, so keys still
join. The salt makes that mapping unguessable; give the same one to let tables that are copied one
by one still fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from psycopg import sql

from pgstrata.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pgstrata.tables.catalog import Column

Mask: TypeAlias = "Callable[[Column, sql.Composable], sql.Composable]"
SALT = "pgstrata.salt"  # a setting of the transaction: it must not stand in the text of a query

_TEXTS = ("text", "varchar", "bpchar", "citext")
# How many bits a made-up number has that still fits the type.
_NUMBERS = {"int2": 15, "int4": 31, "int8": 63, "numeric": 63}
_DIGITS = 18  # that a number of 63 bits always has
_FIRST = ("Ada", "Alan", "Barbara", "Dennis", "Edith", "Frances", "Grace", "Hedy", "Ken", "Radia")
_LAST = (
    "Allen",
    "Clarke",
    "Hamilton",
    "Hopper",
    "Lamarr",
    "Liskov",
    "Perlman",
    "Ritchie",
    "Turing",
)


def masked(column: Column, mask: str) -> sql.Composable:
    """Return the expression that a copy selects instead of the column.

    Raises ``UsageError`` for a mask that does not exist or does not fit the column's type.
    """
    value = sql.Identifier(column.name)
    if mask not in MASKS:
        raise UsageError(f"there is no mask {mask!r}", hint=f"one of {', '.join(MASKS)}")
    hidden = MASKS[mask](column, value)
    return sql.SQL("CASE WHEN {value} IS NOT NULL THEN {hidden} END AS {value}").format(
        value=value, hidden=sql.SQL("({})::{}").format(hidden, sql.SQL(column.type))
    )


def _null(column: Column, _value: sql.Composable) -> sql.Composable:
    if column.not_null:
        raise UsageError(f'the column "{column.name}" must not be NULL', hint="mask it with hash")
    return sql.SQL("NULL")


def _hash(column: Column, value: sql.Composable) -> sql.Composable:
    if column.type_name in _TEXTS:
        return _cut(_digest(value), column)
    if column.type_name == "uuid":
        return sql.SQL("pg_catalog.left({}, 32)").format(_digest(value))
    if bits := _NUMBERS.get(column.type_name):
        text = "('x' || pg_catalog.left({}, 16))::bit(64)::bigint & {}"
        number = sql.SQL(text).format(_digest(value), sql.Literal(2**bits - 1))
        bounded = column.type_name == "numeric" and column.modifier >= 0
        return _scaled(number, column.modifier) if bounded else number
    raise _unfit("hash", column, "texts, integers, numeric and uuid")


def _scaled(number: sql.Composable, modifier: int) -> sql.Composable:
    """Fit a number into numeric(precision, scale), which pg_attribute packs, with 4 added."""
    precision, scale = (modifier - 4) >> 16, (((modifier - 4) & 0x7FF) ^ 1024) - 1024
    return sql.SQL("(({}) % {}) * 10::numeric ^ {}").format(
        number, sql.Literal(10 ** min(precision, _DIGITS)), sql.Literal(-scale)
    )


def _fake_email(column: Column, value: sql.Composable) -> sql.Composable:
    _need_text("fake-email", column)
    return sql.SQL("'user-' || pg_catalog.left({}, 12) || '@example.com'").format(_digest(value))


def _fake_name(column: Column, value: sql.Composable) -> sql.Composable:
    _need_text("fake-name", column)
    text = "({first}::text[])[1 + {a} % {n}] || ' ' || ({last}::text[])[1 + {b} % {m}]"
    name = sql.SQL(text).format(
        first=sql.Literal(list(_FIRST)),
        last=sql.Literal(list(_LAST)),
        n=sql.Literal(len(_FIRST)),
        m=sql.Literal(len(_LAST)),
        a=_byte(value, 1),
        b=_byte(value, 3),
    )
    return _cut(name, column)


def _fake_phone(column: Column, value: sql.Composable) -> sql.Composable:
    _need_text("fake-phone", column)
    digits = sql.SQL(
        "'+1-555-' || pg_catalog.lpad((('x' || pg_catalog.left({}, 7))::bit(28)::int"
        " % 10000000)::text, 7, '0')"
    )
    return _cut(digits.format(_digest(value)), column)


MASKS: Mapping[str, Mask] = {
    "null": _null,
    "hash": _hash,
    "fake-email": _fake_email,
    "fake-name": _fake_name,
    "fake-phone": _fake_phone,
}


def _digest(value: sql.Composable) -> sql.Composed:
    salted = "pg_catalog.current_setting({}) || ({})::text"
    text = sql.SQL(salted).format(sql.Literal(SALT), value)
    return sql.SQL(
        "pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to({}, 'UTF8')), 'hex')"
    ).format(text)


def _byte(value: sql.Composable, place: int) -> sql.Composed:
    """Return a number from 0 to 255, from the digest's hex digits at a place counted from 1."""
    text = "('x' || pg_catalog.substr({}, {}, 2))::bit(8)::int"
    return sql.SQL(text).format(_digest(value), sql.Literal(place))


def _cut(text: sql.Composable, column: Column) -> sql.Composable:
    """Cut a text to the column's length, which pg_attribute gives with 4 bytes added."""
    if column.modifier < 0:
        return text
    return sql.SQL("pg_catalog.left({}, {})").format(text, sql.Literal(column.modifier - 4))


def _need_text(mask: str, column: Column) -> None:
    if column.type_name not in _TEXTS:
        raise _unfit(mask, column, "texts")


def _unfit(mask: str, column: Column, fits: str) -> UsageError:
    return UsageError(
        f'{mask} does not fit the column "{column.name}" of type {column.type}',
        hint=f"it fits {fits}; null fits every column that may be NULL",
    )
