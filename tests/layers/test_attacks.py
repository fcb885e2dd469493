"""What dynaconf would execute, import, read or obey has no effect here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.layers.project import ENVIRON, refused, settings, write

from pgstrata import Config, Secret, load, load_many

EVIL = "open('executed', 'a').write('x')\nconnection_settings = {'host': 'evil'}\nHOST = 'evil'\n"
YAML_EVIL = "connection_settings: {host: evil}\n"
NAMES = (
    "PRELOAD INCLUDES INCLUDE SETTINGS_FILE SETTINGS_FILES SETTINGS_MODULE SECRETS LOADERS "
    "CORE_LOADERS MERGE_ENABLED AUTO_CAST ENVVAR_PREFIX VAULT_ENABLED REDIS_ENABLED ENVIRONMENTS "
    "ENV_SWITCHER FORCE_ENV DEFAULT_ENV LOAD_DOTENV DOTENV_PATH ROOT_PATH INSTANCE ENCODING "
    "NESTED_SEPARATOR INDEX_SEPARATOR DOTTED_LOOKUP SYSENV_FALLBACK FRESH_VARS SKIP_VALIDATORS "
    "VALIDATE_ON_UPDATE YAML_LOADER LOWERCASE_READ DYNABOXIFY"
)
VALUES = {
    "PRELOAD": "evil.py",
    "INCLUDES": "['evil.yaml', 'evil.py']",
    "INCLUDE": "evil.py",
    "SETTINGS_FILE": "evil.yaml",
    "SETTINGS_FILES": "['evil.yaml']",
    "SETTINGS_MODULE": "evil",
    "SECRETS": "evil.yaml",
    "LOADERS": "['evil']",
    "CORE_LOADERS": "['YAML', 'PY']",
    "ENVVAR_PREFIX": "false",
    "YAML_LOADER": "unsafe_load",
    "ROOT_PATH": ".",
    "DOTENV_PATH": ".env",
    "NESTED_SEPARATOR": "_",
    "INDEX_SEPARATOR": "_",
    "FRESH_VARS": "['CONNECTION_SETTINGS']",
    "FORCE_ENV": "evil",
}
VARIABLES = {f"{name}_FOR_DYNACONF": VALUES.get(name, "true") for name in NAMES.split()} | {
    "DYNACONF_CONNECTION_SETTINGS__HOST": "evil",
    "DYNACONF_CONNECTION_SETTINGS": "{host='evil'}",
    "DYNACONF_INCLUDE": "['evil.py']",
    "DYNACONF_SETTINGS": "evil.py",
    "CONNECTION_SETTINGS": '@json {"host": "evil"}',
    "CONNECTION_SETTINGS__HOST": "evil",
}
PROGRAM = """
import json, sys
from pgstrata import load
config = load("production")
print(json.dumps([{k: str(v) for k, v in config.items()}, sorted(sys.modules)]))
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project, the current folder, with evil files wherever dynaconf looks for some."""
    write(tmp_path, settings("  password: x\n"), production="session_settings: {timezone: UTC}")
    for folder in (tmp_path, tmp_path / "environments", tmp_path / "config"):
        folder.mkdir(exist_ok=True)
        for name in ("evil.py", "dynaconf_hooks.py", "settings.py", "conftest_evil.py"):
            (folder / name).write_text(EVIL)
        for name in ("evil.yaml.x", "settings.yaml", ".secrets.yaml"):
            (folder / name).write_text(YAML_EVIL)
        (folder / ".env").write_text("PRELOAD_FOR_DYNACONF=evil.py\nDYNACONF_X=1\n")
    (tmp_path / "evil.yaml").write_text(YAML_EVIL)
    (tmp_path / "environments" / "base.local.yaml").write_text(YAML_EVIL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_no_variable_of_dynaconf_has_an_effect(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One at a time, then all at once, in this process."""
    calm = dict(load("production"))
    for name, value in VARIABLES.items():
        with monkeypatch.context() as single:
            single.setenv(name, value)
            assert dict(load("production")) == calm, name
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    assert dict(load("production")) == calm
    config = load_many(["production"])["production"]
    assert isinstance(config, Config)
    assert dict(config) == calm
    assert not list(project.rglob("executed"))


