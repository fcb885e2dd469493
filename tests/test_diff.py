"""Environments side by side."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.layers.project import ENVIRON, SERVER, write

from pgstrata import Config
from pgstrata.diff import STATUSES, Comparison, Row, compare
from pgstrata.layers.folder import on_disk
from pgstrata.loading import load_shared

VALUES = {
    "connection_settings.sslmode": ("require", "verify-full", "null"),
    "connection_settings.password": ("one", "two", "null", "{from_env: UNSET}"),
    "connection_settings.port": ("5432", "'5432'", "5433"),
    "session_settings.statement_timeout": ("5s", "5000", "1min", "null"),
    "pool_settings.max_size": ("5", "8", "'${UNSET}'"),
}
EXAMPLES = st.dictionaries(st.sampled_from(sorted(VALUES)), st.integers(0, 3))


def configs(project: Path, environ: Mapping[str, str] | None = None) -> dict[str, Config]:
    """Load all environments of a project."""
    folder = on_disk(project)
    loaded = load_shared(folder.environments, folder, environ={**ENVIRON, **(environ or {})})
    assert all(isinstance(config, Config) for config in loaded.values()), loaded
    return loaded  # type: ignore[return-value]  # just asserted


def rows(project: Path, environ: Mapping[str, str] | None = None, **more: str) -> dict[str, Row]:
    """Compare all environments of a project, and return what is not the same, by key."""
    compared = compare(configs(project, environ), **more)
    return {row.key: row for row in compared.rows if row.status != "same"}


def statuses(comparison: Comparison) -> dict[str, str]:
    """Return the status of each key."""
    return {row.key: row.status for row in comparison.rows}


def overlay(chosen: Mapping[str, int]) -> str:
    """Return a file that holds these values."""
    lines = []
    for key, index in chosen.items():
        section, name = key.split(".")
        values = VALUES[key]
        lines += [f"{section}:", f"  {name}: {values[index % len(values)]}"]
    sections: dict[str, list[str]] = {}
    for head, line in zip(lines[::2], lines[1::2], strict=True):
        sections.setdefault(head, []).append(line)
    return "\n".join("\n".join([head, *inner]) for head, inner in sections.items())


@settings(max_examples=30, deadline=None)
@given(EXAMPLES, EXAMPLES)
def test_laws(one: dict[str, int], other: dict[str, int]) -> None:
    """A diff of an environment with itself is empty but for what is unknown; sides do not count."""
    with tempfile.TemporaryDirectory() as folder:
        found = configs(write(Path(folder), SERVER, production=overlay(one), qa=overlay(other)))
    same = compare({"a": found["qa"], "b": found["qa"]})
    assert set(statuses(same).values()) <= {"same", "unknown"}
    a, b = found["production"], found["qa"]
    there, back = compare({"a": a, "b": b}), compare({"b": b, "a": a})
    assert statuses(there) == statuses(back)
    assert there.summary == back.summary
    known = compare({"a": a, "b": b, "c": a})
    assert {k: s for k, s in statuses(known).items() if s == "changed"} == {
        k: s for k, s in statuses(there).items() if s == "changed"
    }


def test_statuses(tmp_path: Path) -> None:
    """A key is changed, missing, unknown or the same."""
    write(
        tmp_path,
        SERVER + "session_settings: {statement_timeout: 5s, lock_timeout: 1s}",
        production="pool_settings: {max_size: 5, name: '${UNSET}'}",
        qa="pool_settings: {max_size: 6, name: x}\nsession_settings: {lock_timeout: null, "
        "statement_timeout: 5000}",
    )
    compared = compare(configs(tmp_path))
    found = statuses(compared)
    assert found["pool_settings.max_size"] == "changed"
    assert found["session_settings.lock_timeout"] == "missing"
    assert found["pool_settings.name"] == "unknown"
    assert found["session_settings.statement_timeout"] == "same"
    assert {status: compared.summary[status] for status in STATUSES[:-1]} == {
        "changed": 1,
        "missing": 1,
        "unknown": 1,
    }


def test_cells_know_their_place(tmp_path: Path) -> None:
    """Each value has its origin; so has the null that unset one; and an unknown one its reason."""
    write(
        tmp_path,
        SERVER + "session_settings: {lock_timeout: 1s}",
        production="pool_settings: {name: '${UNSET}'}",
        qa="session_settings: {lock_timeout: null}",
    )
    found = rows(tmp_path)
    one, other = found["session_settings.lock_timeout"].cells
    assert str(one.origin) == "environments/base.yaml:2:34"
    assert (other.missing, str(other.origin)) == (True, "environments/qa.yaml:1:34")
    unknown, absent = found["pool_settings.name"].cells
    assert unknown.unknown == "variable UNSET is not set"
    assert absent.origin is None


@pytest.mark.parametrize(
    ("one", "other", "status"),
    [
        ("one", "one", "same"),
        ("one", "two", "changed"),
        ("one", "{from_env: UNSET}", "unknown"),
        ("{from_env: UNSET}", "{from_env: UNSET}", "unknown"),
        ("{from_env: SET}", "'${SET}'", "same"),
        ("{from_env: SET}", "value", "same"),
        ("one", "null", "missing"),
    ],
)
def test_secrets(tmp_path: Path, one: str, other: str, status: str) -> None:
    """Secrets are compared, wherever they are; one that cannot be had is never the same."""
    secret = "connection_settings: {{password: {}}}"
    write(tmp_path, SERVER, production=secret.format(one), qa=secret.format(other))
    compared = compare(configs(tmp_path, {"SET": "value"}))
    assert statuses(compared)["connection_settings.password"] == status


def test_fingerprints_last_for_one_run(tmp_path: Path) -> None:
    """Within a comparison equal secrets have equal fingerprints; two have nothing in common."""
    write(tmp_path, SERVER, production="connection_settings: {password: x}")
    config = configs(tmp_path)["production"]

    def printed() -> set[str]:
        (row,) = (r for r in compare({"a": config, "b": config}).rows if r.secret)
        return {cell.fingerprint for cell in row.cells}

    first, second = printed(), printed()
    assert len(first) == len(second) == 1
    assert not first & second


def test_a_secret_that_is_no_text(tmp_path: Path) -> None:
    """Bytes of a variable that are no UTF-8 can be compared too."""
    write(tmp_path, SERVER, production="connection_settings: {password: {from_env: SET}}")
    compared = compare(
        {name: configs(tmp_path, {"SET": "\udcff"})["production"] for name in ("a", "b")}
    )
    assert statuses(compared)["connection_settings.password"] == "same"


def test_expected_differences(tmp_path: Path) -> None:
    """They are folded away unless asked for, with wildcards, and in named connections."""
    base = "expected_differences: [connection_settings.host, pool_settings.*]\n"
    base += SERVER + "connections: {analytics: {connection_settings: {dbname: warehouse}}}"
    write(
        tmp_path,
        base,
        qa="connection_settings: {host: other, user: other}\npool_settings: {max_size: 5}\n"
        "connections: {analytics: {connection_settings: {host: third}}}",
    )
    compared = compare(configs(tmp_path))
    differing = compared.select(STATUSES[:-1])
    assert [row.key for row in differing.rows] == ["connection_settings.user"]
    everything = [row.key for row in compared.select(STATUSES[:-1], expected=True).rows]
    assert everything == [
        "connection_settings.host",
        "connection_settings.user",
        "pool_settings.max_size",
        "connections.analytics.connection_settings.host",
    ]
    assert compared.summary["expected"] == 3
    assert compared.summary["changed"] == 1


def test_what_connections_inherit_is_said_once(tmp_path: Path) -> None:
    """A difference in the top-level sections is not repeated for each connection."""
    named = "connections: {a: {connection_settings: {dbname: a}}, b: {pool_settings: {name: b}}}\n"
    write(tmp_path, SERVER + named, qa="pool_settings: {max_size: 5}")
    assert list(rows(tmp_path)) == ["pool_settings.max_size"]


def test_a_connection_that_only_one_has(tmp_path: Path) -> None:
    """Only what it says itself is missing, not what it inherits."""
    write(tmp_path, SERVER, qa="connections: {a: {connection_settings: {dbname: a}}}")
    assert list(rows(tmp_path)) == ["connections.a.connection_settings.dbname"]


def test_one_connection(tmp_path: Path) -> None:
    """Only its settings are compared, inherited ones too, under their own keys."""
    named = "connections: {a: {connection_settings: {dbname: a}}, b: {pool_settings: {name: b}}}\n"
    qa = "pool_settings: {max_size: 5}\nconnections: {a: {connection_settings: {dbname: other}}}"
    write(tmp_path, SERVER + named, qa=qa)
    found = rows(tmp_path, connection="a")
    assert list(found) == ["connection_settings.dbname", "pool_settings.max_size"]


def test_an_unresolved_url(tmp_path: Path) -> None:
    """All that a URL may hold is unknown, but for what wins over it."""
    write(
        tmp_path,
        SERVER + "  \n",
        qa="connection_settings: {url: {from_env: UNSET}, dbname: mine}",
    )
    found = rows(tmp_path)
    assert found["connection_settings.host"].status == "unknown"
    assert found["connection_settings.host"].cells[1].unknown == "variable UNSET is not set"
    assert found["connection_settings.dbname"].status == "changed"


def test_an_unresolved_url_of_a_connection(tmp_path: Path) -> None:
    """It hides what the connection would inherit, also where that stands in the same file."""
    named = "connections: {a: {connection_settings: {url: {from_env: UNSET}}}}"
    write(tmp_path, SERVER + named, qa="connections: null")
    found = compare(configs(tmp_path), connection="a").rows
    cells = {row.key: row.cells for row in found}["connection_settings.host"]
    assert [cell.unknown for cell in cells] == ["variable UNSET is not set", ""]
    assert cells[1].missing


def test_a_url_and_its_parts(tmp_path: Path) -> None:
    """A URL is compared by what it says."""
    parts = "connection_settings: {host: h, port: 5432, user: u, dbname: d, password: p}"
    write(tmp_path, production=parts, qa="connection_settings: {url: 'postgresql://u:p@h:5432/d'}")
    assert rows(tmp_path) == {}


def test_protected_and_local_count(tmp_path: Path) -> None:
    """The nature of an environment is compared; how its files are put together is not."""
    write(tmp_path, SERVER, production="protected: true\nextends: qa", qa="local: true")
    assert list(rows(tmp_path)) == ["protected"]
