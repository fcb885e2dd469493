"""What a change does to each environment."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from tests.layers.project import ENVIRON, SERVER, write
from tests.test_diff import EXAMPLES, overlay

from pgstrata import Config, ConfigError
from pgstrata.diff import compare
from pgstrata.impact import Impact, impacts
from pgstrata.layers.folder import on_disk
from pgstrata.loading import load_shared


def tree(folder: Path, base: str = SERVER, **overlays: str) -> dict[str, Config | ConfigError]:
    """Return the environments of a tree of files."""
    folder.mkdir(exist_ok=True)
    files = on_disk(write(folder, base, **overlays))
    return load_shared(files.environments, files, environ=ENVIRON)


def effects(impact: Impact) -> dict[str, str]:
    """Return what happens to each key."""
    return {change.key: change.effect for change in impact.changes}


def test_through_extends_and_defaults(tmp_path: Path) -> None:
    """An edit of base.yaml reaches all that do not override it; a key removed has its default."""
    staging = "pool_settings: {max_size: 20}"
    overlays = {"production": "extends: staging", "staging": staging, "test": ""}
    before = tree(tmp_path / "a", SERVER + "pool_settings: {max_size: 5, min_size: 1}", **overlays)
    after = tree(tmp_path / "b", SERVER + "pool_settings: {max_size: 6}", **overlays)
    found = {impact.environment: effects(impact) for impact in impacts(before, after)}
    size, least = "pool_settings.max_size", "pool_settings.min_size"
    assert found == {
        "production": {least: "changed"},
        "staging": {least: "changed"},
        "test": {size: "changed", least: "changed"},
    }


def test_gained_and_lost(tmp_path: Path) -> None:
    """A key that appears is gained; one that a null takes away is lost."""
    before = tree(tmp_path / "a", SERVER + "session_settings: {lock_timeout: 1s}")
    overlay = "session_settings: {lock_timeout: null, statement_timeout: 5s}"
    after = tree(
        tmp_path / "b", SERVER + "session_settings: {lock_timeout: 1s}", production=overlay
    )
    (impact,) = impacts(before, after)
    gained, lost = "session_settings.statement_timeout", "session_settings.lock_timeout"
    assert effects(impact) == {gained: "gained", lost: "lost"}
    assert impact.summary == {"changed": 0, "gained": 1, "lost": 1, "unknown": 0}


def test_writing_the_same_otherwise_is_no_change(tmp_path: Path) -> None:
    """Neither another spelling nor another file is an effect."""
    before = tree(tmp_path / "a", SERVER, production="session_settings: {statement_timeout: 5s}")
    after = tree(tmp_path / "b", SERVER + "session_settings: {statement_timeout: 5000}")
    assert [impact.state for impact in impacts(before, after)] == ["unaffected"]


def test_environments_come_and_go(tmp_path: Path) -> None:
    """New, removed, broken and mended environments are told apart."""
    broken = "pool_settings: {max_size: many}"
    before = tree(tmp_path / "a", old="", mended=broken, broken="protected: true")
    after = tree(tmp_path / "b", new="protected: true", mended="", broken=broken)
    found = {impact.environment: impact for impact in impacts(before, after)}
    assert {name: impact.state for name, impact in found.items()} == {
        "broken": "broken",
        "mended": "mended",
        "new": "new",
        "old": "removed",
        "production": "unaffected",
    }
    assert found["broken"].protected
    assert found["new"].protected
    assert effects(found["new"])["connection_settings.host"] == "gained"
    assert effects(found["old"])["connection_settings.host"] == "lost"
    assert "max_size" in str(found["broken"].problem)


def test_secrets_that_cannot_be_had(tmp_path: Path) -> None:
    """An unknown secret is an effect only where its reference changes; else it is not compared."""
    names = ("same", "other", "literal")
    before = tree(
        tmp_path / "a", **dict.fromkeys(names, "connection_settings: {password: {from_env: A}}")
    )
    after = tree(
        tmp_path / "b",
        same="connection_settings: {port: 5433, password: {from_env: A}}",
        other="connection_settings: {password: {from_env: B}}",
        literal="connection_settings: {password: literal}",
    )
    found = {impact.environment: impact for impact in impacts(before, after)}
    key = "connection_settings.password"
    assert key not in effects(found["same"])
    assert [change.key for change in found["same"].uncompared] == [key]
    assert effects(found["other"]) == effects(found["literal"]) == {key: "unknown"}


def test_an_unresolved_url_that_stays(tmp_path: Path) -> None:
    """A URL that this machine does not have does not hide what else changes."""
    base = "connection_settings: {url: {from_env: UNSET}}\npool_settings: {max_size: 5}"
    before, after = (tree(tmp_path / n, base.replace("5", n)) for n in ("5", "6"))
    (impact,) = impacts(before, after)
    assert effects(impact) == {"pool_settings.max_size": "changed"}


# What each value of tests.test_diff.VALUES means, in its order; None is unset, ... is unknown.
MEANINGS = {
    "connection_settings.sslmode": ("require", "verify-full", None),
    "connection_settings.password": ("one", "two", None, ...),
    "connection_settings.port": (5432, 5432, 5433),
    "session_settings.statement_timeout": (5_000, 5_000, 60_000, None),
    "pool_settings.max_size": (5, 8, ...),
}


def expected(before: dict[str, int], after: dict[str, int]) -> dict[str, str]:
    """Return the effects that there have to be, from what was written alone."""
    found = {}
    for key, meanings in MEANINGS.items():
        old, new = (
            meanings[side[key] % len(meanings)] if key in side else None for side in (before, after)
        )
        if old != new:
            changed = "unknown" if ... in (old, new) else "changed"
            found[key] = "gained" if old is None else "lost" if new is None else changed
    return found


@settings(max_examples=30, deadline=None)
@given(*[EXAMPLES] * 4)
def test_it_is_the_difference_of_the_two_trees(
    one: dict[str, int], one_more: dict[str, int], other: dict[str, int], other_more: dict[str, int]
) -> None:
    """Effects are what follows from the files, also through extends; a diff shows the same keys."""
    with tempfile.TemporaryDirectory() as folder:
        before, after = (
            tree(
                Path(folder) / name,
                production=overlay(below),
                staging=f"extends: production\n{overlay(own)}",
            )
            for name, below, own in (("a", one, one_more), ("b", other, other_more))
        )
    wanted = {
        "production": expected(one, other),
        "staging": expected({**one, **one_more}, {**other, **other_more}),
    }
    for impact in impacts(before, after):
        name = impact.environment
        assert effects(impact) == wanted[name]
        compared = compare({"before": before[name], "after": after[name]})  # type: ignore[dict-item]  # both load
        differing = {row.key for row in compared.rows if row.status != "same"}
        assert {change.key for change in (*impact.changes, *impact.uncompared)} == differing
