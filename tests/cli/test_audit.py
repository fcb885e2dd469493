from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from tests.cli.conftest import SERVER, Cli, Done
from tests.servers import PASSWORD, Server

Write = Callable[..., None]
APP = "audit_cli_app"


@pytest.fixture(scope="module")
def app(server: Server) -> Iterator[str]:
    """Return the role of a program that may do nothing special."""
    server.sql(f"CREATE ROLE {APP} LOGIN PASSWORD '{PASSWORD}'")
    yield APP
    server.sql(f"DROP ROLE {APP}")


@pytest.fixture
def base(server: Server, app: str) -> str:
    """Return the settings that all environments of a test share."""
    return SERVER.format(host=server.host, port=server.port, user=app, password=PASSWORD)


def results(done: Done, environment: str = "one") -> dict[str, list[str]]:
    """Return the statuses of each check in an environment's JSON."""
    found: dict[str, list[str]] = {}
    for place in done.json["environments"]:
        if place["environment"] == environment:
            for result in place["results"]:
                found.setdefault(result["check"], []).append(result["status"])
    return found


SUPERUSER = f"connection_settings: {{user: postgres, password: {PASSWORD}}}\n"


def test_a_finding_fails_the_audit(cli: Cli, write: Write, base: str) -> None:
    """It has its place in the client's file, and how to mend it."""
    write(base=base, one=SUPERUSER)
    done = cli("audit", "-e", "one")
    assert done.code == 1
    assert re.search(r"^role.super +FAIL SUPERUSER$", done.out, re.MULTILINE)
    assert "wanted by connection_settings.user: environments/one.yaml:1:29" in done.out
    assert "more: pgstrata audit --explain role.super" in done.out
    assert PASSWORD not in done.out + done.err


def test_a_clean_audit_says_how_much_it_saw(cli: Cli, write: Write, base: str) -> None:
    """And what it did not, with the one block of SQL that would show it."""
    write(base=base, one="")
    done = cli("audit", "-e", "one", "--fail-on", "never")
    assert (done.code, done.err) == (0, "")
    assert re.search(r"^\d+ checked, [1-9]\d* not checked: ", done.out.splitlines()[-1])
    assert f"GRANT SELECT ON pg_hba_file_rules TO {APP};" in done.out
    statements = [line for line in done.out.splitlines() if line.startswith("  GRANT")]
    assert len(statements) == len(set(statements))


def test_what_is_unknown_fails_where_it_is_asked(cli: Cli, write: Write, base: str) -> None:
    """A false all-clear is worse than a finding."""
    write(base=base, one="")
    assert cli("audit", "-e", "one", "--fail-on", "never", "--fail-on-unknown").code == 1


GONE = "connection_settings: {port: 1}\n"


@pytest.mark.parametrize(("one", "code", "codes"), [("", 3, [3]), (SUPERUSER, 1, [1, 3])])
def test_what_could_not_be_audited_is_never_clean(
    cli: Cli, write: Write, base: str, one: str, code: int, codes: list[int]
) -> None:
    """And hides no finding of another environment: the JSON has both codes."""
    write(base=base, one=one, gone=GONE)
    done = cli("audit", "--all", "--format", "json")
    summary = done.json["summary"]
    assert (done.code, summary["exit_codes"]) == (code, codes)
    assert "Connection refused" in summary["unaudited"]["gone/default (127.0.0.1:1)"]
    assert all("ok" not in statuses for statuses in results(done, "gone").values())


def test_an_environment_that_cannot_be_loaded_leaves_the_others(
    cli: Cli, write: Write, base: str
) -> None:
    """What is wrong with it is told on stderr."""
    write(base=base, one="", broken="connection_settings: {hots: a}\n")
    done = cli("audit", "--all", "--format", "json")
    assert done.code == 3
    assert "unknown-key" in done.err
    assert done.json["summary"]["unaudited"] == {"broken": "cannot be loaded"}
    assert results(done)


def test_no_environment_of_that_name(cli: Cli, write: Write, base: str) -> None:
    """It is told as everywhere, and nothing is clean."""
    write(base=base, one="")
    done = cli("audit", "-e", "another")
    assert done.code == 3
    assert "no environment 'another'" in done.err


NAMED = f"""\
connections:
  reports:
    connection_settings: {{dbname: template1}}
  auditor:
    connection_settings: {{user: postgres, password: {PASSWORD}}}
"""


def test_all_connections_but_the_auditors_own(cli: Cli, write: Write, base: str) -> None:
    """Its credentials are used for the others."""
    write(base=base + NAMED, one="")
    done = cli("audit", "-e", "one", "--login", "auditor", "--format", "json")
    places = {(it["connection"], it["viewer"]) for it in done.json["environments"]}
    assert places == {("default", "postgres"), ("reports", "postgres")}
    assert "unknown" not in results(done)["auth.file_errors"]
    assert results(done)["role.super"] == ["ok", "ok"]


