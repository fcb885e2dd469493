from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.certificates import KEY_PASSWORD, Certificates
from tests.cli.conftest import Done, environment, fresh, process
from tests.servers import PASSWORD, Server

PYTHON = sys.executable
SHOW = "import os; print(*sorted(f'{k}={v}' for k, v in os.environ.items()), sep='\\n')"
FILES = "import os; print(*(open(os.environ[n]).read() for n in ('PGPASSFILE', 'PGSERVICEFILE')))"
SETTINGS = "SELECT current_user, current_setting('statement_timeout'), current_setting('app.name')"

ENVIRONMENT = """\
connection_settings:
  host: {host}
  port: {port}
  dbname: postgres
  user: postgres
  password: {{from_env: DB_PASSWORD}}
  keepalives_idle: 30
session_settings: {{statement_timeout: 5s, app.name: a b}}
connections:
  reports:
    connection_settings: {{application_name: reports}}
"""


@pytest.fixture
def on_server(write: Callable[..., None], server: Server) -> None:
    """Write an environment ``prod`` on the server; its password is in a variable."""
    write(prod=ENVIRONMENT.format(host=server.host, port=server.port))


@pytest.fixture
def nowhere(write: Callable[..., None]) -> None:
    """Write an environment ``prod`` on a server that does not exist."""
    write(prod=ENVIRONMENT.format(host="db.example.com", port=1))


def execute(*arguments: str, **environ: str) -> Done:
    """Run ``exec -e prod`` in a process of its own."""
    return fresh("exec", "-e", "prod", *arguments, **{"DB_PASSWORD": PASSWORD, **environ})


def variables(done: Done) -> dict[str, str]:
    """Return what the program of ``SHOW`` saw."""
    assert (done.code, done.err) == (0, "")
    return dict(line.split("=", 1) for line in done.out.splitlines() if "=" in line)


@pytest.mark.usefixtures("on_server")
def test_psql_connects_with_no_further_arguments(server: Server) -> None:
    """Session settings and the password included."""
    psql = str(server.bindir / "psql")
    done = execute("--", psql, "-XAtwc", SETTINGS)
    assert (done.code, done.out, done.err) == (0, "postgres|5s|a b\n", "")
    done = execute("--connection", "reports", psql, "-XAtwc", "SHOW application_name")
    assert (done.code, done.out) == (0, "reports\n")


@pytest.mark.usefixtures("on_server")
def test_pg_dump_connects_with_no_further_arguments(server: Server) -> None:
    """As does every program that uses libpq."""
    done = execute("--", str(server.bindir / "pg_dump"), "--schema-only")
    assert (done.code, done.err) == (0, "")
    assert "PostgreSQL database dump complete" in done.out


@pytest.mark.usefixtures("on_server")
def test_a_program_that_a_program_starts_connects_too(server: Server) -> None:
    """Though Python, as others, closes what its child has no use for."""
    psql = str(server.bindir / "psql")
    run = f"import subprocess; subprocess.run([{psql!r}, '-XAtwc', 'SELECT 7'], check=True)"
    done = execute("--", PYTHON, "-c", run)
    assert (done.code, done.out, done.err) == (0, "7\n", "")


@pytest.mark.usefixtures("on_server")
@pytest.mark.parametrize("code", [0, 1, 3, 42])
def test_the_exit_code_is_the_programs(code: int) -> None:
    """Unchanged, and without a word."""
    done = execute(PYTHON, "-c", f"raise SystemExit({code})")
    assert (done.code, done.out, done.err) == (code, "", "")


def test_a_local_environment_starts_its_server(
    write: Callable[..., None], server: Server, project: Path
) -> None:
    """Its database is made too."""
    write(prod="local: true\nconnection_settings: {dbname: shop}")
    try:
        psql = str(server.bindir / "psql")
        done = fresh("exec", "-e", "prod", psql, "-XAtwc", "SELECT current_database()")
        assert (done.code, done.out, done.err) == (0, "shop\n", "")
    finally:
        fresh("local", "stop")


