"""Secrets that the calling code gives as a function, as for the tokens of a cloud."""

from __future__ import annotations

from collections.abc import Callable

from pgstrata.errors import PgstrataError, SecretError
from pgstrata.model import Secret


def called(given: Secret, key: str) -> Callable[[], str]:
    """Return a function that asks for the text. It raises ``SecretError`` where that fails, with
    the error of the given function as its cause.
    """

    def read() -> str:
        try:
            text: object = given.reveal()
        except PgstrataError:
            raise
        except Exception as error:
            # Its words may quote an answer that has the secret in it.
            raise _failed(given, key, f"raised {type(error).__name__}") from error
        if isinstance(text, str):
            return text
        kind = type(text).__name__
        del text  # a traceback with locals would show it
        raise _failed(given, key, f"returned {kind}, not str")

    return read


def described(given: Secret) -> str:
    """Return where the text comes from, in words that may be shown."""
    if given.source != "literal":
        return given.source
    kind = type(given.function).__name__
    return f"function {getattr(given.function, '__qualname__', kind)}"


def _failed(given: Secret, key: str, problem: str) -> SecretError:
    return SecretError(
        f"{key}: {described(given)} {problem}", hint="it is called for each new connection"
    )
