"""The threat table of sealed files: one test, or a group of them, for each of its rows."""

from __future__ import annotations

import pickle
import re
import traceback
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.secrets.sealed.team import PASSWORD, TOKEN, Team, make_team, text

from pgstrata.errors import PgstrataError, SecretError
from pgstrata.model import Secret
from pgstrata.secrets.sealed import attest, edit, keytext, open_entry, parse, pins, rotate, seal
from pgstrata.secrets.sealed.access import Access
from pgstrata.secrets.sealed.document import Document, Recipient, Rotation, render
from pgstrata.secrets.sealed.keys import EnvironmentKey, new_environment_key, new_identity


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """Two values; and alice, who has used the file once, so that its key is pinned."""
    team = make_team(tmp_path)
    team.seal(TOKEN, "battery staple")
    assert team.open(environ=team.member) == "correct horse"
    return team


def document_of(team: Team) -> Document:
    """Return what the file holds."""
    return parse.read(team.path, "production")


# --- a reader of the repository without a key ---------------------------------------------------


def test_a_reader_learns_no_value(team: Team) -> None:
    """The file shows settings, members and days, and no value."""
    raw = team.path.read_bytes()
    assert PASSWORD.encode() in raw
    assert b"alice" in raw
    assert b"correct horse" not in raw
    assert b64encode(b"correct horse").rstrip(b"=") not in raw
    with pytest.raises(SecretError, match="no key for"):
        team.open(environ=team.nobody)


def test_a_reader_learns_the_class_of_a_length_only(team: Team) -> None:
    """A short and a longer password give boxes of the same size."""
    sizes = set()
    for value in ("", "x", "a password of some 40 characters, or so.."):
        team.seal(PASSWORD, value)
        sizes.add(len(document_of(team).entries[0].box))
    assert len(sizes) == 1


def test_the_same_value_never_gives_the_same_box(team: Team) -> None:
    """Nobody can see that two settings, or two days, share a password."""
    team.seal(TOKEN, "correct horse")
    first, second = document_of(team).entries
    assert first.box[-60:] != second.box[-60:]


# --- a writer of the repository without a key ---------------------------------------------------

Tamper = Callable[[Document, EnvironmentKey], Document]


def swap(document: Document, _: EnvironmentKey) -> Document:
    """Give each of two settings the value of the other."""
    one, two = document.entries
    return replace(document, entries=(replace(one, box=two.box), replace(two, box=one.box)))


def delete(document: Document, _: EnvironmentKey) -> Document:
    """Take out an entry."""
    return replace(document, entries=document.entries[:1])


def replay_day(document: Document, _: EnvironmentKey) -> Document:
    """Make a value look newer than it is."""
    one, two = document.entries
    return replace(document, entries=(replace(one, rotated="2031-01-01"), two))


def put_own_value(document: Document, _: EnvironmentKey) -> Document:
    """Seal another value with the public key."""
    one, two = document.entries
    box = seal.seal_value(document.key, "production", one.at, Secret("mallory's"))
    return replace(document, entries=(replace(one, box=box), two))


def add_recipient(document: Document, mallory: EnvironmentKey) -> Document:
    """Add a recipient of another key."""
    box = new_identity("mallory").public
    member = Recipient("mallory", box, seal.wrap(mallory, "mallory", box).wrap)
    return replace(document, recipients=(*document.recipients, member))


def raise_revision(document: Document, _: EnvironmentKey) -> Document:
    """Count one more."""
    return replace(document, revision=document.revision + 1)


def sign_as_mallory(document: Document, mallory: EnvironmentKey) -> Document:
    """Sign with another key than the one that is named."""
    return attest.sign(document, mallory)


def take_over_key_id(document: Document, mallory: EnvironmentKey) -> Document:
    """Name another key by the id of the real one."""
    key = replace(mallory.public, id=document.key.id)
    return attest.sign(replace(document, key=key), mallory)


