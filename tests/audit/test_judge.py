from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pgstrata.audit.judge import judge
from pgstrata.audit.model import Check, Gap, Outcome, Result, Snapshot, UnreadError
from pgstrata.audit.view import Fleet, View
from pgstrata.check.scope import Connection
from pgstrata.loading import load

BASE = "connection_settings: {host: a, user: u, dbname: d}\nservices: [{name: web}]\n"


def views(project: Path, *environments: str) -> list[View]:
    """Return an endpoint that was looked at for each of these environments."""
    folder = project / "environments"
    folder.mkdir()
    (folder / "base.yaml").write_text(BASE)
    found = []
    for name in environments:
        (folder / f"{name}.yaml").write_text("connection_settings:\n  user: v\n")
        config = load(name, project=project, environ={})
        seen = Snapshot(name, "default", "a", "5432", "", facts={"caps": ({"dbname": "d"},)})
        found.append(View(Connection(config, "default", config.connection()), seen))
    return found


def a_check(name: str, *outcomes: Outcome) -> Check:
    """Return a check that says this of every endpoint."""
    return Check(name, "fail", "", "", find=lambda _: outcomes)


def unreachable(view: View) -> View:
    """Return the same endpoint, not looked at."""
    return View(view.client, replace(view.snapshot, facts={}, error="no route"))


def said(results: Iterable[Result]) -> list[tuple[str, str, str]]:
    """Return environment, check and status of each."""
    return [(one.environment, one.check, one.status) for one in results]


def test_results_come_endpoint_by_endpoint(tmp_path: Path) -> None:
    """All of one, in the order of the checks, before the next."""
    checks = [a_check("a", Outcome("ok", "")), a_check("b", Outcome("warn", ""))]
    assert said(judge(views(tmp_path, "one", "two"), checks)) == [
        ("one", "a", "ok"),
        ("one", "b", "warn"),
        ("two", "a", "ok"),
        ("two", "b", "warn"),
    ]


def test_what_could_not_be_read_is_unknown(tmp_path: Path) -> None:
    """With the reason, the statement that would show it, and what was inferred."""

    def find(view: View) -> Iterator[Outcome]:
        yield Outcome("warn", "first", object="x")
        raise UnreadError(Gap("hidden", "GRANT x TO y;"), "probably fine")

    first, second = judge(views(tmp_path, "one"), [Check("a", "fail", "", "", find=find)])
    assert (first.status, second.status) == ("warn", "unknown")
    assert second.outcome.message == "hidden; probably fine"
    assert second.gap == Gap("hidden", "GRANT x TO y;")


def test_a_fact_that_is_not_there_is_unknown(tmp_path: Path) -> None:
    """A check that reads it needs no word about that."""

    def find(view: View) -> Iterator[Outcome]:
        yield Outcome("ok", str(view.row("settings")))

    (result,) = judge(views(tmp_path, "one"), [Check("a", "fail", "", "", find=find)])
    assert (result.status, result.outcome.message) == ("unknown", "settings was not looked at")


def test_nothing_is_ok_of_a_server_that_could_not_be_reached(tmp_path: Path) -> None:
    """But what the probe or the configuration alone proves to be wrong still counts."""
    checks = [
        a_check("silent"),
        a_check("fine", Outcome("ok", "")),
        a_check("bad", Outcome("fail", "expired"), Outcome("ok", "")),
        Check("all", "fail", "", "", compare=lambda seen: [(v, [Outcome("ok", "")]) for v in seen]),
    ]
    one, two = views(tmp_path, "one", "two")
    results = judge([unreachable(one), two], checks)
    assert said(results) == [
        ("one", "silent", "unknown"),
        ("one", "fine", "unknown"),
        ("one", "bad", "fail"),
        ("one", "all", "unknown"),
        ("two", "fine", "ok"),
        ("two", "bad", "fail"),
        ("two", "bad", "ok"),
        ("two", "all", "ok"),
    ]
    assert results[0].outcome.message == "no route"


def test_a_comparison_that_breaks_is_unknown_everywhere(tmp_path: Path) -> None:
    """No endpoint of it is better known than another."""

    def compare(_: Fleet) -> Iterator[tuple[View, Iterator[Outcome]]]:
        raise KeyError
        yield  # a generator, like those of the real checks

    results = judge(views(tmp_path, "one", "two"), [Check("a", "fail", "", "", compare=compare)])
    assert said(results) == [("one", "a", "unknown"), ("two", "a", "unknown")]


def test_what_one_endpoint_hides_hides_nothing_of_the_others(tmp_path: Path) -> None:
    """It is unknown, with what was found before, and they are as they are."""

    def look(view: View) -> Iterator[Outcome]:
        yield Outcome("warn", "")
        if view.client.environment == "one":
            raise UnreadError(Gap("hidden"))
        yield Outcome("fail", "")

    check = Check("a", "fail", "", "", compare=lambda seen: [(view, look(view)) for view in seen])
    assert said(judge(views(tmp_path, "one", "two"), [check])) == [
        ("one", "a", "warn"),
        ("one", "a", "unknown"),
        ("two", "a", "warn"),
        ("two", "a", "fail"),
    ]


def test_a_check_that_breaks_takes_no_other_along(tmp_path: Path) -> None:
    """It did not look, so it is unknown, and its error shows no password."""

    def find(_: View) -> Iterator[Outcome]:
        raise KeyError("password=hush-hush")

    checks = [Check("a", "fail", "", "", find=find), a_check("b", Outcome("ok", ""))]
    first, second = judge(views(tmp_path, "one"), checks)
    assert first.status == "unknown"
    assert "internal error of the check: KeyError" in first.outcome.message
    assert "hush-hush" not in first.outcome.message
    assert second.status == "ok"


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("connection_settings.user", "environments/one.yaml:2:9"),
        ("connection_settings.host", "environments/base.yaml:1:29"),
        ("services", "environments/base.yaml:2:11"),
        ("session_settings.statement_timeout", "environments/one.yaml:1:1"),
        ("", "environments/one.yaml:1:1"),
    ],
)
def test_a_result_stands_where_the_client_said_so(tmp_path: Path, key: str, place: str) -> None:
    """What is said nowhere stands at the top of the environment's own file."""
    (result,) = judge(views(tmp_path, "one"), [a_check("a", Outcome("fail", "", key=key))])
    assert str(result.origin) == place


def test_a_fingerprint_outlives_values_and_lines(tmp_path: Path) -> None:
    """It changes with the place and the object alone."""
    outcomes = [
        Outcome("fail", "100 of 97", object="x", observed="100"),
        Outcome("warn", "90 of 97", object="x", observed="90"),
        Outcome("fail", "100 of 97", object="y"),
    ]
    results = judge(views(tmp_path, "one", "two"), [a_check("a", *outcomes)])
    marks = [one.fingerprint for one in results]
    assert marks[0] == marks[1]
    assert len(set(marks)) == 4