def test_one_connection_alone(cli: Cli, write: Write, base: str) -> None:
    """The one that is named."""
    write(base=base + NAMED, one="")
    done = cli("audit", "-e", "one", "--connection", "reports", "--format", "json")
    assert [it["connection"] for it in done.json["environments"]] == ["reports"]


def test_an_environment_without_any_is_not_clean(cli: Cli, write: Write, base: str) -> None:
    """Where the auditor's own is the only connection, nothing was audited."""
    write(base=base, one="")
    done = cli("audit", "-e", "one", "--login", "default", "--format", "json")
    assert done.code == 3
    assert done.json["summary"]["unaudited"] == {"one": "it has no connection to audit"}


@pytest.mark.parametrize("option", ["--connection", "--login"])
def test_a_connection_that_is_not_there(cli: Cli, write: Write, base: str, option: str) -> None:
    """A misspelt one must not mean all."""
    write(base=base + NAMED, one="")
    done = cli("audit", "-e", "one", option, "repotrs")
    assert done.code == 2
    assert "no connection 'repotrs'" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--save", "a", "--from", "b"),
        ("--save", "a", "--redact-addresses"),
        ("--new-only",),
        ("-e", ""),
        ("--format", "yaml"),
    ],
)
def test_wrong_usage(cli: Cli, write: Write, base: str, arguments: tuple[str, ...]) -> None:
    """Is told before anything connects."""
    write(base=base, development="")
    assert cli("audit", *arguments).code == 2


def test_what_was_saved_is_judged_the_same(cli: Cli, write: Write, base: str) -> None:
    """Without any connection: the report is the same to the letter."""
    write(base=base, one=SUPERUSER, two="", gone=GONE)
    saved = cli("audit", "--all", "--save", "seen.json", "--format", "json")
    write(base=base.replace(PASSWORD, "changed"), one="connection_settings: {user: postgres}\n")
    told = cli("audit", "--from", "seen.json", "--format", "json")
    assert (told.code, told.out) == (saved.code, saved.out)
    text = cli("audit", "--from", "seen.json")
    assert "role.super" in text.out
    assert PASSWORD not in Path("seen.json").read_text()


def test_what_was_not_saved_could_not_be_audited(cli: Cli, write: Write, base: str) -> None:
    """An environment that is newer than the file is not clean."""
    write(base=base, one="")
    cli("audit", "-e", "one", "--save", "seen.json")
    write(base=base, one="", new="")
    done = cli("audit", "--from", "seen.json", "--all", "--format", "json")
    assert done.code == 3
    assert list(done.json["summary"]["unaudited"].values()) == ["the file has no snapshot of it"]


WAIVER = """\
waivers:
  - id: role.super
    environment: one
    reason: to be changed with the next release
    owner: dba@example.com
    expires: {day}
"""


def test_a_waiver_is_no_failure_and_stays_visible(cli: Cli, write: Write, base: str) -> None:
    """Until its last day."""
    soon = datetime.now(tz=timezone.utc).date() + timedelta(days=9)
    write(base=base, one=SUPERUSER, waivers=WAIVER.format(day=soon))
    done = cli("audit", "-e", "one", "--format", "json")
    assert results(done)["role.super"] == ["waived"]
    write(base=base, one=SUPERUSER, waivers=WAIVER.format(day="2020-01-01"))
    done = cli("audit", "-e", "one", "--format", "json")
    assert results(done)["role.super"] == ["fail"]
    assert [it["check"] for it in done.json["waivers"]] == ["waiver.expired"]


def test_a_malformed_waiver_ends_the_audit_with_its_place(
    cli: Cli, write: Write, base: str
) -> None:
    """It might have been meant for what comes next."""
    write(base=base, one="", waivers=WAIVER.format(day="soon"))
    done = cli("audit", "-e", "one")
    assert (done.code, done.out) == (3, "")
    assert "environments/waivers.yaml:6:14" in done.err


