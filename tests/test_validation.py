"""Each rule fires at its place, stays silent otherwise, and all problems come at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.layers.project import SERVER, loaded, refused, settings, write

from pgstrata import InvalidConfigError, load_file
from pgstrata.layers.document import MAX_BYTES
from pgstrata.validation import file_problems

MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def found(project: Path, environ: dict[str, str] | None = None) -> list[tuple[str, str, str]]:
    """Return the rule, place and hint of each finding."""
    return [(f.rule, str(f.origin), f.hint) for f in refused(project, environ)]


@pytest.mark.parametrize(
    ("text", "rule", "place", "hint"),
    [
        ("conection_settings: {}", "unknown-section", "1:1", "connection_settings"),
        ("connection_settings: {database: x}", "unknown-key", "1:23", "dbname"),
        ("connection_settings: {db: x}", "unknown-key", "1:23", "dbname"),
        ("connection_settings: {username: x}", "unknown-key", "1:23", "user"),
        ("connection_settings: {hots: x}", "unknown-key", "1:23", "host"),
        ("pool_settings: {max_conn: 3}", "unknown-key", "1:17", "max_size"),
        ("session_settings: {work_men: 1MB}", "unknown-parameter", "1:20", "work_mem"),
        ("session_settings: {shared_buffers: 1GB}", "server-parameter", "1:36", ""),
        ("session_settings: {statement_timeout: 3 parsecs}", "invalid-value", "1:39", ""),
        ("session_settings: {work_mem: 1kB}", "invalid-value", "1:30", ""),
        ("session_settings: {TimeZone: UTC, timezone: CET}", "duplicate-key", "1:35", ""),
        ("policy: []", "misplaced-section", "1:1", ""),
        ("connections: {Main: {}}", "invalid-name", "1:15", ""),
        ("connections: [a]", "invalid-type", "1:14", ""),
        ("connections: {a: {extends: x}}", "unknown-section", "1:19", ""),
        ("connection_settings: [a]", "invalid-type", "1:22", ""),
        ("connection_settings: {port: {a: b}}", "invalid-type", "1:29", ""),
        ("connection_settings: {port: [1, 2, x]}", "invalid-value", "1:29", ""),
        ("connection_settings: {port: 70000}", "invalid-value", "1:29", ""),
        ("connection_settings: {connect_timeout: -1}", "invalid-value", "1:40", ""),
        ("connection_settings: {autocommit: maybe}", "invalid-value", "1:35", ""),
        ("connection_settings: {sslmode: verify_full}", "invalid-value", "1:32", ""),
        ('connection_settings: {host: "a\\0b"}', "invalid-value", "1:29", ""),
        ("pool_settings: {max_size: 1.5}", "invalid-value", "1:27", ""),
        ("pool_settings: {min_size: 9, max_size: 3}", "pool-size", "1:40", "min_size comes from"),
        ("pool_settings: {min_size: 0}", "pool-size", "1:27", "add pool_settings.max_size"),
        ("connection_type: pol", "invalid-value", "1:18", ""),
        ("protected: 2", "invalid-value", "1:12", ""),
        ("secret_stores: [vault]", "invalid-value", "1:17", ""),
        ("services: x", "invalid-type", "1:11", ""),
        ("extends: base", "extends", "1:10", ""),
        ("extends: production", "extends", "1:10", ""),
        ("extends: prod", "extends", "1:10", ""),
        ("local: true\nlocal: true", "duplicate-key", "2:1", ""),
        ("pooler: pgbouncer\nsession_settings: {a.b: c}", "pooler-session-settings", "2:25", ""),
        ("pooler: pgbouncer\nconnection_settings: {options: -c a.b=c}",
         "pooler-session-settings", "2:32", "ALTER ROLE"),
        ("connection_settings: {require_auth: sram}", "libpq", "1:37", ""),
        ("connection_settings: {host: 'a,b', port: '1,2,3'}", "libpq", "1:42", ""),
        ("connection_settings: {host: 'a,b', hostaddr: 127.0.0.1}", "libpq", "1:46", ""),
        ("connection_settings: {sslrootcert: system, sslmode: require}", "libpq", "1:53", ""),
        ("- a", "yaml-syntax", "1:1", ""),
        ("a: b: c", "yaml-syntax", "1:5", ""),
        ("a: *b", "yaml-syntax", "1:4", ""),
        ("a: 1\n---\nb: 1", "yaml-syntax", "2:1", ""),
        ("\ta: 1", "yaml-syntax", "1:1", ""),
        ("local: !!python/object:os.system true", "yaml-syntax", "1:8", ""),
        ("local: true\x07", "yaml-syntax", "1:12", ""),
    ],
)  # fmt: skip
def test_each_rule_fires_at_its_place(
    text: str, rule: str, place: str, hint: str, tmp_path: Path
) -> None:
    """The rule, the line and column, and what was meant."""
    findings = found(write(tmp_path, SERVER, production=text))
    assert (rule, f"environments/production.yaml:{place}") in [found[:2] for found in findings]
    assert hint in " ".join(found[2] for found in findings)


@pytest.mark.parametrize("mode", MODES)
def test_all_sslmodes_are_known(mode: str, tmp_path: Path) -> None:
    """The six of them are taken as they are."""
    config = loaded(write(tmp_path, settings(f"  sslmode: {mode}\n")))
    assert (config["connection_settings.sslmode"], config.findings) == (mode, ())


def test_all_problems_come_at_once_in_the_order_of_the_files(tmp_path: Path) -> None:
    """Of all files, variables among them, each once however many connections inherit it."""
    project = write(
        tmp_path,
        settings("  port: 54x2\n  sslmode: sometimes\n") + "connections: {a: {}, b: {}}\n",
        production="pool_settings:\n  max_size: 0\nsession_settings:\n  work_mem: lots\n",
        production_local="pol_settings: {}\n",
    )
    environ = {"PGSTRATA_CONNECTION_SETTINGS__HOTS": "x", "PGSTRATA_POOL_SETTINGS__MIN_SIZE": "-1"}
    assert [place for _, place, _ in found(project, environ)] == [
        "env PGSTRATA_CONNECTION_SETTINGS__HOTS",
        "env PGSTRATA_POOL_SETTINGS__MIN_SIZE",
        "environments/base.yaml:5:9",
        "environments/base.yaml:6:12",
        "environments/production.local.yaml:1:1",
        "environments/production.yaml:2:13",
        "environments/production.yaml:4:13",
    ]


def test_libpq_complains_about_every_value(tmp_path: Path) -> None:
    """It stops at the first one; here each is asked about."""
    text = settings("  require_auth: sram\n  sslrootcert: system\n  sslmode: require\n")
    places = [(rule, place) for rule, place, _ in found(write(tmp_path, text))]
    assert places == [
        ("libpq", "environments/base.yaml:5:17"),
        ("libpq", "environments/base.yaml:7:12"),
    ]


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("", [f"connection_settings.{name}" for name in ("dbname", "host", "user")]),
        ("connection_settings: {hostaddr: 127.0.0.1}", [
            "connection_settings.dbname", "connection_settings.user"]),
        ("connection_settings: {service: x}", []),
        ("local: true", []),
        ("connections: {a: {connection_settings: {host: h, user: u}}}", [
            "connections.a.connection_settings.dbname"]),
    ],
)  # fmt: skip
def test_required_parts(text: str, missing: list[str], tmp_path: Path) -> None:
    """What libpq would choose by itself must be said; a connection's own name is in the message."""
    project = write(tmp_path, production=text)
    if missing:
        assert [finding.key for finding in refused(project)] == missing
        assert loaded(project, {"PGHOST": "h", "PGUSER": "u", "PGDATABASE": "d"})
    else:
        assert loaded(project).findings == ()


