"""``pgstrata secret``: values, keys and members, at the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import BASE, answer, key_path, reveal
from tests.repository import git

from pgstrata.errors import CONFIG, FINDINGS, OK, USAGE
from pgstrata.layers.stores import PASSWORD
from pgstrata.secrets.sealed import keytext

Cli = Callable[..., Any]
Write = Callable[..., None]


def test_keygen_says_where_the_private_part_is(secret: Cli, home: Path, project: Path) -> None:
    """A file that only this user can read; and it is never overwritten."""
    assert key_path(home, project).exists()
    if os.name == "posix":
        assert key_path(home, project).stat().st_mode & 0o777 == 0o600
    done = secret("keygen", "-e", "staging")
    assert str(key_path(home, project).with_name("staging.key")) in done.err
    assert keytext.PRIVATE.search(done.out + done.err) is None
    (project / "environments" / "staging.sealed.yaml").unlink()
    again = secret("keygen", "-e", "staging")
    assert again.code == USAGE
    assert "already" in again.err


def test_keygen_needs_an_environment(secret: Cli) -> None:
    """A misspelt one gets no file."""
    done = secret("keygen", "-e", "prodction")
    assert done.code == CONFIG
    assert "did you mean 'production'?" in done.err


@pytest.mark.parametrize(
    "value",
    [
        " blanks ",
        "two\nlines",
        "ends with a newline\n",
        "🔑 pässwörd",
        "@at",
        "%40",
        "'\"`\\",
        "${HOME}",
        "12345",
        "null",
        "x" * 10_000,
    ],
)
def test_a_value_comes_back_as_it_was(secret: Cli, sealed: Any, value: str) -> None:
    """But for one newline at the end, which echo and editors add."""
    sealed(PASSWORD, f"{value}\n")
    assert reveal(secret) == value


@pytest.mark.parametrize(("content", "why"), [(b"", "empty"), (b"\n", "empty"), (b"a\0b", "NUL")])
@pytest.mark.parametrize("way", [("--stdin",), ("--file", "value")], ids=str)
def test_a_value_that_breaks_every_use_is_refused(
    secret: Cli, sealed: Any, typed: Any, project: Path, content: bytes, why: str, way: Any
) -> None:
    """The good one stays: a command that failed gives nothing on standard input."""
    sealed(PASSWORD, "good")
    (project / "value").write_bytes(content)
    for command in ("set", "rotate"):
        typed(content)
        done = secret(command, PASSWORD, "-e", "production", *way)
        assert done.code == USAGE
        assert why in done.err
        assert "nothing was changed" in done.err
    assert reveal(secret) == "good"


def test_a_connection_that_no_file_has_is_refused(
    secret: Cli, write: Any, editor: Callable[[str], Path], project: Path
) -> None:
    """With a value for it the environment could not be loaded."""
    write(base=f"{BASE}connections: {{analytics: {{}}}}\n", production="", staging="")
    key = f"connections.{{}}.{PASSWORD}"
    before = (project / "environments" / "production.sealed.yaml").read_bytes()
    wrong = "no file has a connection 'anlytics'\nhint: did you mean 'analytics'?"
    (project / "other").write_text("PGPASSWORD=x\nX=y\n")
    editor(f"path.write_text('{key.format('anlytics')}: x')")
    for arguments in (
        ("set", key.format("anlytics"), "--generate"),
        ("set", key.format("anlytics"), "--generate", "--store", "keyring"),
        ("import", "other", "--from", "dotenv", "--as", f"X={key.format('anlytics')}"),
        ("edit",),
    ):
        done = secret(*arguments, "-e", "production")
        assert done.code == USAGE, done.err
        assert wrong in done.err
    assert (project / "environments" / "production.sealed.yaml").read_bytes() == before
    assert secret("set", key.format("analytics"), "-e", "production", "--generate").code == OK


def test_what_cannot_be_read_may_have_the_connection(secret: Cli, write: Any) -> None:
    """So the file's own fault is told, with its line."""
    write(base=BASE, production="connections: {analytics: {}\n", staging="")
    key = f"connections.analytics.{PASSWORD}"
    done = secret("set", key, "-e", "production", "--generate")
    assert done.code == CONFIG
    assert "environments/production.yaml:2:1: error[yaml-syntax]" in done.err


