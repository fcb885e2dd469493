from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from pgstrata.audit import run
from pgstrata.audit.model import Check, Outcome, Snapshot
from pgstrata.errors import InvalidConfigError, UsageError
from pgstrata.loading import load_many
from pgstrata.model import Config

BASE = """\
connection_settings: {host: "a,b", user: u, dbname: d}
connections:
  reports: {connection_settings: {dbname: r}}
  auditor: {connection_settings: {user: x}}
"""
PAGES = Path(__file__).parents[2] / "docs" / "reference" / "audit"


def configs(project: Path, *names: str) -> list[Config]:
    """Return environments of a project."""
    folder = project / "environments"
    folder.mkdir()
    (folder / "base.yaml").write_text(BASE)
    for name in names:
        (folder / f"{name}.yaml").write_text("")
    loaded = load_many(names, project=project, environ={})
    return [one for one in loaded.values() if isinstance(one, Config)]


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ({}, ["default", "auditor", "reports"]),
        ({"login": "auditor"}, ["default", "reports"]),
        ({"only": "reports"}, ["reports"]),
        ({"only": "reports", "login": "auditor"}, ["reports"]),
        ({"only": "auditor", "login": "auditor"}, ["auditor"]),
    ],
)
def test_all_connections_are_audited_but_the_auditors(
    tmp_path: Path, chosen: dict[str, str], names: list[str]
) -> None:
    """Unless it is the one that was asked for."""
    found = run.clients(configs(tmp_path, "one"), **chosen)
    assert [one.name for one in found] == names


@pytest.mark.parametrize("chosen", [{"only": "repotrs"}, {"login": "auditro"}])
def test_a_connection_must_be_there(tmp_path: Path, chosen: dict[str, str]) -> None:
    """In each of the environments."""
    with pytest.raises(UsageError):
        run.clients(configs(tmp_path, "one"), **chosen)


def test_what_was_saved_is_found_again(tmp_path: Path) -> None:
    """Every host of a connection, by its name; what is not in the file is as good as unreachable,
    and what is of no configured host is left out.
    """
    targets = run.clients(configs(tmp_path, "one", "two"), only="default")
    saved = [Snapshot("one", "default", host, "5432", "") for host in ("a", "b", "old")]
    changed = Snapshot("two", "default", "old", "5432", "")
    gone = Snapshot("gone", "default", "c", "5432", "")
    views = run.recall(targets, [*saved, changed, gone])
    missing = "the file has no snapshot of it"
    assert [(it.client.environment, it.snapshot.host, it.snapshot.error) for it in views] == [
        ("one", "a", ""),
        ("one", "b", ""),
        ("two", "a", missing),
        ("two", "b", missing),
    ]


@pytest.mark.parametrize("text", ["connection_settings: {service: s}", "local: true"])
def test_a_host_that_is_not_configured_may_be_any(tmp_path: Path, text: str) -> None:
    """Only the server said where it is."""
    configs(tmp_path, "one")
    (tmp_path / "environments" / "base.yaml").write_text(text)
    loaded = load_many(["one"], project=tmp_path, environ={})["one"]
    assert isinstance(loaded, Config)
    (target,) = run.clients([loaded])
    saved = Snapshot("one", "default", "127.0.0.1", "54321", "")
    assert [view.snapshot for view in run.recall([target], [saved])] == [saved]


def test_a_report_has_results_and_waivers(tmp_path: Path) -> None:
    """A waiver that is not valid ends it."""
    targets = run.clients(configs(tmp_path, "one"), only="default")
    views = run.recall(targets, [Snapshot("one", "default", host, "5432", "") for host in "ab"])
    check = Check("a.bad", "fail", "", "", find=lambda _: [Outcome("fail", "")])
    waivers = tmp_path / "environments" / "waivers.yaml"
    text = "waivers: [{id: a.bad, reason: r, owner: o, expires: 2026-03-01}]"
    for today, codes in ((date(2026, 3, 1), (0,)), (date(2026, 3, 2), (1,))):
        waivers.write_text(text)
        held = run.accepted(tmp_path, ["one"], today, (check,))
        found = run.report(tmp_path, views, {}, held=held, whole=True, today=today, checks=(check,))
        assert found.exit_codes == codes
    waivers.write_text("waivers: [{}]")
    with pytest.raises(InvalidConfigError):
        run.accepted(tmp_path, ["one"], date(2026, 3, 1))


def test_no_page_is_left_of_a_check_that_is_gone() -> None:
    """There is one for each, and no other."""
    assert {path.stem for path in PAGES.glob("*.md")} == {check.id for check in run.ALL_CHECKS}
