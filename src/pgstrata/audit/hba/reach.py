"""Rules that never decide, because earlier ones together take all that they match.

Comparing pairs of rules would miss what two take together, so representative attempts are decided:
one for each way in which rules can tell databases, roles, addresses and transports apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from itertools import product
from typing import get_args

from pgstrata.audit.hba.answer import Answer, all_of
from pgstrata.audit.hba.attempt import Attempt, Known, Transport
from pgstrata.audit.hba.match import (
    address_matches,
    database_matches,
    type_matches,
    user_matches,
)
from pgstrata.audit.hba.rule import Network, Rule

# Stands for all names that neither a rule nor the server knows. That it is not ASCII leaves it
# open whether a regular expression matches it.
_ANY_OTHER = "\N{WHITE SQUARE}"

_ORDINARY = ("0.0.0.0", "127.0.0.1", "127.0.0.2", "::", "::1")  # noqa: S104 # where intervals begin


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A rule that decides about nobody, and the earlier ones that do in its place.

    That is so with the databases and roles of today; ``by`` is empty where the rule matches none of
    them in the first place.
    """

    rule: Rule
    by: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class _Match:
    """Which rules match certainly, and which may: bit i stands for rule i."""

    surely: int
    maybe: int


def unreachable(
    rules: Sequence[Rule], databases: Iterable[str], known: Known
) -> tuple[Unreachable, ...]:
    """Return the rules that never decide, given these databases and the roles of ``known``.

    A rule that only may decide is not among them. Nor are rows with an error, which the server
    itself reports.
    """
    winners, instead = 0, [0] * len(rules)
    named, reached = _by_names(rules, databases, known), _by_clients(rules, known)
    for names, clients in product(named, reached):
        surely, maybe = names.surely & clients.surely, names.maybe & clients.maybe
        first = surely & -surely
        up_to_first = (first << 1) - 1 if first else -1
        winners |= maybe & up_to_first
        for index in _bits(maybe & ~up_to_first):
            instead[index] |= first
    return tuple(
        Unreachable(rule, tuple(rules[earlier] for earlier in _bits(instead[index])))
        for index, rule in enumerate(rules)
        if not rule.error and not rule.broken and not winners >> index & 1
    )


def _by_names(rules: Sequence[Rule], databases: Iterable[str], known: Known) -> set[_Match]:
    """Return how all pairs of a database and a role, and replication, are matched."""
    roles = {word.lstrip("+") for rule in rules for word in rule.users} | {*known.memberships}
    alike = _alike(rules, databases)
    return {match for user in (*roles, _ANY_OTHER) for match in _by_user(rules, user, alike, known)}


def _by_user(
    rules: Sequence[Rule], user: str, alike: Sequence[Sequence[str]], known: Known
) -> Iterator[_Match]:
    of_user = _bitmaps(rules, _user_of(user, known))
    attempts = (Attempt(name, user) for name in _databases(user, alike, known))
    for attempt in (Attempt("", user, replication=True), *attempts):
        of_database = _bitmaps(rules, _database_of(attempt, known), among=of_user.maybe)
        if of_database.maybe:
            yield _Match(of_user.surely & of_database.surely, of_database.maybe)


def _alike(rules: Sequence[Rule], databases: Iterable[str]) -> list[list[str]]:
    """Return the databases in groups that no rule tells apart for a role of another name."""
    stranger = Known(memberships={_ANY_OTHER: frozenset()})
    groups: dict[_Match, list[str]] = {_Match(0, 0): [_ANY_OTHER]}
    for name in {*databases, *(word for rule in rules for word in rule.databases)}:
        match = _bitmaps(rules, _database_of(Attempt(name, _ANY_OTHER), stranger))
        groups.setdefault(match, []).append(name)
    return list(groups.values())


def _databases(user: str, alike: Iterable[Sequence[str]], known: Known) -> Iterator[str]:
    """Yield the databases that ``sameuser`` and ``samerole`` tell apart, and one of each group."""
    special = {user, *known.memberships.get(user, ())}
    yield from special
    for group in alike:
        yield from [name for name in group if name not in special][:1]


def _by_clients(rules: Sequence[Rule], known: Known) -> set[_Match]:
    """Return how a Unix socket, and one client of each kind on each transport, are matched."""
    return {
        _bitmaps(rules, _client_of(Attempt("", "", client, transport), known))
        for client in (None, *_clients(rules), *map(ip_network, known.host_names))
        for transport in get_args(Transport)
    }


def _clients(rules: Sequence[Rule]) -> set[Network]:
    """Return the first address of each network of a rule, and the first one after it."""
    found = {ip_network(text) for text in _ORDINARY}
    for rule in rules:
        if rule.netmask:
            address, mask = ip_address(rule.address), int(ip_address(rule.netmask))
            every = 2**address.max_prefixlen - 1
            first = int(address) & mask
            after = (first | ~mask & every) + 1
            kind = type(address)
            found |= {ip_network(kind(number)) for number in (first, after) if number <= every}
    return found


def _bitmaps(
    rules: Sequence[Rule], answer: Callable[[Rule], Answer], among: int | None = None
) -> _Match:
    """Return which rules the answer is True or a doubt for, of all or ``among`` these."""
    surely = maybe = 0
    for index in range(len(rules)) if among is None else _bits(among):
        said = not rules[index].broken and answer(rules[index])
        surely |= (said is True) << index
        maybe |= bool(said) << index
    return _Match(surely, maybe)


def _user_of(user: str, known: Known) -> Callable[[Rule], Answer]:
    return lambda rule: user_matches(rule, user, known)


def _database_of(attempt: Attempt, known: Known) -> Callable[[Rule], Answer]:
    return lambda rule: database_matches(rule, attempt, known)


def _client_of(attempt: Attempt, known: Known) -> Callable[[Rule], Answer]:
    return lambda rule: all_of(
        (type_matches(rule, attempt), address_matches(rule, attempt.client, known))
    )


def _bits(number: int) -> Iterator[int]:
    return (index for index in range(number.bit_length()) if number >> index & 1)
