from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.secrets.sealed.team import PASSWORD, TOKEN, Team, make_team

from pgstrata.errors import InvalidConfigError, SecretError
from pgstrata.secrets.sealed import attest, edit, entries, parse, rotate
from pgstrata.secrets.sealed.document import render

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "environments/production.sealed.yaml"


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Team:
    """Make a file with all sections filled: a rotation, a recipient, entries, one pending."""
    team = make_team(tmp_path_factory.mktemp("full"))
    rotated = rotate.rotate_key(team.path, team.access())
    team = Team(team.project, team.path, rotated.key, team.alice)
    team.seal(TOKEN, "token")
    team.seal("connection_settings.oauth_client_secret", "later", team.nobody)
    return team


def check(raw: bytes) -> None:
    """Read and verify."""
    attest.verify(parse.parse(raw, "production", SOURCE))


def test_a_file_reads_as_what_was_written(team: Team) -> None:
    """Rendering a document and reading it again gives the same document."""
    raw = team.path.read_bytes()
    document = parse.parse(raw, "production", SOURCE)
    assert render(document) == raw
    check(raw)


def test_it_is_plain_yaml(team: Team) -> None:
    """Other tools can read the file too."""
    loaded = yaml.safe_load(team.path.read_text())
    assert [entry["at"] for entry in loaded["entries"]] == [PASSWORD, TOKEN]
    assert loaded["pending"][0]["sum"].startswith("sha256:")


def test_every_single_byte_matters(team: Team) -> None:
    """Whichever byte is changed, the file is refused: in values, names, blanks and comments."""
    raw = team.path.read_bytes()
    for index in range(len(raw)):
        changed = bytearray(raw)
        changed[index] ^= 1
        with pytest.raises((InvalidConfigError, SecretError)):
            check(bytes(changed))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_edit_of_one_byte_is_refused(team: Team, data: st.DataObject) -> None:
    """A byte that is replaced by any other, taken out or put in is noticed."""
    raw = team.path.read_bytes()
    index = data.draw(st.integers(0, len(raw) - 1))
    new = data.draw(st.binary(max_size=2))
    changed = raw[:index] + new + raw[index + 1 :]
    if changed != raw:
        with pytest.raises((InvalidConfigError, SecretError)):
            check(changed)


@given(st.binary(max_size=300))
def test_garbage_is_refused(raw: bytes) -> None:
    """Whatever the bytes are, the answer is an error of ours."""
    with pytest.raises(InvalidConfigError):
        parse.parse(raw, "production", SOURCE)


def test_line_ends_of_a_windows_checkout_are_accepted(team: Team) -> None:
    """A file that git has checked out with CRLF is the same file; a mixture is refused."""
    raw = team.path.read_bytes()
    check(raw.replace(b"\n", b"\r\n"))
    with pytest.raises(InvalidConfigError):
        check(raw.replace(b"\n", b"\r\n", 3))


Edit = Callable[[str], str]


def swap(old: str, new: str) -> Edit:
    """Return an edit that replaces the first occurrence of a text."""
    return lambda text: text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("edit_text", "place", "message"),
    [
        (swap("format: pgstrata-secrets/1", "format: pgstrata-secrets/2"), "2:9", "'format' must"),
        (swap("suite: hpke-x25519", "suite: hpke-x448"), "4:8", "'suite' must"),
        (swap("environment: production", "environment: staging"), "3:14", "'environment' must"),
        (swap("pending:", "pendink:"), "17:1", "unknown field 'pendink'"),
        (swap("recipients:\n", "recipients: []\nrecipients:\n"), "9:1", "'recipients' is here tw"),
        (swap("  rotated: 20", "  rotated: x20"), "13:12", "'rotated' must be a day"),
        (swap("- at: connection_settings.p", "- at: Ã"), "11:7", "no such character"),
        (swap("entries:\n", "entries: &all\n"), "10:9", "not as pgstrata wrote it"),
        (swap("entries:\n", "entries:\n# a comment\n"), "11:1", "not as pgstrata wrote it"),
        (swap("entries:\n", "entries:  \n"), "10:9", "not as pgstrata wrote it"),
        (swap("revision: ", "revision: 0"), "22:20", "'revision' must"),
        (swap("revision: ", "revision: !!int "), "22:20", "not as pgstrata wrote it"),
        (swap("entries:", "entries: {"), "1", "not YAML"),
        (lambda _: "", "1:1", "the file is empty"),
        (lambda _: "[" * 100_000, "1:5", "nested too deeply"),
        (lambda _: "- " * 100_000, "1:9", "nested too deeply"),
        (lambda _: "- 1\n", "1:1", "a map is expected"),
        (lambda _: "a" * (parse.MAX_BYTES + 1), "1:1", "larger than"),
    ],
)
def test_what_is_not_expected_is_refused_with_its_place(
    team: Team, edit_text: Edit, place: str, message: str
) -> None:
    """Unknown formats, suites, fields, duplicates, types, size: each with line and column."""
    raw = edit_text(team.path.read_text()).encode("utf-8")
    with pytest.raises(InvalidConfigError) as caught:
        check(raw)
    assert f"{SOURCE}:{place}" in str(caught.value)
    assert message in str(caught.value)
    assert all(finding.hint for finding in caught.value.findings)


def test_all_problems_are_reported_at_once(team: Team) -> None:
    """Two mistakes give two findings."""
    raw = (
        team.path.read_bytes().replace(b"rotated: 20", b"rotated: x").replace(b"wrap:1", b"wrap:2")
    )
    with pytest.raises(InvalidConfigError) as caught:
        check(raw)
    assert len(caught.value.findings) == 4


def test_entries_must_stand_in_order_and_once(team: Team) -> None:
    """Two entries for one setting would leave open which of them counts."""
    first, second = (f"connection_settings.{name}" for name in ("password", "sslpassword"))
    raw = team.path.read_text().replace(f"at: {second}", f"at: {first}").encode()
    with pytest.raises(InvalidConfigError, match="each once, in order"):
        check(raw)


def test_entries_need_no_key(team: Team) -> None:
    """Names and places of sealed entries are there for anyone."""
    lines = team.path.read_text().splitlines()
    found = entries(team.path, "production")
    assert [name for name, _, _ in found] == [PASSWORD, TOKEN]
    for name, line, column in found:
        assert lines[line - 1][column - 1 :] == name


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    """No file is an error with a hint."""
    with pytest.raises(SecretError, match="cannot be read") as caught:
        entries(tmp_path / "environments" / "staging.sealed.yaml", "staging")
    assert "keygen -e staging" in caught.value.hint


def test_nothing_is_written_that_could_not_be_read(team: Team) -> None:
    """A file that would break a rule is refused before it takes the place of a good one."""
    before = team.path.read_bytes()
    document = parse.parse(before, "production", SOURCE)
    with pytest.raises(InvalidConfigError):
        edit.save(team.path, replace(document, environment="a: b"))
    assert team.path.read_bytes() == before
