"""What pg_hba.conf, as the server shows it, says of the program's attempts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from pgstrata.audit.checks.authentication.attempts import (
    attempt_of,
    attempted,
    inside,
    networks,
)
from pgstrata.audit.checks.authentication.known import known
from pgstrata.audit.checks.pooled import behind_pooler
from pgstrata.audit.hba import (
    Attempt,
    Known,
    Request,
    Rule,
    Step,
    Transport,
    Verdict,
    next_step,
    rules,
    verdict,
    verdicts,
)
from pgstrata.audit.hba.rule import Network
from pgstrata.audit.view import View


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
        return self.verdict.settled and all(step.possible is False for step in self.steps)

    @property
    def admitted(self) -> bool:
        """Whether the program gets in this way, given the right password."""
        return self.verdict.kind == "rule" and self.steps[0].possible is True

    @property
    def requests(self) -> frozenset[Request]:
        """What the server may ask for, or refuse with."""
        return frozenset(request for step in self.steps for request in step.requests)

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


def all_answers(view: View) -> list[list[Answer]]:
    """Return what the server says to each attempt from each place that the program, or the pooler
    in front of the server, connects from. Raises ``UnreadError``.
    """
    if behind_pooler(view):
        return [[answer(file_of(view), known(view), inside(view, view.user))]]
    return [tried for network in networks(view) for tried in answers(view, network)]


def answers(view: View, network: Network | None) -> list[list[Answer]]:
    """Return, for each part of a network of clients that lines divide it into, what the server says
    to each attempt that libpq makes, in its order. Raises ``UnreadError``.
    """
    lines, facts = file_of(view), known(view)
    tried = attempted(view)
    by_part: dict[Network | None, list[Answer]] = {}
    for transport in tried:
        for answer in _parts(view, lines, facts, network, transport):
            by_part.setdefault(answer.attempt.client, []).append(answer)
    if any(len(found) < len(tried) for found in by_part.values()):  # they divide it differently
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


def answer(lines: tuple[Rule, ...], facts: Known, attempt: Attempt) -> Answer:
    """Return what the lines say of an attempt."""
    said = verdict(lines, attempt, facts)
    return Answer(attempt, said, tuple(next_step(rule, attempt, facts) for rule in said.possible))
