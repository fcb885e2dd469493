from __future__ import annotations

import copy
import json
from base64 import b64encode
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgstrata.model import MASK, Secret
from pgstrata.secrets.redact import REDACTED, is_secret_key, redact_config, redact_text, scrub

SECRET = "p@ss/w'ö\"rd\\ 7%"


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "PASSWORD",
        "passwd",
        "sslpassword",
        "db_password",
        "scram_client_key",
        "scram_server_key",
        "oauth_client_secret",
        "sslkey",
        "api_token",
        "aws_credentials",
    ],
)
def test_values_of_secret_keys_are_masked(key: str) -> None:
    """At the top, nested, in lists, and below a map of that name."""
    config = {key: "x", "a": {key: "x"}, "b": [{key: "x"}], "c": {key: {"d": ["x", 5]}}}
    assert redact_config(config) == {
        key: REDACTED,
        "a": {key: REDACTED},
        "b": [{key: REDACTED}],
        "c": {key: {"d": [REDACTED, REDACTED]}},
    }


@pytest.mark.parametrize(
    "key", ["host", "user", "passfile", "sslrootcert", "secret_stores", "require_auth"]
)
def test_other_values_stay(key: str) -> None:
    """A name that only sounds like a secret is shown."""
    assert not is_secret_key(key)
    assert redact_config({key: ["x"]}) == {key: ["x"]}


def test_empty_values_stay_and_the_original_too() -> None:
    """Nothing to hide is not hidden, and the copy is deep."""
    config = {"password": "", "token": None, "a": [{"secret": "x", "host": ["h"]}], "n": 0}
    before = copy.deepcopy(config)
    redacted = redact_config(config)
    assert redacted == {
        "password": "",
        "token": None,
        "a": [{"secret": REDACTED, "host": ["h"]}],
        "n": 0,
    }
    redacted["a"][0]["host"].append("other")
    assert config == before


def test_a_secret_is_masked_anywhere() -> None:
    """Whatever its key is called."""
    assert redact_config({"host": Secret("x"), "t": (Secret("y"),)}) == {
        "host": REDACTED,
        "t": (REDACTED,),
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://u:hunter2@h/db", f"postgresql://u:{REDACTED}@h/db"),
        ("postgres://u:hun@ter/2@h:5432/db?a=b", f"postgres://u:{REDACTED}@h:5432/db?a=b"),
        ("see postgresql://:x@h, twice", f"see postgresql://:{REDACTED}@h, twice"),
        ("postgresql://u@h/db?password=x&a=b", f"postgresql://u@h/db?password={REDACTED}&a=b"),
        ("host=h password=x user=u", f"host=h password={REDACTED} user=u"),
        (r"password = 'it\'s' host=h", f"password = {REDACTED} host=h"),
        ("sslpassword=x scram_client_key=y", f"sslpassword={REDACTED} scram_client_key={REDACTED}"),
        ("postgresql://u@h:5432/db", "postgresql://u@h:5432/db"),
        ("host=h user=u", "host=h user=u"),
    ],
)
def test_passwords_inside_texts_are_masked(text: str, expected: str) -> None:
    """In URLs, also malformed ones, in their parameters, and in conninfo."""
    assert redact_text(text) == expected
    assert redact_config({"url": [text]}) == {"url": [expected]}


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        quote(SECRET, safe="").replace("%C3", "%c3").replace("%B6", "%b6"),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        repr(SECRET)[1:-1],
        SECRET.replace("'", "''"),
        b64encode(SECRET.encode()).decode(),
        SECRET.split("@")[1],
    ],
)
def test_a_value_is_scrubbed_however_it_is_written(form: str) -> None:
    """URL-encoded, escaped, in base64, and what libpq quotes of a malformed URL."""
    assert scrub(f"before {form} after", [SECRET, "other"]) == f"before {MASK} after"


@pytest.mark.parametrize("before", ["", "u", "us", "use", "user"])
def test_base64_of_a_longer_text_is_scrubbed(before: str) -> None:
    """As in an HTTP header, where the user stands before the password."""
    value = "correct horse battery"
    header = b64encode(f"{before}:{value}:".encode()).decode()
    assert MASK in scrub(header, [Secret(value)])
    assert len(scrub(header, [value])) < len(header)


@given(st.text(min_size=4), st.text())
def test_nothing_of_a_value_is_left(value: str, text: str) -> None:
    """Any value is gone from any text, unless the mask itself holds it."""
    if value not in MASK:
        assert value not in scrub(f"{text}{value}{text}", [value]).replace(MASK, "\0")


def test_a_short_value_is_scrubbed_where_it_stands_alone() -> None:
    """Masking each letter of a text would hide everything, and give the value away."""
    assert scrub("a cat: pw='a'", ["a"]) == f"{MASK} cat: pw='{MASK}'"
    assert scrub("as it was", ["", "a"]) == "as it was"
    assert scrub("as it was", []) == "as it was"