def forge_whole_file(document: Document, mallory: EnvironmentKey) -> Document:
    """Everything sealed anew under mallory's key, to the real recipients."""
    members = tuple(seal.wrap(mallory, member.name, member.box) for member in document.recipients)
    entries = tuple(
        replace(
            entry,
            box=seal.seal_value(mallory.public, "production", entry.at, Secret("mallory's")),
        )
        for entry in document.entries
    )
    forged = replace(document, key=mallory.public, recipients=members, entries=entries)
    return attest.sign(forged, mallory)


def fake_rotation(document: Document, mallory: EnvironmentKey) -> Document:
    """As above, with a certificate that the old key has not signed."""
    proof = attest.certify(mallory, mallory.public).proof
    forged = replace(document, rotated_from=(Rotation(document.key, proof),))
    return forge_whole_file(forged, mallory)


@pytest.mark.parametrize("who", ["holder", "member"])
@pytest.mark.parametrize(
    "tamper",
    [
        swap,
        delete,
        replay_day,
        put_own_value,
        add_recipient,
        raise_revision,
        sign_as_mallory,
        take_over_key_id,
        forge_whole_file,
        fake_rotation,
    ],
)
def test_a_writer_without_a_key_changes_nothing_unnoticed(
    team: Team, tamper: Tamper, who: str
) -> None:
    """Whatever is changed in the file, holders of the key and of an identity refuse it."""
    forged = tamper(document_of(team), new_environment_key("production"))
    team.path.write_bytes(render(forged))
    environ = team.holder if who == "holder" else team.member
    with pytest.raises(SecretError):
        team.open(environ=environ)


def test_a_forged_file_captures_no_pending_value(team: Team) -> None:
    """Who seals without the key seals to the pinned key, or not at all."""
    assert team.seal(TOKEN, "later", team.nobody) == "pending"
    forged = forge_whole_file(document_of(team), new_environment_key("production"))
    team.path.write_bytes(render(forged))
    with pytest.raises(SecretError, match="may have replaced the file"):
        team.seal(TOKEN, "later", team.nobody)


def test_a_given_key_id_is_a_pin_on_first_sight(team: Team) -> None:
    """A new machine that is told the id refuses a forged file at once."""
    forged = forge_whole_file(document_of(team), new_environment_key("production"))
    fresh = {**team.member, "HOME": str(team.project / "fresh")}
    told = {**fresh, "PGSTRATA_KEY_ID_PRODUCTION": team.key.public.id}
    assert team.open(environ=told) == "correct horse"
    team.path.write_bytes(render(forged))
    with pytest.raises(SecretError, match="env PGSTRATA_KEY_ID_PRODUCTION trusts"):
        team.open(environ=told)


def test_another_environment_is_another_file(team: Team) -> None:
    """A file that is copied over, relabelled or not, is refused."""
    staging = team.path.with_name("staging.sealed.yaml")
    environ = {**team.nobody, "PGSTRATA_KEY_STAGING": text(team.key)}
    for raw in (
        team.path.read_bytes(),
        team.path.read_bytes().replace(b"environment: production", b"environment: staging"),
    ):
        staging.write_bytes(raw)
        with pytest.raises(PgstrataError):
            open_entry(staging, "staging", PASSWORD, project=team.project, environ=environ)


# --- a validly signed file with swapped values --------------------------------------------------


def test_a_signature_does_not_make_a_swap_good(team: Team) -> None:
    """Values are bound to their settings: signed in another place, they do not open."""
    team.path.write_bytes(render(attest.sign(swap(document_of(team), team.key), team.key)))
    with pytest.raises(SecretError, match="does not open"):
        team.open()


# --- an old file played again -------------------------------------------------------------------


def test_an_old_file_is_refused_after_a_rotation(team: Team) -> None:
    """Holders of the new key and members alike refuse the file of the old one."""
    old = team.path.read_bytes()
    rotated = rotate.rotate_key(team.path, team.access())
    assert team.open(environ=team.member) == "correct horse"
    team.path.write_bytes(old)
    with pytest.raises(SecretError, match="may have replaced the file"):
        team.open(environ=team.member)
    with pytest.raises(SecretError, match="does not open environments/production"):
        team.open(environ={**team.nobody, "PGSTRATA_KEY_PRODUCTION": text(rotated.key)})