@pytest.mark.parametrize(
    ("waivers", "arguments", "said"),
    [
        (WAIVER.format(day="soon"), (), "environments/waivers.yaml"),
        ("", ("--save", "no/such/folder/seen.json"), "cannot write no/such/folder/seen.json"),
    ],
    ids=["waivers", "save"],
)
def test_what_needs_no_server_is_checked_before_any_is_asked(
    cli: Cli, write: Write, base: str, waivers: str, arguments: tuple[str, ...], said: str
) -> None:
    """A server that would hear of it does not."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        port = f"connection_settings: {{port: {server.getsockname()[1]}}}\n"
        write(base=base, one=port, waivers=waivers)
        done = cli("audit", "-e", "one", *arguments)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert done.code in (2, 3)
    assert said in done.err


def test_a_host_that_was_added_since_was_not_audited(cli: Cli, write: Write, base: str) -> None:
    """What was saved says nothing of it."""
    write(base=base, one=SUPERUSER)
    cli("audit", "-e", "one", "--save", "seen.json")
    port = int(re.findall(r"port: (\d+)", base)[0])
    write(base=base.replace("127.0.0.1", '"127.0.0.1,new"'), one=SUPERUSER)
    done = cli("audit", "-e", "one", "--from", "seen.json", "--format", "json")
    assert done.json["summary"]["exit_codes"] == [1, 3]
    assert list(done.json["summary"]["unaudited"]) == [f"one/default (new:{port})"]


def test_the_page_of_a_check_is_printed(cli: Cli) -> None:
    """Without a project or a server: the same that the reference has."""
    done = cli("audit", "--explain", "role.super")
    assert done.code == 0
    page = Path(__file__).parents[2] / "docs" / "reference" / "audit" / "role.super.md"
    for line in filter(None, done.out.splitlines()):
        assert line in page.read_text(encoding="utf-8")


def test_no_check_of_that_name(cli: Cli) -> None:
    """The nearest one is named."""
    done = cli("audit", "--explain", "role.supper")
    assert done.code == 2
    assert "did you mean 'role.super'?" in done.err


def test_a_baseline_lets_new_findings_through_alone(cli: Cli, write: Write, base: str) -> None:
    """An earlier report is one."""
    write(base=base, one=SUPERUSER)
    first = cli("audit", "-e", "one", "--format", "json")
    assert first.code == 1
    Path("base.json").write_text(first.out)
    again = cli("audit", "-e", "one", "--baseline", "base.json")
    assert again.code == 0
    assert "(in the baseline)" in again.out
    new = cli("audit", "-e", "one", "--baseline", "base.json", "--new-only")
    assert "FAIL" not in new.out
    write(base=base, one=SUPERUSER, two=SUPERUSER)
    more = cli("audit", "-e", "two", "--baseline", "base.json", "--new-only")
    assert more.code == 1


def test_the_grants_of_an_auditor_are_printed(cli: Cli) -> None:
    """Without a project or a server."""
    done = cli("audit", "--grants")
    assert done.code == 0
    assert "CREATE ROLE pgstrata_audit LOGIN;" in done.out
    assert "GRANT pg_monitor TO pgstrata_audit;" in done.out


def test_no_address_is_shown_where_it_is_asked(cli: Cli, write: Write, base: str) -> None:
    """Each has a number of its own, in every format."""
    write(base=base, one="", gone=GONE)
    for form in ("text", "json", "html", "junit"):
        done = cli("audit", "--all", "--redact-addresses", "--format", form)
        assert "127.0.0.1" not in done.out
        assert "address-1" in done.out


def test_a_host_that_hangs_ends_with_its_time_out(cli: Cli, write: Write, base: str) -> None:
    """The others are there all the same."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        port = hole.getsockname()[1]
        hung = f"connection_settings: {{port: {port}, connect_timeout: 2}}\n"
        write(base=base, one=SUPERUSER, hung=hung)
        done = cli("audit", "--all", "--format", "json")
    assert done.json["summary"]["exit_codes"] == [1, 3]
    assert "role.super" in results(done)


SERVICES = "connection_type: pool\nservices: [{name: web, processes: 9, replicas: 9}]\n"


def test_capacity_is_a_picture(cli: Cli, write: Write, base: str) -> None:
    """Of what the services of both may open beside their server's slots, in the page itself."""
    write(base=base + SERVICES, one="pool_settings: {max_size: 10}", two="")
    page = cli("audit", "--all", "--format", "html").out
    picture = page[page.index("<svg") : page.index("</svg>")]
    assert "1134 wanted + " in picture
    assert picture.count("<text") == 4
    assert not re.search(r"(src|href)=", page)


@pytest.mark.parametrize("form", ["json", "sarif", "junit", "markdown", "html", "prometheus"])
def test_every_format_tells_of_the_finding(cli: Cli, write: Write, base: str, form: str) -> None:
    """And of nothing secret."""
    write(base=base, one=SUPERUSER)
    done = cli("audit", "-e", "one", "--format", form)
    assert done.code == 1
    assert "role.super" in done.out
    assert PASSWORD not in done.out
    if form in ("json", "sarif"):
        json.loads(done.out)
