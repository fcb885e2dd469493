"""The words of a recommendation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pgstrata.model import Origin

Kind: TypeAlias = Literal["conf", "hba", "sql"]
Applies: TypeAlias = Literal["restart", "reload", "new sessions"]


@dataclass(frozen=True, slots=True)
class Advice:
    """One line for postgresql.conf, for pg_hba.conf, or to be run as SQL.

    ``applies`` says when it takes effect: after a restart, after a reload, or in new sessions.
    ``formula`` is how a number comes about, ``origins`` the places of the client's configuration
    that ask for the line.
    """

    kind: Kind
    line: str
    reason: str
    applies: Applies
    formula: str = ""
    origins: tuple[Origin, ...] = ()


@dataclass(frozen=True, slots=True)
class Missing:
    """What has to be declared before more can be said: the key, why, and an example in YAML."""

    key: str
    why: str
    example: str


@dataclass(frozen=True, slots=True)
class Note:
    """What no line can do: a step by hand, or a contradiction in the client's configuration."""

    message: str
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class ServerAdvice:
    """All that is said about one server: its endpoints, and the connections that go there."""

    name: str
    connections: tuple[str, ...]
    advice: tuple[Advice, ...]
    notes: tuple[Note, ...]
    missing: tuple[Missing, ...]

    def of(self, kind: Kind) -> tuple[Advice, ...]:
        """Return the advice of one kind, in its order."""
        return tuple(item for item in self.advice if item.kind == kind)


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What an environment's servers should have. The embedded server is none of them."""

    environment: str
    servers: tuple[ServerAdvice, ...]
