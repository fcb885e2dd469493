"""From files, variables and arguments to a Config: values, references, URLs, origins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.layers.project import ENVIRON, SERVER, loaded, refused, settings, write

from pgstrata import (
    Config,
    ConfigError,
    EnvInterpolationError,
    EnvironmentNotFoundError,
    InvalidConfigError,
    ProjectNotFoundError,
    Secret,
    SecretError,
    load,
    load_file,
    load_many,
    load_mapping,
)
from pgstrata.layers.shape import MAX_GUESSES

PASSWORD = "connection_settings.password"
HOST = "connection_settings.host"
PREFIX = "PGSTRATA_CONNECTION_SETTINGS__"


def revealed(config: Config, key: str = PASSWORD) -> str:
    """Return the text of a secret setting."""
    value = config[key]
    assert isinstance(value, Secret)
    return value.reveal()


def stack(config: Config, key: str) -> list[tuple[object, str]]:
    """Return what was said about a key, strongest first, with its place."""
    return [(entry.value, str(entry.origin)) for entry in config.explain(key).stack]


# Texts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "0123",
        "true",
        "1e5",
        "123#abc",
        "2024-01-01",
        "no",
        "~x",
        "on",
        "0x1F",
        "1_000",
        "12:30:45",
        ".inf",
        "NaN",
        "+5",
        "007",
        "a:b",
        "<<x",
    ],
)
def test_plain_text_arrives_as_written(text: str, tmp_path: Path) -> None:
    """A key decides the type of its value, and never the looks of the value."""
    project = write(tmp_path, settings(f"  password: {text}\n  application_name: {text}\n"))
    config = loaded(project)
    assert revealed(config) == config["connection_settings.application_name"] == text


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)


@given(text=texts | st.sampled_from(["@none", "[1,2]", "'q'", '"', "{a}", "null", "~", "$x", " "]))
@hypothesis_settings(max_examples=60, deadline=None)
def test_a_password_arrives_byte_for_byte(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """From quoted YAML, from a variable, and from the calling code."""
    folder = tmp_path_factory.getbasetemp() / "bytes"
    folder.mkdir(exist_ok=True)
    quoted = yaml.safe_dump(text.replace("${", "$${"), default_style='"', width=10_000)
    config = loaded(write(folder, settings(f"  password: {quoted}")))
    assert revealed(config) == text
    project = write(folder, settings(""))
    assert revealed(loaded(project, {f"{PREFIX}PASSWORD": text})) == text
    assert revealed(loaded(project, overrides={PASSWORD: text})) == text
    data = {"connection_settings": {"password": text}}
    assert revealed(load_mapping(data, environ={})) == text


def test_a_wrong_number_has_its_place(tmp_path: Path) -> None:
    """Line and column, the source line, and the column in it."""
    project = write(tmp_path, settings(""), production="connection_settings:\n  port: 54x2 # no\n")
    (finding,) = refused(project)
    assert str(finding) == (
        "environments/production.yaml:2:9: error[invalid-value] connection_settings.port: "
        "'54x2' is not a port; ports are whole numbers from 1 to 65535"
    )
    assert (finding.excerpt, finding.caret) == ("  port: 54x2", 9)


def test_the_caret_moves_with_the_mask(tmp_path: Path) -> None:
    """A masked secret before it does not shift what the caret is under."""
    text = "connection_settings: {password: a-long-password, port: 54x2}"
    (finding,) = refused(write(tmp_path, SERVER, production=text))
    assert finding.excerpt == "connection_settings: {password: ********, port: 54x2}"
    assert finding.excerpt[finding.caret - 1 :] == "54x2}"
    assert finding.origin.column == text.index("54x2") + 1


# References --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${NAME}", "value"),
        ("a${NAME}b${NAME}", "avaluebvalue"),
        ("${ABSENT:-fallback}", "fallback"),
        ("${EMPTY:-fallback}", "fallback"),
        ("${ABSENT:-}", ""),
        ("${ABSENT:-x}}", "x}"),
        ("${NAME:-fallback}", "value"),
        ("${NAME:?say why}", "value"),
        ("$${NAME}", "${NAME}"),
        ("$NAME $", "$NAME $"),
        ("${TRICK}", "${NAME}"),
    ],
)
def test_references_in_text(text: str, expected: str, tmp_path: Path) -> None:
    """Every form of a reference; what it yields is not looked at again."""
    environ = {"NAME": "value", "EMPTY": "", "TRICK": "${NAME}"}
    project = write(tmp_path, settings(f"  application_name: '{text}'\n"))
    assert loaded(project, environ)["connection_settings.application_name"] == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${ABSENT}", "variable ABSENT is not set"),
        ("${EMPTY:?set it, please}", "variable EMPTY is not set: set it, please"),
        ("${", "does not begin a reference"),
        ("${a b}", "does not begin a reference"),
        ("${ABSENT:-${B}}", "a fallback is literal text; references do not nest"),
        ("${ABSENT:-$${B}}", "a fallback is literal text; references do not nest"),
        ("${ABSENT:?${B}}", "a message is literal text; references do not nest"),
        ("{from_env: ABSENT}", "variable ABSENT is not set"),
        ("{from_env: 'a b'}", "needs the name of a variable"),
        ("{from_file: absent.txt}", "absent.txt cannot be read: No such file"),
        ('{from_file: "a\\0b"}', "cannot be the name of a file"),
    ],
)
def test_references_that_lead_nowhere(text: str, message: str, tmp_path: Path) -> None:
    """Each is a finding at its place."""
    quoted = text if text.startswith("{from") else f"'{text}'"
    project = write(tmp_path, settings(f"  application_name: {quoted}\n"))
    (finding,) = refused(project, {"EMPTY": ""})
    assert finding.rule == "interpolation"
    assert finding.origin.line == 5
    assert message in finding.message


def test_a_missing_variable_matters_only_where_its_value_wins(tmp_path: Path) -> None:
    """A stronger layer may replace a reference that leads nowhere."""
    project = write(tmp_path, settings("  port: ${ABSENT}\n"), production="")
    assert [finding.rule for finding in refused(project)] == ["interpolation"]
    config = loaded(project, {f"{PREFIX}PORT": "1"})
    assert stack(config, "connection_settings.port")[:2] == [
        (1, "env PGSTRATA_CONNECTION_SETTINGS__PORT"),
        ("(variable ABSENT is not set)", "environments/base.yaml:5:9"),
    ]


def test_a_secret_takes_no_fallback(tmp_path: Path) -> None:
    """A password in a file, even as a fallback, would be used by accident."""
    (finding,) = refused(write(tmp_path, settings("  password: ${X:-hunter2}\n")))
    assert "a secret cannot have a fallback" in finding.message
    assert "hunter2" not in finding.message + finding.hint + finding.excerpt


needs_pipes = pytest.mark.skipif(
    not hasattr(os, "mkfifo"), reason="there are no pipes in the file system"
)


@needs_pipes
def test_a_pipe_that_nobody_writes_to_ends(tmp_path: Path) -> None:
    """Or a check of a folder with one that was left over would hang."""
    project = write(tmp_path, settings("  password: {from_file: pipe}\n"))
    os.mkfifo(project / "pipe")
    with pytest.raises(EnvInterpolationError, match="it is a pipe, and nobody wrote"):
        revealed(loaded(project))


@needs_pipes
@pytest.mark.parametrize("pause", [0, 0.3])
def test_a_pipe_gives_what_is_written(tmp_path: Path, pause: float) -> None:
    """By a writer that waits for its reader, and takes its time."""
    project = write(tmp_path, settings("  password: {from_file: pipe}\n"))
    pipe = project / "pipe"
    os.mkfifo(pipe)

    def serve() -> None:
        with pipe.open("wb", buffering=0) as file:
            time.sleep(pause)
            file.write(b"hunter")
            time.sleep(pause)
            file.write(b"2\n")

    config = loaded(project)
    with ThreadPoolExecutor(1) as threads:
        served = threads.submit(serve)
        assert revealed(config) == "hunter2"
        served.result()


@pytest.mark.skipif(os.name != "posix", reason="there is no /dev/stdin")
@pytest.mark.parametrize("given", ["/dev/stdin", "linked"])
def test_what_a_shell_hands_on_is_read(given: str, tmp_path: Path) -> None:
    """Standard input by its name, and links, as Kubernetes mounts secrets."""
    project = write(tmp_path, settings(f"  password: {{from_file: {given}}}\n"))
    (project / "..data").mkdir()
    (project / "..data" / "password").write_text("hunter2\n")
    (project / "linked").symlink_to("..data/password")
    code = "print(pgstrata.load('production', project=sys.argv[1])[sys.argv[2]].reveal())"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, pgstrata\n{code}", str(project), PASSWORD],
        input="hunter2\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "hunter2\n"


def test_secrets_are_resolved_at_their_use(tmp_path: Path) -> None:
    """Loading needs no secret; each reveal sees what is there then."""
    text = settings("  password: pre-${WORD}\n  sslpassword: {from_file: word.txt}\n")
    project = write(tmp_path, text)
    environ = dict(ENVIRON)
    config = load("production", project=project, environ=environ)
    with pytest.raises(EnvInterpolationError, match=r"base\.yaml:5:13: .*WORD is not set"):
        revealed(config)
    with pytest.raises(EnvInterpolationError, match=r"base\.yaml:6:16: .*word\.txt cannot be read"):
        revealed(config, "connection_settings.sslpassword")
    for word in ("one", "two"):
        environ["WORD"] = word
        (project / "word.txt").write_text(f"{word}\n")
        assert revealed(config) == f"pre-{word}"
        assert revealed(config, "connection_settings.sslpassword") == word


def test_a_rotated_variable_is_seen(tmp_path: Path) -> None:
    """The same for a secret that a variable of ours holds."""
    environ = {**ENVIRON, f"{PREFIX}PASSWORD": "one"}
    config = load("production", project=write(tmp_path, settings("")), environ=environ)
    environ[f"{PREFIX}PASSWORD"] = "two"
    assert revealed(config) == "two"


# URLs --------------------------------------------------------------------------------------------


def test_a_url_is_taken_apart_below_its_own_layer(tmp_path: Path) -> None:
    """A keyword beside the URL wins over it, and it over weaker layers; the stack shows both."""
    url = "postgresql://u:p%40ss@one:5433/d?sslmode=require&connect_timeout=7"
    project = write(
        tmp_path, settings(""), production=f"connection_settings:\n  dbname: mine\n  url: {url}\n"
    )
    config = loaded(project)
    assert revealed(config) == "p@ss"
    assert config["connection_settings.connect_timeout"] == 7
    assert stack(config, HOST) == [
        ("one", "environments/production.yaml:3:8"),
        ("db", "environments/base.yaml:2:9"),
    ]
    assert [value for value, _ in stack(config, "connection_settings.dbname")] == [
        "mine",
        "d",
        "app",
    ]


def test_a_stronger_url_replaces_a_weaker_whole(tmp_path: Path) -> None:
    """Nothing of the weaker one shines through, its password least of all."""
    weak = "connection_settings: {url: 'postgresql://u:secret@weak:1/d?sslmode=require'}"
    project = write(tmp_path, SERVER, production=weak)
    config = loaded(project, {f"{PREFIX}URL": "postgresql://strong/e"})
    assert (config[HOST], config["connection_settings.dbname"]) == ("strong", "e")
    assert PASSWORD not in config
    assert "connection_settings.sslmode" not in config


def test_a_null_removes_a_url(tmp_path: Path) -> None:
    """Also a null of the section, and a malformed URL below it does not matter then."""
    bad = "connection_settings: {url: 'postgresql://u:x@h:port/d'}"
    for null in ("{url: null, host: h, user: u, dbname: d}", "null"):
        project = write(tmp_path, bad, production=f"connection_settings: {null}\nlocal: true\n")
        assert loaded(project).get(HOST) in ("h", None)


@pytest.mark.parametrize("null", ["null", "{a: null}"])
@pytest.mark.parametrize("url", ["{from_env: NOWHERE}", "'postgresql://u:x@h:port/d'"])
def test_a_null_removes_the_url_of_a_named_connection(tmp_path: Path, null: str, url: str) -> None:
    """Also a null of all connections; one that another layer then adds has its own."""
    base = f"{SERVER}connections: {{a: {{connection_settings: {{url: {url}}}}}}}\n"
    project = write(tmp_path, base, production=f"connections: {null}\n")
    assert loaded(project)[HOST] == "db"
    more = "connections: {b: {connection_settings: {url: 'postgresql://u@two/e'}}}\n"
    write(tmp_path, base, production=f"connections: {null}\n", production_local=more)
    assert loaded(project)[f"connections.b.{HOST}"] == "two"


def test_a_file_of_nothing_but_unknown_keys_has_few_guesses(tmp_path: Path) -> None:
    """Every key is reported; looking for what each may stand for would take seconds."""
    names = [f"statement_timeou{number:x}" for number in range(MAX_GUESSES + 50)]
    text = "session_settings:\n" + "".join(f"  {name}: 1\n" for name in names)
    found = [one for one in refused(write(tmp_path, SERVER + text)) if one.rule != "unit"]
    assert len(found) == len(names)
    assert sum(bool(finding.hint) for finding in found) == MAX_GUESSES


def test_a_connections_own_url_hides_the_shared_one(tmp_path: Path) -> None:
    """A password must not travel to the host of another URL; keywords are inherited as ever."""
    text = (
        "connection_settings: {url: 'postgresql://u:secret@one/d', application_name: app}\n"
        "connections: {a: {connection_settings: {url: 'postgresql://v@two/e'}}, b: {}}\n"
    )
    config = loaded(write(tmp_path, text))
    own, inherited = config.connection("a"), config.connection("b")
    assert "connection_settings.password" not in own
    assert own[HOST].value == "two"
    assert own["connection_settings.application_name"].value == "app"
    assert inherited[HOST].value == "one"


SHARED_KEYS = {
    "connection_settings.sslmode": "verify-full",
    "connection_settings.connect_timeout": 7,
    "pool_settings.max_size": 20,
    "session_settings.statement_timeout": "5s",
}


@pytest.mark.parametrize("through", ["overrides", "dictionary", "dictionary of a file"])
def test_a_connections_own_url_hides_nothing_else(tmp_path: Path, through: str) -> None:
    """What stands beside the shared URL is inherited as ever, also from code, where all has one
    place.
    """
    url = "postgresql://u:secret@one/d?options=-cjit%3Doff"
    own = {"a": {"connection_settings": {"url": "postgresql://v@two/e"}}}
    if through == "overrides":
        project = write(tmp_path, json.dumps({"connections": own}))
        config = loaded(project, overrides={**SHARED_KEYS, "connection_settings.url": url})
    else:
        data: dict[str, Any] = {"connections": own, "connection_settings": {"url": url}}
        for key, value in SHARED_KEYS.items():
            section, _, name = key.partition(".")
            data.setdefault(section, {})[name] = value
        config = load_mapping(data, environ={}, source="one.yaml" if "file" in through else "")
    target = config.connection("a")
    assert {key: target[key].value for key in SHARED_KEYS} == SHARED_KEYS
    assert target[HOST].value == "two"
    assert not {PASSWORD, "connection_settings.options"} & target.keys()


def test_a_url_from_a_variable_may_rotate_its_password_only(tmp_path: Path) -> None:
    """A new password is seen; a new host is an error, as it would get the new password wrongly."""
    project = write(tmp_path, "connection_settings: {url: {from_env: DATABASE_URL}}")
    environ = {**ENVIRON, "DATABASE_URL": "postgresql://u:one@h/d"}
    config = load("production", project=project, environ=environ)
    environ["DATABASE_URL"] = "postgresql://u:two@h/d"
    assert revealed(config) == "two"
    environ["DATABASE_URL"] = "postgresql://u:two@elsewhere/d"
    with pytest.raises(SecretError, match="names another server"):
        revealed(config)
    environ["DATABASE_URL"] = "postgresql://u@h/d"
    with pytest.raises(SecretError, match="env DATABASE_URL"):
        revealed(config)


def test_a_url_from_nowhere_is_a_finding(tmp_path: Path) -> None:
    """The variable is named, once, and nothing is called missing that it would have given."""
    project = write(tmp_path, "connection_settings: {url: {from_env: DATABASE_URL}}")
    findings = [f for f in refused(project) if f.rule == "interpolation"]
    assert ["DATABASE_URL is not set" in finding.message for finding in findings] == [True]


# Origins -----------------------------------------------------------------------------------------


def test_every_layer_has_its_place_in_the_stack(tmp_path: Path) -> None:
    """Default, base, extends chain, overlay, local, variable, argument: strongest first."""
    text = "connection_settings:\n  {key}: {value}\n"
    files = {
        name: text.format(key="connect_timeout", value=value)
        for value, name in enumerate(("base", "a", "b", "production", "production_local"), 1)
    }
    files["b"] = f"extends: a\n{files['b']}"
    files["production"] = f"extends: b\n{files['production']}"
    files["base"] = settings("  connect_timeout: 1\n")
    config = loaded(
        write(tmp_path, **files),
        {f"{PREFIX}CONNECT_TIMEOUT": "6"},
        overrides={"connection_settings.connect_timeout": 7},
    )
    assert stack(config, "connection_settings.connect_timeout") == [
        (7, "arguments"),
        (6, "env PGSTRATA_CONNECTION_SETTINGS__CONNECT_TIMEOUT"),
        (5, "environments/production.local.yaml:2:20"),
        (4, "environments/production.yaml:3:20"),
        (3, "environments/b.yaml:3:20"),
        (2, "environments/a.yaml:2:20"),
        (1, "environments/base.yaml:5:20"),
        (5, "default"),
    ]
    # An overlay that sets one key of a map is the source of this key and of no other.
    assert stack(config, HOST) == [("db", "environments/base.yaml:2:9")]


def test_anchors_and_merge_keys_keep_the_place_of_the_text(tmp_path: Path) -> None:
    """What ``<<`` brings in comes from where it is written; a key beside it wins."""
    text = (
        "connection_settings: &db\n  host: db\n  dbname: app\n  user: app\n"
        "connections:\n  a:\n    connection_settings:\n      <<: *db\n      dbname: other\n"
    )
    config = loaded(write(tmp_path, text))
    assert stack(config, f"connections.a.{HOST}")[0] == ("db", "environments/base.yaml:2:9")
    assert stack(config, "connections.a.connection_settings.dbname")[0] == (
        "other",
        "environments/base.yaml:9:15",
    )


def test_null_unsets_a_key_and_says_so(tmp_path: Path) -> None:
    """It is explained with what it overrode; a default still holds."""
    base = settings("  sslmode: require\n  connect_timeout: 9\n")
    overlay = "connection_settings:\n  sslmode: null\n  connect_timeout: ~\n"
    config = loaded(write(tmp_path, base, production=overlay))
    assert stack(config, "connection_settings.sslmode") == [
        (None, "environments/production.yaml:2:12"),
        ("require", "environments/base.yaml:5:12"),
    ]
    assert config["connection_settings.connect_timeout"] == 5


def test_null_clears_a_section_and_an_empty_one_does_not(tmp_path: Path) -> None:
    """A section whose lines are all commented out has no effect."""
    base = f"{SERVER}session_settings: {{timezone: UTC}}\n"
    assert loaded(write(tmp_path, base, production="session_settings:\n  # nothing\n"))[
        "session_settings.timezone"
    ]
    config = loaded(write(tmp_path, base, production="session_settings: null\n"))
    assert stack(config, "session_settings.timezone") == [
        (None, "environments/production.yaml:1:19"),
        ("UTC", "environments/base.yaml:2:30"),
    ]
    assert "session_settings" not in config


def test_connections_inherit_and_may_be_removed(tmp_path: Path) -> None:
    """A connection takes what it leaves out from the top; null removes it."""
    base = (
        f"{SERVER}session_settings: {{timezone: UTC, work_mem: 64MB}}\n"
        "connections:\n"
        "  a: {connection_settings: {dbname: other}, session_settings: {timezone: CET}}\n"
        "  b: {session_settings: null}\n"
        "  c: {}\n"
    )
    config = loaded(write(tmp_path, base, production="connections: {c: null}"))
    assert config.connections == ("default", "a", "b")
    assert [value for value, _ in stack(config, "connections.a.session_settings.timezone")] == [
        "CET",
        "UTC",
    ]
    assert config["connections.a.session_settings.work_mem"] == "64MB"
    assert stack(config, "connections.b.session_settings.timezone")[0][0] is None


def test_a_connection_removed_and_made_again_starts_anew(tmp_path: Path) -> None:
    """What it said before the null is gone; what it inherits is not."""
    project = write(
        tmp_path,
        f"{SERVER}connections: {{a: {{connection_settings: {{dbname: old, port: 1}}}}}}\n",
        production="connections: {a: null}",
        production_local="connections: {a: {connection_settings: {port: 2}}}",
    )
    target = loaded(project).connection("a")
    assert target["connection_settings.port"].value == 2
    assert target["connection_settings.dbname"].value == "app"


def test_what_libpq_adds_is_the_last_layer(tmp_path: Path) -> None:
    """A service file, then variables, then a password file, each with its place."""
    service = tmp_path / "services.conf"
    service.write_text("# mine\n[other]\nport=1\n[mine]\nport=5433\nsslmode=require\n")
    passfile = tmp_path / "pass"
    passfile.write_text("# none\nelse:*:*:*:no\ndb:5433:app:app:a\\:b\n")
    passfile.chmod(0o600)
    environ = {
        "PGSERVICEFILE": str(service),
        "PGPASSFILE": str(passfile),
        "PGSSLMODE": "disable",
        "PGHOST": "elsewhere",
    }
    config = loaded(write(tmp_path, settings("  service: mine\n")), environ)
    assert stack(config, HOST) == [
        ("db", "environments/base.yaml:2:9"),
        ("elsewhere", "libpq env PGHOST"),
    ]
    assert stack(config, "connection_settings.sslmode") == [
        ("require", f"{service}:6:1"),
        ("disable", "libpq env PGSSLMODE"),
    ]
    assert revealed(config) == "a:b"
    assert str(config.explain(PASSWORD).origin) == f"{passfile}:3:1"


@pytest.mark.skipif(os.name != "posix", reason="libpq looks at modes on POSIX only")
def test_a_password_file_that_others_may_read_counts_for_nothing(tmp_path: Path) -> None:
    """As libpq ignores it, so does what is said about it."""
    passfile = tmp_path / "pass"
    passfile.write_text("*:*:*:*:x\n")
    passfile.chmod(0o644)
    assert PASSWORD not in loaded(write(tmp_path, SERVER), {"PGPASSFILE": str(passfile)})


# Which environment, which project ----------------------------------------------------------------


def test_the_environment_and_the_project_by_default(tmp_path: Path) -> None:
    """A parameter, else a variable, else development."""
    write(tmp_path, SERVER, development="", staging="")
    environ = {"PGSTRATA_PROJECT": str(tmp_path), **ENVIRON}
    assert load(environ=environ).environment == "development"
    assert load(environ={**environ, "PGSTRATA_ENV": "staging"}).environment == "staging"
    assert load("production", environ={**environ, "PGSTRATA_ENV": "staging"}).environment == (
        "production"
    )


@pytest.mark.parametrize("name", ["../x", "base", "", "waivers", "a/b", ".hidden", "a.local", "é"])
def test_misnamed_environments(name: str, tmp_path: Path) -> None:
    """A name that no environment can have is said to be one, and no such file is looked for."""
    write(tmp_path, SERVER)
    with pytest.raises(EnvironmentNotFoundError, match="no environment can be called") as caught:
        load(name, project=tmp_path, environ=ENVIRON)
    assert caught.value.hint == "there are: production"


def test_a_missing_environment_says_what_was_looked_for(tmp_path: Path) -> None:
    """The file, the environments that there are, and the one that was meant."""
    write(tmp_path, SERVER, staging="")
    with pytest.raises(EnvironmentNotFoundError) as caught:
        load("prodution", project=tmp_path, environ=ENVIRON)
    assert "prodution.yaml does not exist; there are: production, staging" in str(caught.value)
    assert caught.value.hint == "did you mean 'production'?"
    (tmp_path / "environments" / "test.yml").write_text("")
    with pytest.raises(EnvironmentNotFoundError) as caught:
        load("test", project=tmp_path, environ=ENVIRON)
    assert caught.value.hint == "rename test.yml to test.yaml"


def test_a_missing_folder_or_base(tmp_path: Path) -> None:
    """Both are named, and nothing is looked up in parent folders."""
    write(tmp_path, SERVER)
    inner = tmp_path / "inner"
    inner.mkdir()
    with pytest.raises(ProjectNotFoundError, match="environments is not a folder"):
        load("production", project=inner, environ=ENVIRON)
    (inner / "environments").mkdir()
    with pytest.raises(ProjectNotFoundError, match=r"base\.yaml does not exist"):
        load("production", project=inner, environ=ENVIRON)


def test_many_environments_at_once(tmp_path: Path) -> None:
    """Each is a Config equal to its own load, or its error."""
    project = write(tmp_path, SERVER, staging="extends: production", broken="x: 1")
    results = load_many(["production", "staging", "broken", "absent"], project=project, environ={})
    assert results["production"] == load("production", project=project, environ={})
    assert isinstance(results["staging"], Config)
    assert isinstance(results["broken"], ConfigError)
    assert isinstance(results["absent"], EnvironmentNotFoundError)


def test_arguments_may_mix_sections_and_keys(tmp_path: Path) -> None:
    """A dictionary that is given stays as it was."""
    section = {"port": 1}
    given = {
        "connection_settings": section,
        "connection_settings.host": "h",
        "session_settings.app.user": "x",
        "connections.a.session_settings.app.user": "y",
    }
    project = write(tmp_path, f"{SERVER}connections: {{a: {{}}}}")
    config = loaded(project, overrides=given)
    assert (config[HOST], config["connection_settings.port"]) == ("h", 1)
    assert config["session_settings.app.user"] == "x"
    assert config["connections.a.session_settings.app.user"] == "y"
    assert section == {"port": 1}


def token() -> str:
    """Return what the next token is."""
    return f"token {next(TOKENS)}"


TOKENS = count()


class Mode(str, Enum):
    """Texts with names, as settings of web frameworks have."""

    FULL = "verify-full"


class Port(IntEnum):
    """Numbers with names."""

    POOLER = 6432


DATA: dict[str, dict[str, object]] = {"connection_settings": {"host": "h", "dbname": "d"}}


@pytest.mark.parametrize("by_key", [False, True])
def test_a_function_may_stand_for_a_secret(tmp_path: Path, *, by_key: bool) -> None:
    """Bare, as in a Secret: it is called at each use, and not taken for a text."""
    if by_key:
        config = loaded(write(tmp_path, SERVER), overrides={PASSWORD: token})
    else:
        data = {"connection_settings": {**DATA["connection_settings"], "password": token}}
        config = load_mapping(data, environ={})
    first, second = revealed(config), revealed(config)
    assert first.startswith("token ")
    assert first != second


@pytest.mark.parametrize("by_key", [False, True])
@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        (PASSWORD, b"secret", "bytes"),
        (PASSWORD, object(), "object"),
        (HOST, token, "function"),
        (HOST, {"secret"}, "set"),
        (HOST, ["a", b"secret"], "bytes"),
        (HOST, ["a", None], "null"),
        ("session_settings.statement_timeout", timedelta(seconds=5), "timedelta"),
    ],
)
def test_what_no_file_could_hold_is_refused(
    tmp_path: Path, key: str, value: object, kind: str, *, by_key: bool
) -> None:
    """Its text would be an address in memory or a quoted one. The value is not quoted."""
    section, _, name = key.partition(".")
    data = {**DATA, section: {**DATA.get(section, {}), name: value}}
    project = write(tmp_path, SERVER)
    with pytest.raises(InvalidConfigError) as caught:
        loaded(project, overrides={key: value}) if by_key else load_mapping(data, environ={})
    (finding,) = caught.value.findings
    assert (finding.rule, finding.key) == ("invalid-type", key)
    assert kind in finding.message
    assert "secret" not in str(caught.value)


def test_texts_of_values(tmp_path: Path) -> None:
    """Paths, exact numbers and named values arrive as what they stand for."""
    given = {
        "connection_settings.sslmode": Mode.FULL,
        "connection_settings.port": Port.POOLER,
        "connection_settings.sslrootcert": Path("ca.pem"),
        "connection_settings.client_deadline": Decimal("2.50"),
        "connection_settings.autocommit": True,
    }
    config = loaded(write(tmp_path, SERVER), overrides=given)
    assert [config[key] for key in given] == ["verify-full", 6432, "ca.pem", 2.5, True]


@pytest.mark.parametrize("key_first", [False, True])
@pytest.mark.parametrize("prefix", ["", "connections.a."])
def test_arguments_add_up(tmp_path: Path, prefix: str, *, key_first: bool) -> None:
    """A section and a key of it say both, in whatever order they are given."""
    port: tuple[str, object] = (f"{prefix}connection_settings.port", 6432)
    section: tuple[str, object] = (f"{prefix}connection_settings", {"host": "x"})
    given = dict([port, section] if key_first else [section, port])
    project = write(tmp_path, f"{SERVER}connections: {{a: {{}}}}")
    config = loaded(project, overrides=given)
    assert config[f"{prefix}{HOST}"] == "x"
    assert config[f"{prefix}connection_settings.port"] == 6432


def test_arguments_make_no_connections(tmp_path: Path) -> None:
    """A name that no file has is most likely a misspelt one. It is called by its key."""
    project = write(tmp_path, f"{SERVER}connections: {{replica: {{}}}}")
    with pytest.raises(InvalidConfigError) as caught:
        loaded(project, overrides={"connections.replca.connection_settings.host": "h"})
    (finding,) = caught.value.findings
    assert str(finding.origin) == "arguments connections.replca"
    assert "replica" in finding.hint


# One file, as in pgmonkey -------------------------------------------------------------------------

TEMPLATE = """
connection_type: normal
connection_settings:
  user: postgres
  password: password
  host: localhost
  port: 5432
  dbname: mydatabase
  sslmode: prefer
  sslcert:
  sslkey:
  sslrootcert:
  connect_timeout: '10'
  application_name: myapp
  keepalives: '1'
  keepalives_idle: '60'
  keepalives_interval: '15'
  keepalives_count: '5'
  autocommit: 'false'