def test_set_from_a_file_and_generated(secret: Cli, project: Path) -> None:
    """Neither is shown."""
    (project / "value").write_bytes(b"from a file\n")
    done = secret("set", PASSWORD, "-e", "production", "--file", "value")
    assert "from a file" not in done.out + done.err
    assert reveal(secret) == "from a file"
    done = secret("set", PASSWORD, "-e", "production", "--generate")
    value = reveal(secret)
    assert len(value) == 32
    assert value not in done.out + done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("set", PASSWORD, "canary"),
        ("set", PASSWORD, "--canary"),
        ("set", PASSWORD, "--value=canary"),
        ("set", PASSWORD, "--value", "canary"),
        ("set", "canary", "--generate"),
        ("set", PASSWORD, "--file", "canary"),
        ("set", f"{PASSWORD}=canary", "--generate"),
        ("set", PASSWORD, "--generate", "canary"),
        ("rotate", PASSWORD, "canary"),
        ("rotate", "canary"),
        ("get", "canary"),
        ("remove", PASSWORD, "canary"),
        ("accept", "canary"),
        ("keygen", "--identity", "canary canary"),
        ("recipient", "add", "canary"),
        ("set", PASSWORD, "--store", "canary"),
        ("set", PASSWORD, "--store=canary"),
        ("import", "x", "--from", "canary"),
        ("accept", "--canary"),
        ("accept", PASSWORD, "--reject=canary"),
        ("list", "--canary"),
        ("list", "--format", "canary"),
        ("list", "canary"),
        ("verify", "--canary"),
        ("recipient", "list", "--canary"),
        ("scan", "--canary"),
    ],
)
def test_a_secret_among_the_arguments_is_not_repeated(
    secret: Cli, arguments: tuple[str, ...]
) -> None:
    """And the user is told what it means that it was there."""
    done = secret(*arguments, *(() if "--identity" in arguments else ("-e", "production")))
    assert done.code in (USAGE, CONFIG)
    assert "canary" not in done.out + done.err
    assert "hint:" in done.err
    if arguments[-1] == "canary" and arguments[1] == PASSWORD:
        assert "shell's history" in done.err


def test_a_secret_as_the_environment_is_not_repeated(secret: Cli) -> None:
    """A name that resembles none of them may be one."""
    done = secret("set", PASSWORD, "--generate", "-e", "canary7f3a")
    assert done.code == CONFIG
    assert "canary" not in done.out + done.err
    assert "pgstrata envs" in done.err


