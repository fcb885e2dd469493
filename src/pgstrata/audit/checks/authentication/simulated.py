"""pg_hba.conf as the server shows it, and the attempts of the program that it decides about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_network

from pgstrata import client_addresses
from pgstrata.audit.checks.authentication.known import known
from pgstrata.audit.hba import (
    Attempt,
    Known,
    Rule,
    Step,
    Transport,
    Verdict,
    client,
    next_step,
    rules,
    transports,
    verdict,
    verdicts,
)
from pgstrata.audit.hba.rule import Network
from pgstrata.audit.model import Gap, UnreadError
from pgstrata.audit.view import View
from pgstrata.errors import InvalidConfigError

_ANYWHERE = ip_network("0.0.0.0/0")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the rules say of one attempt, and what the server then does."""

    attempt: Attempt
    verdict: Verdict
    steps: tuple[Step, ...]

    @property
    def where(self) -> str:
        """Who knocks, in words."""
        who = str(self.attempt.client) if self.attempt.client is not None else "a Unix socket"
        return f"{self.attempt.user} from {who}, {self.attempt.transport}"

    @property
    def refused(self) -> bool:
        """Whether nobody gets in this way, whatever the password."""
        return all(step.possible is False for step in self.steps)

    @property
    def admitted(self) -> bool:
        """Whether the program gets in this way, given the right password."""
        return self.verdict.kind == "rule" and self.steps[0].possible is True

    @property
    def rule(self) -> Rule | None:
        """The line that decides, if it is known."""
        return self.verdict.rule

    @property
    def why(self) -> str:
        """Why it is refused, or cannot be told."""
        doubt = next((s.possible for s in self.steps if isinstance(s.possible, str)), "")
        return self.verdict.reason or next((s.problem for s in self.steps if s.problem), doubt)


def file_of(view: View) -> tuple[Rule, ...]:
    """Return the lines of pg_hba.conf. Raises ``UnreadError``."""
    return rules(view.rows("hba"), view.version)


def attempted(view: View) -> tuple[Transport, ...]:
    """Return how the program tries to connect, in its order."""
    return transports(view.sslmode, _ANYWHERE if view.tcp else None)


def answers(view: View, network: Network | None) -> list[list[Answer]]:
    """Return, for each part of a network of clients that lines divide it into, what the server says
    to each attempt that libpq makes, in its order. Raises ``UnreadError``.
    """
    lines, facts = file_of(view), known(view)
    tried = transports(view.sslmode, network)
    by_part: dict[Network | None, list[Answer]] = {}
    for transport in tried:
        for answer in _parts(view, lines, facts, network, transport):
            by_part.setdefault(answer.attempt.client, []).append(answer)
    if len({len(found) for found in by_part.values()}) > 1:  # TLS and plain divide it differently
        by_part = _aligned(view, lines, facts, by_part, tried)
    return list(by_part.values())


def _parts(
    view: View,
    lines: tuple[Rule, ...],
    facts: Known,
    network: Network | None,
    transport: Transport,
) -> Iterator[Answer]:
    attempt = attempt_of(view, network, transport)
    if network is None:
        yield answer(lines, facts, attempt)
        return
    for part in verdicts(lines, attempt, facts):
        for clients in part.clients:
            yield answer(lines, facts, replace(attempt, client=clients))


def _aligned(
    view: View,
    lines: tuple[Rule, ...],
    facts: Known,
    by_part: Mapping[Network | None, list[Answer]],
    tried: tuple[Transport, ...],
) -> dict[Network | None, list[Answer]]:
    """Return all attempts for the smallest parts, which no line divides for any of them."""
    parts = [part for part in by_part if part is not None]
    smallest = [p for p in parts if not any(p != q and q.subnet_of(p) for q in parts)]  # type: ignore[arg-type]  # of one version
    return {
        part: [answer(lines, facts, attempt_of(view, part, transport)) for transport in tried]
        for part in smallest
    }


def attempt_of(view: View, network: Network | None, transport: Transport) -> Attempt:
    """Return the program's attempt from there."""
    shown = view.snapshot.facts.get("client_certificates", ())
    names = [row["common_name"] for row in shown if row["keyword"] == "sslcert"]
    return Attempt(
        database=view.dbname,
        user=view.user,
        client=network,
        transport=transport,
        certificate=names[0] if names and transport == "tls" else None,
    )


def answer(lines: tuple[Rule, ...], facts: Known, attempt: Attempt) -> Answer:
    """Return what the lines say of an attempt."""
    said = verdict(lines, attempt, facts)
    return Answer(attempt, said, tuple(next_step(rule, attempt, facts) for rule in said.possible))


def own_address(view: View) -> Network | None:
    """Return where the server saw the audit come from; None for a Unix socket."""
    address = view.row("identity")["client_addr"]
    return client(address) if address else None


def networks(view: View) -> tuple[Network | None, ...]:
    """Return where the program connects from: as declared, or else as the audit did.

    Raises ``UnreadError`` where the audit's own address says nothing of the program's.
    """
    try:
        declared = client_addresses.networks(view.client.config)
    except InvalidConfigError as error:
        raise UnreadError(Gap(str(error))) from None
    if declared:
        return declared
    if view.remote:
        raise UnreadError(Gap("no client_addresses are declared"))
    return (own_address(view),)
