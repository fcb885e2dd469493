from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from traceback import TracebackException

import dotenv
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from psycopg.conninfo import conninfo_to_dict
from tests.certificates import KEY_PASSWORD, Certificates
from tests.servers import PASSWORD, Server

from pgstrata import Config, UsageError, load, load_file
from pgstrata.cli.commands import render
from pgstrata.render.export import FORMS, export
from pgstrata.schema import json_schema

ROOT = Path(__file__).parents[2]
SECRET = "pa:ss\\wo'rd $x"
EFFECTIVE = Draft202012Validator(json_schema.effective())


def loaded(folder: Path, base: str, **variables: str) -> Config:
    """Load an environment ``prod`` whose base file has this text."""
    (folder / "environments").mkdir(exist_ok=True)
    (folder / "environments" / "base.yaml").write_text(base)
    (folder / "environments" / "prod.yaml").write_text("")
    return load("prod", project=folder, environ={"HOME": str(folder), **variables})


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Return an environment with a bit of everything; its password is in a variable."""
    text = """\
connection_settings:
  host: [db1, db2]
  dbname: app
  user: me
  password: {from_env: DB_PASSWORD}
  sslpassword: {from_file: secrets/key password}
  sslcert: client.crt
  keepalives_idle: 30
session_settings: {statement_timeout: 30s, app.name: a b}
pool_settings: {max_size: 2}
connections:
  reports:
    connection_settings: {dbname: warehouse}
