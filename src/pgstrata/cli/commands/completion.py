"""``pgstrata completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from pgstrata.errors import UsageError

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script for a SHELL.

    \b
    bash:  eval "$(pgstrata completion bash)"    in ~/.bashrc
    zsh:   eval "$(pgstrata completion zsh)"     in ~/.zshrc
    fish:  pgstrata completion fish > ~/.config/fish/completions/pgstrata.fish
    """  # noqa: D301  # \b is click's mark for lines that are not joined
    found = get_completion_class(shell)
    if found is None:
        raise UsageError(f"no completion for {shell}")
    root = context.find_root().command
    click.echo(found(root, {}, "pgstrata", "_PGSTRATA_COMPLETE").source())