def test_both_keys_at_hand_do_not_revive_an_old_file(team: Team) -> None:
    """While rotating, a process may hold both keys; its pin still refuses the old file."""
    old = team.path.read_bytes()
    rotated = rotate.rotate_key(team.path, team.access())
    both = {**team.nobody, "PGSTRATA_KEY_PRODUCTION": f"{text(rotated.key)} {text(team.key)}"}
    assert team.open(environ=both) == "correct horse"
    team.path.write_bytes(old)
    with pytest.raises(SecretError, match="may have replaced the file"):
        team.open(environ=both)


@pytest.mark.parametrize("who", ["holder", "member"])
def test_an_old_revision_is_refused_below_the_pin(team: Team, who: str) -> None:
    """A pinned revision is the oldest one that is accepted."""
    environ = team.holder if who == "holder" else team.member
    old = team.path.read_bytes()
    team.seal(TOKEN, "new")
    pins.remember(document_of(team), team.access(), revision=document_of(team).revision)
    assert team.open(TOKEN, environ) == "new"
    team.path.write_bytes(old)
    with pytest.raises(SecretError, match="an old file was put back"):
        team.open(TOKEN, environ)


def test_without_a_pinned_revision_only_version_control_sees_a_replay(team: Team) -> None:
    """The limit of the design: the same key's older file is a good file."""
    old = team.path.read_bytes()
    team.seal(PASSWORD, "new")
    team.path.write_bytes(old)
    assert team.open() == "correct horse"


# --- a clear overlay changes the host -----------------------------------------------------------


def test_the_clear_overlay_is_not_covered(team: Team) -> None:
    """The limit of the design: rules for protected environments must watch the host."""
    overlay = team.path.with_name("production.yaml")
    overlay.write_text("connection_settings: {host: mallory.example}\n")
    assert team.open() == "correct horse"


# --- a key is lost ------------------------------------------------------------------------------


def test_any_recipient_recovers_a_lost_key(team: Team) -> None:
    """A recipient takes the very key from the file."""
    (member,) = document_of(team).recipients
    recovered = seal.unwrap(document_of(team), member, team.alice)
    assert recovered is not None
    assert text(recovered) == text(team.key)


def test_without_any_recipient_the_values_are_gone(team: Team) -> None:
    """A rotation that would keep its key nowhere is refused before it happens."""
    before = team.path.read_bytes()
    with pytest.raises(SecretError, match="would be lost"):
        rotate.remove_recipient(team.path, team.access(), "alice")
    assert team.path.read_bytes() == before


# --- a former member ----------------------------------------------------------------------------


def test_a_former_member_knows_the_old_values_only(team: Team) -> None:
    """Removing a member makes a new key and lists the values to change; history stays readable."""
    bob = new_identity("bob")
    edit.add_recipient(team.path, team.access(), "bob", bob.public)
    old = team.path.read_bytes()
    as_bob = {**team.nobody, "HOME": str(team.project / "bob"), "PGSTRATA_IDENTITY": text(bob)}
    assert team.open(environ=as_bob) == "correct horse"

    rotated = rotate.remove_recipient(team.path, team.access(), "bob")
    assert rotated.exposed == (PASSWORD, TOKEN)
    with pytest.raises(SecretError, match="sealed to alice"):
        team.open(environ=as_bob)
    with pytest.raises(SecretError, match="does not open"):
        team.open(environ=team.holder)  # bob could have copied this key
    assert team.open(environ=team.member) == "correct horse"

    team.path.write_bytes(old)
    assert team.open(environ=as_bob) == "correct horse"