def test_without_a_terminal_nothing_is_asked(secret: Cli, typed: Callable[[bytes], None]) -> None:
    """A pipe that is meant as the value has to be named."""
    typed(b"value\n")
    done = secret("set", PASSWORD, "-e", "production")
    assert done.code == USAGE
    assert "--stdin" in done.err


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
@pytest.mark.parametrize("again", ["canary", "another canary"])
def test_on_a_terminal_it_is_asked_for_twice(secret: Cli, again: str) -> None:
    """And is not shown while it is typed."""
    line = ["secret", "set", PASSWORD, "-e", "production"]
    code, shown = answer(line, {f"{PASSWORD}: ": "canary", "once more: ": again})
    assert "canary" not in shown
    if again == "canary":
        assert (code, reveal(secret)) == (OK, "canary")
    else:
        assert code == USAGE
        assert "not the same" in shown


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
def test_a_key_under_a_passphrase(
    secret: Cli, sealed: Any, project: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It opens with PGSTRATA_PASSPHRASE, and not without."""
    sealed(PASSWORD, "known")
    line = ["secret", "keygen", "--identity", "bob", "--file", "bob.key", "--passphrase"]
    code, shown = answer(line, {"passphrase: ": "open sesame", "once more: ": "open sesame"})
    assert code == OK
    public = next(word for word in shown.split() if word.startswith("PGSTRATApk1_"))
    assert secret("recipient", "add", public, "-e", "production").code == OK
    key_path(home, project).unlink()
    monkeypatch.setenv("PGSTRATA_IDENTITY_FILE", "bob.key")
    assert "under a passphrase" in secret("get", PASSWORD, "-e", "production", "--reveal").err
    monkeypatch.setenv("PGSTRATA_PASSPHRASE", "open sesame")
    assert reveal(secret) == "known"


def test_get_masks(secret: Cli, sealed: Any) -> None:
    """Unless it is asked to reveal, and then not in CI."""
    sealed(PASSWORD, "canary")
    done = secret("get", PASSWORD, "-e", "production")
    assert done.out == "******** (sealed environments/production.sealed.yaml)\n"


def test_get_reveals_nothing_in_ci(
    secret: Cli, sealed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logs are kept there."""
    sealed(PASSWORD, "canary")
    monkeypatch.setenv("CI", "true")
    done = secret("get", PASSWORD, "-e", "production", "--reveal")
    assert (done.code, done.out) == (USAGE, "")
    done = secret("get", PASSWORD, "-e", "production", "--reveal", "--force")
    assert done.out == "canary\n"


def test_list_shows_everything_but_values(secret: Cli, sealed: Any, write: Write) -> None:
    """Where from, and for how many days."""
    sealed("connection_settings.sslpassword", "canary")
    write(base=BASE, production="connection_settings: {password: '${DB_PASSWORD}'}")
    done = secret("list", "-e", "production", "--format", "json")
    assert done.json["secrets"] == [
        {
            "environment": "production",
            "key": PASSWORD,
            "state": "set",
            "source": "text with DB_PASSWORD",
            "days": None,
        },
        {
            "environment": "production",
            "key": "connection_settings.sslpassword",
            "state": "set",
            "source": "sealed environments/production.sealed.yaml",
            "days": 0,
        },
    ]
    assert "canary" not in secret("list", "-e", "production").out


def test_who_has_no_key_may_add(secret: Cli, sealed: Any, home: Path, project: Path) -> None:
    """What is pending is used when a holder of the key has accepted it."""
    sealed(PASSWORD, "old")
    key = key_path(home, project)
    key.rename(project / "kept")
    done = secret("set", PASSWORD, "-e", "production", "--generate")
    assert "pending" in done.err
    assert "pending" in secret("list", "-e", "production").out
    assert secret("accept", "-e", "production").code == CONFIG
    (project / "kept").rename(key)
    assert reveal(secret) == "old"
    assert secret("accept", PASSWORD, "-e", "production").code == OK
    assert reveal(secret) != "old"


def test_a_member_comes_and_goes(secret: Cli, sealed: Any, home: Path, project: Path) -> None:
    """With a key of their own; and when they leave, what they knew is listed."""
    sealed(PASSWORD, "known")
    public = secret("keygen", "--identity", "bob", "--file", str(project / "bob.key")).out.strip()
    assert secret("recipient", "add", public, "-e", "production").code == OK
    listed = secret("recipient", "list", "-e", "production", "--format", "json")
    assert [member["name"] for member in listed.json["recipients"]] == ["bob"]
    key_path(home, project).rename(project / "kept")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PGSTRATA_IDENTITY_FILE", str(project / "bob.key"))
        assert reveal(secret) == "known"
    (project / "kept").rename(key_path(home, project))
    done = secret("recipient", "remove", "bob", "-e", "production")
    assert done.out == f"{PASSWORD}\n"
    assert reveal(secret) == "known"


def test_rotate_key_keeps_the_new_key_where_the_old_was(secret: Cli, sealed: Any) -> None:
    """So the next command just works."""
    sealed(PASSWORD, "kept")
    assert secret("rotate-key", "-e", "production").code == OK
    assert reveal(secret) == "kept"


def test_remove(secret: Cli, sealed: Any) -> None:
    """And what is not there is an error."""
    sealed(PASSWORD, "gone")
    assert secret("remove", PASSWORD, "-e", "production").code == OK
    assert secret("remove", PASSWORD, "-e", "production").code == CONFIG


@pytest.fixture
def editor(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return a function that makes an $EDITOR of a Python program, which is given the path."""

    def program(code: str) -> Path:
        script = project / "editor.py"
        script.write_text(f"import sys, pathlib\npath = pathlib.Path(sys.argv[1])\n{code}\n")
        monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
        return script

    return program


def test_edit_seals_only_what_changed(
    secret: Cli, sealed: Any, editor: Callable[[str], Path], project: Path
) -> None:
    """In a folder for this user alone, of which nothing is left."""
    sealed(PASSWORD, "old")
    sealed("connection_settings.sslpassword", "kept: 'as it is'\n💾")
    before = (project / "environments" / "production.sealed.yaml").read_text().splitlines()
    editor(
        "import os\n"
        "assert os.name != 'posix' or path.parent.stat().st_mode & 0o777 == 0o700\n"
        "pathlib.Path('where').write_text(str(path))\n"
        "path.write_text(path.read_text().replace(': old', ': new'))"
    )
    assert secret("edit", "-e", "production").code == OK
    after = (project / "environments" / "production.sealed.yaml").read_text().splitlines()
    changed = [i for i, (one, two) in enumerate(zip(before, after, strict=True)) if one != two]
    assert len(changed) == 2  # the box, and the signature
    assert reveal(secret) == "new"
    assert reveal(secret, "connection_settings.sslpassword") == "kept: 'as it is'\n💾"
    assert not Path((project / "where").read_text()).parent.exists()


@pytest.mark.parametrize(
    "code",
    [
        "sys.exit(1)",
        "path.write_text('canary: [')",
        "path.write_text('canary: x')",
        "path.write_text('connection_settings.password:')",
        r"path.write_text('connection_settings.password: \"canary\\0\"')",
    ],
)
def test_a_failed_edit_changes_nothing(
    secret: Cli, sealed: Any, editor: Callable[[str], Path], project: Path, code: str
) -> None:
    """Nor does it quote the text."""
    sealed(PASSWORD, "old")
    before = (project / "environments" / "production.sealed.yaml").read_bytes()
    editor(code)
    done = secret("edit", "-e", "production")
    assert done.code == USAGE
    assert "canary" not in done.err
    assert (project / "environments" / "production.sealed.yaml").read_bytes() == before


def test_verify_needs_no_key(secret: Cli, home: Path, project: Path) -> None:
    """And fails for a file that somebody has changed."""
    key_path(home, project).unlink()
    done = secret("verify", "--all", "--format", "json")
    assert (done.code, len(done.json["environments"])) == (OK, 1)
    file = project / "environments" / "production.sealed.yaml"
    file.write_bytes(file.read_bytes().replace(b"revision: 1", b"revision: 2"))
    done = secret("verify", "-e", "production")
    assert done.code == FINDINGS
    assert "does not verify" in done.err


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("dotenv", "# comment\nexport PGPASSWORD='it is \"it\"'\nOTHER=x\n"),
        ("dotenv", 'PGSTRATA_CONNECTION_SETTINGS__PASSWORD="it is \\"it\\""\n'),
        ("pgpass", 'elsewhere:*:*:*:no\ndb:5432:app:app:it is "it"\n'),
        ("file", "connection_settings: {host: db, password: 'it is \"it\"'}\n"),
    ],
)
def test_import(secret: Cli, project: Path, kind: str, content: str) -> None:
    """Of what other programs keep in clear."""
    (project / "other").write_text(content)
    done = secret("import", "other", "--from", kind, "-e", "production")
    assert done.code == OK, done.err
    assert '"it"' not in done.out + done.err
    assert reveal(secret) == 'it is "it"'


def test_references_are_no_values(secret: Cli, project: Path) -> None:
    """They stay where they are, and are named; what only looks like one is a value."""
    other = project / "other.yaml"
    text = "connection_settings: {password: '%s', sslpassword: 'it $(is) $${one}'}\n"
    other.write_text(text % "${DB_PASSWORD}")
    done = secret("import", "other.yaml", "--from", "file", "-e", "production")
    assert done.code == OK, done.err
    assert f"{PASSWORD} is left in other.yaml: it is a reference" in done.err
    assert "now remove connection_settings.sslpassword from other.yaml" in done.err
    assert reveal(secret, "connection_settings.sslpassword") == "it $(is) ${one}"
    assert PASSWORD not in secret("list", "-e", "production").out


def test_what_may_be_a_secret_and_was_not_imported_is_named(secret: Cli, project: Path) -> None:
    """So that it is not lost with the file."""
    (project / ".env").write_text("PGPASSWORD=it\nAPI_TOKEN=canary\nCOLOUR=red\n")
    done = secret("import", ".env", "--from", "dotenv", "-e", "production")
    assert "API_TOKEN is left in .env" in done.err
    assert "canary" not in done.err
    assert "COLOUR" not in done.err


def test_import_under_another_name(secret: Cli, project: Path) -> None:
    """What is not known to be a setting is named."""
    (project / ".env").write_text("DB_PASS=it\n")
    assert secret("import", ".env", "--from", "dotenv", "-e", "production").code == CONFIG
    rename = f"DB_PASS={PASSWORD}"
    done = secret("import", ".env", "--from", "dotenv", "--as", rename, "-e", "production")
    assert done.code == OK
    assert reveal(secret) == "it"


def test_import_from_sops(secret: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own program decrypts; where that is not installed, it is said. The program here is a
    stand-in that prints what a decrypted file would be: no sops is installed by pip or apt.
    """
    (project / "enc.yaml").write_text("sops: {}\n")
    monkeypatch.setenv("PATH", str(project / "bin"))
    done = secret("import", "enc.yaml", "--from", "sops", "-e", "production")
    assert done.code == CONFIG
    assert "sops is not installed" in done.err
    (project / "bin").mkdir()
    program = project / "bin" / "sops"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nassert sys.argv[1] == '--decrypt'\n"
        "print('connection_settings: {password: \"from ${sops} $(it)\"}')\n"
    )
    program.chmod(0o755)
    assert secret("import", "enc.yaml", "--from", "sops", "-e", "production").code == OK
    assert reveal(secret) == "from ${sops} $(it)"


def test_only_what_is_in_a_store_can_be_rotated(secret: Cli, write: Write) -> None:
    """A variable is changed where it is set."""
    write(base=BASE, production="connection_settings: {password: '${X}'}")
    done = secret("rotate", PASSWORD, "-e", "production")
    assert done.code == CONFIG
    assert "environments/production.yaml" in done.err


def test_doctor_names_keys_and_pins(secret: Cli, cli: Cli, home: Path, project: Path) -> None:
    """And the keyring, or why there is none."""
    rows = {row["subject"]: row for row in cli("doctor", "--format", "json").json["checks"]}
    assert str(key_path(home, project)) in rows["sealed/production"]["detail"]
    assert "no OS keyring here" in rows["OS keyring"]["detail"]


def test_a_sealed_value_that_is_as_it_was_is_no_impact(
    cli: Cli, sealed: Any, project: Path
) -> None:
    """A sealed file that a commit has as it is now is opened; of an older one nothing is known."""
    sealed(PASSWORD, "old")
    for command in ("init --quiet", "add .", "commit --quiet --message x"):
        git(project, *command.split())
    assert "nothing changes" in cli("impact").out
    sealed(PASSWORD, "new")
    assert "of another revision; its values are not opened" in cli("impact").out