"""
    return loaded(tmp_path, text, DB_PASSWORD=SECRET)


ONLY_SECRETS = ("pgpass", "k8s-secret")


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ONLY_SECRETS])
def test_no_form_reveals_a_secret_unasked(config: Config, form: str) -> None:
    """It is a reference, or is left out."""
    text = export(config, "default", form).text
    assert not any(part in text for part in ("pa:", "pa%3A", "rd $", "rd%20"))


@pytest.mark.parametrize("form", ONLY_SECRETS)
def test_nothing_but_secrets_has_to_be_revealed(config: Config, form: str) -> None:
    """Without them the file would be of no use."""
    with pytest.raises(UsageError, match="nothing but secrets") as caught:
        export(config, "default", form)
    assert "--reveal" in caught.value.hint


def test_the_command_offers_all_forms() -> None:
    """It lists them itself, so that its help imports no libpq."""
    assert tuple(FORMS) == render.FORMS


@pytest.mark.parametrize("form", ["dotenv", "shell", "json", "yaml"])
def test_a_reference_is_to_the_secrets_own_variable(config: Config, form: str) -> None:
    """What reads the file finds the secret where pgstrata does."""
    made = export(config, "default", form)
    assert "DB_PASSWORD" in made.text
    assert not any(problem.startswith("password") for problem in made.left_out)


def test_a_reference_to_a_file_is_absolute_where_the_reader_may_be_anywhere(
    config: Config,
) -> None:
    """In a shell script; a YAML file has it as it was written."""
    path = str(config.project / "secrets/key password")
    keywords = export(config, "default", "yaml").text
    assert 'from_file: "secrets/key password"' in keywords
    (config.project / "environments" / "base.yaml").write_text(
        "connection_settings: {host: h, dbname: d, user: u, password: {from_file: a b}}"
    )
    again = load("prod", project=config.project, environ={})
    path = str(config.project / "a b")
    assert f"PGPASSWORD=\"$(cat -- '{path}')\"" in export(again, "default", "shell").text


@pytest.mark.parametrize("form", ["service", "conninfo", "url", "docker-env"])
def test_what_is_left_out_is_said(config: Config, form: str) -> None:
    """Also that --reveal would write it."""
    assert "password: a secret; --reveal writes it" in export(config, "default", form).left_out


def test_keywords_without_a_variable_are_said(config: Config) -> None:
    """A variable that libpq does not know would be ignored."""
    problem = "keepalives_idle: libpq has no variable for this"
    assert problem in export(config, "default", "dotenv").left_out
    assert problem not in export(config, "default", "service").left_out


def test_a_password_out_of_a_url_is_no_reference(tmp_path: Path) -> None:
    """The variable holds the URL and not the password."""
    text = "connection_settings: {url: {from_env: DATABASE_URL}}"
    config = loaded(tmp_path, text, DATABASE_URL="postgresql://me:hidden@db/app")
    made = export(config, "default", "dotenv")
    assert "PGPASSWORD" not in made.text
    assert "DATABASE_URL" not in made.text
    assert any(problem.startswith("password:") for problem in made.left_out)
    assert "PGPASSWORD=hidden\n" in export(config, "default", "dotenv", reveal=True).text


def test_ambient_variables_are_not_rendered(tmp_path: Path) -> None:
    """The file is for another machine than the one with these variables."""
    text = "connection_settings: {host: db, dbname: app, user: me}"
    config = loaded(tmp_path, text, PGSSLMODE="disable", PGPASSWORD="hidden", PGAPPNAME="mine")
    for form in ("conninfo", "json", "dotenv"):
        made = export(config, "default", form, reveal=True)
        assert not {"disable", "hidden", "mine"} & set(made.text.replace("'", " ").split())


def test_secrets_and_others_make_one_whole(config: Config) -> None:
    """The Kubernetes secret and the config map have each variable once."""
    (config.project / "secrets").mkdir()
    (config.project / "secrets" / "key password").write_text("x")
    secret = yaml.safe_load(export(config, "default", "k8s-secret", reveal=True).text)
    others = yaml.safe_load(export(config, "default", "k8s-configmap").text)
    assert list(secret["data"]) == ["PGPASSWORD"]
    assert "PGPASSWORD" not in others["data"]
    assert others["data"]["PGDATABASE"] == "app"


def test_a_named_connection_has_its_own_settings(config: Config) -> None:
    """And its own name, where the form has one."""
    text = export(config, "reports", "service").text
    assert text.startswith("[prod-reports]\n")
    assert "dbname=warehouse\n" in text
    assert export(config, "reports", "service", name="dwh").text.startswith("[dwh]\n")
    with pytest.raises(UsageError, match="a name cannot hold"):
        export(config, "reports", "service", name="a]\nb")


def test_a_local_environment_has_no_address_to_write(tmp_path: Path) -> None:
    """Its server gets a new port at each start; json and yaml say that it is local."""
    config = loaded(tmp_path, "local: true")
    with pytest.raises(UsageError, match="no lasting address"):
        export(config, "default", "url")
    assert json.loads(export(config, "default", "json").text)["local"] is True


def test_session_settings_are_left_to_the_pooler(tmp_path: Path) -> None:
    """It refuses libpq's options."""
    text = "pooler: session\nconnection_settings: {host: h, dbname: d, user: u}\n"
    config = loaded(tmp_path, f"{text}session_settings: {{statement_timeout: 5s}}\n")
    made = export(config, "default", "conninfo")
    assert "options" not in made.text
    assert made.left_out == ("statement_timeout: left to the pooler",)


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_it_loads_again_as_one_file(config: Config, form: str, tmp_path: Path) -> None:
    """With the same values, whether secrets are references or not; and fits its schema."""
    (config.project / "secrets").mkdir()
    (config.project / "secrets" / "key password").write_text("x")
    for reveal in (False, True):
        text = export(config, "default", form, reveal=reveal).text
        assert not list(EFFECTIVE.iter_errors(yaml.safe_load(text)))
        path = tmp_path / "one.yaml"
        path.write_text(text)
        again = load_file(path, resolve_env=not reveal, environ={"DB_PASSWORD": SECRET})
        target = config.connection()
        for key in again.connection():
            if key in target and not target[key].secret and not key.startswith("pool_settings"):
                assert again[key] == config[key]
        assert again["connection_settings.password"] == config["connection_settings.password"]
        assert again["pool_settings.min_size"] == 2  # as the pool is made, not the default of 4


@settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(text=st.text(st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"])))
def test_every_form_says_the_same(tmp_path: Path, text: str) -> None:
    """A password of any characters comes back from all forms that can hold it."""
    base = "connection_settings: {host: db, dbname: app, user: me}"
    config = loaded(tmp_path, base, PGSTRATA_CONNECTION_SETTINGS__PASSWORD=text)
    found = set()
    for form, read in READERS.items():
        try:
            found.add(read(export(config, "default", form, reveal=True).text))
        except UsageError:
            continue
    assert found == {text}


def _of_dotenv(text: str) -> object:
    return dotenv.dotenv_values(stream=io.StringIO(text))["PGPASSWORD"]


READERS: Mapping[str, Callable[[str], object]] = {
    "json": lambda text: json.loads(text)["connection_settings"]["password"],
    "yaml": lambda text: yaml.safe_load(text)["connection_settings"]["password"],
    "conninfo": lambda text: conninfo_to_dict(text)["password"],
    "dotenv": _of_dotenv,
}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "environments").glob("*.yaml")), ids=lambda path: path.stem
)
def test_the_repositorys_environments_fit_the_schema(path: Path) -> None:
    """What they amount to is what the schema of effective settings describes."""
    if path.stem != "base":
        config = load(path.stem, project=ROOT, environ={})
        for connection in config.connections:
            tree = json.loads(export(config, connection, "json").text)
            assert not list(EFFECTIVE.iter_errors(tree))


