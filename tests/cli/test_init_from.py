from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, Done, answer

from pgstrata.loading import load, load_file

PASSWORDS = ("pr0d${x}'\"word", "dev-pa$$word")
FILE = """\
connection_type: pool
connection_settings:
  user: shop
  password: {password}
  host: {host}
  port: '5432'
  dbname: shop
  sslmode: require
  sslcert: ''
  sslrootcert: certs/ca.crt
  application_name: shop ${{HOSTNAME}}
pool_settings:
  max_size: {size}
  timeout: 30
async_settings:
  statement_timeout: '30000'
"""


def quoted(text: str) -> str:
    """Return a text as YAML quotes it."""
    return "'" + text.replace("'", "''") + "'"


@pytest.fixture
def files(project: Path) -> tuple[str, str]:
    """Return two files of pgmonkey that differ in host, password and the pool's size."""
    for name, host, size, password in zip(
        ("prod", "dev"), ("db.example.com", "localhost"), (20, 4), PASSWORDS, strict=True
    ):
        text = FILE.format(host=host, size=size, password=quoted(password))
        (project / f"{name}.yaml").write_text(text, encoding="utf-8")
    return "prod.yaml", "dev.yaml"


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that keys go to, which is not the user's own."""
    folder = tmp_path_factory.mktemp("home")
    for name in ("HOME", "XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.setenv(name, str(folder))
    return folder


def tree(project: Path) -> dict[str, str]:
    """Return the text of all files in environments."""
    return {path.name: path.read_text() for path in (project / "environments").glob("*.yaml")}


def secretless(done: Done, *secrets: str) -> bool:
    """Tell whether no secret was shown."""
    return not any(secret in done.out + done.err for secret in (*secrets, *PASSWORDS))


def test_what_is_shared_goes_to_base(cli: Cli, project: Path, files: tuple[str, str]) -> None:
    """The overlays hold what differs, no file a password, and nothing has changed."""
    before = {name: load_file(name) for name in files}
    done = cli("init", "--from", files[0], "--from", f"staging={files[1]}", "--store", "sealed")
    assert done.code == 0, done.err
    assert secretless(done)
    texts = tree(project)
    assert not any(password in text for text in texts.values() for password in PASSWORDS)
    assert "host" not in texts["base.yaml"].replace("HOSTNAME", "")
    assert texts["staging.yaml"].splitlines()[2:] == [
        *("connection_settings:", "  host: localhost", "pool_settings:", "  max_size: 4")
    ]
    for environment, name in (("prod", files[0]), ("staging", files[1])):
        after = load(environment)
        assert dict(after.items()) == dict(before[name].items())
    assert cli("check", "--all", "--skip-files").code == 0


def test_nothing_is_written_without_consent(
    cli: Cli, project: Path, files: tuple[str, str]
) -> None:
    """Where nobody can be asked for a store, and there are passwords in clear."""
    done = cli("init", "--from", files[0])
    assert done.code == 2
    assert "a secret is in clear text" in done.err
    assert "--store sealed" in done.err
    assert secretless(done)
    assert not (project / "environments").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
def test_on_a_terminal_the_store_is_asked_for(project: Path, files: tuple[str, str]) -> None:
    """And no password is shown."""
    code, shown = answer(["init", "--from", files[0]], {"(sealed, keyring): ": "sealed"})
    assert code == 0, shown
    assert "a secret is in the sealed store" in shown
    assert not any(password in shown for password in PASSWORDS)
    assert (project / "environments" / "prod.sealed.yaml").exists()


def test_without_a_keyring_nothing_is_written(
    cli: Cli, project: Path, files: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked before the first file."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    done = cli("init", "--from", files[0], "--store", "keyring")
    assert done.code != 0
    assert "keyring" in done.err
    assert not (project / "environments").exists()


def test_nothing_is_overwritten(
    cli: Cli, project: Path, files: tuple[str, str], home: Path
) -> None:
    """Neither a file nor a key; what was begun is undone."""
    (project / "environments").mkdir()
    (project / "environments" / "prod.yaml").write_text("mine")
    done = cli("init", "--from", files[0], "--store", "sealed")
    assert done.code == 2
    assert "already there" in done.err
    assert tree(project) == {"prod.yaml": "mine"}
    (project / "environments" / "prod.yaml").unlink()
    assert cli("init", "--from", files[0], "--store", "sealed").code == 0
    key = next(home.rglob("prod.key")).read_bytes()
    for path in (project / "environments").iterdir():
        path.unlink()
    done = cli("init", "--from", files[0], "--store", "sealed")
    assert done.code == 2
    assert "there is a key" in done.err
    assert next(home.rglob("prod.key")).read_bytes() == key
    assert tree(project) == {}


def test_what_fails_late_is_undone(
    cli: Cli,
    project: Path,
    files: tuple[str, str],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Here the first environment is sealed, when the second cannot be."""
    monkeypatch.setenv("PGSTRATA_KEY_PROD", "no key at all")
    done = cli("init", "--from", files[1], "--from", files[0], "--store", "sealed")
    assert done.code == 3
    assert "PGSTRATA_KEY_PROD" in done.err
    assert tree(project) == {}
    assert not list(home.rglob("*.key"))


def test_references_stay_references(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``--resolve-env``; without it, their text means itself, before and after."""
    (project / "prod.yaml").write_text(
        "connection_settings:\n  host: ${DB_HOST:-db}\n  user: u\n  dbname: d\n"
        "  password: {from_env: DB_PASSWORD}\n"
    )
    done = cli("init", "--from", "prod.yaml")
    assert done.code == 3
    assert "resolve_env" in done.err
    done = cli("init", "--from", "prod.yaml", "--resolve-env")
    assert done.code == 0, done.err
    assert "${DB_HOST:-db}" in tree(project)["prod.yaml"]
    assert "password: {from_env: DB_PASSWORD}" in tree(project)["prod.yaml"]
    monkeypatch.setenv("DB_HOST", "elsewhere")
    assert load("prod")["connection_settings.host"] == "elsewhere"


def test_a_fallback_for_a_secret_is_refused(cli: Cli, project: Path) -> None:
    """Layered files have none, so the settings would not be the same."""
    (project / "prod.yaml").write_text(
        "connection_settings: {host: h, user: u, dbname: d, password: '${PW:-fallback-pw}'}\n"
    )
    flags = ("--resolve-env", "--allow-sensitive-defaults")
    done = cli("init", "--from", "prod.yaml", *flags)
    assert done.code == 2
    assert "nothing is written" in done.err
    assert secretless(done, "fallback-pw")
    assert not (project / "environments").exists()


SERVICES = """\
# two of them
[prod]
host=db.example.com
user=shop
dbname=shop
password=service-pw
host=ignored

[staging]
host=db.staging
user=shop
dbname=shop
"""
DOTENV = """\
export DATABASE_URL="postgresql+psycopg2://shop:s3cr%40t@db.example.com:5433/shop?sslmode=require"
REPORTS_URL=postgres://reports:other-pw@db2.example.com/reports
DEBUG=1
"""
DJANGO = """\
import os
from os import environ
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "shop",
        "USER": os.environ.get("DB_USER", "shop"),
        "PASSWORD": os.environ["DB_PASSWORD"],
        "HOST": "db.example.com",
        "PORT": 5433,
        "CONN_MAX_AGE": 60,
        "OPTIONS": {"sslmode": "require", "pool": {"max_size": 7}},
    },
    "old-reports": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "reports", "USER": "r", "PASSWORD": "django-${pw}", "HOST": "db2.example.com",
    },
    "cache": {"ENGINE": "django.db.backends.sqlite3", "NAME": "cache.db"},
}
"""
INI = "[alembic]\nsqlalchemy.url = postgresql+asyncpg://shop:ini%%40pw@db/shop?ssl=require\n"


def test_services(cli: Cli, project: Path) -> None:
    """Each is an environment; of two lines for one keyword the first counts."""
    (project / "pg_service.conf").write_text(SERVICES)
    done = cli("init", "--from", "pg_service.conf", "--store", "sealed")
    assert done.code == 0, done.err
    assert secretless(done, "service-pw")
    assert "user: " in tree(project)["base.yaml"]
    assert load("prod")["connection_settings.host"] == "db.example.com"
    assert load("prod")["connection_settings.password"].reveal() == "service-pw"  # type: ignore[union-attr]  # a Secret
    assert load("staging")["connection_settings.host"] == "db.staging"


def test_dotenv(cli: Cli, project: Path) -> None:
    """DATABASE_URL is the top-level connection, another URL a named one."""
    (project / ".env.production").write_text(DOTENV)
    done = cli("init", "--from", ".env.production", "--store", "sealed")
    assert done.code == 0, done.err
    assert secretless(done, "s3cr", "other-pw")
    config = load("production")
    assert config["connection_settings.port"] == 5433
    assert config["connection_settings.password"].reveal() == "s3cr@t"  # type: ignore[union-attr]  # a Secret
    assert config["connections.reports.connection_settings.dbname"] == "reports"


def test_django(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings are read, not run; variables stay references; what is left out is told."""
    (project / "settings.py").write_text(DJANGO)
    done = cli("init", "--from", "production=settings.py", "--store", "sealed")
    assert done.code == 0, done.err
    assert secretless(done, "django-")
    assert "CONN_MAX_AGE is not taken over" in done.err
    assert "DATABASES['cache'] is not PostgreSQL" in done.err
    monkeypatch.setenv("DB_PASSWORD", "from-env")
    config = load("production")
    assert config["connection_settings.user"] == "shop"
    assert config["connection_settings.password"].reveal() == "from-env"  # type: ignore[union-attr]  # a Secret
    assert config["pool_settings.max_size"] == 7
    named = "connections.old_reports.connection_settings.password"
    assert config[named].reveal() == "django-${pw}"  # type: ignore[union-attr]  # a Secret


def test_sqlalchemy(cli: Cli, project: Path) -> None:
    """The URL of an alembic.ini, with the driver and asyncpg's name for sslmode."""
    (project / "alembic.ini").write_text(INI)
    done = cli("init", "--from", "alembic.ini", "--store", "sealed")
    assert done.code == 0, done.err
    config = load("development")
    assert config["connection_settings.sslmode"] == "require"
    assert config["connection_settings.password"].reveal() == "ini@pw"  # type: ignore[union-attr]  # a Secret


def test_a_variable(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is given, never its value: arguments are seen by others."""
    url = "postgresql://shop:var-pw@db/shop"
    done = cli("init", "--from", url)
    assert done.code == 2
    assert "others can see" in done.err
    assert secretless(done, "var-pw")
    monkeypatch.setenv("DATABASE_URL", url)
    done = cli("init", "--from", "production=DATABASE_URL", "--store", "sealed")
    assert done.code == 0, done.err
    assert load("production")["connection_settings.password"].reveal() == "var-pw"  # type: ignore[union-attr]  # a Secret


def test_paths_are_seen_from_the_project(cli: Cli, project: Path, files: tuple[str, str]) -> None:
    """A relative path in a file of pgmonkey starts where the program runs."""
    done = cli("-C", "sub/project", "init", "--from", files[0], "--store", "sealed")
    assert done.code == 0, done.err
    config = load("prod", project="sub/project")
    path = config.project / str(config["connection_settings.sslrootcert"])
    assert os.path.normpath(path) == str(project / "certs" / "ca.crt")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.yaml", "connection_settings: {hots: h}\n", "'hots'"),
        (".env", "DEBUG=1\n", "neither variables of libpq nor a PostgreSQL URL"),
        (".env", "DATABASE_URL=postgres://u:pa@ss@h/d\n", "not a PostgreSQL URL"),
        ("settings.py", "DATABASES = load()\n", "only literals and variables"),
        ("settings.py", "x = (\n", "this is not Python"),
        ("settings.py", "x = 1\n", "has no DATABASES"),
        ("alembic.ini", "[alembic]\nsqlalchemy.url = sqlite://\n", "no sqlalchemy.url"),
        ("pg_service.conf", "[x]\nhosst=h\n", "'hosst'"),
        ("pg_service.conf", "[base]\nhost=h\n", "cannot name an environment"),
    ],
)
def test_what_cannot_be_read(cli: Cli, project: Path, name: str, text: str, said: str) -> None:
    """It says what and where, and writes nothing."""
    (project / name).write_text(text)
    done = cli("init", "--from", name, "--store", "sealed")
    assert done.code in (2, 3)
    assert said in done.err
    assert not (project / "environments").exists()


def test_two_of_one_name(cli: Cli, files: tuple[str, str]) -> None:
    """They cannot both be an environment; nor does anything come of nothing."""
    done = cli("init", "--from", f"x={files[0]}", "--from", f"x={files[1]}")
    assert done.code == 2
    assert "two environments would be called x" in done.err
    assert cli("init", "--from", "nothing").code == 2
    assert cli("init", "--from", files[0], "--force").code == 2
    assert cli("init", "--store", "sealed").code == 2
