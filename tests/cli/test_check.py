from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, Done

GOOD = """\
connection_settings: {host: /run/postgresql, user: app, dbname: app}
session_settings: {statement_timeout: 30s}
"""
BAD = "connection_settings:\n  hots: db.example.com\n  port: 54x2\n"
WARNING = "session_settings: {statement_timeout: 30}\n"

Write = Callable[..., None]


def counts(done: Done) -> list[str]:
    """Return the lines that count the findings of each environment."""
    return [line for line in done.out.splitlines() if re.match(r"\w+: (\d|no)", line)]


def test_no_findings_at_all_is_said(cli: Cli, write: Write) -> None:
    """Silence might mean that nothing was checked."""
    write(base=GOOD, development="", staging="connection_settings: {dbname: b}")
    done = cli("check", "--all")
    assert (done.code, done.err) == (0, "")
    assert counts(done) == ["development: no findings", "staging: no findings"]


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
    assert counts(done) == ["development: 2 errors"]


def test_good_environments_are_told_from_a_broken_one(cli: Cli, write: Write) -> None:
    """One broken file does not hide the state of the others."""
    write(base=GOOD, development="local: true", broken="a: [", staging=WARNING)
    done = cli("check", "--all")
    assert done.code == 3
    assert counts(done) == [
        "broken: 1 error",
        "development: no findings",
        "staging: 1 warning",
    ]


def test_a_problem_of_base_is_said_once(cli: Cli, write: Write) -> None:
    """Though it is counted in each environment, and is there in each one's JSON."""
    write(base=GOOD + "colour: red\n", development="", staging="")
    done = cli("check", "--all")
    assert done.out.count("error[unknown-section]") == 1
    assert counts(done) == ["development: 1 error", "staging: 1 error"]
    findings = cli("check", "--all", "--format", "json").json["findings"]
    assert [finding["environment"] for finding in findings] == ["development", "staging"]


def test_warnings_alone_are_no_failure(cli: Cli, write: Write) -> None:
    """They are shown, and the exit code is 0."""
    write(base=GOOD, development=WARNING)
    done = cli("check")
    assert done.code == 0
    assert "warning[unit]" in done.out
    assert counts(done) == ["development: 1 warning"]


def test_several_environments_may_be_named(cli: Cli, write: Write) -> None:
    """In the order they are asked for, each once."""
    write(base=GOOD, development="", staging="", production="")
    done = cli("check", "-e", "staging", "-e", "development", "-e", "staging")
    assert counts(done) == ["staging: no findings", "development: no findings"]


def test_a_misspelt_name_does_not_keep_the_others_from_being_checked(
    cli: Cli, write: Write
) -> None:
    """It is told with a suggestion, and the exit code is 3."""
    write(base=GOOD, production="", staging=WARNING)
    done = cli("check", "-e", "prod", "-e", "staging")
    assert done.code == 3
    assert "no environment 'prod'" in done.err
    assert "hint: did you mean 'production'?" in done.err
    assert counts(done) == ["prod: not found", "staging: 1 warning"]
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
    assert done.code == 1
    assert f"{project / 'missing.key'} does not exist" in done.out
    skipped = cli("check", "--skip-files")
    assert (skipped.code, counts(skipped)) == (0, ["development: no findings"])
    assert "not checked: the files" in skipped.out
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
    assert (done.code, counts(done)) == (3, [])
    assert "there are no environments" in done.err
    assert cli("check", "--all", "--fail-on", "never").code == 3
    assert cli("check", "--all", "--baseline", "b.json", "--update-baseline").code == 3


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("production.yml", "rename it to production.yaml"),
        ("production.YAML", "rename it to production.yaml"),
        ("base.yml", "remove it: base.yaml is what is read"),
        ("waivers.yml", "rename it to waivers.yaml"),
        ("production.local.yml", "rename it to production.local.yaml"),
        ("prod.eu.yaml", "give it another name: names are letters"),
        ("prod eu.yaml", "give it another name: names are letters"),
        ("-prod.yml", "give it another name: names are letters"),
    ],
)
@pytest.mark.parametrize("text", ["connection_settings: {password: kX7canary}", "a: [", "\0"])
def test_a_file_that_is_not_read_is_a_finding(
    cli: Cli, write: Write, project: Path, name: str, advice: str, text: str
) -> None:
    """Somebody counts on an environment that is not there, whatever is in the file."""
    write(base=GOOD, development="")
    (project / "environments" / name).write_text(text, encoding="utf-8")
    done = cli("check", "--all")
    assert done.code == 1
    assert f"environments/{name}:1:1: error[unread-file] {name} is not read" in done.out
    assert f"hint: {advice}" in done.out
    assert "kX7canary" not in done.out
    assert cli("check", "--all", "--ignore", "unread-file").code == 0
    assert cli("check", "--all", "--rule", "policy").code == 0
    assert cli("check", "-e", "development").code == 0
    baseline = ("--all", "--baseline", "b.json")
    assert cli("check", *baseline, "--update-baseline").code == 0
    assert cli("check", *baseline).code == 0


def test_a_file_that_is_not_read_is_told_without_environments(
    cli: Cli, write: Write, project: Path
) -> None:
    """It is most likely why there are none."""
    write(base=GOOD)
    (project / "environments" / "production.yml").write_text(GOOD)
    done = cli("check", "--all")
    assert (done.code, counts(done)) == (3, ["production: 1 error"])
    assert "hint: rename it to production.yaml" in done.out


def test_files_that_are_meant_to_be_beside_environments(
    cli: Cli, write: Write, project: Path
) -> None:
    """Waivers, what belongs to an environment, what is hidden, and what is no YAML."""
    write(base=GOOD, development="", waivers="", development__local="")
    for name in (".development.yml", ".hidden.x.yaml", "README.md", "old.yaml.bak", "yml"):
        (project / "environments" / name).write_text("")
    assert counts(cli("check", "--all")) == ["development: no findings"]


