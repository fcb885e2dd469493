"""How a secret value gets into a command: never as an argument.

Arguments stand in the shell's history and in the list of processes. So a value is asked for on the
terminal, read from standard input or a file, or generated. Whoever types one as an argument all the
same is told so, and it is not repeated.
"""

from __future__ import annotations

import os
import secrets
import sys
import warnings
from collections.abc import Callable
from functools import wraps
from getpass import GetPassWarning, getpass
from pathlib import Path
from typing import Any, NamedTuple

import click

from pgstrata.errors import EnvironmentNotFoundError, UsageError
from pgstrata.model import Secret

GENERATED_BYTES = 24  # 32 characters of base64, 192 bits


class SecretCommand(click.Command):
    """A command that does not echo what it cannot parse: it may be a secret."""

    allow_extra_args = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does, but for the messages."""
        misplaced = ""
        try:
            rest = super().parse_args(ctx, args)
        except (click.NoSuchOption, click.BadOptionUsage):
            misplaced, rest = "there is no such option", []
        except click.MissingParameter:
            raise  # which quotes nothing
        except click.BadParameter as error:
            misplaced, rest = _not_taken(error.param), []
        if misplaced:
            raise UsageError(
                f"{misplaced}; it is not repeated here, because it may be a secret",
                hint=f"see {ctx.command_path} --help; {_HISTORY}",
            )
        if rest:
            ctx.args = []
            raise UsageError(
                "there is an argument too many; it is not repeated here, because it may be a "
                "secret, and secrets are never arguments",
                hint=_HISTORY,
            )
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run as click does; a name of an environment that resembles none may be a secret too."""
        try:
            return super().invoke(ctx)
        except EnvironmentNotFoundError as error:
            if "did you mean" in error.hint:
                raise
        raise EnvironmentNotFoundError(
            "there is no such environment; it is not repeated here, because it may be a secret",
            hint=f"pgstrata envs lists them; {_HISTORY}",
        )


def _not_taken(parameter: click.Parameter | None) -> str:
    name = parameter.opts[-1] if parameter else "an option"
    choices = getattr(parameter.type, "choices", ()) if parameter else ()
    return f"{name} does not take this value" + (f", but {', '.join(choices)}" if choices else "")


_HISTORY = (
    "if it was a secret, it is in the shell's history now, and was in the list of processes: "
    "change it, and give the new one by prompt, --stdin or --file"
)


def value_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--stdin``, ``--file`` and ``--generate``; the command is given a ``Reader``."""

    @wraps(command)
    def with_reader(
        *arguments: Any, stdin: bool, file: Path | None, generate: bool, **options: Any
    ) -> Any:
        if stdin + generate + (file is not None) > 1:
            raise UsageError("--stdin, --file and --generate exclude each other")
        return command(*arguments, reader=Reader(stdin, file, generate), **options)

    for option in (
        click.option("--generate", is_flag=True, help="Make a random value of 32 characters."),
        click.option(
            "--file",
            type=click.Path(path_type=Path),
            metavar="PATH",
            help="Read the value from a file; one newline at its end does not count.",
        ),
        click.option("--stdin", is_flag=True, help="Read the value from standard input, likewise."),
    ):
        with_reader = option(with_reader)
    return with_reader


def reveal_option(words: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what adds ``--reveal``, with the help ``words``, and ``--force``, without which
    nothing is revealed in CI.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def refusing(*arguments: Any, reveal: bool, force: bool, **options: Any) -> Any:
            if reveal and os.environ.get("CI") and not force:
                raise UsageError(
                    "a secret is not revealed where CI is set: its output is kept in logs",
                    hint="--force reveals it all the same",
                )
            return command(*arguments, reveal=reveal, **options)

        forced = "Reveal even where CI is set, and logs are kept."
        with_force = click.option("--force", is_flag=True, help=forced)(refusing)
        return click.option("--reveal", is_flag=True, help=words)(with_force)

    return decorate


class Reader(NamedTuple):
    """Where a value is to be read from; the terminal, if nothing was said."""

    stdin: bool
    file: Path | None
    generate: bool

    def read(self, question: str) -> Secret:
        """Return the value. Raises ``UsageError``."""
        if self.generate:
            return Secret(secrets.token_urlsafe(GENERATED_BYTES), source="generated")
        if self.stdin:
            return _text(sys.stdin.buffer.read(), "standard input")
        if self.file is not None:
            return _text(_content(self.file), "the file")
        return usable(prompt(f"{question}: ", again="once more: "), "what was typed")


def prompt(question: str, *, again: str = "") -> Secret:
    """Ask on the terminal, without an echo; twice, if ``again`` is a question. Raises
    ``UsageError``.
    """
    if not sys.stdin.isatty():
        raise UsageError(
            "there is no terminal to ask for the value", hint="give it with --stdin or --file"
        )
    first = _ask(question)
    if again and _ask(again) != first:
        raise UsageError("the two are not the same", hint="nothing was changed; try again")
    return first


def _ask(question: str) -> Secret:
    with warnings.catch_warnings():
        # Where the echo cannot be turned off, getpass would warn and show what is typed.
        warnings.simplefilter("error", GetPassWarning)
        try:
            return Secret(getpass(f"pgstrata: {question}"), source="terminal")
        except GetPassWarning:
            pass
    raise UsageError("this terminal would show the value", hint="give it with --stdin or --file")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror  # without the path: it may be the value, in the wrong place
    raise UsageError(f"the file of --file cannot be read: {reason}", hint=_HISTORY)


def _text(content: bytes, source: str) -> Secret:
    content = content.removesuffix(b"\n").removesuffix(b"\r")
    try:
        secret = Secret(content.decode("utf-8"), source=source)
    except UnicodeDecodeError:
        secret = None
    del content  # a traceback with locals would show it
    if secret is None:
        raise UsageError(f"{source} is not UTF-8 text", hint="encode it, for example in base64")
    return usable(secret, source)


def usable(value: Secret, source: str) -> Secret:
    """Return a value that a setting can have. Raises ``UsageError`` for one that is empty, as the
    output of a command that failed, and for one with a NUL, where every use of it would end.
    """
    text = value.reveal()
    is_empty, has_nul = not text, "\0" in text
    del text  # a traceback with locals would show it
    if is_empty:
        raise UsageError(
            f"{source} is empty", hint="nothing was changed; `pgstrata secret remove` removes"
        )
    if has_nul:
        raise UsageError(f"{source} holds a NUL character", hint="nothing was changed")
    return value
