"""The line that would let a client in, and where it belongs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pgstrata.audit.hba.attempt import Attempt, Known, Transport
from pgstrata.audit.hba.decision import Verdict, verdict, verdicts
from pgstrata.audit.hba.line import Keyword, hba_line
from pgstrata.audit.hba.rule import Rule

_TYPES: Mapping[Transport, str] = {"plain": "host", "tls": "hostssl", "gss": "hostgssenc"}


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A line for pg_hba.conf, and the rule that it must come before; None means at the end."""

    line: str
    before: Rule | None

    @property
    def place(self) -> str:
        """Where it belongs, in words."""
        return f"before {self.before.place}" if self.before else "after the last line"


def suggest(
    rules: Sequence[Rule],
    attempt: Attempt,
    known: Known,
    method: str = "scram-sha-256",
    options: Mapping[str, str] | None = None,
) -> Suggestion:
    """Return the narrowest line that lets the attempt in by ``method``.

    It comes before the first rule that decides about any part of the attempt's clients today, as
    the first match is the only one that counts.
    """
    database = Keyword("replication") if attempt.replication else attempt.database
    address = str(attempt.client) if attempt.client is not None else None
    kind = "local" if attempt.client is None else _TYPES[attempt.transport]
    line = hba_line(kind, database, attempt.user, address, method, options)
    deciding = [rule for said in _verdicts(rules, attempt, known) for rule in said.possible]
    before = next((rule for rule in rules if any(rule is one for one in deciding)), None)
    return Suggestion(line, before)


def _verdicts(rules: Sequence[Rule], attempt: Attempt, known: Known) -> list[Verdict]:
    if attempt.client is None:
        return [verdict(rules, attempt, known)]
    return [part.verdict for part in verdicts(rules, attempt, known)]
