"""Values that point elsewhere: ``${NAME}`` in a text, ``{from_env: NAME}`` and ``{from_file:
path}``.

Nothing else in a value is ever evaluated, and what a reference yields is not looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pgstrata.errors import EnvInterpolationError
from pgstrata.layers.content import read_at_most

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = re.compile(
    rf"\$\$\{{|\$\{{(?P<name>{_NAME})(?:(?P<operator>:-|:\?)(?P<rest>[^}}]*))?\}}|(?P<broken>\$\{{)"
)

KINDS = ("from_env", "from_file")
MAX_FILE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class References:
    """How references are followed: in which variables, from which folder, and whether at all.

    ``read`` stands in for reading a file whose path is relative: it may be in a revision of git.
    """

    environ: Mapping[str, str] = field(repr=False)
    folder: Path
    followed: bool = True
    secret_fallbacks: bool = False
    read: Callable[[str], bytes] | None = field(default=None, repr=False)

    def reader(self, kind: str, operand: str, *, secret: bool) -> Callable[[], str]:
        """Return a function that follows one reference. ``kind`` is ``text``, ``from_env`` or
        ``from_file``.

        Raises ``EnvInterpolationError`` for a reference that can never be followed; the function
        raises it for one that cannot be followed now.
        """
        if kind != "text" and not self.followed:
            raise EnvInterpolationError(
                f"{kind} is not followed here", hint="ask for it with resolve_env=True"
            )
        if kind == "from_env":
            if not re.fullmatch(_NAME, operand):
                raise EnvInterpolationError("from_env needs the name of a variable")
            return lambda: self._variable(operand)
        if kind == "from_file":
            return lambda: self._file(operand)
        if not self.followed or "${" not in operand:
            return lambda: operand
        self._check(operand, secret=secret)
        return lambda: _REFERENCE.sub(self._follow, operand)

    def _check(self, text: str, *, secret: bool) -> None:
        for match in _REFERENCE.finditer(text):
            if match["broken"]:
                raise EnvInterpolationError(
                    "a ${ that does not begin a reference",
                    hint="write ${NAME}, ${NAME:-fallback} or ${NAME:?message}; $${ is literal",
                )
            if "${" in (match["rest"] or ""):
                what = "fallback" if match["operator"] == ":-" else "message"
                raise EnvInterpolationError(
                    f"a {what} is literal text; references do not nest",
                    hint=f"write ${{{match['name']}{match['operator']}{what}}}, with no ${{ in it",
                )
            if secret and match["operator"] == ":-" and not self.secret_fallbacks:
                raise EnvInterpolationError(
                    f"a secret cannot have a fallback, and ${{{match['name']}:-…}} has one",
                    hint=f"write ${{{match['name']}}} and set the variable where the program runs",
                )

    def _follow(self, match: re.Match[str]) -> str:
        name, operator, rest = match["name"], match["operator"], match["rest"]
        if name is None:
            return "${"
        if operator == ":-":
            return self.environ.get(name) or rest
        if operator == ":?" and not self.environ.get(name):
            raise EnvInterpolationError(
                f"variable {name} is not set: {rest}" if rest else _unset(name)
            )
        return self._variable(name)

    def _variable(self, name: str) -> str:
        try:
            return self.environ[name]
        except KeyError:
            raise EnvInterpolationError(
                _unset(name), hint=f"set {name} where the program runs"
            ) from None

    def _file(self, path: str) -> str:
        text, problem = _read(lambda: self._content(path))
        if problem:
            raise EnvInterpolationError(f"{path} {problem}")
        return text

    def _content(self, path: str) -> bytes:
        if self.read is not None and not Path(path).is_absolute():
            return self.read(path)
        return read_at_most(self.folder / path, MAX_FILE_BYTES)


def _read(read: Callable[[], bytes]) -> tuple[str, str]:
    """Return the text of a file, or why there is none.

    The reason is returned and not raised: a traceback with locals would show this frame, and in it
    the secret.
    """
    try:
        content = read()
        if len(content) > MAX_FILE_BYTES:
            return "", f"is larger than {MAX_FILE_BYTES} bytes"
        # Editors and `echo` end a file with one newline that nobody means to be part of a password.
        return content.decode().removesuffix("\n").removesuffix("\r"), ""
    except OSError as error:
        return "", f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        return "", "is not UTF-8 text"
    except ValueError:
        return "", "cannot be the name of a file"


def describe(kind: str, operand: str) -> str:
    """Return where a secret comes from, in words that may be shown."""
    if kind == "text":
        names = [match["name"] for match in _REFERENCE.finditer(operand) if match["name"]]
        return f"text with {', '.join(names)}" if names else "literal"
    return f"{kind.removeprefix('from_')} {operand}"


def literal(text: str) -> str | None:
    """Return what a text stands for that leads nowhere else; None for one with references."""
    if any(match["name"] for match in _REFERENCE.finditer(text)):
        return None
    return text.replace("$${", "${")


def _unset(name: str) -> str:
    return f"variable {name} is not set"
