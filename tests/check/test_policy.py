from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.check.conftest import CLEAN, Case, Check, hold, run

from pgstrata.check.policy import CHECKS
from pgstrata.check.run import Selection

HOST = "connection_settings:\n  host: %s\n"


def policy(*entries: str) -> str:
    """Return a base file with a policy at line 9."""
    return CLEAN + f"policy: [{', '.join(entries)}]\n"


CASES = (
    Case(
        "policy",
        {"base": policy("{require: connection_settings.application_name}"), "one": ""},
        "environments/one.yaml:1",
        "connection_settings.application_name is required",
        "error",
    ),
    Case(
        "policy",
        {"base": policy("{forbid: connection_settings.host, message: ask us}"), "one": HOST % "x"},
        "environments/one.yaml:2",
        "ask us",
    ),
    Case(
        "policy",
        {
            "base": policy("{max: {session_settings.statement_timeout: 1min}, severity: warning}"),
            "one": "session_settings:\n  statement_timeout: 61s\n",
        },
        "environments/one.yaml:2",
        "61s is larger than the largest that is allowed, 1min",
        "warning",
    ),
    *(
        Case(
            "policy",
            {
                "base": policy(f"{{max: {{{section}.{name}: 10}}}}"),
                "one": f"{section}:\n  {name}: {no}",
            },
            "environments/one.yaml:2",
            f"{no} is no limit, and larger than the largest that is allowed, 10",
        )
        for section, name, no in (
            ("session_settings", "statement_timeout", "0min"),
            ("session_settings", "temp_file_limit", "-1"),
            ("connection_settings", "connect_timeout", "0"),
            ("pool_settings", "max_waiting", "0"),
        )
    ),
    Case(
        "policy",
        {
            "base": policy("{max: {session_settings.lock_timeout: 0}}"),
            "one": "session_settings: {lock_timeout: 5s}",
        },
    ),
    Case(
        "policy",
        {
            "base": policy("{max: {connection_settings.keepalives_idle: 10}}"),
            "one": "connection_settings: {keepalives_idle: 0}",
        },
    ),
    Case(
        "policy",
        {
            "base": policy("{min: {pool_settings.max_size: 5}}"),
            "one": "pool_settings:\n  max_size: 4\n",
        },
        "environments/one.yaml:2",
        "4 is smaller",
    ),
    Case(
        "policy",
        {
            "base": policy("{one_of: {connection_settings.sslmode: verify-full}}"),
            "one": "connection_settings:\n  sslmode: verify-ca\n  sslrootcert: null\n",
        },
        "environments/one.yaml:2",
        "verify-ca is not one of verify-full",
    ),
    Case(
        "policy",
        {"base": policy("{from: {connection_settings.host: [overlay]}}"), "one": ""},
        "environments/base.yaml:2",
        "comes from the layer base; allowed: overlay",
    ),
    Case(  # a value that is not allowed anywhere, in a connection's own words
        "policy",
        {
            "base": policy("{one_of: {connections.a.connection_settings.dbname: [x, y]}}"),
            "one": "connections:\n  a:\n    connection_settings:\n      dbname: z\n",
        },
        "environments/one.yaml:4",
    ),
    Case("policy", {"base": policy("{require: connection_settings.host}"), "one": ""}),
    Case(
        "policy",
        {
            "base": policy("{max: {session_settings.statement_timeout: 30s}}"),
            "one": "session_settings: {statement_timeout: 30000}",
        },
    ),
    Case(
        "policy",
        {
            "base": policy("{forbid: connection_settings.host, environments: [prod*, two]}"),
            "one": "",
        },
    ),
    Case(
        "policy",
        {
            "base": policy("{one_of: {session_settings.jit: [on]}}"),
            "one": "session_settings: {jit: true}",
        },
    ),
    *(
        Case(
            "policy",
            {
                "base": policy(entry),
                "one": "session_settings:\n  statement_timeout: 1h\n  TimeZone: Europe/Paris\n"
                "sync_settings: {lock_timeout: 1h}\n",
            },
            at,
            says,
        )
        for entry, at, says in (
            (
                "{max: {session_settings.Statement_Timeout: 1min}}",
                "environments/one.yaml:2",
                "session_settings.statement_timeout 1h is larger",
            ),
            (
                "{one_of: {session_settings.TimeZone: [UTC]}}",
                "environments/one.yaml:3",
                "session_settings.timezone Europe/Paris is not one of UTC",
            ),
            ("{forbid: session_settings.TIMEZONE}", "environments/one.yaml:3", "is forbidden"),
            (
                "{forbid: connections.default.session_settings.TIMEZONE}",
                "environments/one.yaml:3",
                "is forbidden",
            ),
            (
                "{from: {session_settings.TimeZone: base}}",
                "environments/one.yaml:3",
                "comes from the layer overlay",
            ),
            ("{require: session_settings.TimeZone}", "", ""),
            (  # both spellings count, as two demands
                "{max: {sync_settings.Lock_Timeout: 1min, sync_settings.lock_timeout: 2h}}",
                "environments/one.yaml:4",
                "allowed, 1min",
            ),
        )
    ),
    Case("invalid-policy", {"base": policy("{require: protected}"), "one": ""}),
    Case(
        "invalid-policy",
        {
            "base": f"{CLEAN}policy:\n- require: protected\n  message: x\n- forbids: host\n",
            "one": "",
        },
        "environments/base.yaml:12",
        "entry 2: must have exactly one of",
    ),
)

