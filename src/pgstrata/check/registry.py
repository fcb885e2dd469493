"""All rules of ``check``, and what a reader is told about any rule at all."""

from __future__ import annotations

from dataclasses import dataclass

from pgstrata.check import (
    capacity,
    clients,
    identity,
    ignores,
    monotonic,
    policy,
    robustness,
    secrets,
    tidiness,
    transport,
    unread,
)
from pgstrata.check.scope import Rule
from pgstrata.rules import ADVICE
from pgstrata.rules import RULES as LOADING

RULES: tuple[Rule, ...] = (
    *secrets.RULES,
    *transport.RULES,
    *identity.RULES,
    *robustness.RULES,
    *monotonic.RULES,
    *tidiness.RULES,
    *capacity.RULES,
    *clients.RULES,
    *policy.RULES,
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a rule looks for, why that matters, and what to do about it."""

    what: str
    why: str
    remedy: str


EXPLANATIONS: dict[str, Explanation] = {
    **{rule: Explanation(what, *ADVICE[rule]) for rule, what in LOADING.items()},
    **{rule: Explanation(*texts) for rule, texts in (ignores.RULES | unread.RULES).items()},
    **{rule.id: Explanation(rule.what, rule.why, rule.remedy) for rule in RULES},
}
