"""Where the secret of a keyword is, for a program or a file that is not to hold the secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pgstrata.model import Secret, Setting


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a secret is: the name of a variable, or the path of a file."""

    kind: Literal["env", "file"]
    operand: str


def reference(target: Mapping[str, Setting], keyword: str, secret: Secret) -> Reference | None:
    """Return where the whole of a secret is, or None where no variable or file holds just that.

    A password out of a URL has the URL's source, which is not the password's.
    """
    setting = target[f"connection_settings.{keyword}"]
    whole = target.get("connection_settings.url")
    if whole is not None and whole.origin == setting.origin:
        return None
    kind, _, operand = secret.source.partition(" ")
    if kind == "env" and operand:
        return Reference("env", operand)
    return Reference("file", operand) if kind == "file" and operand else None