sync_settings:
  idle_in_transaction_session_timeout: '5000'
  statement_timeout: '30000'
  lock_timeout: '10000'
  # work_mem: '256MB'
async_settings:
  idle_in_transaction_session_timeout: '5000'
  statement_timeout: '30000'
  lock_timeout: '10000'
pool_settings:
  min_size: 5
  max_size: 20
  timeout: 30
  max_idle: 300
  max_lifetime: 3600
  max_waiting: 0
  reconnect_timeout: 300
  num_workers: 3
  check_on_checkout: false
async_pool_settings:
  min_size: 5
  max_size: 20
  timeout: 30
  max_idle: 300
  max_lifetime: 3600
  check_on_checkout: false
"""


def test_a_lone_file_loads_unchanged(tmp_path: Path) -> None:
    """The whole of pgmonkey's format; its texts become what their keys ask for."""
    path = tmp_path / "config.yaml"
    path.write_text(TEMPLATE)
    config = load_file(path, environ={})
    assert config["connection_settings.autocommit"] is False
    assert config["connection_settings.keepalives"] == 1
    assert config["connection_settings.connect_timeout"] == 10
    assert config["pool_settings.max_idle"] == 300.0
    assert config["sync_settings.statement_timeout"] == "30000"
    assert {finding.rule for finding in config.findings} == {"unit"}
    assert str(config.explain("connection_settings.port").origin) == f"{path}:7:9"


