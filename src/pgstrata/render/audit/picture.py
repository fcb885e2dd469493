"""Capacity as a picture: what the services may open and what others have, beside the slots."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from pgstrata.audit.checks.capacity.slots import free_slots, others
from pgstrata.audit.model import UnreadError
from pgstrata.audit.report import Report
from pgstrata.audit.view import View
from pgstrata.render.audit.groups import places

_WIDTH, _ROW, _NAMES = 900, 34, 240  # pixels: the picture, one bar, the names before the bars
_DEMAND, _OTHERS, _OVER, _FREE = "#1976d2", "#90a4ae", "#c62828", "#8883"


@dataclass(frozen=True, slots=True)
class Room:
    """The connections of one endpoint: its slots, and those that may be asked for."""

    name: str
    slots: int
    demand: int
    others: int

    @property
    def most(self) -> int:
        """What the bar has to show."""
        return max(self.slots, self.demand + self.others)


def capacity(report: Report) -> str:
    """Return an inline SVG with a bar for each endpoint whose services are declared, or nothing."""
    named = zip(places(report), report.views, strict=True)
    rooms = [room for name, view in named for room in _room(name, view)]
    if not rooms:
        return ""
    scale = (_WIDTH - _NAMES) / max(room.most for room in rooms)
    height = _ROW * len(rooms)
    bars = [part for n, room in enumerate(rooms) for part in _bar(room, n * _ROW, scale)]
    head = f'<svg class="bar" role="img" viewBox="0 0 {_WIDTH} {height}" width="100%">'
    title = "<title>Connections that may be opened, and the slots there are</title>"
    return "\n".join(("<h2>Capacity</h2>", head, title, *bars, "</svg>"))


def _room(name: str, view: View) -> Iterator[Room]:
    try:
        yield Room(name, free_slots(view), view.demand, others(view))
    except UnreadError:
        return


def _bar(room: Room, top: int, scale: float) -> Iterator[str]:
    used = room.demand + room.others
    text = f"{room.demand} wanted + {room.others} others of {room.slots} slots"
    yield f'<text x="0" y="{top + 14}">{escape(room.name)}</text>'
    yield f'<text x="0" y="{top + 28}" font-size="11" opacity=".7">{text}</text>'
    yield _box(0, room.slots, top, scale, _FREE)
    yield _box(0, room.others, top, scale, _OTHERS)
    yield _box(room.others, min(used, room.slots), top, scale, _DEMAND)
    if used > room.slots:
        yield _box(max(room.slots, room.others), used, top, scale, _OVER)


def _box(first: int, last: int, top: int, scale: float, colour: str) -> str:
    x, wide = _NAMES + first * scale, max(last - first, 0) * scale
    return f'<rect x="{x:.1f}" y="{top + 4}" width="{wide:.1f}" height="22" fill="{colour}"/>'
