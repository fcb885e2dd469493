from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from tests.audit.program import Well, by_id, environments, merged, settings

from pgstrata.audit.checks import CHECKS
from pgstrata.audit.facts import FACTS
from pgstrata.audit.judge import judge
from pgstrata.audit.model import FINDING, Check, Snapshot
from pgstrata.audit.run import look
from pgstrata.audit.view import View
from pgstrata.schema.keys import SERVER
from pgstrata.schema.names import is_setting

IDS = [check.id for check in CHECKS]
# What a role without any privilege cannot be told, and what is said to it all the same.
UNSEEN = {
    "cap.headroom_now": "GRANT pg_read_all_stats TO app;",
    "auth.rule": "GRANT SELECT ON pg_hba_file_rules TO app;",
    "auth.method": "GRANT SELECT ON pg_hba_file_rules TO app;",
    "auth.drift": "GRANT SELECT ON pg_hba_file_rules TO app;",
    "auth.file_errors": "GRANT SELECT ON pg_hba_file_rules TO app;",
    "auth.unreachable": "GRANT SELECT ON pg_hba_file_rules TO app;",
    "auth.broad": "GRANT SELECT ON pg_hba_file_rules TO app;",
    "auth.ssl_ca": "GRANT SELECT ON pg_hba_file_rules TO app;",
    "auth.not_reloaded": "GRANT EXECUTE ON FUNCTION pg_stat_file(text) TO app;",
    "auth.hash": "",
    "conf.pending_restart": "GRANT pg_read_all_settings TO app;",
    "conf.file_errors": "GRANT EXECUTE ON FUNCTION pg_show_all_file_settings() TO app;",
    "topo.lag": "GRANT pg_monitor TO app;",
}
# What has nothing to judge of one primary without a pooler, whose timeouts have units.
SILENT = {
    *("cap.standby_first", "cap.pooler", "to.units", "to.lost_in_pooler"),
    *("topo.no_primary", "topo.lag", "topo.wrong_cluster"),
    *("par.version", "par.encoding", "par.extensions", "par.collation"),
    *("par.behaviour", "par.scaled"),
}


def test_ids_are_unique_and_say_their_topic() -> None:
    """One id gives the page, the waiver and the SARIF rule."""
    assert len(set(IDS)) == len(IDS)
    topics = {"cap", "tls", "auth", "to", "ka", "role", "conf", "topo", "size", "par"}
    assert {one.partition(".")[0] for one in IDS} == topics
    assert all(re.fullmatch(r"[a-z]+\.[a-z_]+", one) for one in IDS)


@pytest.mark.parametrize("check", CHECKS, ids=IDS)
def test_the_query_to_verify_changes_nothing(check: Check) -> None:
    """It is for a look, also where READ ONLY would not stop it."""
    acts = r"pg_(terminate|cancel|reload|rotate|switch|promote|create|drop)_|^(?!SELECT|SHOW).*;"
    assert not re.search(acts, check.verify)


@pytest.mark.parametrize("check", CHECKS, ids=IDS)
def test_every_page_has_its_texts(check: Check) -> None:
    """What, why, fix, when to ignore, what it cannot see, and where the rule is from."""
    texts = (check.what, check.why, check.fix, check.ignore, check.cannot_see, check.source)
    assert all(text.endswith((".", ";", "`")) for text in texts), texts
    assert (check.find is None) != (check.compare is None)


@pytest.mark.parametrize("check", IDS)
def test_all_is_well(well: Well, check: str) -> None:
    """Nothing is found of a program and a server that are in order, and it was looked for."""
    said = judge([well.view], [by_id()[check]])
    allowed = {"conf.durability": {"warn"}}  # tests need no fsync
    assert {one.status for one in said} <= allowed.get(check, {"ok"}), said
    if not check.startswith(("tls.", "auth.")):  # the program uses no TLS
        assert bool(said) is (check not in SILENT)


