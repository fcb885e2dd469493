from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from pgstrata.audit import waiver_file, waivers
from pgstrata.audit.model import Outcome, Result
from pgstrata.errors import InvalidConfigError
from pgstrata.model import DEFAULT

TODAY = date(2026, 3, 1)
CHECKS = ("tls.chain", "tls.expiry", "cap.slots")
WELL = """\
waivers:
  - id: tls.*
    environment: staging
    object: db*
    reason: the proxy ends TLS until the move
    owner: dba@example.com
    expires: 2026-06-30
    ticket: OPS-12
"""


def read(folder: Path, text: str, today: date = TODAY) -> tuple[waivers.Waiver, ...]:
    """Return the waivers of a file with this text."""
    (folder / "environments").mkdir(exist_ok=True)
    (folder / "environments" / "waivers.yaml").write_text(text)
    return waiver_file.read(folder, ["staging", "production"], CHECKS, today)


def result(
    check: str, environment: str = "staging", *, thing: str = "", status: str = "fail"
) -> Result:
    """Return a result."""
    outcome = Outcome(status, "bad", object=thing)  # type: ignore[arg-type]  # a status
    return Result(check, environment, "default", "a:5432", outcome, DEFAULT)


def statuses(results: tuple[Result, ...]) -> list[tuple[str, str]]:
    """Return check and status of each."""
    return [(one.check, one.status) for one in results]


def test_without_a_file_there_are_none(tmp_path: Path) -> None:
    """A project need not have one."""
    assert waiver_file.read(tmp_path, [], CHECKS, TODAY) == ()


@pytest.mark.parametrize("text", ["", "waivers:\n", "waivers: []\n", "# nothing\n"])
def test_an_empty_file_holds_none(tmp_path: Path, text: str) -> None:
    """Nor need it hold any."""
    assert read(tmp_path, text) == ()


def test_a_waiver_matches_by_check_environment_and_object(tmp_path: Path) -> None:
    """All three, each of them a pattern; what nobody could look at was never accepted."""
    found = waivers.apply(
        (
            result("tls.chain", thing="db1"),
            result("tls.chain", thing="web"),
            result("cap.slots", thing="db1"),
            result("tls.expiry", "production", thing="db1"),
            result("tls.expiry", thing="db1", status="ok"),
            result("tls.expiry", thing="db1", status="unknown"),
        ),
        read(tmp_path, WELL),
        {"staging"},
        TODAY,
    )
    assert [one.status for one in found] == ["waived", "fail", "fail", "fail", "ok", "unknown"]
    assert found[0].waived == (
        "the proxy ends TLS until the move (dba@example.com, OPS-12; until 2026-06-30)"
    )


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        (date(2026, 6, 30), [("tls.chain", "waived")]),
        (date(2026, 7, 1), [("tls.chain", "fail"), ("waiver.expired", "fail")]),
    ],
)
def test_a_waiver_ends_with_its_last_day(
    tmp_path: Path, today: date, expected: list[tuple[str, str]]
) -> None:
    """After that it waives nothing, and fails the audit itself."""
    held = read(tmp_path, WELL, today)
    found = waivers.apply((result("tls.chain", thing="db"),), held, {"staging"}, today)
    assert statuses(found) == expected
    if len(found) > 1:
        assert str(found[1].origin) == "environments/waivers.yaml:2:5"
        assert found[1].outcome.evidence == ("environments/waivers.yaml:2:5",)  # as text shows it


@pytest.mark.parametrize(
    ("results", "audited", "unused"),
    [
        ([result("cap.slots")], {"staging"}, True),
        ([result("cap.slots")], set(), False),
        ([result("cap.slots", "production")], {"production"}, False),
        ([result("tls.chain", thing="db", status="ok")], {"staging"}, True),
        ([result("tls.chain", thing="db")], {"staging"}, False),
        ([result("tls.chain", thing="db", status="unknown")], {"staging"}, False),
    ],
    ids=["unused", "not all seen", "another environment", "mended", "used", "unknown"],
)
def test_a_waiver_without_a_finding_is_told(
    tmp_path: Path, results: list[Result], audited: set[str], *, unused: bool
) -> None:
    """Where all that it names was looked at."""
    found = waivers.apply(tuple(results), read(tmp_path, WELL), audited, TODAY)
    assert (("waiver.unused", "warn") in statuses(found)) is unused


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("tls.*", "tsl.*", "2:9", "no check is 'tsl.*'"),
        ("staging", "stagin", "3:18", "no environment is 'stagin'"),
        ("2026-06-30", "soon", "7:14", "'soon' is no date"),
        ("2026-06-30", "2030-01-01", "7:14", "more than 180 days ahead"),
        ("    reason: the proxy ends TLS until the move\n", "", "2:5", "a waiver without reason"),
        ("    expires: 2026-06-30\n", "", "2:5", "a waiver without expires"),
        ("    owner: dba@example.com\n", "", "2:5", "a waiver without owner"),
        ("ticket:", "tikcet:", "8:5", "no key 'tikcet'"),
        ("OPS-12", "[1, 2]", "8:13", "ticket is not a text"),
        ("the proxy ends TLS until the move", "''", "5:13", "reason is not a text"),
        ("waivers:", "waiver:", "1:1", "no key 'waiver'"),
        (WELL, "waivers: {}\n", "1:10", "waivers is not a list"),
        (WELL, "waivers: [tls.chain]\n", "1:11", "a waiver is a map"),
        (WELL, "waivers: [\n", "", "yaml-syntax"),
        ("    owner:", "    id: x\n    owner:", "6:5", "'id' key is already given in line 2"),
    ],
)
def test_a_malformed_file_is_an_error_with_its_place(
    tmp_path: Path, old: str, new: str, place: str, words: str
) -> None:
    """A waiver that is not read as it was meant would waive nothing, or too much."""
    with pytest.raises(InvalidConfigError) as raised:
        read(tmp_path, WELL.replace(old, new))
    assert words in str(raised.value)
    assert f"environments/waivers.yaml:{place}" in str(raised.value)


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    """In the order of the file."""
    with pytest.raises(InvalidConfigError) as raised:
        read(tmp_path, WELL.replace("tls.*", "tsl").replace("2026-06-30", "never"))
    assert len(raised.value.findings) == 2


def test_the_file_is_no_environment(tmp_path: Path) -> None:
    """However the environments of a folder are listed."""
    from pgstrata.layers.folder import on_disk
    from pgstrata.layers.project import environments

    read(tmp_path, WELL)
    for name in ("base", "staging"):
        (tmp_path / "environments" / f"{name}.yaml").write_text("")
    assert environments(tmp_path) == ("staging",)
    assert on_disk(tmp_path).environments == ("staging",)
