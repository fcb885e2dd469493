from __future__ import annotations

import base64
import io
import shlex
import subprocess

import dotenv
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pgstrata.connect.references import Reference
from pgstrata.errors import UsageError
from pgstrata.render import flat

ANY = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
LINE = st.text(st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"]))
ODD = st.text("ab1 '\"\\$#{}=`\n\t:")
NASTY = [
    "",
    " ",
    "a b",
    "it's",
    '"',
    "$HOME",
    "${HOME}",
    "`id`",
    "$(id)",
    "a\nb",
    "#x",
    "\\",
    "é€😀",
]
WORDS = ["no", "null", "~", "0123", "1e5", "0o17", "2024-01-01", "1_000", "=", "y", "- a", "a: b"]


@settings(deadline=None, max_examples=60)
@given(value=ANY | ODD)
def test_a_shell_reads_what_was_written(value: str) -> None:
    """Taken apart by a shell's rules it is one word."""
    assert shlex.split(flat.shell({"NAME": value})) == ["export", f"NAME={value}"]


@pytest.mark.parametrize("value", NASTY)
def test_a_real_shell_reads_what_was_written(value: str) -> None:
    """Nothing in a value is run or expanded."""
    script = flat.shell({"NAME": value}) + 'printf %s "$NAME"'
    assert subprocess.check_output(["sh", "-c", script]).decode() == value


def test_a_shell_follows_references(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A variable that is not set ends the script, rather than being an empty password."""
    path = tmp_path_factory.mktemp("a folder") / "it's"
    path.write_text("from file\n")
    script = flat.shell({"A": Reference("env", "SECRET"), "B": Reference("file", str(path))})
    shown = f'{script}printf "%s,%s" "$A" "$B"'
    command = ["sh", "-c", shown]
    environ = {"SECRET": "it's $x", "PATH": "/usr/bin:/bin"}
    assert subprocess.check_output(command, env=environ) == b"it's $x,from file"
    del environ["SECRET"]
    done = subprocess.run(command, env=environ, check=False, capture_output=True)
    assert done.returncode != 0


@settings(deadline=None, max_examples=60)
@given(value=ANY | ODD)
def test_dotenv_reads_what_was_written(value: str) -> None:
    """Its own parser gives the value back, or the value is refused."""
    try:
        text = flat.dotenv({"NAME": value})
    except UsageError:
        assert "$" in value
        return
    assert dotenv.dotenv_values(stream=io.StringIO(text)) == {"NAME": value}


@pytest.mark.parametrize("value", ["a$b'c", "${HOME}", "a\\$", "$x\n"])
def test_dotenv_refuses_what_its_readers_disagree_on(value: str) -> None:
    """Some would expand it and some not; the message does not quote it."""
    with pytest.raises(UsageError, match="NAME: programs differ") as caught:
        flat.dotenv({"NAME": value})
    assert value not in str(caught.value)


def test_dotenv_follows_references() -> None:
    """To variables that are set where it is read."""
    text = flat.dotenv({"NAME": Reference("env", "SECRET")})
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SECRET", "it's")
        assert dotenv.dotenv_values(stream=io.StringIO(text)) == {"NAME": "it's"}


@settings(deadline=None, max_examples=60)
@given(value=LINE)
def test_docker_reads_what_was_written(value: str) -> None:
    """It takes a line as it is: what is behind the first equals sign."""
    name, _, text = flat.docker_env({"NAME": value}).removesuffix("\n").partition("=")
    assert (name, text) == ("NAME", value)


def test_docker_env_refuses_a_line_break() -> None:
    """It would be another variable."""
    with pytest.raises(UsageError, match="NAME: a docker-env file cannot hold a line break"):
        flat.docker_env({"NAME": "a\nb"})


@settings(deadline=None, max_examples=60)
@given(value=ANY | ODD | st.sampled_from(WORDS))
def test_kubernetes_reads_what_was_written(value: str) -> None:
    """Values are texts, whatever they look like; secrets are in base64."""
    found = yaml.safe_load(flat.config_map("x", {"NAME": value}))
    assert found["data"] == {"NAME": value}
    found = yaml.safe_load(flat.secret("x", {"NAME": value}))
    assert base64.b64decode(found["data"]["NAME"]).decode() == value


@pytest.mark.parametrize("word", WORDS)
def test_no_version_of_yaml_takes_a_text_for_something_else(word: str) -> None:
    """Each is in quotes: YAML 1.2 reads 1e5 as a number and 1.1 does not."""
    assert f'NAME: "{word}"\n' in flat.config_map("x", {"NAME": word})


@pytest.mark.parametrize(
    ("name", "label"),
    [("production", "production"), ("Prod_EU", "prod-eu"), ("x" * 80, "x" * 63), ("_a_", "a")],
)
def test_kubernetes_objects_have_valid_names(name: str, label: str) -> None:
    """Lower-case letters, digits and dashes."""
    assert yaml.safe_load(flat.config_map(name, {}))["metadata"]["name"] == label


@settings(deadline=None, max_examples=60)
@given(value=ANY | ODD)
def test_yaml_reads_what_was_written(value: str) -> None:
    """Numbers and booleans stay such, texts are texts."""
    tree = {"a": {"text": value, "list": [value], "number": 5, "flag": True, "float": 1.5}}
    assert yaml.safe_load(flat.yaml_text(tree)) == tree
