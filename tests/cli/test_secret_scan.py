"""``pgstrata secret scan``, ``merge`` and ``verify --since``: with a real git."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pgstrata.check import scan
from pgstrata.errors import FINDINGS, OK, USAGE
from pgstrata.secrets.sealed import keytext
from pgstrata.secrets.sealed.keys import new_environment_key

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

ROOT = Path(__file__).parents[2]
KEY = keytext.private_text(new_environment_key("e")).reveal()
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
(HOOK,) = (hook for hook in HOOKS if hook["id"] == "pgstrata-secret-scan")
LITERAL = "connection_settings:\n  password: canary\n"
BASE = "connection_settings: {host: db, dbname: app, user: app}\n"
Cli = Callable[..., Any]
Git = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def git(project: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """Return a function that runs git in the project, where ``pgstrata`` is on the PATH."""
    programs = project.parent / f"{project.name}-bin"
    programs.mkdir()
    program = programs / "pgstrata"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pgstrata "$@"\n')
    program.chmod(0o755)
    for name, value in {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "HOME": str(programs),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
    }.items():
        monkeypatch.setenv(name, value)

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        return subprocess.run(
            ["git", *who, *arguments], cwd=project, capture_output=True, text=True, check=False
        )

    command("init", "--quiet", "--initial-branch=main")
    return command


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("a.yaml", LITERAL, "a.yaml:2:13: error[clear-secret]"),
        ("a.yml", "postgresql: {connection_settings: {sslpassword: canary}}", "[clear-secret]"),
        (
            "a.yaml",
            "connections: {x: {connection_settings: {scram_client_key: canary}}}",
            "connections.x.connection_settings.scram_client_key",
        ),
        ("a.yaml", "connection_settings: {password: 'canary${X}'}", "[clear-secret]"),
        ("a.py", "URL = 'postgresql://app:canary@db/app'", "a.py:1:8: error[url-password]"),
        ("a.env", "\nDATABASE_URL=postgres://:canary@db/app", "a.env:2:14"),
        ("a.yaml", "connection_settings: {password: '${X:-canary}'}", "[clear-secret]"),
        ("a.env", "U=postgresql://app:${X:-canary}@db/app", "a.env:1:3: error[url-password]"),
        ("a.env", "U=postgresql://app:%63anary@db/app", "[url-password]"),
        ("a.env", "U=postgresql://app:$canary123@db/app", "[url-password]"),
        ("a.env", "U=postgresql://app:{canary}canary{x}@db/app", "[url-password]"),
        ("a.env", "U=postgresql://db/app?user=u&password=canary", "[url-password]"),
        ("a.env", "U=postgresql://db/app?sslpassword=canary&x=y", "[url-password]"),
        (
            "a.yaml",
            "connection_settings: {url: 'postgresql://db/app?user=u&pass%77ord=canary'}",
            "a.yaml:1:28: error[url-password]",
        ),
        ("a.yaml", f"{LITERAL}---\nother: x\n", "a.yaml:2:13: error[clear-secret]"),
        ("a.yaml", f"a: b\n---\n{LITERAL}--- # last\nother: [\n", "a.yaml:4:13"),
        pytest.param("key", f"# canary\n{KEY}", "key:2:1", id="key"),
    ],
)
def test_what_is_found(cli: Cli, project: Path, name: str, text: str, place: str) -> None:
    """With its place and key, and never the value."""
    (project / name).write_text(text)
    for output in ("text", "json", "github"):
        done = cli("secret", "scan", name, "--format", output)
        assert done.code == FINDINGS
        assert "canary" not in done.out + done.err
        assert "PGSTRATAsk1_" not in done.out
    assert place in cli("secret", "scan", name).out


@pytest.mark.parametrize(
    "text",
    [
        "connection_settings: {password: '${DB_PASSWORD}', sslpassword: null, host: canary}",
        "connection_settings: {password: {from_env: DB_PASSWORD}}",
        "connection_settings: {password: {from_file: /run/secrets/x}}",
        "connection_settings: {password: canary}  # pgstrata: not a secret",
        "url: postgresql://app:${PASSWORD}@db/app",
        "url: postgresql://app:$PASSWORD@db/app",
        "url: postgresql://app:{password}@db/app?sslpassword={{ other }}",
        "url: postgresql://app:%(password)s@db/app",
        "url: postgresql://app:%s@db/app",
        "url: postgresql://app:********@db/app",
        "url: postgresql://db/app?password=${PASSWORD}&user=app",
        "connection_settings: {url: 'postgresql://app:${PASSWORD}@db/app'}",
        "connection_settings: {url: 'postgresql://app:${PASSWORD:?is missing}@db/app'}",
        "url: postgresql://app@db:5432/app",
        "other: {password: canary}",
        "connection_settings: [",
    ],
)
def test_what_is_not(cli: Cli, project: Path, text: str) -> None:
    """References, waivers, and what is no setting."""
    (project / "a.yaml").write_text(text)
    assert cli("secret", "scan", "a.yaml").code == OK


@pytest.mark.parametrize("text", ["connection_settings: [", "a: 1\na: 2", "a: 1\n---\nb: {"])
def test_an_environment_that_cannot_be_read_is_found(
    cli: Cli, write: Any, project: Path, text: str
) -> None:
    """It would pass otherwise, with whatever is in it; what is elsewhere may be a template."""
    write(production=text)
    done = cli("secret", "scan", "environments")
    assert done.code == FINDINGS
    assert "cannot be read, so not all of it is scanned" in done.out
    (project / "templates").mkdir()
    (project / "templates" / "a.yaml").write_text(text)
    assert cli("secret", "scan", "templates").code == OK


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "latin-1"])
@pytest.mark.parametrize(
    ("name", "text"), [("a.yaml", LITERAL), ("a.env", "postgres://:canary@db/app")]
)
def test_text_is_found_in_any_encoding(
    cli: Cli, project: Path, encoding: str, name: str, text: str
) -> None:
    """PowerShell's ``>`` writes UTF-16 with a mark; and an editor may have used Latin-1."""
    mark = "\ufeff" if encoding.endswith("-be") else ""
    (project / name).write_bytes(f"{mark}# caf\xe9\n{text}".encode(encoding))
    done = cli("secret", "scan", name)
    assert done.code == FINDINGS
    assert "canary" not in done.out
    assert f"{name}:{3 if name == 'a.yaml' else 2}:" in done.out


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' names are Unicode")
def test_a_name_may_be_any_bytes(cli: Cli, git: Git, project: Path) -> None:
    """Also one that is no UTF-8."""
    name = os.fsdecode(b"caf\xe9.yaml")
    (project / name).write_text(LITERAL)
    git("add", "-A")
    for arguments in ((), ("--staged",), (name,), ("--format", "json"), ("--format", "github")):
        done = cli("secret", "scan", *arguments)
        assert done.code == FINDINGS, done
        assert "1 files, 1 error" in done.err
        assert "caf\\xe9.yaml" in done.out.replace("\\\\", "\\")


