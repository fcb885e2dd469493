"""What only a process of its own can show: streams, signals, imports, terminals."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest
from tests.cli.conftest import environment, fresh, process

from pgstrata.schema.keys import CONNECTION_TYPES

GOOD = "connection_settings: {host: db.example.com, user: app, dbname: app}\n"
SLOW_IMPORTS = re.compile(
    r"\| +((?:dynaconf|psycopg|psycopg_pool|keyring|cryptography|asyncio|rich)\S*)$", re.MULTILINE
)
COMPLETION = {"_PGSTRATA_COMPLETE": "bash_complete", "COMP_WORDS": "pgstrata sh", "COMP_CWORD": "1"}
posix = pytest.mark.skipif(os.name != "posix", reason="signals and terminals are POSIX's here")


@pytest.fixture(autouse=True)
def _project(write: Callable[..., None]) -> None:
    write(base=GOOD, development="")


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        (("--help",), {}),
        (("--version",), {}),
        (("envs",), {}),
        (("show", "--help"), {}),
        (("test", "--help"), {}),
        (("import", "--help"), {}),
        (("export", "--help"), {}),
        (("copy", "--help"), {}),
        ((), COMPLETION),
        (("completion", "bash"), {}),
    ],
)
def test_what_must_be_quick_imports_nothing_slow(
    arguments: tuple[str, ...], environ: dict[str, str]
) -> None:
    """Help, the list of environments and completion need neither libpq nor dynaconf."""
    done = subprocess.run(
        process(*arguments, python=("-X", "importtime")),
        env=environment(**environ),
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout
    assert "click" in done.stderr
    assert SLOW_IMPORTS.findall(done.stderr) == []


def test_python_m_pgstrata() -> None:
    """The package can be run where its script is not on the path."""
    done = subprocess.run(
        [sys.executable, "-m", "pgstrata", "envs"],
        env=environment(),
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "development" in done.stdout


@posix
def test_a_reader_that_goes_away_is_no_error() -> None:
    """``pgstrata show | head -1`` says nothing about pipes."""
    read, write = os.pipe()
    os.close(read)  # before the first line is written
    with subprocess.Popen(
        process("show"), env=environment(), stdout=write, stderr=subprocess.PIPE, text=True
    ) as child:
        os.close(write)
        assert child.communicate()[1] == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_disk_is_told() -> None:
    """A result that could not be written is no success."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            process("show"),
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr == "pgstrata: error: No space left on device\n"


@posix
def test_a_closed_stdout_is_no_crash() -> None:
    """As some schedulers start their programs."""
    command = ["sh", "-c", 'exec "$@" >&-', "sh", *process("envs")]
    done = subprocess.run(command, env=environment(), capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_that_lacks_characters(encoding: str) -> None:
    """What it cannot show is escaped, in results, errors and JSON."""
    name = {"PGSTRATA_CONNECTION_SETTINGS__DBNAME": "数据"}
    environ = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", **name}
    assert fresh("show", **environ).code == 0
    assert fresh("explain", "数据", PYTHONIOENCODING=encoding).code == 2
    settings = json.loads(fresh("show", "--format", "json", **environ).out)["settings"]
    assert "数据" in {setting["value"] for setting in settings}


@pytest.fixture
def black_hole() -> Iterator[socket.socket]:
    """Return a listener that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        yield listener


@posix
@pytest.mark.parametrize("kind", CONNECTION_TYPES)
def test_ctrl_c_ends_a_hanging_connection(
    write: Callable[..., None], black_hole: socket.socket, kind: str
) -> None:
    """At once, with 130, one word, and no traceback."""
    port = black_hole.getsockname()[1]
    settings = f"host: 127.0.0.1, port: {port}, user: a, dbname: b, connect_timeout: 60"
    write(base=f"connection_settings: {{{settings}}}", development="")
    with subprocess.Popen(
        process("test", "--type", kind),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        connection, _ = black_hole.accept()
        with connection:
            began = monotonic()
            child.send_signal(signal.SIGINT)
            out, err = child.communicate()
    assert (child.returncode, out, err.strip()) == (130, "", "pgstrata: interrupted")
    assert monotonic() - began <= 2


def _on_a_terminal(*arguments: str, **environ: str) -> str:
    """Return what a command writes to a terminal of its own."""
    import pty

    master, slave = pty.openpty()
    with subprocess.Popen(
        process(*arguments), env=environment(**environ), stdout=slave, stderr=slave
    ) as child:
        os.close(slave)
        written = b""
        while chunk := _read(master):
            written += chunk
        child.wait()
    os.close(master)
    return written.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # how Linux says that the other end is closed
        return b""


@posix
@pytest.mark.parametrize(
    ("command", "environ", "coloured"),
    [
        ("check", {"TERM": "xterm"}, True),
        ("check", {"TERM": "xterm", "NO_COLOR": "1"}, False),
        ("check", {"TERM": "dumb"}, False),
        ("show", {"TERM": "xterm"}, True),
    ],
)
def test_colour_is_for_eyes(
    write: Callable[..., None],
    command: str,
    environ: dict[str, str],
    coloured: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    """Findings are coloured on a terminal that shows colours, if nobody minds."""
    write(base=GOOD + "colour: red\n", development="")
    written = _on_a_terminal(command, **{"NO_COLOR": "", **environ})
    assert ("\x1b[1;31merror[unknown-section]\x1b[0m" in written) is coloured
    assert ("\x1b" in written) is coloured


def test_no_colour_in_a_pipe(write: Callable[..., None]) -> None:
    """Whatever the variables say about the terminal."""
    write(base=GOOD + "colour: red\n", development="")
    for command in ("check", "show"):
        done = fresh(command, TERM="xterm", FORCE_COLOR="1")
        assert done.code == 3
        assert "\x1b" not in done.out + done.err
