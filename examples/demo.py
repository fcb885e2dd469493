"""A walk through pgstrata with real environments and a real server. ``make demo`` runs it.

It works on a copy of this repository's ``environments/`` and keeps the embedded PostgreSQL in a
temporary folder, so it leaves nothing behind.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from pgstrata import Secret, load, local

PASSWORD = "connection_settings.password"
HERE = Path(__file__).resolve().parent.parent
MISTAKES = """\
connection_settings:
  hots: db.example.com
  port: 54x2
session_settings:
  statement_timeot: 30s
"""
PROGRAM = """\
from pgstrata import PGConnectionManager

manager = PGConnectionManager("development")
with manager.pool() as connection:
    print(connection.execute("SELECT 'hello from ' || current_database()").fetchone()[0])
"""

MENDED = "ALTER ROLE shop IN DATABASE shop SET idle_in_transaction_session_timeout = '1min';"
STAND_IN = """\
connection_settings:
  host: {server.host}
  port: {server.port}
  sslmode: disable  # the embedded one has no TLS
  sslrootcert: null
  channel_binding: prefer
connections:
  analytics:
    connection_settings:
      host: {server.host}
"""


def main() -> int:
    """Run the walk and return the exit code: 0 if every step went as it should."""
    with tempfile.TemporaryDirectory(prefix="pgstrata-demo-") as folder:
        # PostgreSQL does not run as root; where this is root, the account it runs as must get in.
        Path(folder).chmod(0o755)
        project = Path(folder) / "shop"
        shutil.copytree(HERE / "environments", project / "environments")
        private = dict.fromkeys(("XDG_CONFIG_HOME", "APPDATA"), f"{folder}/private")  # for keys
        environ = {**_clean_environment(), **private, "PGSTRATA_LOCAL_DIR": f"{folder}/server"}
        walk = Walk(project, environ)
        try:
            tour(walk)
        finally:
            walk.run("local", "stop", quiet=True)
    print("\nThe server is stopped and the temporary folder removed. Next: README.md")
    return 1 if walk.surprises else 0


def tour(walk: Walk) -> None:
    """Show the main things, each by the command a user would type."""
    walk.say("The environments of a project are files; the folder is the list of them.")
    walk.run("envs")
    walk.say("All settings of one environment, each with the place that it comes from.")
    walk.run("show", "-e", "production")
    walk.say("Why is it so? The winner, and everything that it overrode.")
    walk.run("explain", "-e", "production", "pool_settings.max_size")
    walk.run("explain", "-e", "production", "connection_settings.host")
    walk.say("One machine's own file, which is not committed, and a variable on top of it.")
    walk.write("production.local.yaml", "pool_settings:\n  max_size: 4\n")
    walk.set("PGSTRATA_POOL_SETTINGS__MAX_SIZE", "80")
    walk.run("explain", "-e", "production", "pool_settings.max_size")
    del walk.environ["PGSTRATA_POOL_SETTINGS__MAX_SIZE"]
    walk.say("All environments are checked before anything connects.")
    walk.run("check", "--all", "--skip-files")
    walk.say("Three mistakes in one file, made on purpose: all are told at once.")
    walk.write("broken.yaml", MISTAKES)
    walk.run("check", "-e", "broken", expect=3)
    (walk.project / "environments" / "broken.yaml").unlink()
    walk.say("A real connection of each type; `local: true` starts a PostgreSQL on first use.")
    walk.run("test", "-e", "development")
    walk.say("The same from Python.")
    walk.python(PROGRAM)
    seal_a_password(walk)
    move_tables(walk)
    audit_the_server(walk)


def seal_a_password(walk: Walk) -> None:
    """Show a production password that is committed, encrypted, and used."""
    walk.say("Production's password, sealed: a key of its own, and a file that is committed.")
    walk.run("secret", "keygen", "-e", "production")
    walk.run("secret", "set", "connection_settings.password", "-e", "production", "--generate")
    walk.run("secret", "list", "-e", "production")
    walk.run("secret", "verify", "-e", "production")
    walk.say("It is used, on a server that stands in for production: the embedded one.")
    walk.write("production.local.yaml", STAND_IN.format(server=stand_in(walk)))
    walk.run("test", "-e", "production", "--type", "normal")
    walk.say("Rotated, on the server and in the file at once; the next connection has the new one.")
    walk.run("secret", "rotate", "connection_settings.password", "-e", "production", "--apply")
    walk.run("test", "-e", "production", "--type", "normal")


def move_tables(walk: Walk) -> None:
    """Show CSV going in, out, and to another environment."""
    walk.say("A CSV file into a table that is made for it; what was found out is shown before.")
    walk.file("people.csv", "id;name;email\n1;Ada;ada@example.com\n2;'Alan; M';\n")
    walk.run("import", "people", "people.csv", "--create")
    walk.say("All or nothing: one bad row, and nothing is loaded. The error says where it is.")
    walk.file("more.csv", "id;name;email\n3;Grace;grace@example.com\nfour;Edith;\n")
    walk.run("import", "people", "more.csv", expect=1)
    walk.say("Or the good rows go in, and the bad one into a file, with the reason beside it.")
    walk.run("import", "people", "more.csv", "--rejects", "bad.csv", expect=4)
    walk.show("bad.csv")
    walk.say("Out again; it can be imported as it is.")
    walk.run("export", "people", "people.csv.gz", "--order", "id")
    walk.say("To another environment, masked: the addresses never leave the first server.")
    walk.write("test.local.yaml", "connection_settings:\n  dbname: shop_test\n")
    masked = ("--create", "--mask", "email=fake-email")
    walk.run("copy", "people", "--from", "development", "--to", "test", *masked)
    walk.run("export", "people", "-", "-e", "test")


def audit_the_server(walk: Walk) -> None:
    """Show what a server and its client's configuration disagree about, and that fixes end it."""
    audit = ("audit", "-e", "production", "--connection", "default")
    walk.say(
        "Does this server agree with production? It is only read; what may not be, is unknown."
    )
    walk.run(*audit, expect=1)
    walk.say("Mended as it says, by hand: a smaller pool, and a time-out for the role.")
    name = "production.local.yaml"
    text = (walk.project / "environments" / name).read_text()
    walk.write(name, f"{text}pool_settings:\n  max_size: 8\n")
    keywords: dict[str, Any] = local.start(walk.project, environ=walk.environ).keywords("shop")
    with psycopg.connect(**keywords, autocommit=True) as admin:
        admin.execute(MENDED)
    print(f"shop=# {MENDED}", flush=True)
    walk.run(*audit)