def test_a_large_file_is_read_to_its_end(cli: Cli, project: Path) -> None:
    """Where the secret may be."""
    line = b"https://example.com/a-b.c+d-e.f?x=1&y=2#z:\n"
    content = line * (5 * 2**20 // len(line)) + b"a.b-c" * 2**20 + b"\npostgres://:canary@db/app\n"
    (project / "dump.sql").write_bytes(content)
    done = cli("secret", "scan", "dump.sql")
    assert done.code == FINDINGS
    assert f"dump.sql:{content.count(bytes([10]))}:1: error[url-password]" in done.out


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("huge.sql", b"x" * (scan.MAX_BYTES + 1), "larger than 104857600 bytes"),
        ("big.yaml", b"a: b\n" * 2**20, "a YAML file larger than 4194304 bytes"),
        ("environments/a.yaml", b"a: b\0\n", "an environment's file that is binary"),
    ],
    ids=["huge", "big", "binary"],
)
def test_what_was_not_scanned_is_not_clean(
    cli: Cli, project: Path, name: str, content: bytes, why: str
) -> None:
    """It is named and fails: nothing is known of it."""
    (project / "environments").mkdir()
    (project / name).write_bytes(content)
    done = cli("secret", "scan", name)
    assert done.code == FINDINGS
    assert f"not scanned: {name}: {why}" in done.err
    assert "0 files, no findings" in done.err
    assert cli("secret", "scan", name, "--format", "json").json == {
        "files": 0,
        "binary": 0,
        "not_scanned": {name: why},
        "findings": [],
    }


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        ("environments/a.yaml", b"\0GITCRYPT\0\x8f\xa3"),
    ],
)
def test_what_is_no_text_is_no_failure(cli: Cli, project: Path, name: str, content: bytes) -> None:
    """It is counted apart, and nobody has to do anything about it."""
    (project / "environments").mkdir()
    (project / name).write_bytes(content)
    (project / "a.txt").write_text("text")
    done = cli("secret", "scan", name, "a.txt")
    assert done.code == OK
    assert done.err == "pgstrata: 1 files, no findings; 1 binary files are not looked into\n"


