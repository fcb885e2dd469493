"""The way for systems without files in memory; test_exec has the other one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import environment

SUPERVISE = (
    "import os, sys; from pgstrata.cli.launch import supervise; from pgstrata import Secret;"
    "sys.exit(supervise(sys.argv[1:], dict(os.environ), {'PGPASSFILE': Secret('sécret\\n')}))"
)
READ = (
    "import os; path = os.environ['PGPASSFILE']; print(open(path, encoding='utf-8').read(),"
    " oct(os.stat(path).st_mode & 0o777), oct(os.stat(os.path.dirname(path)).st_mode & 0o777))"
)
WAIT = """\
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
print(os.environ['PGPASSFILE'], flush=True)
signal.pause()
"""


def supervised(program: str, folder: Path) -> subprocess.Popen[str]:
    """Start a Python program below a process that supervises it."""
    return subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, sys.executable, "-c", program],
        env=environment(TMPDIR=str(folder)),
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )


def test_the_file_is_private_and_removed(tmp_path: Path) -> None:
    """Nobody else can read it or see its name."""
    with supervised(READ, tmp_path) as process:
        assert process.stdout is not None
        read = process.stdout.read().split()
    assert process.returncode == 0
    assert read[0] == "sécret"
    if os.name == "posix":
        assert read[1:] == ["0o600", "0o700"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [0, 1, 42])
def test_the_exit_code_is_the_programs(code: int, tmp_path: Path) -> None:
    """The file is removed whatever it is."""
    with supervised(f"raise SystemExit({code})", tmp_path) as process:
        assert process.wait(20) == code
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_signal_reaches_the_program(tmp_path: Path) -> None:
    """The program decides what it means."""
    with supervised(WAIT, tmp_path) as process:
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip())
        assert path.is_relative_to(tmp_path)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 9
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_program_that_a_signal_ends(number: signal.Signals, tmp_path: Path) -> None:
    """Shells count from 128."""
    program = f"import os; os.kill(os.getpid(), {int(number)})"
    with supervised(program, tmp_path) as process:
        assert process.wait(20) == 128 + number
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_ctrl_c_is_the_programs(tmp_path: Path) -> None:
    """The terminal sends it to both; who waits does not end before the program does."""
    program = WAIT.replace("SIGTERM", "SIGINT")
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, sys.executable, "-c", program],
        env=environment(TMPDIR=str(tmp_path)),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 9
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    """The file is removed then too."""
    program = (
        "from pgstrata.cli.launch import supervise; from pgstrata import Secret;"
        "supervise(['no-such'], {}, {'A': Secret('x')})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(TMPDIR=str(tmp_path)),
        check=False,
        capture_output=True,
        text=True,
    )
    assert "FileNotFoundError" in done.stderr
    assert list(tmp_path.iterdir()) == []