def test_a_leaver_forges_nothing_for_who_has_changed_the_pin(
    team: Team, caplog: pytest.LogCaptureFixture
) -> None:
    """The key that bob knew still signs; so a variable that names it is warned of at each use."""
    bob = new_identity("bob")
    edit.add_recipient(team.path, team.access(), "bob", bob.public)
    pin = "PGSTRATA_KEY_ID_PRODUCTION"
    ci = {**team.member, "HOME": str(team.project / "ci"), pin: team.key.public.id}
    rotated = rotate.remove_recipient(team.path, team.access(), "bob")
    assert team.open(environ=ci) == "correct horse"
    assert f"env {pin} still trusts {team.key.public.id}" in caplog.text
    assert f"set it to {rotated.key.public.id}" in caplog.text
    caplog.clear()
    ci[pin] = rotated.key.public.id
    assert team.open(environ=ci) == "correct horse"
    assert caplog.text == ""
    forged = replace(document_of(team), key=team.key.public, rotated_from=(), revision=9)
    boxes = [seal.seal_value(team.key.public, "production", PASSWORD, Secret("bob's"))]
    entries = (replace(forged.entries[0], box=boxes[0]),)
    members = tuple(seal.wrap(team.key, one.name, one.box) for one in forged.recipients)
    forged = replace(forged, entries=entries, recipients=members)
    team.path.write_bytes(render(attest.sign(forged, team.key)))
    with pytest.raises(SecretError, match="someone may have replaced the file"):
        team.open(environ=ci)


# --- the log of a CI is captured ----------------------------------------------------------------

CANARY = "canary-7f3a91"


def _failures(team: Team) -> list[Callable[[], object]]:
    other = new_environment_key("production")
    key_file = Path(text(other))
    seal_large = lambda: team.seal(PASSWORD, CANARY * 40_000)  # noqa: E731  # one in a list
    return [
        lambda: team.open("no.such"),
        lambda: team.open(environ={**team.nobody, "PGSTRATA_KEY_PRODUCTION": text(other)}),
        lambda: team.open(environ={**team.nobody, "PGSTRATA_KEY_PRODUCTION": text(other)[:-1]}),
        lambda: team.open(environ={**team.nobody, "PGSTRATA_KEY_FILE_PRODUCTION": text(other)}),
        lambda: team.open(environ={**team.nobody, "PGSTRATA_KEY_ID_PRODUCTION": text(other)}),
        lambda: team.open(environ={**team.nobody, "PGSTRATA_IDENTITY": text(new_identity("x"))}),
        lambda: team.open(environ={**team.nobody, "OTHER_PASSWORD": CANARY}),
        lambda: edit.accept(team.path, team.access(), ["no.such"]),
        lambda: edit.remove_entry(team.path, team.access({**team.nobody, "X": CANARY}), PASSWORD),
        lambda: edit.set_entry(
            team.path,
            Access("production", project=team.project, environ=team.nobody, key_file=key_file),
            PASSWORD,
            Secret(CANARY),
        ),
        lambda: edit.set_entry(team.path, team.access(), "not a name!", Secret(CANARY)),
        lambda: edit.add_recipient(team.path, team.access(), "eve", "x25519:" + "A" * 43 + "="),
        lambda: keytext.read_private(Secret(text(other) + "X", source="stdin")),
        seal_large,
    ]


@pytest.mark.parametrize("index", range(14))
def test_no_failure_shows_a_key_or_a_value(team: Team, index: int) -> None:
    """Message, hint, chain and locals of every frame of ours are clean, whatever goes wrong."""
    with pytest.raises(PgstrataError) as caught:
        _failures(team)[index]()
    report = "".join(
        part
        for part in traceback.TracebackException.from_exception(
            caught.value, capture_locals=True
        ).format()
        if "test_threats.py" not in part and "team.py" not in part
    )
    shown = report + str(caught.value) + caught.value.hint + repr(caught.value)
    assert "File" in report
    assert not re.search(CANARY, shown)
    assert not keytext.PRIVATE.search(shown)


def test_keys_cannot_be_dumped(team: Team) -> None:
    """Neither repr nor pickle nor vars gives a key away."""
    for key in (team.key, team.alice):
        assert text(key).split("_")[2] not in repr(key)
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(key)
        assert not hasattr(key, "__dict__")