def test_a_staged_submodule_is_passed_over(cli: Cli, git: Git, project: Path) -> None:
    """Its commit is in another repository; the file beside it is scanned."""
    (project / "a.yaml").write_text(LITERAL)
    git("add", "a.yaml")
    git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},lib")
    done = cli("secret", "scan", "--staged")
    assert done.code == FINDINGS
    assert "a.yaml:2:13" in done.out
    assert "1 files" in done.err


def test_github_escapes(cli: Cli, project: Path) -> None:
    """A name with a comma or a colon cannot end the place that is annotated."""
    (project / "a,b:c.yaml").write_text(LITERAL)
    done = cli("secret", "scan", "a,b:c.yaml", "--format", "github")
    assert done.out.startswith("::error file=a%2Cb%3Ac.yaml,line=2,col=13,title=clear-secret::")


def test_a_changed_sealed_file_is_found(cli: Cli, git: Git, write: Any, project: Path) -> None:
    """Whatever was changed in it."""
    write(base=BASE, production="")
    assert cli("secret", "keygen", "-e", "production").code == OK
    git("add", "-A")
    assert cli("secret", "scan").code == OK
    file = project / "environments" / "production.sealed.yaml"
    for old, new in ((b"revision: 1", b"revision: 2"), (b"entries: []", b"entries: [ ]")):
        raw = file.read_bytes()
        file.write_bytes(raw.replace(old, new))
        done = cli("secret", "scan")
        assert "environments/production.sealed.yaml" in done.out
        assert "sealed-file" in done.out
        file.write_bytes(raw)


def test_staged_is_what_the_commit_will_hold(cli: Cli, git: Git, project: Path) -> None:
    """Not what is in the folder."""
    (project / "a.yaml").write_text(LITERAL)
    git("add", "a.yaml")
    (project / "a.yaml").write_text("connection_settings: {}\n")
    assert cli("secret", "scan", "--staged").code == FINDINGS
    assert cli("secret", "scan").code == OK
    assert cli("secret", "scan", "--staged", "a.yaml").code == USAGE


def test_the_hook_stops_a_commit(git: Git, project: Path) -> None:
    """The very command of .pre-commit-hooks.yaml, in a hook of git."""
    hook = project / ".git" / "hooks" / "pre-commit"
    hook.write_text(f"#!/bin/sh\nexec {HOOK['entry']}\n")
    hook.chmod(0o755)
    (project / "a.yaml").write_text(LITERAL)
    git("add", "a.yaml")
    refused = git("commit", "-m", "with a password")
    assert refused.returncode != 0
    assert "a.yaml:2:13" in refused.stdout + refused.stderr
    assert "canary" not in refused.stdout + refused.stderr
    assert git("log").returncode != 0
    (project / "a.yaml").write_text("connection_settings: {password: '${DB_PASSWORD}'}\n")
    git("add", "a.yaml")
    assert git("commit", "-m", "without").returncode == 0


