"""The words of an audit: what was seen of a server, what a check says of it, what would mend it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pgstrata.model import Origin

if TYPE_CHECKING:
    from pgstrata.audit.view import Fleet, View

Status: TypeAlias = Literal["ok", "info", "warn", "fail", "unknown", "waived"]
FINDING: tuple[Status, ...] = ("fail", "warn", "info")  # from bad to mild
Applies: TypeAlias = Literal["at once", "new sessions", "reload", "restart"]
Row: TypeAlias = Mapping[str, Any]  # one row of a fact, as PostgreSQL's to_jsonb writes it


@dataclass(frozen=True, slots=True)
class Gap:
    """Why a fact is not there, and the statement that would show it (empty if nothing would)."""

    why: str
    grant: str = ""


class UnreadError(Exception):
    """A check needed what nobody could look at: its answer is ``unknown``.

    ``inferred`` is what can be said all the same.
    """

    def __init__(self, gap: Gap, inferred: str = "") -> None:
        super().__init__(gap.why)
        self.gap = gap
        self.inferred = inferred


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one read-only look at one endpoint of one connection returned.

    Everything in it is plain data (text, numbers, lists, maps), so that it can be saved and judged
    elsewhere. ``error`` says why nothing could be looked at; ``probe`` and ``handshake`` are there
    even then, where they were possible. ``taken`` is ISO 8601, ``seconds`` how long it took.
    """

    environment: str
    connection: str
    host: str
    port: str
    taken: str
    seconds: float = 0.0
    viewer: str = ""
    facts: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    gaps: Mapping[str, Gap] = field(default_factory=dict)
    probe: Mapping[str, Any] | None = None
    handshake: Mapping[str, Any] | None = None
    error: str = ""

    @property
    def endpoint(self) -> str:
        """The server as a person writes it: ``db.example.com:5432``."""
        if self.host[:1] in ("/", "@", ""):
            return self.host or f"port {self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Fix:
    """One statement or line that mends a finding, when it takes effect, and how to see that it did.

    Nothing of it is ever run.
    """

    statement: str
    applies: Applies
    verify: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check says of one object of one endpoint.

    ``key`` is the client's setting that the expectation comes from. ``evidence`` are lines such as
    ``max_connections = 100 (postgresql.conf:64)``.
    """

    status: Status
    message: str
    object: str = ""
    observed: str = ""
    expected: str = ""
    key: str = ""
    fix: tuple[Fix, ...] = ()
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """An outcome with its check, its place and its origin in the client's configuration."""

    check: str
    environment: str
    connection: str
    server: str
    outcome: Outcome
    origin: Origin
    gap: Gap | None = None
    waived: str = ""

    @property
    def status(self) -> Status:
        """The status, after waivers."""
        return "waived" if self.waived else self.outcome.status

    @property
    def fingerprint(self) -> str:
        """What stays the same when values and lines change: check, place and object."""
        parts = [self.check, self.environment, self.connection, self.server, self.outcome.object]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


LookAtOne: TypeAlias = "Callable[[View], Iterable[Outcome]]"
LookAtAll: TypeAlias = "Callable[[Fleet], Iterable[tuple[View, Iterable[Outcome]]]]"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: how bad its worst outcome is, what it looks at, and why that matters.

    ``find`` looks at one endpoint, ``compare`` at all of them together: it yields an endpoint and
    the look at it, which is made when its outcomes are asked for, so that what nobody could look at
    takes nothing from the others. What a look yields is what was seen, ``ok`` among it; nothing
    means that the check does not apply there, and ``UnreadError`` that nobody could look.
    ``cannot_see`` and ``ignore`` are for the page of the reference, as is ``verify``, the query
    with which a person looks for themselves. ``source`` names where the rule is from.
    """

    id: str
    severity: Literal["info", "warn", "fail"]
    what: str
    why: str
    verify: str = ""
    fix: str = ""
    ignore: str = ""
    cannot_see: str = ""
    source: str = ""
    find: LookAtOne | None = None
    compare: LookAtAll | None = None
