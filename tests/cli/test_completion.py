from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import SOURCE, Cli, environment, fresh, process

BASH = shutil.which("bash")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(cli: Cli, shell: str) -> None:
    """It is printed, and calls pgstrata by its name."""
    done = cli("completion", shell)
    assert done.code == 0
    assert "_PGSTRATA_COMPLETE" in done.out
    assert f"{shell}_complete" in done.out


@pytest.mark.skipif(BASH is None or os.name != "posix", reason="no bash here")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["pgstrata", "sh"], ["show"]),
        (["pgstrata", "local", "sta"], ["start", "status"]),
        (["pgstrata", "show", "--re"], ["--reveal"]),
        (["pgstrata", "show", "-e", ""], ["development", "production"]),
        (["pgstrata", "promote", "development", "p"], ["production"]),
        (["pgstrata", "check", "-e", "production", "-e", "d"], ["development"]),
        (["pgstrata", "show", "--format", ""], ["text", "json"]),
        (["pgstrata", "explain", "connection_settings.hosta"], ["connection_settings.hostaddr"]),
        (["pgstrata", "explain", "lo"], ["local"]),
        (["pgstrata", "test", "--type", "async"], ["async", "async_pool"]),
    ],
)
def test_in_a_real_bash(
    project: Path, write: Callable[..., None], words: list[str], completed: list[str]
) -> None:
    """Commands, options, formats and the names of environments are completed."""
    write(development="", production="")
    command = project / "pgstrata"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={SOURCE} exec {shlex.join(process())} "$@"\n')
    command.chmod(0o700)
    script = "\n".join(
        (
            f"PATH={shlex.quote(str(project))}:$PATH",
            'eval "$(pgstrata completion bash)"',
            f"COMP_WORDS=({shlex.join(words)}) COMP_CWORD={len(words) - 1}",
            "$(complete -p pgstrata | sed 's/.*-F \\([^ ]*\\).*/\\1/') pgstrata",
            'printf "%s\\n" "${COMPREPLY[@]}"',
        )
    )
    assert BASH is not None
    done = subprocess.run(
        [BASH, "--norc", "-c", script],
        env=environment(),
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout.split() == completed


def test_the_project_of_the_option_is_completed(project: Path, write: Callable[..., None]) -> None:
    """The names come from the folder that -C names; outside of a project there are none."""
    write(elsewhere="")
    for folder, names in ((project, ["plain,elsewhere"]), (project / "environments", [])):
        words = shlex.join(["pgstrata", "-C", str(folder), "show", "-e", ""])
        done = fresh(_PGSTRATA_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD="5")
        assert (done.code, done.err) == (0, "")
        assert done.out.split() == names