INVALID = (
    ("text", "must have exactly one of"),
    ("{message: x}", "must have exactly one of"),
    ("{require: a, forbid: b}", "must have exactly one of"),
    ("{require: connection_settings.hots}", "'connection_settings.hots' is not a key"),
    ("{require: conection_settings.host}", "did you mean 'connection_settings'?"),
    ("{require: connection_settings.host, mesage: x}", "did you mean 'message'?"),
    ("{require: connection_settings.host, severity: bad}", "severity is one of"),
    ("{require: connection_settings.host, message: {a: b}}", "message must be a text"),
    ("{require: connection_settings.host, message: [a, b]}", "message must be a text"),
    ("{require: connection_settings.host, severity: [error]}", "severity is one of"),
    ("{require: connection_settings.host, environments: {a: b}}", "must be a pattern of names"),
    (
        "{require: connection_settings.host, environments: [a, [b]]}",
        "must be a pattern of names",
    ),
    ("{require: connection_settings.host, environments: []}", "must be a pattern of names"),
    ("{one_of: {connection_settings.host: []}}", "must be a text, or a list of texts"),
    ("{require: [connection_settings.host, {a: b}]}", "require must be a key, or a list of keys"),
    ("{forbid: []}", "forbid must be a key, or a list"),
    ("{max: {}}", "max must be a map"),
    ("{one_of: {connection_settings.host: {a: b}}}", "must be a text, or a list of texts"),
    ("{from: {connection_settings.host: [[base]]}}", "must be a text, or a list of texts"),
    ("{max: {pool_settings.max_size: [1, 2]}}", "is no number"),
    ("{max: {pool_settings.max_size: %s}}" % ("9" * 5000), "is no number"),
    ("{forbid: protected.yes}", "'protected.yes' is not a key"),
    ("{forbid: connections}", "'connections' is not a key"),
    ("{forbid: connections.a}", "'connections.a' is not a key"),
    ("{max: pool_settings.max_size}", "must be a map"),
    ("{max: {pool_settings.max_size: many}}", "'many' is no number"),
    ("{one_of: {connection_settings.password: [a]}}", "is a secret"),
    ("{from: {connection_settings.host: [overlays]}}", "'overlays' is no layer"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule(case: Case, tmp_path: Path) -> None:
    """The rule fires where the case says, or nowhere."""
    hold(tmp_path, case)


@pytest.mark.parametrize(("entry", "says"), INVALID)
def test_an_entry_that_cannot_be_read_is_a_finding(checked: Check, entry: str, says: str) -> None:
    """It says which entry and what is wrong with it, at the entry's place."""
    report = checked(base=policy("{require: protected}", entry), one="")
    (finding,) = [f for f in report.findings if f.rule == "invalid-policy"]
    assert finding.message.startswith("entry 2: ")
    assert says in finding.message
    assert str(finding.origin) == "environments/base.yaml:9:32"


ELSEWHERE = (
    (
        "{require: connections.analytcs.connection_settings.application_name}",
        "there is no connection 'analytcs'; did you mean 'analytics'?",
    ),
    ("{forbid: connections.x.pooler}", "there is no connection 'x'"),
    ("{forbid: connections..pooler}", "there is no connection ''"),
    (
        "{require: connection_settings.host, environments: prodution}",
        "there is no environment 'prodution'; did you mean 'production'?",
    ),
    ("{require: connection_settings.host, environments: [one, x]}", "no environment 'x'"),
    ('{require: connection_settings.host, environments: ""}', "no environment ''"),
)
ANALYTICS = "connections: {analytics: {}}"


@pytest.mark.parametrize(("entry", "says"), ELSEWHERE)
def test_an_entry_that_names_what_there_is_not_is_a_finding(
    checked: Check, entry: str, says: str
) -> None:
    """It would forbid nothing; one environment that has the connection is enough."""
    known = "{forbid: connections.analytics.pooler, environments: [one, production, qa*]}"
    report = checked(base=policy(known, entry), one="", production=ANALYTICS)
    found = [f for f in report.findings if f.rule == "invalid-policy"]
    assert {f.environment for f in found} == {"one", "production"}
    assert says in found[0].message
    assert str(found[0].origin).startswith("environments/base.yaml:9:")


@pytest.mark.parametrize(("entry", "says"), ELSEWHERE)
@pytest.mark.parametrize(("chosen", "other"), [("some", ""), ("all", "no_section: x")])
def test_names_are_judged_where_all_environments_are_loaded(
    tmp_path: Path, chosen: str, other: str, entry: str, says: str
) -> None:
    """The name may be of one that is not there; that this was not told is said."""
    files = {"base": policy(entry), "one": "", "other": other}
    report = run(tmp_path, files, selection=Selection(complete=chosen == "all"))
    assert [f for f in report.findings if f.rule == "invalid-policy"] == [], says
    assert any(note.startswith("invalid-policy: names") for note in report.unknown)


def test_the_line_of_an_entry_shows_its_keys_alone(checked: Check) -> None:
    """What is wrong is most often a key, and a value may be a secret that does not belong there."""
    wrong = "policy:\n- one_of: {connection_settings.password: kX7canary}\n"
    report = checked(base=CLEAN + wrong, one="")
    (finding,) = [f for f in report.findings if f.rule == "invalid-policy"]
    assert finding.excerpt == "- one_of: {connection_settings.password: ********}"
    assert "kX7canary" not in repr(report)


def test_a_secret_is_required_without_being_shown(checked: Check) -> None:
    """Its presence and its layer are all that a policy sees."""
    report = checked(
        base=policy(
            "{require: connection_settings.password}",
            "{from: {connection_settings.password: [environment]}}",
        ),
        one="connection_settings: {password: kX7canary}",
    )
    (finding,) = [f for f in report.findings if f.rule == "policy"]
    assert "comes from the layer overlay" in finding.message
    assert "kX7canary" not in repr(report)


def test_the_documented_policy_and_services_can_be_read(checked: Check) -> None:
    """The blocks of the page are valid as they stand, and every kind of entry is among them."""
    page = Path(__file__).parents[2] / "docs" / "how-to" / "policy.md"
    policies, services = re.findall(
        r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL
    )
    report = checked(base=CLEAN + policies, one=f"{ANALYTICS}\n{services}", staging="")
    assert report.broken == set()
    assert [f for f in report.findings if f.rule.startswith("invalid-")] == []
    assert {line.split(":")[0][2:] for line in policies.splitlines() if line[:2] == "- "} == set(
        CHECKS
    )