@pytest.mark.parametrize("check", IDS)
def test_nothing_is_ok_of_a_server_that_was_not_seen(well: Well, check: str) -> None:
    """What the program's own files prove is said; all else is unknown, with the reason."""
    nothing = Snapshot("production", "default", "127.0.0.1", "1", well.view.snapshot.taken)
    views = [View(well.view.client, replace(nothing, error="nobody answers"))]
    said = judge(views, [by_id()[check]])
    assert {one.status for one in said} == {"unknown"}
    assert {one.outcome.message for one in said} == {"nobody answers"}


def test_what_a_plain_role_may_not_see(well: Well, tmp_path: Path) -> None:
    """Each is unknown, names the statement that would show it, and no other is."""
    views = look(environments(tmp_path, production=settings(well.server)))
    said = [one for one in judge(views) if one.status == "unknown"]
    found = {one.check: one.gap for one in said}
    assert found.keys() == UNSEEN.keys()
    for check, grant in UNSEEN.items():
        gap = found[check]
        assert gap is not None
        assert grant in gap.grant
        assert gap.why


def test_keys_of_findings_are_settings(well: Well) -> None:
    """A finding leads to a line that some file may have."""
    keys = {one.outcome.key for one in judge([well.view])} - {""}
    assert all(is_setting(key) for key in keys), keys


def test_every_check_is_shown_to_fire() -> None:
    """Some case or test of this folder names each of them beside a status that is not ok."""
    fired: set[str] = set()
    for path in set(Path(__file__).parent.glob("test_*.py")) - {Path(__file__)}:
        for node in ast.walk(ast.parse(path.read_text())):
            texts = constants(node) if is_shown(node) else set()
            fired |= texts if texts & set(FINDING) else set()
    assert set(IDS) - fired == set()


def is_shown(node: ast.AST) -> bool:
    """Tell whether a piece of code is a test, or a case of one."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "Case"
    return isinstance(node, ast.FunctionDef) and node.name.startswith("test_")


def constants(node: ast.AST) -> set[str]:
    """Return all texts in a piece of code."""
    inner = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant))
    return {value for value in inner if isinstance(value, str)}


@pytest.mark.parametrize(
    ("check", "standby"),
    [("topo.same_cluster", False), ("topo.wrong_cluster", False), ("cap.standby_first", True)],
)
def test_a_cluster_that_is_not_shown_is_unknown(
    well: Well, tmp_path: Path, check: str, *, standby: bool
) -> None:
    """With the statement that would show it: some revoke it from everybody."""
    files = merged(settings(well.server), {"server": {"system_identifier": "1"}})
    (client,) = environments(tmp_path, production=files)
    query = next(fact for fact in FACTS if fact.name == "control")
    gap = query.gap({**well.view.row("caps"), "control": False}, "app")
    assert gap is not None
    facts = {name: rows for name, rows in well.view.snapshot.facts.items() if name != "control"}
    facts["identity"] = ({**facts["identity"][0], "in_recovery": standby},)
    seen = replace(well.view.snapshot, facts=facts, gaps={"control": gap})
    (said,) = judge([View(client, seen)], [by_id()[check]])
    assert (said.status, said.gap) == ("unknown", gap)
    assert gap.grant.startswith("GRANT EXECUTE ON FUNCTION pg_control_system()")


def test_the_page_says_what_may_be_declared(well: Well, tmp_path: Path) -> None:
    """All of it is read, and each key leads to a check that names it."""
    page = Path(__file__).parents[3] / "docs" / "how-to" / "audit.md"
    section = page.read_text(encoding="utf-8").partition("## What has to be declared")[2]
    said = yaml.safe_load(section.partition("```yaml\n")[2].partition("```")[0])
    (client,) = environments(tmp_path, production=merged(settings(well.server), said))
    view = View(client, well.view.snapshot)
    assert view.demand == (6 + 2) * 4 * 4
    assert view.declared("memory") == "32GB"
    assert said["server"].keys() <= SERVER.keys()