def test_a_file_that_is_not_read_may_be_meant(cli: Cli, write: Write, project: Path) -> None:
    """A comment at its top says so."""
    write(base=GOOD, development="")
    comment = "# pgstrata: ignore[unread-file] because a container is made of it\n"
    (project / "environments" / "compose.yml").write_text(comment + "services: {}\n")
    done = cli("check", "--all", "--fail-on", "info")
    assert (done.code, counts(done)) == (0, ["development: no findings"])


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


SUPERUSER = "connection_settings: {user: postgres}\n"


@pytest.mark.parametrize(
    ("fail_on", "code"), [("error", 0), ("warning", 1), ("info", 1), ("never", 0)]
)
def test_fail_on_decides_the_exit_code(cli: Cli, write: Write, fail_on: str, code: int) -> None:
    """A finding as bad as that, or worse, is exit code 1."""
    write(base=GOOD, development=SUPERUSER)
    assert cli("check", "--fail-on", fail_on).code == code


def test_what_cannot_be_loaded_is_3_whatever_fails(cli: Cli, write: Write) -> None:
    """No option makes an unusable environment a success."""
    write(base=GOOD, development=BAD)
    for options in (("--fail-on", "never"), ("--ignore", "unknown-key"), ("--rule", "policy")):
        assert cli("check", *options).code == 3


def test_rules_are_chosen_and_left_out(cli: Cli, write: Write) -> None:
    """Each option may be repeated."""
    write(base=GOOD, development=SUPERUSER)
    rule = ("--rule", "superuser-name", "--fail-on", "warning")
    assert cli("check", *rule).code == 1
    assert cli("check", *rule, "--ignore", "superuser-name").code == 0
    assert cli("check", "--rule", "policy", "--fail-on", "info").code == 0


@pytest.mark.parametrize("option", ["--rule", "--ignore"])
def test_a_misspelt_rule_is_refused(cli: Cli, write: Write, option: str) -> None:
    """Ignoring it would do nothing, and running only it would check nothing."""
    write(base=GOOD, development="")
    done = cli("check", option, "superuser-names")
    assert done.code == 2
    assert "did you mean 'superuser-name'?" in done.err


def test_a_baseline_accepts_what_is_there_and_nothing_else(
    cli: Cli, write: Write, project: Path
) -> None:
    """A project that begins to check fails only by what is new."""
    write(base=GOOD, development=SUPERUSER)
    strict = ("check", "--all", "--fail-on", "warning", "--baseline", "baseline.json")
    assert cli(*strict).code == 3  # not there yet
    done = cli(*strict, "--update-baseline")
    assert (done.code, done.out) == (0, "")
    assert "1 findings written to baseline.json" in done.err
    known = cli(*strict)
    assert known.code == 0
    assert "no findings, 1 in the baseline" in known.out
    write(base=GOOD, development="\n\n" + SUPERUSER, staging=SUPERUSER)
    done = cli(*strict, "--format", "json")
    assert done.code == 1
    names = {f["environment"] for f in done.json["findings"] if f["rule"] == "superuser-name"}
    assert names == {"staging"}
    assert str(project) not in (project / "baseline.json").read_text()


@pytest.mark.parametrize(
    "options",
    [
        ("--all", "--update-baseline"),
        ("--update-baseline", "--baseline", "b.json"),
        ("--all", "--update-baseline", "--baseline", "b.json", "--rule", "policy"),
        ("--all", "--update-baseline", "--baseline", "missing/b.json"),
    ],
)
def test_a_baseline_of_a_part_is_not_written(
    cli: Cli, write: Write, project: Path, options: tuple[str, ...]
) -> None:
    """It would forget the rest."""
    write(base=GOOD, development=SUPERUSER)
    assert cli("check", *options).code == 2
    assert not list(project.glob("*.json"))


def test_a_baseline_does_not_accept_what_cannot_be_loaded(
    cli: Cli, write: Write, project: Path
) -> None:
    """Nothing is written."""
    write(base=GOOD, development=BAD)
    done = cli("check", "--all", "--baseline", "b.json", "--update-baseline")
    assert done.code == 3
    assert "not written" in done.err
    assert not (project / "b.json").exists()


def test_a_part_says_what_it_leaves_out(cli: Cli, write: Write) -> None:
    """The comparisons need all environments."""
    write(base=GOOD, development="", staging="")
    assert "not checked: rules that compare environments; --all runs them" in cli("check").out
    assert "warning[same-target]" in cli("check", "--all").out


def test_missing_files_of_a_broken_environment_are_found_too(
    cli: Cli, write: Write, project: Path
) -> None:
    """All problems come at once, though the environment cannot be loaded."""
    own = "connection_settings: {sslmode: verify-full, sslrootcert: missing.crt}\n"
    write(base=GOOD, development=own + "pool_settings: {min_size: 9, max_size: 3}\n")
    done = cli("check")
    assert done.code == 3
    assert "error[pool-size]" in done.out
    assert (
        f"error[file-missing] connection_settings.sslrootcert: {project / 'missing.crt'}"
        in done.out
    )
    assert counts(done) == ["development: 2 errors"]
    assert "file-missing" not in cli("check", "--skip-files").out


def test_other_commands_show_the_line_too(cli: Cli, write: Write) -> None:
    """Of what is wrong with the settings together, as check does."""
    write(base=GOOD, development="pool_settings: {min_size: 9, max_size: 3}\n")
    lines = cli("show").err.splitlines()
    assert lines[1] == "  1 | pool_settings: {min_size: 9, max_size: 3}"
    assert lines[2].rstrip().endswith("^")