@pytest.mark.usefixtures("nowhere")
def test_the_password_is_in_a_private_file_only() -> None:
    """No variable and no argument shows it; the file is bound to the environment's server."""
    seen = variables(execute(PYTHON, "-c", SHOW))
    assert PASSWORD not in {text for name, text in seen.items() if name != "DB_PASSWORD"}
    assert "PGPASSWORD" not in seen
    done = execute(PYTHON, "-c", FILES)
    assert f"db.example.com:1:*:postgres:{PASSWORD}\n" in done.out
    assert "[pgstrata]\nkeepalives_idle=30\n" in done.out
    mode = "import os; print(oct(os.stat(os.environ['PGPASSFILE']).st_mode & 0o777))"
    assert execute(PYTHON, "-c", mode).out == "0o600\n"


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("end", ["pass", "raise SystemExit(3)", "os.kill(os.getpid(), 9)"])
def test_nothing_is_left_behind(end: str, tmp_path: Path) -> None:
    """However the program ends, its files are gone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    show = f"import os; print(os.environ['PGPASSFILE'], flush=True); {end}"
    done = execute(PYTHON, "-c", show, TMPDIR=str(folder))
    assert done.out
    assert not Path(done.out.strip()).exists()
    assert list(folder.iterdir()) == []


@pytest.mark.usefixtures("nowhere")
def test_ambient_variables_do_not_mix_in() -> None:
    """Half of one environment and half of another would be a third one."""
    seen = variables(execute(PYTHON, "-c", SHOW, PGHOST="other", PGTZ="x", PGAPPNAME="me"))
    assert seen["PGHOST"] == "db.example.com"
    assert "PGTZ" not in seen
    # What only the surroundings say stays, as `show` says.
    assert seen["PGAPPNAME"] == "me"


@pytest.mark.usefixtures("nowhere")
def test_a_service_of_the_surroundings_does_not_win(tmp_path: Path) -> None:
    """It is above libpq's variables, and would be above the environment's."""
    path = tmp_path / "service"
    path.write_text("[mine]\nhost=other\nsslmode=require\n")
    seen = variables(
        execute(PYTHON, "-c", SHOW, PGSERVICE="mine", PGSERVICEFILE=str(path), PGSSLMODE="disable")
    )
    assert seen["PGHOST"] == "db.example.com"
    assert seen["PGSSLMODE"] == "require"
    assert seen["PGSERVICE"] == "pgstrata"


def test_a_configured_service_is_followed(write: Callable[..., None], tmp_path: Path) -> None:
    """What the environment says besides wins over it; one that is nowhere is an error."""
    write(prod="connection_settings: {service: mine, user: me}")
    path = tmp_path / "service"
    path.write_text("[mine]\nhost=from-service\nuser=other\n")
    seen = variables(fresh("exec", "-e", "prod", PYTHON, "-c", SHOW, PGSERVICEFILE=str(path)))
    assert (seen["PGHOST"], seen["PGUSER"]) == ("from-service", "me")
    assert "PGSERVICE" not in seen
    path.write_text("")
    done = fresh("exec", "-e", "prod", PYTHON, "-c", SHOW, PGSERVICEFILE=str(path))
    assert (done.code, done.out) == (3, "")
    assert "service 'mine' is in no service file" in done.err


@pytest.mark.usefixtures("nowhere")
def test_pristine_passes_on_only_what_a_program_needs() -> None:
    """No secret of this shell, and nothing that libpq would find in it."""
    seen = variables(execute("--pristine", PYTHON, "-c", SHOW, TOKEN="hidden", PGAPPNAME="mine"))
    assert not {"TOKEN", "DB_PASSWORD", "PGAPPNAME", "PYTHONPATH"} & seen.keys()
    assert {"PATH", "HOME", "PGHOST", "PGPASSFILE", "PGSTRATA_ENV"} <= seen.keys()


@pytest.mark.usefixtures("nowhere")
def test_only_sets_no_other_variables() -> None:
    """Names may be given one by one or with commas."""
    seen = variables(execute("--only", "PGHOST,PGPORT", "--only", "PGUSER", PYTHON, "-c", SHOW))
    own = {name for name in seen if name.startswith("PG") and name not in os.environ}
    assert own == {"PGHOST", "PGPORT", "PGUSER"}


@pytest.mark.usefixtures("nowhere")
def test_only_takes_no_unknown_name() -> None:
    """A misspelt one would silently connect elsewhere."""
    done = execute("--only", "PGHOTS", PYTHON, "-c", SHOW)
    assert (done.code, done.out) == (2, "")
    assert "sets no PGHOTS" in done.err
    assert "PGHOST" in done.err


@pytest.mark.usefixtures("nowhere")
def test_a_program_that_uses_pgstrata_means_the_same_environment(project: Path) -> None:
    """Wherever it runs."""
    show = (
        "from pgstrata import load; c = load(); print(c.environment, c['connection_settings.host'])"
    )
    done = execute(PYTHON, "-c", f"import os; os.chdir('/'); {show}")
    assert (done.code, done.out) == (0, "prod db.example.com\n")


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("name", ["no-such-program", os.curdir])
def test_a_program_that_cannot_be_run(name: str) -> None:
    """It is said in one line."""
    done = execute(name)
    assert (done.code, done.out) == (2, "")
    assert f"pgstrata: error: {name}: no" in done.err
    assert "Traceback" not in done.err


def test_nothing_is_run_without_the_secret(write: Callable[..., None]) -> None:
    """Nor with a configuration that is not valid."""
    write(prod=ENVIRONMENT.format(host="h", port=1), bad="connection_settings: {hots: h}")
    for name in ("prod", "bad"):
        done = fresh("exec", "-e", name, PYTHON, "-c", "print('run')")
        assert (done.code, done.out) == (3, "")
    done = execute()
    assert done.code == 2


def test_options_of_the_program_are_its_own(write: Callable[..., None]) -> None:
    """Also without the dashes that end those of pgstrata, and also --help."""
    write(prod=ENVIRONMENT.format(host="h", port=1))
    show = "import sys; print(*sys.argv[1:])"
    for dashes in ((), ("--",)):
        done = execute(*dashes, PYTHON, "-c", show, "--help", "-e", "x", "--", "-C")
        assert (done.code, done.out) == (0, "--help -e x -- -C\n")


@pytest.mark.usefixtures("nowhere")
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_reaches_the_program(number: signal.Signals) -> None:
    """And what the program then does is up to it."""
    wait = (
        "import signal, sys\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(9))\n"
        "print('ready', flush=True)\n"
        "signal.pause()\n"
    )
    with started("exec", "-e", "prod", PYTHON, "-c", wait) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        program.send_signal(number)
        assert program.wait(10) == 9


@pytest.mark.usefixtures("nowhere")
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_program_that_a_signal_ends_is_seen_to_end_so() -> None:
    """A shell makes 128 and the signal's number of it."""
    command = " ".join(f'"{word}"' for word in process("exec", "-e", "prod"))
    script = f"{command} sh -c 'kill -TERM $$'; echo $?"
    done = subprocess.run(
        ["sh", "-c", script],
        env=environment(DB_PASSWORD="x"),
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "143\n"


@pytest.mark.usefixtures("nowhere")
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_closed_pipe_ends_the_program() -> None:
    """Python ignores SIGPIPE, and what it starts must not."""
    command = " ".join(f'"{word}"' for word in process("exec", "-e", "prod"))
    script = f"{command} yes | head -1"
    done = subprocess.run(
        ["sh", "-c", script],
        env=environment(DB_PASSWORD="x"),
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (done.stdout, done.stderr) == ("y\n", "")


def test_a_clients_key_and_its_pass_phrase(
    write: Callable[..., None], tls_server: Server, certificates: Certificates
) -> None:
    """Libpq has no variable for the pass phrase, and connects all the same."""
    pair = certificates.encrypted_client
    text = f"""\
connection_settings:
  host: localhost
  port: {tls_server.port}
  dbname: postgres
  user: cert_user
  sslmode: verify-full
  sslrootcert: {certificates.ca}
  sslcert: {pair.certificate}
  sslkey: {pair.key}
  sslpassword: {{from_env: KEY_PASSWORD}}
"""
    write(prod=text)
    psql = str(tls_server.bindir / "psql")
    query = "SELECT current_user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    done = execute(psql, "-XAtwc", query, KEY_PASSWORD=KEY_PASSWORD)
    assert (done.code, done.out, done.err) == (0, "cert_user|t\n", "")


def started(*arguments: str) -> subprocess.Popen[str]:
    """Start pgstrata in a process of its own."""
    return subprocess.Popen(
        process(*arguments),
        env=environment(DB_PASSWORD=PASSWORD),
        stdout=subprocess.PIPE,
        text=True,
    )
