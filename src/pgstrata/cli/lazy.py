"""A group that imports a command when it is called for: none pays for what another needs."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from pgstrata.errors import UsageError


class LazyGroup(click.Group):
    """A group of the commands that are modules of ``package``.

    ``sections`` names them by what they are about, in the order of the help. The module of
    ``rotate-key`` is ``rotate_key``, and that of ``import``, which Python keeps for itself,
    ``import_``; its ``command`` is the command. One that ``homes`` has is in that module, by its
    own name.
    """

    def __init__(
        self,
        *,
        package: str,
        sections: Mapping[str, tuple[str, ...]],
        homes: Mapping[str, str] | None = None,
        **given: Any,
    ) -> None:
        super().__init__(**given)
        self.package = package
        self.sections = sections
        self.homes = homes or {}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the names of all commands."""
        return [name for names in self.sections.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None for an unknown one."""
        if cmd_name not in self.list_commands(ctx):
            return None
        if cmd_name in self.homes:
            command = getattr(import_module(self.homes[cmd_name]), cmd_name)
        else:
            module = cmd_name.replace("-", "_") + ("_" if keyword.iskeyword(cmd_name) else "")
            command = import_module(f"{self.package}.{module}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one was most likely meant."""
        name, known = args[0], self.list_commands(ctx)
        # What begins with a dash is a misplaced option, of which click knows more.
        if name in known or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        from pgstrata.schema.suggest import closest

        guess = closest(name, known)
        hint = f"did you mean {guess!r}?" if guess else f"{ctx.command_path} --help lists them"
        raise UsageError(f"no such command {name!r}", hint=hint)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by what they are about."""
        for title, names in self.sections.items():
            found = [(name, self.get_command(ctx, name)) for name in names]
            rows = [(name, command.get_short_help_str(90)) for name, command in found if command]
            with formatter.section(title.capitalize()):
                formatter.write_dl(rows)
