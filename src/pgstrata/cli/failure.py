"""What the command line does with an error: it says what, where and what to do, and exits."""

from __future__ import annotations

import click

from pgstrata.cli.output import print_findings, tell
from pgstrata.errors import FINDINGS, INTERRUPTED, InvalidConfigError, PgstrataError

BEFORE_THE_COMMAND = ("-C", "--project", "-v", "--verbose", "--version")


def exit_code_of(error: BaseException, *, verbose: bool) -> int:
    """Tell about an error on stderr and return the exit code for it."""
    if isinstance(error, KeyboardInterrupt | click.Abort):
        said = str(error.__cause__ or "") if isinstance(error, click.Abort) else str(error)
        tell(f"interrupted: {said}" if said else "interrupted")
        return INTERRUPTED
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    if isinstance(error, click.ClickException):
        return _misused(error)
    if verbose:
        import traceback

        from pgstrata.secrets.redact import redact_text

        text = redact_text("".join(traceback.format_exception(error)))
        click.echo(text, err=True, nl=False)
    return _failed(error)


def _misused(error: click.ClickException) -> int:
    """Tell about a wrong command line in the words of click, in the form of all other errors."""
    # Click indents choices by tabs, which would be shown as what they are in a text.
    message = error.format_message().rstrip(".").replace("\t", "  ")
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"{context.command_path if context else 'pgstrata'} --help"
    if isinstance(error, click.NoSuchOption) and error.option_name in BEFORE_THE_COMMAND:
        hint = f"{error.option_name} stands before the command"
    tell(f"error: {message[:1].lower()}{message[1:]}", hint=hint)
    return error.exit_code


def _failed(error: BaseException) -> int:
    if isinstance(error, InvalidConfigError):
        from pgstrata.render.findings import counts

        print_findings(error.findings, err=True)
        tell(f"error: the configuration is not valid: {counts(error.findings)}")
        return error.exit_code
    if isinstance(error, PgstrataError):
        tell(f"error: {error}", hint=error.hint)
        return error.exit_code
    if isinstance(error, OSError):
        path = error.filename2 or error.filename  # of two, the one that could not be made
        tell(f"error: {path}: {error.strerror}" if path else f"error: {error.strerror or error}")
        return FINDINGS
    kind = type(error).__name__
    from pgstrata.secrets.redact import redact_text

    message = redact_text(f"internal error: {kind}: {error}")
    tell(message, hint="-v shows where; please report it")
    return FINDINGS
