"""The OS keyring for real: gnome-keyring on a bus of its own, and services that misbehave.

Every test runs its code in a process of its own: the suite needs no bus, and touches no keyring of
whoever runs it.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.secrets.sealed.team import make_team, text

import pgstrata

ROOT = Path(__file__).parents[2]
IMPORTS = """
import os, subprocess, sys, time
from pathlib import Path
from pgstrata.errors import SecretError
from pgstrata.model import Secret
from pgstrata.secrets import keyring, sealed

def refused(call, *words):
    try:
        call()
    except SecretError as error:
        said = f"{error} {error.hint}"
        assert error.hint and all(word in said for word in words), said
        assert "canary" not in said
    else:
        raise AssertionError("not refused")
"""
PLAINTEXT = """
import json
from pathlib import Path
from keyring.backend import KeyringBackend

class Keyring(KeyringBackend):
    '''Writes clear text into a file, as the ones of keyrings.alt do.'''
    priority = 9
    path = Path(__file__).with_name("clear.json")

    def get_password(self, service, username):
        return json.loads(self.path.read_text()).get(username) if self.path.exists() else None

    def set_password(self, service, username, password):
        self.path.write_text(json.dumps({username: password}))
"""
SILENT_SERVICE = """
from jeepney import DBusAddress, new_method_call
from jeepney.io.blocking import open_dbus_connection

bus = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
connection = open_dbus_connection("SESSION")
call = new_method_call(bus, "RequestName", "su", ("org.freedesktop.secrets", 4))
assert connection.send_and_get_reply(call).body == (1,)
print("ready", flush=True)
while True:
    connection.receive()
"""


desktop = pytest.mark.keyring("dbus-run-session", "gnome-keyring-daemon")


def run(code: str, home: Path, *prefix: str, **environ: str) -> str:
    """Run code in a new process with an empty home, and return what it printed."""
    given = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": os.pathsep.join(
            (str(Path(pgstrata.__file__).parents[1]), str(ROOT), str(home), *_extra())
        ),
        "PYTHONWARNINGS": "error",
        **environ,
    }
    result = subprocess.run(
        [*prefix, sys.executable, "-c", IMPORTS + code],
        env=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def _extra() -> list[str]:
    spec = importlib.util.find_spec("keyrings")
    return (
        [str(Path(place).parent) for place in (spec.submodule_search_locations or ())]
        if spec
        else []
    )


UNLOCK = (
    "dbus-run-session",
    "--",
    "sh",
    "-c",
    (
        'printf "%s" test-password | gnome-keyring-daemon --unlock --components=secrets '
        '>/dev/null 2>&1 && exec "$@"'
    ),
    "sh",
)


@desktop
def test_awkward_values_come_back(tmp_path: Path) -> None:
    """Set, read, asked for and deleted, byte for byte."""
    code = r"""
values = ["", " blank ", "line\nbreaks\r\n", "NUL\0inside", "@format {x}", "100%s", "'\"`\\",
          "pässwörd 🔑", "${HOME}", "12345", "x" * 10_000]
assert keyring.backend_name() == "keyring.backends.SecretService.Keyring"
for value in values:
    keyring.set("shop", "production", "connection_settings.password", Secret(value))
    assert keyring.get("shop", "production", "connection_settings.password") == value, value
assert keyring.has("shop", "production", "connection_settings.password")
assert not keyring.has("shop", "staging", "connection_settings.password")
assert not keyring.has("other", "production", "connection_settings.password")
keyring.delete("shop", "production", "connection_settings.password")
assert not keyring.has("shop", "production", "connection_settings.password")
refused(lambda: keyring.get("shop", "production", "a.b"), "holds no a.b", "shop/production",
        "--store keyring")
refused(lambda: keyring.delete("shop", "production", "a.b"), "holds no a.b")
refused(lambda: keyring.has("shop", "production", ""), "needs the name of a setting")
print("done")
"""
    assert run(code, tmp_path, *UNLOCK) == "done\n"


@desktop
@pytest.mark.parametrize("what", ["key", "identity"])
def test_the_key_of_a_sealed_file_may_be_in_the_keyring(tmp_path: Path, what: str) -> None:
    """It is the last place that is looked at."""
    team = make_team(tmp_path)
    place = (
        ("pgstrata/shop/production", "pgstrata-key") if what == "key" else ("pgstrata", "identity")
    )
    code = f"""
project = Path({str(team.project)!r})
keyring.store(*{place!r}, Secret(os.environ.pop("KEY_TO_STORE")))
print(sealed.open_entry(project / "environments/production.sealed.yaml", "production",
      "connection_settings.password", project=project, environ=os.environ))
"""
    key = text(team.key if what == "key" else team.alice)
    assert run(code, tmp_path, *UNLOCK, KEY_TO_STORE=key) == "correct horse\n"


@desktop
def test_a_locked_keyring_is_an_error(tmp_path: Path) -> None:
    """Without a desktop nobody can be asked to unlock it."""
    code = """
