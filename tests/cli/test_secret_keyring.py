"""``pgstrata secret`` and loading with a real keyring: gnome-keyring, on a bus of its own."""

from __future__ import annotations

from pathlib import Path

from tests.secrets.test_keyring import UNLOCK, desktop, run

COMMAND_LINE = r"""
import io
from contextlib import redirect_stderr, redirect_stdout
from pgstrata import load
from pgstrata.cli.group import run

PASSWORD = "connection_settings.password"
folder = Path("environments")
Path("shop/environments").mkdir(parents=True)
os.chdir("shop")
(folder / "base.yaml").write_text(
    "connection_settings: {host: db, dbname: app, user: app, password: weaker}\n"
)
(folder / "production.yaml").write_text("secret_stores: [sealed, keyring]\n")

def cli(*line, given=b""):
    sys.stdin = io.TextIOWrapper(io.BytesIO(given))
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run([*line, "-e", "production"])
    assert code == 0, err.getvalue()
    return out.getvalue()

def reveal():
    return load("production")[PASSWORD].reveal()

assert reveal() == "weaker"                                # nothing in the keyring yet
for value in ["canary", " @%'\"`\\ 🔑\nline two", "x" * 10_000]:
    cli("secret", "set", PASSWORD, "--store", "keyring", "--stdin", given=f"{value}\n".encode())
    assert reveal() == value
    assert cli("secret", "get", PASSWORD, "--reveal") == f"{value}\n"

cli("secret", "keygen", "--keyring")                       # the key in the keyring too
assert not Path(os.environ["HOME"], ".config/pgstrata/keys").exists()
cli("secret", "set", PASSWORD, "--generate")
assert reveal() == value                                   # the keyring is stronger here
shown = cli("show") + cli("explain", PASSWORD) + cli("secret", "list")
assert "canary" not in shown and "keyring pgstrata/shop/production" in shown
cli("secret", "rotate", PASSWORD)
assert reveal() not in (value, "weaker")
cli("secret", "remove", PASSWORD, "--store", "keyring")
sealed = reveal()
assert len(sealed) == 32                                   # now the sealed one
cli("secret", "rotate-key")                                # keeps the new key in the keyring
assert reveal() == sealed
"""


@desktop
def test_the_keyring_at_the_command_line(tmp_path: Path) -> None:
    """Set, shown, rotated and removed; and it holds the key of a sealed file."""
    run(f"os.chdir({str(tmp_path)!r})\n{COMMAND_LINE}", tmp_path, *UNLOCK)


ADOPTION = r"""
import io
from contextlib import redirect_stderr, redirect_stdout
from pgstrata import load
from pgstrata.cli.group import run

os.makedirs("shop")
os.chdir("shop")
FILE = "connection_settings: {{host: {0}, dbname: app, user: app, password: canary-{0}}}\n"
for name in ("staging", "production"):
    Path(f"{name}.yaml").write_text(FILE.format(name))

said = io.StringIO()
with redirect_stdout(said), redirect_stderr(said):
    files = ["--from", "staging.yaml", "--from", "production.yaml"]
    code = run(["init", *files, "--store", "keyring"])
assert code == 0, said.getvalue()
for name in ("staging", "production"):
    password = load(name)["connection_settings.password"]
    assert password.source.startswith("keyring "), password.source
    assert password.reveal() == f"canary-{name}"           # what the file had, in its own entry
written = "".join(path.read_text() for path in Path("environments").iterdir())
assert "canary" not in written + said.getvalue() and "secret_stores" in written
assert not list(Path("environments").glob("*.sealed.yaml"))
"""


@desktop
def test_the_keyring_takes_the_passwords_of_files_that_are_adopted(tmp_path: Path) -> None:
    """``init --from`` leaves none in the files that it writes, and each is found again."""
    run(f"os.chdir({str(tmp_path)!r})\n{ADOPTION}", tmp_path, *UNLOCK)
