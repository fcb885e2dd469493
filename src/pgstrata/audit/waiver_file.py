"""The file of a project's waivers: ``environments/waivers.yaml``.

::

    waivers:
      - id: tls.*                # a check, or a pattern
        environment: staging     # every environment where it is left out; a pattern too
        object: app_*            # what the finding is about; everything where it is left out
        reason: the proxy ends TLS until the move
        owner: dba@example.com
        expires: 2027-03-31      # at most 180 days ahead
        ticket: OPS-12
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from pgstrata.audit.waivers import Waiver
from pgstrata.errors import ConfigError, InvalidConfigError
from pgstrata.layers.document import Document, content_of, parse
from pgstrata.layers.nodes import Map, Node, Scalar, Sequence, Span
from pgstrata.layers.project import FOLDER
from pgstrata.model import Finding, Origin
from pgstrata.schema.suggest import closest

SOURCE = f"{FOLDER}/waivers.yaml"
LONGEST = timedelta(days=180)
REQUIRED = ("id", "reason", "owner", "expires")
KEYS = (*REQUIRED, "environment", "object", "ticket")


def read(
    project: Path, environments: Iterable[str], checks: Iterable[str], today: date
) -> tuple[Waiver, ...]:
    """Return the waivers of a project; none where it has no such file.

    Raises ``InvalidConfigError`` with all that is wrong in it, ``ConfigError`` where it cannot be
    read.
    """
    try:
        content = content_of(project / SOURCE)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigError(f"cannot read {SOURCE}: {error.strerror}") from None
    reader = _Reader(parse(content, "file", SOURCE), tuple(environments), tuple(checks), today)
    waivers = tuple(reader.waivers())
    if reader.findings:
        raise InvalidConfigError(reader.findings)
    return waivers


class _Reader:
    """Reads the waivers of a document; ``findings`` are what is wrong with it."""

    def __init__(
        self,
        document: Document,
        environments: tuple[str, ...],
        checks: tuple[str, ...],
        today: date,
    ) -> None:
        self.document = document
        self.known: Mapping[str, tuple[str, ...]] = {"id": checks, "environment": environments}
        self.today = today
        self.findings = list(document.findings)

    def waivers(self) -> Iterator[Waiver]:
        """Yield each entry that can be read."""
        for name, span in self.document.root.keys.items():
            if name != "waivers":
                self._wrong(span, f"no key {name!r}", "the only one is waivers, a list")
        entries = self.document.root.entries.get("waivers")
        if entries is None or (isinstance(entries, Scalar) and entries.null):
            return
        if not isinstance(entries, Sequence):
            self._wrong(entries.span, "waivers is not a list", "each entry begins with a dash")
            return
        for entry in entries.items:
            waiver = self._waiver(entry)
            if waiver is not None:
                yield waiver

    def _waiver(self, entry: Node) -> Waiver | None:
        if not isinstance(entry, Map):
            self._wrong(entry.span, "a waiver is a map", f"its keys are {', '.join(KEYS)}")
            return None
        before = len(self.findings)
        given = dict(self._texts(entry))
        for name in REQUIRED:
            if name not in given:
                self._wrong(entry.span, f"a waiver without {name}", "say it, or remove the waiver")
        for name in self.known:
            if name in given:
                self._must_match(name, given[name], entry)
        expires = self._date(given["expires"], entry) if "expires" in given else None
        if expires is None or len(self.findings) > before:
            return None
        texts = {name: text for name, text in given.items() if name != "expires"}
        return Waiver(expires=expires, origin=self._origin(entry.span), **texts)

    def _texts(self, entry: Map) -> Iterator[tuple[str, str]]:
        for name, node in entry.entries.items():
            if name not in KEYS:
                guess = closest(name, KEYS)
                hint = f"did you mean {guess!r}?" if guess else f"the keys are {', '.join(KEYS)}"
                self._wrong(entry.keys[name], f"no key {name!r}", hint)
            elif not isinstance(node, Scalar) or node.null or not node.text.strip():
                self._wrong(node.span, f"{name} is not a text", "write one in the same line")
            else:
                yield name, node.text.strip()

    def _must_match(self, name: str, pattern: str, entry: Map) -> None:
        if any(fnmatchcase(one, pattern) for one in self.known[name]):
            return
        guess = closest(pattern, self.known[name])
        what = "check" if name == "id" else "environment"
        hint = (
            f"did you mean {guess!r}?"
            if guess
            else "name one that there is, or a pattern such as *"
        )
        self._wrong(entry.entries[name].span, f"no {what} is {pattern!r}", hint)

    def _date(self, text: str, entry: Map) -> date | None:
        span = entry.entries["expires"].span
        try:
            day = date.fromisoformat(text)
        except ValueError:
            self._wrong(span, f"{text!r} is no date", "write one like 2027-03-31")
            return None
        if day > self.today + LONGEST:
            last = self.today + LONGEST
            self._wrong(span, f"more than {LONGEST.days} days ahead", f"at most {last}")
        return day

    def _wrong(self, span: Span, message: str, hint: str) -> None:
        line = self.document.lines[span.line] if span.line < len(self.document.lines) else ""
        place = self._origin(span)
        self.findings.append(Finding("waiver", message, place, hint=hint, excerpt=line))

    def _origin(self, span: Span) -> Origin:
        return self.document.origin(span)
