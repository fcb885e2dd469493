"""Inline ignores: ``# pgstrata: ignore[rule] because …``.

One counts for findings at its own line, or, where nothing else stands on its line, for those at the
next line that holds more than a comment. In the comment at the top of a file it also counts for
findings about the file as a whole, which stand at its first line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pgstrata.model import Finding, Origin
from pgstrata.schema.suggest import closest

RULES = {
    "ignore-without-reason": (
        "An inline ignore says no reason.",
        "Nobody can tell later whether it still holds.",
        "Write `# pgstrata: ignore[rule] because …`.",
    ),
    "unknown-ignore": (
        "An inline ignore names a rule that there is not, or is written in a way that is not read.",
        "It ignores nothing.",
        "Write `# pgstrata: ignore[rule] because …`, with a rule of this page.",
    ),
    "unused-ignore": (
        "An inline ignore matches no finding. Looked for where all rules ran on everything.",
        "It would hide the next finding of its rule there, which nobody has looked at.",
        "Remove it.",
    ),
}

_IGNORE = re.compile(r"(?:^|\s)#\s*pgstrata:\s*(?P<said>ignore\b.*)$")
_WELL = re.compile(r"ignore\[(?P<rules>[^\]]*)\]\s*(?:because\b)?\s*(?P<reason>.*)")


@dataclass(frozen=True, slots=True)
class Ignore:
    """One rule that is ignored at one place, and why."""

    rule: str
    reason: str
    origin: Origin
    lines: frozenset[int]


def read(source: str, text: str) -> tuple[list[Ignore], list[Finding]]:
    """Return the ignores of a file, and what is wrong with them."""
    ignores: list[Ignore] = []
    findings: list[Finding] = []
    lines = text.splitlines()
    for number, line in enumerate(lines, 1) if "pgstrata:" in text else ():
        if match := _IGNORE.search(line):
            column = line.index("#", match.start()) + 1
            origin = Origin("overlay", source, number, column)
            reach = _reach(lines, number)
            for item in _parse(match["said"], origin, reach):
                (ignores if isinstance(item, Ignore) else findings).append(item)  # type: ignore[arg-type]  # one list for each type
    return ignores, findings


def _reach(lines: list[str], number: int) -> frozenset[int]:
    if not lines[number - 1].lstrip().startswith("#"):
        return frozenset({number})
    following = (
        place
        for place, line in enumerate(lines[number:], number + 1)
        if line.strip() and not line.lstrip().startswith("#")
    )
    top = all(not line.strip() or line.lstrip().startswith("#") for line in lines[:number])
    return frozenset({number, next(following, number), *((1,) if top else ())})


def _parse(said: str, origin: Origin, lines: frozenset[int]) -> Iterator[Ignore | Finding]:
    match = _WELL.fullmatch(said)
    if match is None:
        yield Finding("unknown-ignore", "an ignore that cannot be read", origin, hint=_FORM)
        return
    reason = match["reason"].strip(" .:-…")
    if not reason:
        yield Finding("ignore-without-reason", "an ignore without a reason", origin, hint=_FORM)
        return
    for rule in match["rules"].split(","):
        yield Ignore(rule.strip(), reason, origin, lines)


_FORM = "write # pgstrata: ignore[rule] because …"


def split(
    findings: Iterable[Finding], ignores: Iterable[Ignore]
) -> tuple[list[Finding], list[tuple[Finding, Ignore]]]:
    """Return the findings that count, and those that are ignored, each with its ignore."""
    at = {
        (ignore.origin.source, line, ignore.rule): ignore
        for ignore in ignores
        for line in ignore.lines
    }
    counted: list[Finding] = []
    ignored: list[tuple[Finding, Ignore]] = []
    for finding in findings:
        ignore = at.get((finding.origin.source, finding.origin.line, finding.rule))
        if ignore is None:
            counted.append(finding)
        else:
            ignored.append((finding, ignore))
    return counted, ignored


def unknown(ignores: Iterable[Ignore], known: Iterable[str]) -> Iterator[Finding]:
    """Yield a finding for each ignore of a rule that there is not."""
    known = tuple(known)
    for ignore in ignores:
        if ignore.rule not in known:
            guess = closest(ignore.rule, known)
            hint = f"did you mean {guess!r}?" if guess else "docs/reference/rules.md lists them"
            yield Finding(
                "unknown-ignore", f"no rule {ignore.rule!r}", ignore.origin, "warning", hint=hint
            )


def unused(
    ignores: Iterable[Ignore], used: Iterable[Ignore], known: Iterable[str]
) -> Iterator[Finding]:
    """Yield a finding for each ignore of a known rule that was not used."""
    spent, known = set(used), set(known)
    for ignore in ignores:
        if ignore not in spent and ignore.rule in known:
            message = f"there is nothing to ignore for {ignore.rule}"
            yield Finding("unused-ignore", message, ignore.origin, "info", hint="remove it")