@pytest.mark.parametrize("chosen", [*({name} for name in ("PRELOAD", "LOADERS", "INCLUDES")), None])
def test_no_variable_of_dynaconf_has_an_effect_in_a_fresh_process(
    chosen: set[str] | None, project: Path
) -> None:
    """Not even what dynaconf reads while it is imported."""
    variables = {
        name: value
        for name, value in VARIABLES.items()
        if chosen is None or name.removesuffix("_FOR_DYNACONF") in chosen
    }
    calm, _ = _fresh(project, {})
    attacked, modules = _fresh(project, variables)
    assert attacked == calm
    assert not {"evil", "dynaconf_hooks", "settings"} & set(modules)
    assert not list(project.rglob("executed"))


def _fresh(project: Path, variables: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "COV"))}
    path = os.pathsep.join([str(Path(__file__).parents[2] / "src"), str(project)])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=project,
        env={**inherited, "PYTHONPATH": path, **variables},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    values, modules = json.loads(done.stdout)
    return values, modules


@pytest.mark.parametrize(
    "key",
    [
        "dynaconf_include",
        "dynaconf_merge",
        "dynaconf_merge_unique",
        "LOADERS_FOR_DYNACONF",
        "PRELOAD_FOR_DYNACONF",
        "connection_settings__host",
        "connection_settings.host",
        "default",
    ],
)
def test_reserved_keys_are_unknown_sections(key: str, tmp_path: Path) -> None:
    """What means something to dynaconf is an error in a file like any other unknown key."""
    (finding,) = refused(write(tmp_path, settings(""), production=f"{key}: [evil.py]\n"))
    assert (finding.rule, str(finding.origin)) == (
        "unknown-section",
        "environments/production.yaml:1:1",
    )


@pytest.mark.parametrize("name", ["dynaconf_merge", "dynaconf_include", "a__b", "default", "A"])
def test_reserved_connection_names(name: str, tmp_path: Path) -> None:
    """A connection cannot be called what the merge or the variables would understand otherwise."""
    (finding,) = refused(write(tmp_path, settings(""), production=f"connections: {{{name}: {{}}}}"))
    assert finding.rule == "invalid-name"


TOKENS = [
    "@none",
    "@del",
    "@reset x",
    "@merge x",
    "@insert x",
    "@int 5",
    "@bool true",
    "@json {}",
    "@empty",
    "@format {env[HOME]}",
    "@format {env.__class__.__init__.__globals__}",
    "@jinja {{ this.load_file('evil') }}",
    "@read_file /etc/hostname",
    "@get dbname",
    "dynaconf_merge",
    "dynaconf_merge=true",
]


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("source", ["file", "variable", "argument", "many"])
def test_tokens_are_literal_text(token: str, source: str, tmp_path: Path) -> None:
    """What dynaconf would evaluate arrives as it was written, as a secret and in clear."""
    text = settings(f"  password: '{token.replace(chr(39), chr(39) * 2)}'\n")
    text += f"  application_name: '{token.replace(chr(39), chr(39) * 2)}'\n"
    prefix = "PGSTRATA_CONNECTION_SETTINGS__"
    environ, given = dict(ENVIRON), {}
    if source == "variable":
        text = settings("")
        environ |= {f"{prefix}PASSWORD": token, f"{prefix}APPLICATION_NAME": token}
    if source == "argument":
        text = settings("")
        given = {f"connection_settings.{name}": token for name in ("password", "application_name")}
    project = write(tmp_path, text)
    if source == "many":
        config = load_many(["production"], project=project, environ=environ)["production"]
        assert not isinstance(config, Exception)
    else:
        config = load("production", project=project, environ=environ, overrides=given)
    password = config["connection_settings.password"]
    assert isinstance(password, Secret)
    assert password.reveal() == config["connection_settings.application_name"] == token


def test_a_deleted_working_directory_does_not_matter(tmp_path: Path) -> None:
    """Nothing is looked for in the current folder."""
    project = write(tmp_path, settings(""))
    gone = tmp_path / "gone"
    gone.mkdir()
    here = Path.cwd()
    os.chdir(gone)
    try:
        gone.rmdir()
        assert load("production", project=project, environ=ENVIRON)["connection_settings.host"]
    finally:
        os.chdir(here)
