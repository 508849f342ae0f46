"""The heights of the run screen's panels, by what they hold and by the size of the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

NARROW: Final = 100  #: columns; below, panels stand above one another
_TOP: Final = 5  #: lines on top and at the bottom that are no panel
_FRAME: Final = 2
_HEADS: Final = (132, 244)  #: columns from which on workers, and causes, have a head
_TITLE: Final = 1  #: the height of a panel that holds nothing: its title
_MAP: Final = 8  #: lines of the map, at least
_LOG: Final = 5  #: lines of the log, at least


@dataclass(frozen=True, slots=True)
class Wanted:
    """Lines that panels could fill; ``advice`` is 0 while the run goes on."""

    workers: int = 0
    items: int = 0
    causes: int = 0
    advice: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """Heights of panels by their ids: 0 hides one, 1 leaves its title, None is all that is left."""

    heights: Mapping[str, int | None]


def shape_of(wanted: Wanted, width: int, height: int) -> Shape:
    """Return the heights for a terminal of this size."""
    body = max(0, height - _TOP)
    return _stacked(wanted, body) if width < NARROW else _beside(wanted, width, body)


def _stacked(wanted: Wanted, body: int) -> Shape:
    """Map beside workers and items; below them causes and the log, as wide as the terminal."""
    causes = min(wanted.causes, 3) + _FRAME if wanted.causes else 0
    room = max(_MAP, body - causes - _LOG)
    if wanted.advice:
        now = wanted.advice + _FRAME
        rows: dict[str, int | None] = {"what-now": None, "workers": 0, "items": 0}
    else:
        items = min(wanted.items, 4) + _FRAME if wanted.items else 0
        now = max(wanted.workers, 1) + _FRAME + items
        if now > room:
            items = max(0, items - (now - room))
            items = items if items > _FRAME else 0
        rows = {"what-now": 0, "workers": None, "items": items}
    left = max(_MAP, min(now, room, body * 3 // 5))
    return Shape(rows | {"left": left, "throughput": 0, "causes": causes, "log": None})


def _beside(wanted: Wanted, width: int, body: int) -> Shape:
    """Map, workers and items on the left; throughput, causes and the log on the right."""
    head, causes_head = (int(width >= least) for least in _HEADS)
    causes = wanted.causes + causes_head + _FRAME if wanted.causes else _TITLE
    causes = min(causes, max(_FRAME + 1, body // 4))
    if wanted.advice:
        now: dict[str, int | None] = {
            "what-now": min(wanted.advice + _FRAME, body // 2),
            "workers": 0,
            "items": 0,
        }
    else:
        room = max(0, min(body - _MAP, body * 2 // 3))
        workers = min(max(wanted.workers, 1) + _FRAME + head, room)
        items = min(wanted.items + _FRAME, room - workers) if wanted.items else 0
        now = {"what-now": 0, "workers": workers, "items": items if items > _FRAME else 0}
    plot = max(7, min(14, body * 3 // 10))
    return Shape(now | {"left": None, "throughput": plot, "causes": causes, "log": None})