import secretstorage
keyring.set("shop", "production", "a.b", Secret("canary"))
secretstorage.get_default_collection(secretstorage.dbus_init()).lock()
for call in (lambda: keyring.get("shop", "production", "a.b"),
             lambda: keyring.set("shop", "production", "a.b", Secret("canary"))):
    refused(call, "locked", "unlock it")
print("done")
"""
    assert run(code, tmp_path, *UNLOCK) == "done\n"


@desktop
def test_a_keyring_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """A daemon that the bus starts has no collection, and no display to ask for its password."""
    code = 'refused(lambda: keyring.get("shop", "production", "a.b"), "locked"); print("done")'
    assert run(code, tmp_path, "dbus-run-session", "--").endswith("done\n")


@pytest.mark.keyring("dbus-run-session", "jeepney")
def test_a_service_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """After the deadline there is an error, and the program can end."""
    code = f"""
service = subprocess.Popen([sys.executable, "-c", {SILENT_SERVICE!r}], stdout=subprocess.PIPE)
assert service.stdout.readline().strip() == b"ready"
try:
    started = time.monotonic()
    refused(lambda: keyring.get("shop", "production", "a.b", deadline=0.5), "within 0.5 seconds")
    assert time.monotonic() - started < 5
finally:
    service.kill()
    service.wait()
    service.stdout.close()
print("done")
"""
    assert run(code, tmp_path, "dbus-run-session", "--") == "done\n"


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("keyring.backends.fail.Keyring", ["there is no OS keyring here"]),
        ("keyring.backends.null.Keyring", ["keyring.backends.null.Keyring is refused"]),
        ("plaintext.Keyring", ["plaintext.Keyring is refused", "not known to encrypt"]),
        ("nonexistent.Keyring", ["failed (ModuleNotFoundError)", "PYTHON_KEYRING_BACKEND"]),
        ("keyring.backends.SecretService.Keyring", ["failed (RuntimeError)"]),
        ("keyring.backends.chainer.ChainerBackend", ["ChainerBackend is refused"]),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have a keyring without a bus")
def test_a_keyring_that_keeps_nothing_safely_is_refused(
    tmp_path: Path, backend: str, words: list[str]
) -> None:
    """Nothing, forgetting, clear text, missing, unusable, a chain of none of use."""
    (tmp_path / "plaintext.py").write_text(PLAINTEXT)
    code = f"""
for call in (lambda: keyring.get("shop", "production", "a.b"),
             lambda: keyring.set("shop", "production", "a.b", Secret("canary")),
             keyring.backend_name):
    refused(call, *{words!r})
print("done")
"""
    assert run(code, tmp_path, PYTHON_KEYRING_BACKEND=backend) == "done\n"
    assert not (tmp_path / "clear.json").exists()


@pytest.mark.skipif(importlib.util.find_spec("keyrings") is not None, reason="keyrings.alt is here")
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have a keyring without a bus")
def test_without_a_bus_there_is_no_keyring(tmp_path: Path) -> None:
    """As on a server or in CI."""
    code = """
refused(lambda: keyring.get("shop", "production", "a.b"), "no OS keyring here", "--store sealed")
print("done")
"""
    assert run(code, tmp_path) == "done\n"


@pytest.mark.skipif(importlib.util.find_spec("keyrings") is None, reason="no keyrings.alt")
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have a keyring without a bus")
def test_the_plain_text_of_keyrings_alt_is_refused(tmp_path: Path) -> None:
    """Without a bus it is what keyring would choose silently."""
    code = """
refused(lambda: keyring.set("shop", "production", "a.b", Secret("canary")), "keyrings.alt")
print("done")
"""
    assert run(code, tmp_path) == "done\n"
    assert not list(tmp_path.rglob("keyring_pass.cfg"))


@desktop
def test_a_chain_is_looked_into(tmp_path: Path) -> None:
    """The safe backend in it is used, though a plain one stands before it."""
    (tmp_path / "plaintext.py").write_text(PLAINTEXT)
    code = """
import plaintext
keyring.set("shop", "production", "a.b", Secret("canary"))
assert keyring.get("shop", "production", "a.b") == "canary"
print(keyring.backend_name())
"""
    chain = {"PYTHON_KEYRING_BACKEND": "keyring.backends.chainer.ChainerBackend"}
    assert run(code, tmp_path, *UNLOCK, **chain) == "keyring.backends.SecretService.Keyring\n"
    assert not (tmp_path / "clear.json").exists()


def test_what_comes_back_different_is_an_error(tmp_path: Path) -> None:
    """A backend that forgets, though its name is on the list, is found out by reading back."""
    code = """
import keyring as library
from keyring.backends import null
# its name is a lie, because no honest backend on the list loses a value on purpose
null.Keyring.__module__ = "keyring.backends.SecretService"
library.set_keyring(null.Keyring())
refused(lambda: keyring.set("shop", "production", "a.b", Secret("canary")), "did not keep a.b")
print("done")
"""
    assert run(code, tmp_path) == "done\n"
