"""Which rule decides about an attempt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import collapse_addresses
from typing import Literal, TypeAlias

from pgstrata.audit.hba.attempt import Attempt, Known
from pgstrata.audit.hba.match import matches
from pgstrata.audit.hba.rule import Network, Rule

Kind: TypeAlias = Literal["rule", "no_entry", "unknown"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say of an attempt.

    ``rule`` decides where ``kind`` is ``rule``; a failure of its method never leads to a later one.
    ``no_entry`` is the refusal for want of a rule. ``unknown`` has the ``reason``, and the
    ``candidates`` that may decide, in the order of the file; None among them is that refusal. Where
    the rules in force may be others than those of the file (not ``settled``), they prove nothing.
    """

    kind: Kind
    rule: Rule | None = None
    reason: str = ""
    candidates: tuple[Rule | None, ...] = ()
    settled: bool = True

    @property
    def possible(self) -> tuple[Rule | None, ...]:
        """The rules that may decide: one, unless it is unknown; None is the refusal."""
        return self.candidates if self.kind == "unknown" else (self.rule,)

    @property
    def refused(self) -> bool:
        """Whether the attempt certainly ends here: no entry, or the method ``reject``."""
        none_lets_in = all(rule is None or rule.method == "reject" for rule in self.possible)
        return self.settled and none_lets_in


@dataclass(frozen=True, slots=True)
class Slice:
    """Clients that the same rules decide about in the same way."""

    clients: tuple[Network, ...]
    verdict: Verdict


def verdict(rules: Sequence[Rule], attempt: Attempt, known: Known) -> Verdict:
    """Return what the rules, in the order of the file, say of the attempt.

    The client of the attempt should be one address, or a network that no rule divides; for others
    there is ``verdicts``.
    """
    candidates, reason = _candidates(rules, attempt, known)
    unsettled = next(_unsettled(rules, known), "")
    if unsettled or reason:
        why = unsettled or reason
        return Verdict("unknown", reason=why, candidates=candidates, settled=not unsettled)
    if candidates[0] is None:
        return Verdict("no_entry")
    return Verdict("rule", candidates[0])


def verdicts(rules: Sequence[Rule], attempt: Attempt, known: Known) -> tuple[Slice, ...]:
    """Return the verdict for each part of the attempt's clients that rules divide them into.

    Not for a Unix socket, which has ``verdict``.
    """
    assert attempt.client is not None, "a Unix socket has no parts"
    networks = [network for rule in rules if (network := rule.network) is not None]
    parts: dict[Verdict, list[tuple[Network, Verdict]]] = {}
    for part in _parts(attempt.client, networks):
        said = verdict(rules, replace(attempt, client=part), known)
        # Reasons may name the client, and are no difference by themselves.
        parts.setdefault(replace(said, reason=""), []).append((part, said))
    return tuple(_slice(found) for found in parts.values())


def _candidates(
    rules: Sequence[Rule], attempt: Attempt, known: Known
) -> tuple[tuple[Rule | None, ...], str]:
    """Return the rules that may decide, up to the first that matches for certain, and the doubt."""
    candidates: list[Rule | None] = []
    reason = ""
    for rule in rules:
        answer = not rule.broken and matches(rule, attempt, known)
        if answer is not False:
            candidates.append(rule)
        if answer is True:
            return tuple(candidates), reason
        reason = reason or (answer if isinstance(answer, str) else "")
    return (*candidates, None), reason


def _unsettled(rules: Sequence[Rule], known: Known) -> Iterator[str]:
    """Yield why the rules that were read may not be those in force.

    The server refuses a file with a mistake as a whole and keeps the rules that it had.
    """
    if known.unsettled:
        yield known.unsettled
    broken = next((rule for rule in rules if rule.broken), None)
    if broken is not None:
        why = broken.error or "an option is not valid"
        yield f"the server does not accept this file ({broken.place}: {why}), earlier rules hold"


def _parts(client: Network, networks: Iterable[Network]) -> Iterator[Network]:
    """Divide a network where one of ``networks`` begins or ends.

    A netmask with gaps has too many ends, so a network that it divides stays in one piece, and the
    verdict is unknown there.
    """
    inside = [network for network in networks if _is_part(network, client)]
    if not inside:
        yield client
        return
    for half in client.subnets():
        yield from _parts(half, inside)


def _is_part(network: Network, client: Network) -> bool:
    if network.version != client.version or network.prefixlen <= client.prefixlen:
        return False
    return network.network_address in client


def _slice(found: Sequence[tuple[Network, Verdict]]) -> Slice:
    clients = collapse_addresses(client for client, _ in found)  # type: ignore[type-var]  # of one version
    return Slice(tuple(clients), found[0][1])