def test_a_dictionary_loads_as_the_file_does(tmp_path: Path) -> None:
    """The values are the same, whether texts, numbers or booleans stand in the dictionary."""
    path = tmp_path / "config.yaml"
    path.write_text(TEMPLATE)
    data = yaml.safe_load(TEMPLATE)
    before = json.dumps(data)
    assert load_mapping(data, environ={}) == load_file(path, environ={})
    assert json.dumps(data) == before


def test_a_dictionary_may_have_connections() -> None:
    """There is no file that would have to declare them."""
    own = {"connection_settings": {"host": "two"}}
    data = {"connection_settings": {"host": "one", "dbname": "d"}, "connections": {"a": own}}
    config = load_mapping(data, environ={})
    target = config.connection("a")
    assert (target[HOST].value, target["connection_settings.dbname"].value) == ("two", "d")


def test_the_old_wrapper_is_taken_off(tmp_path: Path) -> None:
    """With a warning, from files and dictionaries alike."""
    path = tmp_path / "config.yaml"
    path.write_text("postgresql:\n" + "".join(f"  {line}\n" for line in TEMPLATE.splitlines()))
    with pytest.warns(DeprecationWarning, match="wrapper is not needed") as caught:
        config = load_file(path, environ={})
    assert caught[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="wrapper is not needed"):
        wrapped = load_mapping({"postgresql": yaml.safe_load(TEMPLATE)}, environ={})
    assert config == wrapped == load_mapping(yaml.safe_load(TEMPLATE), environ={})