def test_what_could_not_be_read_is_not_missing(tmp_path: Path) -> None:
    """A broken file, or a broken value, is the only thing that is reported."""
    assert [rule for rule, _, _ in found(write(tmp_path, "a: b: c"))] == ["yaml-syntax"]
    text = "connection_settings: {host: {a: b}, dbname: d, user: u}"
    assert [rule for rule, _, _ in found(write(tmp_path, text))] == ["invalid-type"]


def test_a_number_without_its_unit_is_a_warning(tmp_path: Path) -> None:
    """It loads; the finding says what the number means."""
    config = loaded(write(tmp_path, SERVER, production="session_settings: {statement_timeout: 30}"))
    (finding,) = config.findings
    assert (finding.rule, finding.severity) == ("unit", "warning")
    assert "30 means 30 ms" in finding.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("password: [abcsecret", "did not find expected ',' or ']'"),
        ("password: {abcsecret", "did not find expected ',' or '}'"),
        ('password: "\\q"', "found unknown escape character"),
    ],
)
def test_what_yaml_expects_is_said(text: str, message: str, tmp_path: Path) -> None:
    """And nothing of what it found."""
    (finding,) = refused(write(tmp_path, f"connection_settings:\n  {text}\n"))[:1]
    assert finding.message.startswith(message)
    assert "secret" not in finding.message + finding.excerpt


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("PGSTRATA_CONNECTION_SETTINGS__HOTS", "PGSTRATA_CONNECTION_SETTINGS__HOST?"),
        ("PGSTRATA_CONECTION_SETTINGS__HOST", "PGSTRATA_CONNECTION_SETTINGS__HOST?"),
        ("PGSTRATA_CONNECTIONS__MIAN__CONNECTION_SETTINGS__HOST", "'main'"),
        ("PGSTRATA_SESSION_SETTINGS__STATEMENT_TIMOUT", "STATEMENT_TIMEOUT"),
        ("PGSTRATA_EXTENDS", ""),
        ("PGSTRATA_POOL_SETTINGS__A__B", ""),
    ],
)
def test_unknown_variables(variable: str, hint: str, tmp_path: Path) -> None:
    """Each is named, with the one that was meant; its value is not."""
    project = write(tmp_path, f"{SERVER}connections: {{main: {{}}}}")
    (finding,) = refused(project, {variable: "CaNaRy"})
    assert finding.rule == "unknown-variable"
    assert hint in finding.hint
    assert "CaNaRy" not in repr(finding)


