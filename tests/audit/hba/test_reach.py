"""Rules that never decide."""

from __future__ import annotations

from random import Random

import pytest
from tests.audit.hba.generated import DATABASES, Ground, attempts, lines, loaded
from tests.audit.hba.written import rule, rules

from pgstrata.audit.hba import Known, unreachable, verdict

KNOWN = Known(
    memberships={
        "bob": frozenset({"bob", "staff"}),
        "eve": frozenset({"eve"}),
        "staff": frozenset({"staff"}),
    }
)


@pytest.mark.parametrize(
    ("written", "by"),
    [
        (
            ["host all all 0.0.0.0/1 m", "host all all 128.0.0.0/1 m", "host all all 0.0.0.0/0 m"],
            "12",
        ),
        (["host all all 1.0.0.0/8 m", "host all +staff all m", "host all bob all reject"], "12"),
        (["hostssl all all all m", "hostnossl all all all m", "host all all all reject"], "12"),
        (
            ["host all all all m", "host replication all all m", "host all,replication all all m"],
            "12",
        ),
        (["host all all all m", "host replication all all m"], ""),
        (["host all all 10.0.0.0/8 m", "host all all 10.0.0.0/16 m"], "1"),
        (["host all all 10.0.0.0/16 m", "host all all 10.0.0.0/8 m"], ""),
        (["host all all 0.0.0.0/0 m", "host all all ::/0 m"], ""),
        (["host all all 0.0.0.0/0 m", "host all all ::/0 m", "host all all all m"], "12"),
        (["host all all samenet m", "host all all 10.0.0.0/8 m"], ""),
        (["host all all .example.com m", "host all all all m"], ""),
        (["host all all all m", "host all all db.example.com m"], "1"),
        (["host sameuser all all m", "host bob eve all m", "host bob bob all m"], "1"),
        (["host samerole all all m", "host staff bob all m"], "1"),
        (["host /^a all all m", "host b all all m", "host app all all m"], "1"),
        (["host a all all m", "host /^a all all m"], ""),
        (["host all all 10.0.0.0/8 m", "local all all m"], ""),
        (["host all all all m"], ""),
        ([], ""),
    ],
)
def test_unreachable(written: list[str], by: str) -> None:
    """That the last rule is taken by these lines is found, and nothing else is reported."""
    found = unreachable(rules(*written), ["app", "postgres", "staff"], KNOWN)
    expected = [(len(written), by)] if by else []
    assert [
        (one.rule.line, "".join(str(rule.line) for rule in one.by)) for one in found
    ] == expected


def test_a_rule_for_nobody() -> None:
    """No earlier rule is to blame where a rule matches no role of today."""
    known = Known(memberships={"bob": frozenset({"bob"}), "nobodys": frozenset({"nobodys"})})
    found = unreachable([rule("host samerole +gone all md5")], ["app"], known)
    assert [one.by for one in found] == []


def test_no_false_alarm(plain: Ground) -> None:
    """A rule that is called unreachable decides about none of many generated attempts."""
    for seed in range(3):
        random = Random(seed)
        found = loaded(plain, [line for _ in range(3) for line in lines(random, plain)])
        dead = [one.rule for one in unreachable(found, DATABASES, plain.known)]
        for attempt in attempts(random, plain, found, 300):
            said = verdict(found, attempt, plain.known)
            assert said.kind == "unknown" or said.rule not in dead, (seed, attempt)


def test_many_rules_and_roles_are_quick_to_judge() -> None:
    """A large server: 100 rules, 150 roles, 60 databases."""
    members = {f"u{n}": frozenset({f"u{n}", f"g{n % 7}"}) for n in range(150)}
    written = rules(*(f"host d{n % 60} u{n},+g{n % 9} 10.{n}.0.0/16 md5" for n in range(100)))
    assert unreachable(written, [f"d{n}" for n in range(60)], Known(memberships=members)) == ()
