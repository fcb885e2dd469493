"""Where ``secret rotate-key`` and ``recipient remove`` put the new private key."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import BASE, Cli, key_path, reveal

from pgstrata.errors import OK, USAGE
from pgstrata.layers.stores import PASSWORD
from pgstrata.secrets.sealed import keytext

VARIABLE = "PGSTRATA_KEY_PRODUCTION"
ROTATE = ("rotate-key", "-e", "production")


@pytest.fixture
def known(sealed: object, secret: Cli) -> Cli:
    """Return ``secret`` where a password is sealed."""
    assert callable(sealed)
    sealed(PASSWORD, "known")
    return secret


@pytest.mark.parametrize("by", ["variable", "option"])
def test_another_projects_key_is_left_alone(
    known: Cli, home: Path, project: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """Though both folders have the same name: the new key goes into the file of the old one."""
    others = key_path(home, project).read_bytes()
    twin = project / "elsewhere" / project.name
    (twin / "environments").mkdir(parents=True)
    (twin / "environments" / "base.yaml").write_text(BASE)
    (twin / "environments" / "production.yaml").write_text("")
    monkeypatch.chdir(twin)
    assert known("keygen", "-e", "production", "--file", "b.key").code == OK
    before = Path("b.key").read_bytes()
    assert "another project whose folder has the same name" in known(*ROTATE).err
    if by == "variable":
        monkeypatch.setenv("PGSTRATA_KEY_FILE_PRODUCTION", "b.key")
    given = () if by == "variable" else ("--key-file", "b.key")
    done = known(*ROTATE, *given)
    assert done.code == OK, done.err
    assert "the new private key is in b.key" in done.err
    assert key_path(home, project).read_bytes() == others
    assert Path("b.key").read_bytes() != before
    assert known("set", PASSWORD, "--generate", "-e", "production", *given).code == OK
    monkeypatch.chdir(project)
    monkeypatch.delenv("PGSTRATA_KEY_FILE_PRODUCTION", raising=False)
    assert reveal(known) == "known"


def test_a_key_in_a_variable_needs_a_new_place(
    known: Cli, home: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new file, which is then put into the variable; a file that is there is not overwritten."""
    own = key_path(home, project)
    monkeypatch.setenv(VARIABLE, own.read_text().strip())
    own.unlink()
    file = project / "environments" / "production.sealed.yaml"
    before = file.read_bytes()
    refused = known(*ROTATE)
    assert (refused.code, own.exists()) == (USAGE, False)
    assert f"env {VARIABLE}" in refused.err
    assert "--new-key-file" in refused.err
    (project / "taken").write_text("something")
    assert known(*ROTATE, "--new-key-file", "taken").code == USAGE
    assert (project / "taken").read_text() == "something"
    assert file.read_bytes() == before
    done = known(*ROTATE, "--new-key-file", "new.key")
    assert done.code == OK, done.err
    assert f"takes the place of the old one in env {VARIABLE}" in done.err
    monkeypatch.setenv(VARIABLE, (project / "new.key").read_text())
    assert reveal(known) == "known"


def test_a_mounted_key_is_not_written(
    known: Cli, home: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The platform would put the old one back."""
    mounts = project / "mounts"
    mounts.mkdir()
    mounted = mounts / "pgstrata-key-production"
    key_path(home, project).rename(mounted)
    before = mounted.read_bytes()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(mounts))
    assert known(*ROTATE).code == USAGE
    assert mounted.read_bytes() == before


def test_other_keys_of_the_same_file_stay(known: Cli, home: Path, project: Path) -> None:
    """One file may hold those of several environments."""
    own = key_path(home, project)
    assert known("keygen", "-e", "staging").code == OK
    staging = own.with_name("staging.key").read_text()
    own.write_text(own.read_text() + staging)
    for _ in range(2):
        assert known(*ROTATE).code == OK
    assert len(own.read_text().split()) == 2
    assert staging.strip() in own.read_text()
    assert reveal(known) == "known"


def test_a_passphrase_stays(
    known: Cli, home: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new key is no less protected than the old one."""
    from pgstrata.model import Secret

    own = key_path(home, project)
    key = keytext.read_private(Secret(own.read_text().strip()))
    own.write_text(keytext.private_text(key, Secret("open sesame")).reveal())
    monkeypatch.setenv("PGSTRATA_PASSPHRASE", "open sesame")
    assert known(*ROTATE).code == OK
    assert reveal(known) == "known"
    monkeypatch.delenv("PGSTRATA_PASSPHRASE")
    assert "under a passphrase" in known("get", PASSWORD, "-e", "production", "--reveal").err


@pytest.mark.parametrize("command", ["rotate-key", "recipient remove"])
def test_the_pin_in_ci_is_named(known: Cli, project: Path, command: str) -> None:
    """With the id to change it to: the old one would go on trusting who has left."""
    public = known("keygen", "--identity", "bob", "--file", "bob.key").out.strip()
    assert known("recipient", "add", public, "-e", "production").code == OK
    member = ("bob",) if command.startswith("recipient") else ()
    done = known(*command.split(), *member, "-e", "production")
    assert done.code == OK, done.err
    verified = known("verify", "-e", "production", "--format", "json")
    (shown,) = verified.json["environments"]
    said = (
        f"change PGSTRATA_KEY_ID_PRODUCTION in CI, and wherever else it is set, to {shown['key']}"
    )
    assert said in done.err
