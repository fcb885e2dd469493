from __future__ import annotations

from pathlib import Path

import pytest
from tests.secrets.sealed.team import Team, make_team, text

from pgstrata.errors import SecretError, UsageError
from pgstrata.model import Secret
from pgstrata.secrets.sealed import keytext, lookup, opened
from pgstrata.secrets.sealed.access import Access
from pgstrata.secrets.sealed.keys import new_environment_key, new_identity


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """Make a file with a password, sealed to alice."""
    return make_team(tmp_path)


def save(path: Path, content: str, mode: int = 0o600) -> Path:
    """Write a key file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("what", ["key", "identity"])
@pytest.mark.parametrize("where", ["variable", "named file", "mounted", "own file"])
def test_a_key_is_found_in_each_place(team: Team, what: str, where: str) -> None:
    """The environment's key or alice's, in a variable or a named, mounted or own file."""
    content = text(team.key if what == "key" else team.alice)
    variable = "PGSTRATA_KEY{}_PRODUCTION" if what == "key" else "PGSTRATA_IDENTITY{}"
    mounted = "pgstrata-key-production" if what == "key" else "pgstrata-identity"
    own = (lookup.key_path if what == "key" else lookup.identity_path)(team.access(team.nobody))
    environ = dict(team.nobody)
    if where == "variable":
        environ[variable.format("")] = content
    elif where == "named file":
        environ[variable.format("_FILE")] = str(save(team.project / "a.key", content))
    elif where == "mounted":
        folder = save(team.project / "credentials" / mounted, content, 0o444).parent
        environ["CREDENTIALS_DIRECTORY"] = str(folder)
    else:
        save(own, content)
    assert team.open(environ=environ) == "correct horse"


def test_a_key_file_comes_first(team: Team) -> None:
    """What is asked for by name is not overruled by a variable."""
    path = save(team.project / "a.key", text(team.key))
    environ = {**team.nobody, "PGSTRATA_KEY_PRODUCTION": text(new_environment_key("production"))}
    access = Access("production", project=team.project, environ=environ, key_file=path)
    assert opened.open_trusted(team.path, access).key is not None


@pytest.mark.parametrize(
    "environ",
    [
        {"PGSTRATA_KEY_PRODUCTION": text(new_environment_key("production"))},
        {"PGSTRATA_KEY_PRODUCTION": text(new_environment_key("staging"))},
        {"PGSTRATA_KEY_PRODUCTION": "nonsense"},
        {"PGSTRATA_KEY_PRODUCTION": " "},
        {"PGSTRATA_KEY_FILE_PRODUCTION": "no/such/file"},
        {"PGSTRATA_KEY_FILE_PRODUCTION": "."},
        {"PGSTRATA_KEY_ID_PRODUCTION": "nonsense"},
    ],
)
def test_a_wrong_key_is_never_passed_over(team: Team, environ: dict[str, str]) -> None:
    """Though alice's identity, further down, would open the file."""
    with pytest.raises(SecretError) as caught:
        team.open(environ={**team.member, **environ})
    assert next(iter(environ)) in str(caught.value) or "key file" in str(caught.value)
    assert caught.value.hint


def test_an_empty_variable_is_none(team: Team) -> None:
    """CI leaves a variable empty where a secret is not given to it."""
    environ = {**team.member, "PGSTRATA_KEY_PRODUCTION": "", "PGSTRATA_KEY_FILE_PRODUCTION": ""}
    assert team.open(environ=environ) == "correct horse"


def test_no_key_names_every_place(team: Team) -> None:
    """The error lists all that was looked at, in order."""
    with pytest.raises(SecretError) as caught:
        team.open(environ={**team.nobody, "CREDENTIALS_DIRECTORY": "/mounted"})
    places = [line.strip() for line in str(caught.value).splitlines()[1:]]
    assert places[:2] == ["env PGSTRATA_KEY_PRODUCTION", "env PGSTRATA_KEY_FILE_PRODUCTION"]
    assert str(Path("/mounted/pgstrata-key-production")) in places
    assert any(place.endswith("production.key") for place in places)
    assert "env PGSTRATA_IDENTITY" in places
    assert places[-1].startswith("OS keyring: there is no OS keyring here")
    assert "PGSTRATA_KEY_PRODUCTION" in caught.value.hint


def test_several_keys_and_comments_may_stand_in_one_place(team: Team) -> None:
    """While rotating, the key that fits is taken."""
    other = text(new_environment_key("production"))
    for content in (f"{other},{text(team.key)}", f"# shop\n{other}\r\n{text(team.key)}\n"):
        assert team.open(environ={**team.nobody, "PGSTRATA_KEY_PRODUCTION": content})


def test_a_key_under_a_passphrase(team: Team) -> None:
    """The passphrase comes from its variable."""
    locked = keytext.private_text(team.key, Secret("horse")).reveal()
    environ = {**team.nobody, "PGSTRATA_KEY_PRODUCTION": locked}
    with pytest.raises(SecretError, match="is under a passphrase"):
        team.open(environ=environ)
    assert team.open(environ={**environ, "PGSTRATA_PASSPHRASE": "horse"}) == "correct horse"


def test_a_strangers_identity_says_who_can(team: Team) -> None:
    """The recipients are named, so it is clear whom to ask."""
    with pytest.raises(SecretError, match=r"the identity eve.* sealed to alice"):
        team.open(environ={**team.nobody, "PGSTRATA_IDENTITY": text(new_identity("eve"))})


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a b", "-x"])
def test_an_environment_has_a_plain_name(team: Team, name: str) -> None:
    """A name that leads out of the folders of keys and pins is refused."""
    with pytest.raises(UsageError):
        Access(name, project=team.project, environ={})
