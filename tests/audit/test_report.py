from __future__ import annotations

import json
from pathlib import Path

import pytest

from pgstrata.audit.model import Check, Outcome, Result, Status
from pgstrata.audit.report import FailOn, Report, baseline
from pgstrata.errors import ConfigError
from pgstrata.model import DEFAULT

CHECKS = (Check("a", "fail", "", ""),)


def result(status: Status, thing: str = "") -> Result:
    """Return a result."""
    return Result("a", "one", "default", "a:5432", Outcome(status, "", object=thing), DEFAULT)


def report(*results: Result, **more: object) -> Report:
    """Return a report of these results."""
    return Report(Path(), CHECKS, (), results, **more)  # type: ignore[arg-type]  # its own fields


@pytest.mark.parametrize(
    ("status", "fail_on", "fails"),
    [
        ("fail", "fail", True),
        ("warn", "fail", False),
        ("fail", "warn", True),
        ("warn", "warn", True),
        ("info", "warn", False),
        ("fail", "never", False),
        ("ok", "warn", False),
        ("unknown", "warn", False),
    ],
)
def test_what_fails_is_as_bad_as_was_asked(status: Status, fail_on: FailOn, *, fails: bool) -> None:
    """And never what is better."""
    assert bool(report(result(status), fail_on=fail_on).failures) is fails


def test_what_is_unknown_fails_where_it_was_asked() -> None:
    """Even where no finding does."""
    one = report(result("unknown"), fail_on="never", fail_on_unknown=True)
    assert one.exit_codes == (1,)


@pytest.mark.parametrize(
    ("status", "broken", "codes"),
    [
        ("ok", {}, (0,)),
        ("fail", {}, (1,)),
        ("ok", {"two": "no such file"}, (3,)),
        ("fail", {"two": "no such file"}, (1, 3)),
    ],
)
def test_what_could_not_be_audited_hides_no_finding(
    status: Status, broken: dict[str, str], codes: tuple[int, ...]
) -> None:
    """The first code is the one that the command exits with."""
    assert report(result(status), broken=broken).exit_codes == codes


@pytest.mark.parametrize(
    ("before", "now", "known"),
    [
        ("fail", "fail", True),
        ("fail", "warn", True),
        ("warn", "fail", False),
        ("ok", "fail", False),
        ("unknown", "fail", False),
        ("waived", "fail", False),
        (None, "fail", False),
        ("ok", "ok", False),
    ],
)
def test_the_baseline_knows_what_is_no_worse(
    before: str | None, now: Status, *, known: bool
) -> None:
    """What became worse, or was not known before, is new."""
    one = result(now)
    given = {one.fingerprint: before} if before else {}
    found = report(one, known=given, new_only=True, fail_on="warn")
    assert found.is_known(one) is known
    assert (one in found.shown) is not known
    assert not (known and found.failures)


def test_a_baseline_is_an_earlier_report(tmp_path: Path) -> None:
    """Its JSON, as it was printed."""
    from pgstrata.render.audit import RENDERERS

    path = tmp_path / "base.json"
    path.write_text(RENDERERS["json"](report(result("fail"))))
    assert baseline(path) == {}  # of no endpoint, so nothing
    shape = {
        "schema_version": 1,
        "environments": [{"results": [{"fingerprint": "f", "status": "warn"}]}],
    }
    path.write_text(json.dumps(shape))
    assert baseline(path) == {"f": "warn"}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema_version": 2, "environments": []}', None]
)
def test_what_is_no_baseline_is_refused(tmp_path: Path, text: str | None) -> None:
    """An empty one would let everything pass for new, and a wrong one for known."""
    path = tmp_path / "base.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError):
        baseline(path)
