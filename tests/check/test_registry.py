from __future__ import annotations

import re

from tests.check import (
    test_capacity,
    test_clients,
    test_identity,
    test_monotonic,
    test_policy,
    test_robustness,
    test_secrets,
    test_tidiness,
    test_transport,
)
from tests.check.conftest import Case

from pgstrata.check.registry import EXPLANATIONS, RULES
from pgstrata.check.run import FILE_RULES
from pgstrata.rules import ADVICE
from pgstrata.rules import RULES as LOADING

CASES: tuple[Case, ...] = (
    *test_capacity.CASES,
    *test_clients.CASES,
    *test_identity.CASES,
    *test_monotonic.CASES,
    *test_policy.CASES,
    *test_robustness.CASES,
    *test_secrets.CASES,
    *test_tidiness.CASES,
    *test_transport.CASES,
)
# These need a file of some mode, or a variable, in a test of their own.
FIRED_ELSEWHERE = {"readable-secret-file", "unread-variable"}
SILENT_ELSEWHERE = {"readable-secret-file"}


def test_every_rule_has_a_case_that_fires_and_one_that_stays_silent() -> None:
    """No rule is without both."""
    rules = {rule.id for rule in RULES}
    assert rules - {case.rule for case in CASES if case.at} == FIRED_ELSEWHERE
    assert rules - {case.rule for case in CASES if not case.at} == SILENT_ELSEWHERE


def test_ids_are_unique_and_can_be_written_everywhere() -> None:
    """An id is an anchor, a SARIF id and the word in an ignore."""
    ids = [rule.id for rule in RULES]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", rule) for rule in EXPLANATIONS)
    assert set(FILE_RULES) <= set(LOADING)
    assert not set(ids) & set(LOADING)


def test_every_rule_says_why_and_what_to_do() -> None:
    """No text is missing, and none is of a rule that there is not."""
    for rule, texts in EXPLANATIONS.items():
        assert all((texts.what, texts.why, texts.remedy)), rule
    assert set(ADVICE) == set(LOADING)