@pytest.mark.parametrize(
    ("url", "rules"),
    [
        ("postgresql://u:Hun@ter2@a.example.com/d", ["invalid-url"]),
        ("postgresql://u@a.example.com:x/d", ["invalid-url"]),
        ("{from_env: ABSENT}", ["interpolation"]),
        ("postgresql:///d", ["missing-setting"] * 2),
    ],
)
def test_what_a_url_would_have_said_is_not_missing(
    url: str, rules: list[str], tmp_path: Path
) -> None:
    """Nobody has to add beside it what is in it."""
    project = write(tmp_path, f"connection_settings:\n  url: {url}\n")
    assert [finding.rule for finding in refused(project)] == rules


@pytest.mark.parametrize("name", ["EXTENDS", "POLICY__A", "EXTEND__A"])
def test_what_only_files_say_is_not_what_was_meant(name: str, tmp_path: Path) -> None:
    """No variable can say it."""
    (finding,) = refused(write(tmp_path, SERVER), {f"PGSTRATA_{name}": "x"})
    assert (finding.rule, finding.hint) == ("unknown-variable", "")


def test_other_variables_are_none_of_our_business(tmp_path: Path) -> None:
    """PGSTRATA_ENV and its like, and an age key, are no settings."""
    environ = {"PGSTRATA_ENV": "x", "PGSTRATA_KEY": "x", "PGSTRATA": "x", "OTHER__X": "x"}
    assert loaded(write(tmp_path, SERVER), environ).findings == ()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"# nothing\n",
        b"---\n",
        b"null",
        b"\xef\xbb\xbflocal: false\n",
        b"connection_settings:\r\n  port: 1\r\n",
        b"connection_settings:\n",
    ],
)
def test_harmless_files(text: bytes, tmp_path: Path) -> None:
    """Empty files, a byte order mark and Windows line ends are all fine."""
    assert loaded(write(tmp_path, SERVER, production=text)).findings == ()


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000,
        "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]\n"
                                    for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        "#" * (MAX_BYTES + 1),
        b"local: \xff\n",
        "\x00",
    ],
    ids=["lists", "maps", "dashes", "aliases", "large", "latin", "nul"],
)  # fmt: skip
def test_hostile_files_are_refused(text: str | bytes, tmp_path: Path) -> None:
    """Neither the process nor its memory gives way."""
    assert found(write(tmp_path, SERVER, production=text))[0][0] == "yaml-syntax"


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file"
)
def test_an_unreadable_file_is_a_finding(tmp_path: Path) -> None:
    """It is named with the system's reason."""
    project = write(tmp_path, SERVER, production_local="")
    (project / "environments" / "production.local.yaml").chmod(0)
    assert found(project)[0][0] == "unreadable"


