from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Cli

GOOD = "connection_settings: {host: db.example.com, user: app, dbname: app}\n"
BAD = "connection_settings:\n  hots: db.example.com\n  port: 54x2\n"
WARNING = "session_settings: {statement_timeout: 30}\n"

Write = Callable[..., None]


def test_no_findings_at_all_is_said(cli: Cli, write: Write) -> None:
    """Silence might mean that nothing was checked."""
    write(base=GOOD, development="", staging="")
    done = cli("check", "--all")
    assert (done.code, done.err) == (0, "")
    assert done.out == "development: no findings\nstaging: no findings\n"


def test_a_finding_has_place_source_line_caret_and_hint(cli: Cli, write: Write) -> None:
    """The line is the source's, and the caret stands under what is wrong."""
    write(base=GOOD, development=BAD)
    done = cli("check")
    assert done.code == 3
    lines = done.out.splitlines()
    assert lines[0].startswith("environments/development.yaml:2:3: error[unknown-key] 'hots'")
    assert lines[1].startswith("  2 |   hots: ")
    assert lines[2] == "    |   ^"
    assert lines[3] == "  hint: did you mean 'host'?"
    assert lines[4].startswith("environments/development.yaml:3:9: error[invalid-value]")
    assert lines[-1] == "development: 2 errors"


def test_good_environments_are_told_from_a_broken_one(cli: Cli, write: Write) -> None:
    """One broken file does not hide the state of the others."""
    write(base=GOOD, development="", broken="a: [", staging=WARNING)
    done = cli("check", "--all")
    assert done.code == 3
    assert done.out.splitlines()[-3:] == [
        "broken: 1 error",
        "development: no findings",
        "staging: 1 warning",
    ]


def test_a_problem_of_base_is_said_once(cli: Cli, write: Write) -> None:
    """Though it is counted in each environment, and is there in each one's JSON."""
    write(base=GOOD + "colour: red\n", development="", staging="")
    out = cli("check", "--all").out
    assert out.count("error[unknown-section]") == 1
    assert out.endswith("development: 1 error\nstaging: 1 error\n")
    findings = cli("check", "--all", "--format", "json").json["findings"]
    assert [finding["environment"] for finding in findings] == ["development", "staging"]


def test_warnings_alone_are_no_failure(cli: Cli, write: Write) -> None:
    """They are shown, and the exit code is 0."""
    write(base=GOOD, development=WARNING)
    done = cli("check")
    assert done.code == 0
    assert "warning[unit]" in done.out
    assert done.out.endswith("development: 1 warning\n")


def test_several_environments_may_be_named(cli: Cli, write: Write) -> None:
    """In the order they are asked for, each once."""
    write(base=GOOD, development="", staging="", production="")
    done = cli("check", "-e", "staging", "-e", "development", "-e", "staging")
    assert done.out == "staging: no findings\ndevelopment: no findings\n"


def test_a_misspelt_name_does_not_keep_the_others_from_being_checked(
    cli: Cli, write: Write
) -> None:
    """It is told with a suggestion, and the exit code is 3."""
    write(base=GOOD, production="", staging=WARNING)
    done = cli("check", "-e", "prod", "-e", "staging")
    assert done.code == 3
    assert "no environment 'prod'" in done.err
    assert "hint: did you mean 'production'?" in done.err
    assert done.out.endswith("prod: not found\nstaging: 1 warning\n")
    shape = cli("check", "-e", "prod", "-e", "staging", "--format", "json").json
    assert [one["status"] for one in shape["environments"]] == ["missing", "ok"]


def test_json_has_the_documented_shape(cli: Cli, write: Write) -> None:
    """A status for each environment, and findings with all that the text has."""
    write(base=GOOD, development=BAD, staging="")
    done = cli("check", "--all", "--format", "json")
    assert done.code == 3
    shape = done.json
    assert shape["environments"] == [
        {"name": "development", "status": "failed"},
        {"name": "staging", "status": "ok"},
    ]
    assert shape["findings"][0] == {
        "rule": "unknown-key",
        "severity": "error",
        "environment": "development",
        "key": "connection_settings.hots",
        "message": shape["findings"][0]["message"],
        "hint": "did you mean 'host'?",
        "origin": {
            "layer": "overlay",
            "source": "environments/development.yaml",
            "line": 2,
            "column": 3,
        },
    }


def test_files_may_be_skipped(cli: Cli, write: Write, project: Path) -> None:
    """A missing key file is an error here, and none for a machine that does not connect."""
    write(base=GOOD, development="connection_settings: {sslkey: missing.key}")
    done = cli("check")
    assert done.code == 3
    assert f"{project / 'missing.key'} does not exist" in done.out
    skipped = cli("check", "--skip-files")
    assert (skipped.code, skipped.out) == (0, "development: no findings\n")
    assert "not checked: the files" in skipped.err
    finding = cli("check", "--format", "json").json["findings"][0]
    assert finding["environment"] == "development"


def test_all_and_names_exclude_each_other(cli: Cli, write: Write) -> None:
    """It is not guessed which one was meant."""
    write(base=GOOD, development="")
    assert cli("check", "--all", "-e", "development").code == 2


def test_a_project_without_environments_is_said(cli: Cli, write: Write) -> None:
    """Nothing was checked, and that is not passed over in silence."""
    write(base=GOOD)
    done = cli("check", "--all")
    assert (done.code, done.out) == (0, "")
    assert "there are no environments" in done.err


@pytest.mark.parametrize("arguments", [("check",), ("check", "--all"), ("show",), ("envs",)])
def test_without_a_project_there_is_one_error(cli: Cli, arguments: tuple[str, ...]) -> None:
    """It names the folder that was looked in, and how to make one."""
    done = cli(*arguments)
    assert (done.code, done.out) == (3, "")
    assert done.err.count("error:") == 1
    assert "pgstrata init" in done.err


@pytest.mark.parametrize("command", ["show", "test", "explain"])
def test_an_invalid_environment_ends_every_command_with_3(
    cli: Cli, write: Write, command: str
) -> None:
    """The findings are told as `check` shows them, on stderr."""
    write(base=GOOD, development=BAD)
    done = cli(command, *(["local"] if command == "explain" else []))
    assert (done.code, done.out) == (3, "")
    assert "environments/development.yaml:2:3: error[unknown-key]" in done.err
    assert done.err.endswith("pgstrata: error: the configuration is not valid: 2 errors\n")
