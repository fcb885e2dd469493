from __future__ import annotations

import re

import pytest
import yaml

from pgstrata.errors import InvalidConfigError
from pgstrata.loading import load_file
from pgstrata.schema.keys import CONNECTION, POOL
from pgstrata.schema.template import project_files, single_file

DOCUMENTED = {"base.yaml": project_files()["base.yaml"], "single": single_file()}
COMMENTED_KEY = re.compile(r"^(  )# (\w+:.*)$", re.MULTILINE)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_uncommented_lines_are_keys_of_their_section(name: str) -> None:
    """Taking the `# ` away from any line gives YAML that knows the key."""
    text = COMMENTED_KEY.sub(r"\1\2", DOCUMENTED[name])
    tree = yaml.safe_load(text)
    assert set(tree["connection_settings"]) == set(CONNECTION)
    assert set(tree["pool_settings"]) == set(tree["async_pool_settings"]) == set(POOL)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_uncommented_examples_load(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every line with a value is one that loads."""
    text = re.sub(r"^  # (\w+: [^\s#].*)$", r"  \1", DOCUMENTED[name], flags=re.MULTILINE)
    path = tmp_path_factory.mktemp("one") / "one.yaml"
    path.write_text(text)
    config = load_file(path, resolve_env=True, environ={"DB_PASSWORD": "x"})
    assert config["connection_settings.sslmode"] == "verify-full"
    assert config["pool_settings.timeout"] == 30


def test_a_misspelt_key_would_be_found(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The test above can fail: loading does look at the keys."""
    path = tmp_path_factory.mktemp("one") / "one.yaml"
    path.write_text(single_file().replace("# sslmode:", "sslmoed:"))
    with pytest.raises(InvalidConfigError, match="sslmoed"):
        load_file(path, environ={})


@pytest.mark.parametrize("text", [*project_files().values(), single_file()])
def test_lines_fit_an_editor(text: str) -> None:
    """Choices have a line of their own, which stays a comment when it is uncommented."""
    assert max(map(len, text.splitlines())) <= 105
    choices = [line for line in text.splitlines() if re.match(r"  # +# ", line)]
    assert all(line.replace("# ", "", 1).lstrip().startswith("#") for line in choices)


def test_no_file_holds_a_password() -> None:
    """Secrets are references, or empty."""
    for text in (*project_files().values(), single_file()):
        for line in text.splitlines():
            if line.startswith("  password:"):
                assert line.split(":", 1)[1].strip().startswith(("{from_env:", "''"))