def test_branches_that_add_different_values_merge(
    cli: Cli, git: Git, write: Any, project: Path
) -> None:
    """With the driver that ``merge --install`` sets up."""
    write(base=BASE, production="")
    assert cli("secret", "keygen", "-e", "production").code == OK
    assert cli("secret", "merge", "--install").code == OK
    git("add", "-A")
    assert git("commit", "-m", "first").returncode == 0
    values = {"main": "connection_settings.password", "other": "connection_settings.sslpassword"}
    git("branch", "other")
    for branch, key in values.items():
        git("checkout", branch)
        assert cli("secret", "set", key, "-e", "production", "--generate").code == OK
        assert git("commit", "-am", branch).returncode == 0
    merged = git("merge", "main", "-m", "both")
    assert merged.returncode == 0, merged.stdout + merged.stderr
    listed = cli("secret", "list", "-e", "production", "--format", "json").json["secrets"]
    assert {row["key"] for row in listed} == set(values.values())
    assert cli("secret", "verify", "-e", "production", "--since", "HEAD~1").code == OK


def test_since_finds_an_old_file_and_another_key(
    cli: Cli, git: Git, write: Any, project: Path
) -> None:
    """As a check of a pull request, without any key or pin."""
    write(base=BASE, production="")
    file = project / "environments" / "production.sealed.yaml"
    cli("secret", "keygen", "-e", "production")
    old = file.read_bytes()
    cli("secret", "set", "connection_settings.password", "-e", "production", "--generate")
    git("add", "-A")
    git("commit", "-m", "first")
    since = ("secret", "verify", "-e", "production", "--since", "HEAD")
    assert cli(*since).code == OK
    file.write_bytes(old)
    assert "an old file was put back" in cli(*since).err
    file.unlink()
    shutil.rmtree(Path(os.environ["HOME"]) / ".config")
    cli("secret", "keygen", "-e", "production")
    cli("secret", "set", "connection_settings.password", "-e", "production", "--generate")
    shutil.rmtree(Path(os.environ["HOME"]) / ".config")
    done = cli(*since)
    assert done.code == FINDINGS
    assert "no rotation leads" in done.err
    assert cli("secret", "verify", "-e", "production", "--since", "--output=x").code == USAGE
    assert "fetch-depth" in cli("secret", "verify", "-e", "production", "--since", "gone").err


def test_since_finds_a_file_that_is_gone_and_knows_a_new_one(
    cli: Cli, git: Git, write: Any, project: Path
) -> None:
    """Deleted or renamed; a file that was not there has nothing to follow from."""
    write(base=BASE, production="", staging="")
    folder = project / "environments"
    cli("secret", "keygen", "-e", "production")
    git("add", "-A")
    git("commit", "-m", "first")
    since = ("secret", "verify", "--all", "--since", "HEAD")
    cli("secret", "keygen", "-e", "staging")
    done = cli(*since)
    assert done.code == OK, done.err
    assert "new since HEAD" in done.out
    rows = cli(*since, "--format", "json").json["environments"]
    shown = {row["environment"]: row for row in rows}
    assert (shown["production"]["new"], shown["staging"]["new"]) == (False, True)
    assert cli("secret", "verify", "-e", "staging", "--since", "HEAD").code == OK
    sealed = folder / "production.sealed.yaml"
    sealed.rename(folder / "kept")
    done = cli(*since)
    assert done.code == FINDINGS
    assert "environments/production.sealed.yaml was there in HEAD, and is gone" in done.err
    (folder / "production.yaml").rename(folder / "live.yaml")
    assert "production.sealed.yaml was there in HEAD" in cli(*since).err
