from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pgstrata.adoption import plan
from pgstrata.adoption.sources import Found, flat
from pgstrata.layers import arguments
from pgstrata.loading import load_mapping
from pgstrata.model import Secret

# What YAML and libpq can hold, and more often what is special to one of them.
TEXTS = st.text(
    st.one_of(
        st.sampled_from("${}:-'\"\\@#%&*!|>[]{} ,\n\t=~"),
        st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], max_codepoint=0xD7FF),
    ),
    max_size=20,
)
SIZES = st.integers(1, 99)


def found(name: str, application: str, password: str, size: int) -> Found:
    """Return one environment, as a file of pgmonkey has it."""
    sections = {
        "connection_settings": {
            "host": f"{name}.example.com",
            "user": "u",
            "dbname": "d",
            "application_name": application,
            "password": password,
        },
        "pool_settings": {"max_size": size, "min_size": 1},
    }
    settings = flat(arguments.document(sections, name).root)
    return Found(name, name, settings, load_mapping(sections, environ={}))


@settings(deadline=None, max_examples=50)
@given(TEXTS, TEXTS.filter(bool), SIZES, SIZES)
def test_layers_mean_what_the_files_did(
    text: str, password: str, one_size: int, other_size: int
) -> None:
    """Whatever the texts are, and no file holds a password."""
    application = text.replace("://", "").replace("password", "")
    every = [found("one", application, password, one_size), found("two", "x", password, other_size)]
    made = plan.plan(every, Path("nowhere"), "sealed")
    assert plan.in_memory(made, Path("nowhere"), {}) == {}
    for name in ("one", "two"):
        key = "connection_settings.password"
        assert made.secrets[name][key] == Secret(password)
    assert not any(b"password" in content for content in made.files.values())


def test_what_differs_is_said_without_secrets() -> None:
    """Of a public setting both values, of a secret its name."""
    before = found("one", "a", "first-password", 1)
    after = load_mapping(
        {
            "connection_settings": {
                "host": "other",
                "user": "u",
                "dbname": "d",
                "application_name": "a",
                "password": "second-password",
            },
            "pool_settings": {"max_size": 1, "min_size": 1},
        },
        environ={},
    )
    made = plan.Plan((before,), {}, {})
    assert plan.differences(made, {"one": after}) == {
        "one": [
            "connection_settings.host: one.example.com before, other after",
            "connection_settings.password",
        ]
    }
    assert "password" not in repr(before)


def test_one_environment_is_split_too() -> None:
    """Which server it is goes to the overlay, all else to base."""
    made = plan.plan([found("one", "a", "p", 3)], Path("nowhere"), "keyring")
    base, overlay = made.files["base.yaml"].decode(), made.files["one.yaml"].decode()
    assert "max_size" in base
    assert "secret_stores" in base
    assert "host" in overlay
    assert "max_size" not in overlay
