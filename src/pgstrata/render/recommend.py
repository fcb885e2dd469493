"""A recommendation as text, as JSON, and as the files and statements that it is made of.

A line that is meant to be copied is never wrapped. All else fits into 80 columns.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from pgstrata.errors import UsageError
from pgstrata.recommend.advice import Advice, Kind, Note, Recommendation, ServerAdvice
from pgstrata.render.settings import value_text

_WIDTH = 80
_FILES: dict[Kind, str] = {
    "conf": "postgresql.conf",
    "hba": "pg_hba.conf",
    "sql": "SQL",
}
_FIRST: dict[Kind, str] = {
    "conf": "of several lines for one setting the last one counts",
    "hba": "the first line that matches decides: put these before any that is wider",
    "sql": "to be run by a superuser, in any database of the primary; the roles and databases"
    " have to exist",
}


def text(found: Recommendation) -> str:
    """Return all of it for a reader."""
    blocks = (_server_text(found.environment, server) for server in found.servers)
    return "\n\n".join(map("\n".join, blocks))


def conf(found: Recommendation) -> str:
    """Return a file for ``include`` in postgresql.conf. Raises ``UsageError`` for two servers."""
    return _file(found, "conf", "#")


def hba(found: Recommendation) -> str:
    """Return lines for pg_hba.conf. Raises ``UsageError`` for two servers."""
    return _file(found, "hba", "#")


def sql(found: Recommendation) -> str:
    """Return statements for psql. Raises ``UsageError`` for two servers."""
    return _file(found, "sql", "--")


FILES: dict[str, Callable[[Recommendation], str]] = {"conf": conf, "hba": hba, "sql": sql}


def as_json(found: Recommendation) -> list[dict[str, object]]:
    """Return the JSON shape of each server: its lines, notes, and what is missing."""
    return [
        {
            "server": server.name,
            "connections": list(server.connections),
            "advice": [_advice_json(item) for item in server.advice],
            "notes": [_note_json(note) for note in server.notes],
            "missing": [
                {"key": item.key, "why": item.why, "example": item.example}
                for item in server.missing
            ],
        }
        for server in found.servers
    ]


def _advice_json(item: Advice) -> dict[str, object]:
    return {
        "kind": item.kind,
        "line": item.line,
        "reason": item.reason,
        "formula": item.formula or None,
        "applies": item.applies,
        "origins": [origin.as_json() for origin in item.origins],
    }


def _note_json(note: Note) -> dict[str, object]:
    origin = note.origin.as_json() if note.origin else None
    return {"message": note.message, "origin": origin}


def _server_text(environment: str, server: ServerAdvice) -> Iterator[str]:
    yield from _wrapped(f"{environment}: {server.name} ({', '.join(server.connections)})", "")
    for kind, title in _FILES.items():
        if said := server.of(kind):
            yield from ("", title)
            yield from _wrapped(f"({_FIRST[kind]})", "  ")
        for group in _groups(said):
            yield from (f"  {item.line}" for item in group)
            yield from _why(group, "      ")
    if server.notes:
        yield from ("", "Notes")
    for note in server.notes:
        yield from _wrapped(_note_text(note), "  ")
    if server.missing:
        yield from ("", "Not declared")
    for missing in server.missing:
        yield from _wrapped(f"{missing.key}: {missing.why}", "  ")
        yield textwrap.indent(missing.example, "      ")


def _file(found: Recommendation, kind: Kind, mark: str) -> str:
    """Return the lines of one kind, with all else as comments."""
    if len(found.servers) > 1:
        names = "; ".join(f"{s.name} ({', '.join(s.connections)})" for s in found.servers)
        raise UsageError(
            f"environment {found.environment!r} has {len(found.servers)} servers, and each needs"
            f" a file of its own: {names}",
            hint="choose one by a connection that goes there: --connection NAME",
        )
    comment = f"{mark} "
    lines: list[str] = []
    for server in found.servers:
        title = f"{_FILES[kind]} of {server.name}, for environment {found.environment}"
        lines += _wrapped(title, comment)
        lines += _wrapped(_FIRST[kind], comment)
        for group in _groups(server.of(kind)):
            lines += ["", *_why(group, comment), *(item.line for item in group)]
        rest = [_note_text(note) for note in server.notes]
        rest += [f"not declared: {item.key}: {item.why}" for item in server.missing]
        lines += ["", *(line for note in rest for line in _wrapped(note, comment))] if rest else []
    return "\n".join(lines) + "\n"


def _groups(advice: Iterable[Advice]) -> list[list[Advice]]:
    """Return neighbours that have one reason together."""
    return [list(group) for _, group in groupby(advice, key=_reason)]


def _reason(item: Advice) -> tuple[str, str]:
    return item.reason, item.applies


def _why(group: list[Advice], indent: str) -> Iterator[str]:
    """Yield the reason that the lines of a group have in common, and what they follow from."""
    applies = {"restart": "needs a restart", "reload": "needs a reload"}.get(group[0].applies)
    yield from _wrapped(group[0].reason + (f" ({applies})" if applies else ""), indent)
    formulas = dict.fromkeys(item.formula for item in group if item.formula)
    yield from _wrapped("; ".join(formulas), indent)
    origins = dict.fromkeys(str(origin) for item in group for origin in item.origins)
    yield from _wrapped(f"from {', '.join(origins)}", indent) if origins else ()


def _note_text(note: Note) -> str:
    return f"{note.message} ({note.origin})" if note.origin else note.message


def _wrapped(line: str, indent: str) -> Iterable[str]:
    """Return a text in lines; no character of it can end a comment or move the cursor."""
    return textwrap.wrap(
        value_text(line),
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