def test_a_circle_of_parents(tmp_path: Path) -> None:
    """The way round is written out."""
    project = write(tmp_path, SERVER, production="extends: a", a="extends: b", b="extends: a")
    (finding,) = refused(project)
    assert finding.message == "extends: goes round in a circle: production -> a -> b -> a"
    assert str(finding.origin) == "environments/b.yaml:1:10"


# Files that connections need ----------------------------------------------------------------------


def files(project: Path) -> list[tuple[str, str]]:
    """Return the rule and key of what is wrong with the files of the default connection."""
    return [(f.rule, f.key) for f in file_problems(loaded(project).connection(), project)]


def test_missing_certificates(tmp_path: Path) -> None:
    """Relative paths start at the project; what is there is fine."""
    project = write(tmp_path, settings("  sslrootcert: ca.pem\n  sslcert: /nonexistent/c\n"))
    key = "connection_settings.ssl"
    assert sorted(files(project)) == [
        ("file-missing", f"{key}cert"),
        ("file-missing", f"{key}rootcert"),
    ]
    (project / "ca.pem").write_text("")
    assert files(project) == [("file-missing", f"{key}cert")]


@pytest.mark.parametrize("name", ["sslcert", "sslkey", "sslrootcert", "sslcrl", "passfile"])
def test_a_folder_is_no_certificate(name: str, tmp_path: Path) -> None:
    """As a mount makes where a file is missing."""
    project = write(tmp_path, settings(f"  {name}: there\n"))
    (project / "there").mkdir()
    key = f"connection_settings.{name}"
    (finding,) = file_problems(loaded(project).connection(), project)
    assert (finding.rule, finding.key) == ("file-missing", key)
    assert finding.message == f"{key}: {project / 'there'} is a folder"


def test_a_folder_of_revoked_certificates_is_fine(tmp_path: Path) -> None:
    """It is what sslcrldir asks for."""
    project = write(tmp_path, settings("  sslcrldir: there\n"))
    (project / "there").mkdir()
    assert files(project) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sslkey", [("file-missing", "connection_settings.sslkey")]),
        ("sslcert", []),
        ("sslrootcert", []),
    ],
)
def test_of_devices_a_key_is_refused(
    name: str, expected: list[tuple[str, str]], tmp_path: Path
) -> None:
    """As libpq does; a certificate may come by a device or a pipe."""
    assert files(write(tmp_path, settings(f"  {name}: {os.devnull}\n"))) == expected


