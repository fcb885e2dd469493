"""``pgstrata diff``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, fresh
from tests.layers.project import SERVER
from tests.repository import commit

Write = Callable[..., None]
QA = "pool_settings: {max_size: 6}"


@pytest.fixture
def two(write: Write) -> None:
    """Write two environments that differ in one key."""
    write(base=SERVER + "pool_settings: {max_size: 5}", production="", qa=QA)


@pytest.mark.usefixtures("two")
def test_two_environments(cli: Cli) -> None:
    """The result is on stdout, and differences alone are no failure."""
    done = cli("diff", "production", "qa")
    assert done.code == 0
    assert "changed  pool_settings.max_size" in done.out
    assert done.out.splitlines()[-1].startswith("1 changed, 0 missing, 0 unknown, ")
    assert done.err == ""


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("production", "qa", "--exit-code"), 1),
        (("production", "production", "--exit-code"), 0),
        (("production", "qa", "--exit-code", "--only", "missing,unknown"), 0),
        (("production", "qa", "--exit-code", "--full"), 1),
        (("--all", "--exit-code"), 1),
        (("--all", "--exit-code", "--format", "html"), 1),
    ],
)
def test_exit_codes(cli: Cli, arguments: tuple[str, ...], code: int) -> None:
    """With --exit-code, what is shown decides."""
    assert cli("diff", *arguments).code == code


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "diff needs two environments"),
        (("qa",), "diff needs two environments"),
        (("qa", "--all"), "exclude each other"),
        (("qa", "@HEAD"), "names no environment"),
        (("qa", "production@"), "names no environment"),
        (("qa", ""), "names no environment"),
        (("qa", "production", "--only", "chnged"), "'chnged' is not one of"),
        (("qa", "production", "--connection", "x"), "no connection 'x'"),
        (("qa", "production", "--connection", ""), "empty name"),
        (("qa", "production@HEAD"), "not a git repository"),
    ],
)
def test_wrong_usage(cli: Cli, arguments: tuple[str, ...], message: str) -> None:
    """Exit code 2, nothing on stdout, and what to do."""
    done = cli("diff", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


@pytest.mark.usefixtures("two")
@pytest.mark.usefixtures("two")
def test_files_that_are_not_read_are_told(cli: Cli, project: Path) -> None:
    """Who compares all environments counts on each."""
    (project / "environments" / "staging.yml").write_text(QA)
    assert "environments/staging.yml is not read" in cli("diff", "--all").err
    assert cli("diff", "production", "qa").err == ""


def test_no_environments(cli: Cli, write: Write, project: Path) -> None:
    """That is no agreement."""
    write(base=SERVER)
    (project / "environments" / "production.yml").write_text(QA)
    done = cli("diff", "--all")
    assert (done.code, done.out) == (3, "")
    assert "environments/production.yml is not read" in done.err
    assert "there are no environments" in done.err


@pytest.mark.usefixtures("two")
def test_a_misspelt_environment(cli: Cli) -> None:
    """It is an error with a suggestion."""
    done = cli("diff", "prodution", "qa")
    assert (done.code, done.out) == (3, "")
    assert "did you mean 'production'?" in done.err


def test_broken_environments(cli: Cli, write: Write) -> None:
    """All that is wrong in any of them is said at once."""
    write(base=SERVER, a="pool_settings: {max_size: x}", b="port: 1", c="")
    done = cli("diff", "--all")
    assert (done.code, done.out) == (3, "")
    assert "environments/a.yaml:1:27" in done.err
    assert "environments/b.yaml:1:1" in done.err


def test_with_a_revision(cli: Cli, project: Path) -> None:
    """An environment can be compared with what it was."""
    commit(project, base=SERVER, production="", qa=QA)
    (project / "environments" / "qa.yaml").write_text("pool_settings: {max_size: 7}")
    done = cli("diff", "qa@HEAD", "qa", "--format", "json").json
    assert done["environments"] == ["qa@HEAD", "qa"]
    (key,) = done["keys"]
    assert {name: cell["value"] for name, cell in key["values"].items()} == {"qa@HEAD": 6, "qa": 7}
    assert key["values"]["qa@HEAD"]["origin"]["source"] == "HEAD:environments/qa.yaml"
    assert cli("diff", "qa", "qa@nonsense").code == 2


@pytest.mark.usefixtures("two")
def test_the_machine_does_not_count(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would count in ``show`` and is left out here is said."""
    (project / "environments" / "qa.local.yaml").write_text("pool_settings: {max_size: 5}")
    monkeypatch.setenv("PGSTRATA_POOL_SETTINGS__MAX_SIZE", "9")
    monkeypatch.setenv("PGAPPNAME", "x")
    done = cli("diff", "production", "qa")
    assert "changed  pool_settings.max_size" in done.out
    left_out = "PGSTRATA_POOL_SETTINGS__MAX_SIZE, PGAPPNAME, environments/qa.local.yaml"
    assert done.err.strip().endswith(left_out)


@pytest.mark.usefixtures("two")
def test_full_and_only(cli: Cli) -> None:
    """--full shows what is the same too; --only selects."""
    full = cli("diff", "qa", "production", "--full", "--format", "json").json
    assert len(full["keys"]) == sum(full["summary"].values())
    same = cli("diff", "qa", "production", "--only", "same", "--format", "json").json
    assert {key["status"] for key in same["keys"]} == {"same"}


@pytest.mark.usefixtures("two")
def test_no_colour_in_a_pipe() -> None:
    """A process whose stdout is a pipe writes no colour."""
    assert "\x1b" not in fresh("diff", "production", "qa").out


def test_a_misspelt_expected_difference(cli: Cli, write: Write) -> None:
    """It would fold nothing away, which is said; a wildcard and a connection's key are fine."""
    keys = "connections.a.connection_settings.host, pool_settings.*, protected"
    write(base=SERVER + f"expected_differences: [{keys}, host, pool_settings.size]", a="", b="")
    told = cli("diff", "a", "b").err.splitlines()
    assert [line for line in told if not line.startswith("hint:")] == [
        "pgstrata: expected_differences: 'host' names no setting",
        "pgstrata: expected_differences: 'pool_settings.size' names no setting",
    ]