@pytest.mark.parametrize("by_file", [False, True])
def test_stores_belong_to_a_project(tmp_path: Path, *, by_file: bool) -> None:
    """In a single file or a dictionary nobody would look into them."""
    text = f"{SERVER}secret_stores: [keyring]\n"
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(InvalidConfigError) as caught:
        load_file(path, environ={}) if by_file else load_mapping(yaml.safe_load(text), environ={})
    (finding,) = caught.value.findings
    assert (finding.rule, finding.key) == ("misplaced-section", "secret_stores")


@pytest.mark.parametrize("by_file", [False, True])
def test_a_section_inside_and_outside_the_old_wrapper(tmp_path: Path, *, by_file: bool) -> None:
    """It cannot be seen which of them is meant, and one would be lost."""
    text = (
        "connection_settings: {sslmode: verify-full}\n"
        "postgresql: {connection_settings: {host: h, dbname: d}}\n"
    )
    path = tmp_path / "config.yaml"
    path.write_text(text)
    wrapper = pytest.warns(DeprecationWarning, match="wrapper")
    with wrapper, pytest.raises(InvalidConfigError) as caught:
        load_file(path, environ={}) if by_file else load_mapping(yaml.safe_load(text), environ={})
    (finding,) = caught.value.findings
    assert (finding.rule, finding.key) == ("duplicate-key", "connection_settings")
    assert "outside of postgresql" in finding.message