@pytest.mark.skipif(os.name != "posix", reason="libpq looks at modes on POSIX only")
@pytest.mark.parametrize(("mode", "fine"), [(0o600, True), (0o644, False), (0o660, False)])
def test_the_mode_of_a_key_file(mode: int, fine: bool, tmp_path: Path) -> None:  # noqa: FBT001  # a column of the table
    """Others must not read it."""
    project = write(tmp_path, settings("  sslkey: key.pem\n"))
    (project / "key.pem").write_text("")
    (project / "key.pem").chmod(mode)
    expected = [] if fine else [("file-permissions", "connection_settings.sslkey")]
    assert files(project) == expected


def test_verifying_needs_a_root_certificate(tmp_path: Path) -> None:
    """One in a file, or the machine's own."""
    project = write(tmp_path, settings("  sslmode: verify-full\n"))
    assert files(project) == [("file-missing", "connection_settings.sslmode")]
    project = write(tmp_path, settings("  sslmode: verify-full\n  sslrootcert: system\n"))
    assert files(project) == []


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"PGSSLMODE": "bogus"}, {"libpq env PGSSLMODE": 'invalid sslmode value: "bogus"'}),
        ({"PGSERVICE": "nope"}, {"libpq env PGSERVICE": 'definition of service "nope" not found'}),
        (
            {"PGSSLMODE": "bogus", "PGTARGETSESSIONATTRS": "x"},
            {
                "libpq env PGSSLMODE": 'invalid sslmode value: "bogus"',
                "libpq env PGTARGETSESSIONATTRS": 'invalid target_session_attrs value: "x"',
            },
        ),
        ({"PGHOSTADDR": "::1,::2"}, {"libpq env PGHOSTADDR": "2 addresses for 1 hosts"}),
    ],
)
def test_a_broken_variable_is_named_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    expected: dict[str, str],
) -> None:
    """Not as an error of each setting, nor of each connection that it breaks."""
    write(tmp_path, base=SERVER + "connections: {one: {}, two: {}}\n", production="")
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    findings = refused(tmp_path, variables)
    assert [str(f.origin) for f in findings] == list(expected)
    assert all(expected[str(f.origin)] in f.message for f in findings)


def test_variables_that_are_not_given_break_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``environ`` says what counts, not the process."""
    write(tmp_path, base=SERVER, production="connection_settings: {sslmode: require}\n")
    monkeypatch.setenv("PGSSLMODE", "bogus")
    loaded(tmp_path)
    (finding,) = refused(tmp_path, {"PGTARGETSESSIONATTRS": "x"})
    assert str(finding.origin) == "libpq env PGTARGETSESSIONATTRS"


@pytest.mark.parametrize(
    ("text", "excerpt", "caret"),
    [
        ("pool_settings: {min_size: 9, max_size: 3}", None, 40),
        ("connection_settings: {sslmode: require, sslrootcert: system}", None, 32),
        ("connection_settings: {host: '${NOT_SET}'}", None, 29),
        ("connection_settings: {url: 'http://canary'}", "connection_settings: {url: ********}", 28),
        ("connection_settings: {password: canary, hostaddr: '::1,::2'}",
         "connection_settings: {password: ********, hostaddr: '::1,::2'}", 53),
    ],
)  # fmt: skip
def test_findings_about_effective_settings_have_their_line(
    tmp_path: Path, text: str, excerpt: str | None, caret: int
) -> None:
    """With the caret under what is meant, and secrets masked."""
    write(tmp_path, base=SERVER, production=text)
    (finding,) = refused(tmp_path)
    assert finding.excerpt == (excerpt or text)
    assert finding.caret == caret


def test_findings_about_a_single_file_have_their_line(tmp_path: Path) -> None:
    """As those about a project's environments."""
    path = tmp_path / "single.yaml"
    path.write_text(SERVER + "pool_settings: {min_size: 9, max_size: 3}\n")
    with pytest.raises(InvalidConfigError) as caught:
        load_file(path, environ={})
    (finding,) = caught.value.findings
    assert finding.excerpt == "pool_settings: {min_size: 9, max_size: 3}"
