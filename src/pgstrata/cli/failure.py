"""What the command line does with an error: it says what, where and what to do, and exits."""

from __future__ import annotations

import os
import sys
import traceback

import click

from pgstrata.errors import FINDINGS, INTERRUPTED, InvalidConfigError, PgstrataError


def exit_code_of(error: Exception, *, verbose: bool) -> int:
    """Tell about an error on stderr and return the exit code for it."""
    if isinstance(error, click.Abort):
        tell("interrupted")
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        # The reader of a pipe has gone; writing what is still buffered would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINDINGS
    if verbose:
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    return _told(error)


def _told(error: Exception) -> int:
    if isinstance(error, InvalidConfigError):
        from pgstrata.render import findings

        click.echo(findings.text(error.findings), err=True)
        tell(f"error: the configuration is not valid: {findings.counts(error.findings)}")
        return error.exit_code
    if isinstance(error, PgstrataError):
        tell(f"error: {error}", hint=error.hint)
        return error.exit_code
    kind = type(error).__name__
    tell(f"internal error: {kind}: {error}", hint="-v shows where; please report it")
    return FINDINGS


def tell(message: str, *, hint: str = "") -> None:
    """Say something that is not the result."""
    click.echo(f"pgstrata: {message}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)