def stand_in(walk: Walk) -> local.LocalServer:
    """Give the embedded server production's role, with the sealed password."""
    server = local.start(walk.project, environ=walk.environ)
    local.ensure_database(server, "shop")
    password = load("production", project=walk.project, environ=walk.environ)[PASSWORD]
    assert isinstance(password, Secret)
    keywords: dict[str, Any] = server.keywords("shop")
    with psycopg.connect(**keywords, autocommit=True) as admin:
        statement = sql.SQL("CREATE ROLE shop LOGIN PASSWORD {}")
        admin.execute(statement.format(sql.Literal(password.reveal())))
    return server


class Walk:
    """Runs commands in the project, shows what is typed and what comes back."""

    def __init__(self, project: Path, environ: dict[str, str]) -> None:
        self.project = project
        self.environ = environ
        self.surprises = 0

    def say(self, *lines: str) -> None:
        """Say what comes next."""
        print("\n# " + "\n".join(lines), flush=True)

    def write(self, name: str, text: str) -> None:
        """Show a file and write it."""
        print(f"$ cat environments/{name}\n{text.rstrip()}", flush=True)
        (self.project / "environments" / name).write_text(text)

    def file(self, name: str, text: str) -> None:
        """Write a file beside the environments, and show it."""
        (self.project / name).write_text(text)
        self.show(name)

    def show(self, name: str) -> None:
        """Show a file beside the environments."""
        print(f"$ cat {name}\n{(self.project / name).read_text().rstrip()}", flush=True)

    def set(self, name: str, value: str) -> None:
        """Show a variable and set it."""
        print(f"$ export {name}={value}", flush=True)
        self.environ[name] = value

    def run(self, *arguments: str, expect: int = 0, quiet: bool = False) -> None:
        """Run ``pgstrata`` and note whether its exit code was the expected one."""
        if not quiet:
            print(f"$ pgstrata {' '.join(arguments)}", flush=True)
        command = [sys.executable, "-m", "pgstrata", *arguments]
        done = subprocess.run(
            command, cwd=self.project, env=self.environ, check=False, capture_output=quiet
        )
        self._note(done.returncode, expect, quiet=quiet)

    def python(self, program: str) -> None:
        """Show a program and run it."""
        print(program, flush=True)
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=self.project, env=self.environ, check=False)
        self._note(done.returncode, 0)

    def _note(self, code: int, expected: int, *, quiet: bool = False) -> None:
        if code != expected:
            self.surprises += 1
            print(f"(exit code {code}, expected {expected})")
        elif code and not quiet:
            print(f"(exit code {code})", flush=True)


def _clean_environment() -> dict[str, str]:
    """Return the variables without those that would decide something in the demo."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PGSTRATA_", "PG"))
    }


if __name__ == "__main__":
    sys.exit(main())