def psql(server: Server, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the psql of a server with no variables but these."""
    command = [str(server.bindir / "psql"), "-XAtw", *arguments]
    return subprocess.run(
        command, env=environ, check=False, capture_output=True, text=True, timeout=20
    )


@pytest.fixture
def role(server: Server, tmp_path: Path) -> Config:
    """Return an environment on the server whose role has a password full of special characters."""
    server.sql("DROP ROLE IF EXISTS odd")
    server.sql("CREATE ROLE odd LOGIN PASSWORD 'pa:ss\\wo''rd $x'")
    text = f"""\
connection_settings:
  host: {server.host}
  port: {server.port}
  dbname: postgres
  user: odd
  password: {{from_env: DB_PASSWORD}}
  keepalives_idle: 30
session_settings: {{statement_timeout: 5s, app.name: a b}}
"""
    return loaded(tmp_path, text, DB_PASSWORD=SECRET)


QUERY = "SELECT current_user, current_setting('statement_timeout'), current_setting('app.name')"


def test_psql_connects_by_service_and_password_file(
    role: Config, server: Server, tmp_path: Path
) -> None:
    """A service file without the password, and a password file, are all that psql needs."""
    service, passfile = tmp_path / "pg_service.conf", tmp_path / "pgpass"
    service.write_text(export(role, "default", "service").text)
    passfile.touch(mode=0o600)
    passfile.write_text(export(role, "default", "pgpass", reveal=True).text)
    files = {"PGSERVICEFILE": str(service), "PGPASSFILE": str(passfile)}
    done = psql(server, "-c", QUERY, PGSERVICE="prod", **files)
    assert (done.stdout, done.stderr) == ("odd|5s|a b\n", "")


@pytest.mark.parametrize("form", ["url", "conninfo"])
def test_psql_connects_by_one_argument(role: Config, server: Server, form: str) -> None:
    """Password and session settings included."""
    line = export(role, "default", form, reveal=True).text.removesuffix("\n")
    done = psql(server, "-c", QUERY, "-d", line)
    assert (done.stdout, done.stderr) == ("odd|5s|a b\n", "")


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
def test_psql_connects_by_a_shells_variables(role: Config, server: Server) -> None:
    """The password comes from the variable that it is a reference to."""
    script = export(role, "default", "shell").text + 'exec "$0" -XAtwc "$1"'
    command = ["sh", "-c", script, str(server.bindir / "psql"), QUERY]
    environ = {"DB_PASSWORD": SECRET, "PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("odd|5s|a b\n", "")


def test_psql_connects_with_tls_by_service(
    tls_server: Server, certificates: Certificates, tmp_path: Path
) -> None:
    """Relative paths are made absolute, and the key's pass phrase is in the service file."""
    pair = certificates.encrypted_client
    for name, source in (("c.crt", pair.certificate), ("c.key", pair.key), ("ca", certificates.ca)):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_bytes(source.read_bytes())
    text = f"""\
connection_settings:
  host: localhost
  port: {tls_server.port}
  dbname: postgres
  user: cert_user
  sslmode: verify-full
  sslrootcert: ca
  sslcert: c.crt
  sslkey: c.key
  sslpassword: {{from_env: KEY_PASSWORD}}
"""
    config = loaded(tmp_path, text, KEY_PASSWORD=KEY_PASSWORD)
    service = tmp_path / "service"
    service.write_text(export(config, "default", "service", reveal=True, name="it").text)
    query = "SELECT current_user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    done = psql(tls_server, "-c", query, PGSERVICE="it", PGSERVICEFILE=str(service))
    assert (done.stdout, done.stderr) == ("cert_user|t\n", "")
    assert PASSWORD not in service.read_text()


@pytest.mark.parametrize("form", ["service", "pgpass", "dotenv", "docker-env"])
def test_an_error_holds_no_secret(tmp_path: Path, form: str) -> None:
    """Neither its message nor the locals of its traceback, which reporters of errors print."""
    base = "connection_settings: {host: db, dbname: app, user: me}"
    config = loaded(tmp_path, base, PGSTRATA_CONNECTION_SETTINGS__PASSWORD="hidden $\n'x")
    with pytest.raises(UsageError) as caught:
        export(config, "default", form, reveal=True)
    shown = TracebackException.from_exception(caught.value, capture_locals=True)
    assert "hidden" not in "".join(shown.format())
