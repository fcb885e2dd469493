from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.cli.conftest import Cli

from pgstrata import __version__
from pgstrata.cli.group import COMMANDS

GOOD = "connection_settings: {host: db.example.com, user: app, dbname: app}\n"


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_lists_all_commands(cli: Cli, word: str) -> None:
    """By what they are about, each with a sentence."""
    done = cli(word)
    assert (done.code, done.err) == (0, "")
    for title, names in COMMANDS.items():
        assert f"\n{title.capitalize()}:\n" in done.out
        assert all(f"\n  {name} " in done.out for name in names)


def test_no_command_is_wrong_usage(cli: Cli) -> None:
    """The help is talk then, and a script that forgot the command does not go on."""
    for arguments in ((), ("local",)):
        done = cli(*arguments)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith("Usage:")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("shwo",), ("no such command 'shwo'", "did you mean 'show'?")),
        (("expl",), ("no such command 'expl'", "did you mean 'explain'?")),
        (("xyz",), ("no such command 'xyz'", "pgstrata --help lists them")),
        (("--projet", "x"), ("no such option '--projet'", "--project")),
        (("show", "--conection", "x"), ("no such option '--conection'", "--connection")),
        (("show", "-C", "x"), ("no such option '-C'", "-C stands before the command")),
        (("show", "-v"), ("no such option '-v'", "-v stands before the command")),
        (("-e", "x", "show"), ("no such option '-e'", "pgstrata --help")),
        (("show", "--format", "xml"), ("'xml' is not one of", "pgstrata show --help")),
        (("show", "more"), ("unexpected extra argument", "pgstrata show --help")),
        (("explain",), ("missing argument 'KEY'", "pgstrata explain --help")),
        (("show", "-e"), ("requires an argument", "pgstrata")),
        (("show", "-e", ""), ("--env is given an empty name", "")),
        (("check", "-e", "a", "-e", ""), ("--env is given an empty name", "")),
        (("show", "--connection", ""), ("--connection is given an empty name", "")),
        (("test", "--type", "sync"), ("'sync' is not one of", "pgstrata test --help")),
        (("local", "strat"), ("no such command 'strat'", "start")),
        (("completion", "csh"), ("'csh' is not one of", "pgstrata completion --help")),
    ],
)
def test_wrong_usage(cli: Cli, arguments: tuple[str, ...], said: tuple[str, str]) -> None:
    """It ends with 2, says what is wrong and what would be right, and gives no result."""
    done = cli(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("pgstrata: error: ")
    assert all(word in done.err for word in said)


def test_choices_are_listed_as_they_are_meant(cli: Cli) -> None:
    """A line for each."""
    done = cli("render")
    assert done.code == 2
    assert "choose from:\n  dotenv,\n  json,\n" in done.err.lower()


@pytest.mark.parametrize("command", ["show", "test"])
def test_a_misspelt_environment(cli: Cli, write: Callable[..., None], command: str) -> None:
    """It ends with 3 and suggests the right one, also by its beginning."""
    write(base=GOOD, production="", staging="")
    for name, meant in (("productoin", "production"), ("prod", "production"), ("stag", "staging")):
        done = cli(command, "-e", name)
        assert (done.code, done.out) == (3, "")
        assert done.err.endswith(f"hint: did you mean {meant!r}?\n")


def test_the_environment_of_the_variable(
    cli: Cli, write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no option names one."""
    write(base=GOOD, production="", staging="")
    monkeypatch.setenv("PGSTRATA_ENV", "staging")
    assert cli("explain", "local").out.startswith("local = false    [staging]")
    assert cli("explain", "local", "-e", "production").out.splitlines()[0].endswith("[production]")


def test_verbose_shows_where_an_error_came_from(cli: Cli) -> None:
    """Without it there is no traceback, ever."""
    assert "Traceback" not in cli("show").err
    assert "Traceback" in cli("-v", "show").err


def test_no_secret_in_a_traceback(cli: Cli, write: Callable[..., None]) -> None:
    """A URL that cannot be read is quoted nowhere."""
    write(base="connection_settings: {url: 'postgresql://app:s3cret@x@y/z'}\n", development="")
    done = cli("-v", "show")
    assert done.code == 3
    assert "s3cret" not in done.err
    assert "invalid-url" in done.err


def test_the_version(cli: Cli) -> None:
    """It is the package's."""
    done = cli("--version")
    assert (done.code, done.err) == (0, "")
    assert done.out.rstrip().endswith(__version__)


@pytest.mark.parametrize("name", [name for names in COMMANDS.values() for name in names])
def test_help_shows_no_mark_of_its_source(cli: Cli, name: str) -> None:
    """Click's mark for lines that are not joined is taken as one."""
    done = cli(name, "--help")
    assert done.code == 0
    assert "\\b" not in done.out