def test_a_lone_file_follows_references_only_when_asked(tmp_path: Path) -> None:
    """A text stays as it is; a reference by map is an error, for nothing else can be meant."""
    path = tmp_path / "config.yaml"
    path.write_text("connection_settings: {password: '${X}', host: '${H:-h}'}")
    assert revealed(load_file(path, environ={"X": "x"})) == "${X}"
    config = load_file(path, environ={"X": "x"}, resolve_env=True)
    assert (revealed(config), config[HOST]) == ("x", "h")
    path.write_text("connection_settings: {password: {from_env: X}}")
    with pytest.raises(ConfigError, match="from_env is not followed here") as caught:
        load_file(path, environ={"X": "x"})
    assert "resolve_env" in repr(vars(caught.value))
    assert revealed(load_file(path, environ={"X": "x"}, resolve_env=True)) == "x"


def test_a_fallback_for_a_secret_must_be_allowed(tmp_path: Path) -> None:
    """As in pgmonkey."""
    data = {"connection_settings": {"password": "${X:-weak}"}}
    with pytest.raises(ConfigError, match="cannot have a fallback"):
        load_mapping(data, resolve_env=True, environ={})
    config = load_mapping(data, resolve_env=True, allow_sensitive_defaults=True, environ={})
    assert revealed(config) == "weak"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Or is a folder: an error of ours, with its reason."""
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(ConfigError, match="cannot read"):
            load_file(path)
