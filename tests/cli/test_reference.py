"""Every command and option explains itself."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from pgstrata.cli.group import commands

# A command keeps the help option of the first context that it was asked in.
SETTINGS = commands.context_settings


def _all(command: click.Command, path: str = "pgstrata") -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, **SETTINGS)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _all(found, f"{path} {name}")


EVERY = dict(_all(commands))


@pytest.mark.parametrize("path", EVERY)
def test_a_command_says_what_it_does(path: str) -> None:
    """In one sentence that fits beside its name."""
    command = EVERY[path]
    assert command.help
    assert len(command.get_short_help_str(200)) <= 75
    assert command.help.split("\n\n")[0].rstrip().endswith(".")


@pytest.mark.parametrize("path", EVERY)
def test_an_option_says_what_it_is_for(path: str) -> None:
    """Each has a help text that is a sentence; arguments stand in the text of their command."""
    command = EVERY[path]
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.opts
            assert parameter.help.endswith("."), parameter.opts
        else:
            assert (parameter.name or "").upper() in (command.help or "")


@pytest.mark.parametrize("path", EVERY)
def test_help_fits_a_terminal(path: str) -> None:
    """No line is wider than 80 columns."""
    help_text = EVERY[path].get_help(
        click.Context(EVERY[path], **SETTINGS, info_name=path, max_content_width=80)
    )
    assert max(map(len, help_text.splitlines())) <= 80
