"""Coasts and borders in dots of braille, under the footprints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from geobatch_tui.tui.kit.braille import DotCanvas
from geobatch_tui.tui.map import outline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.tui.map.picture.place import GroundView

_BORDERS: Final = 0.8  #: degrees a pixel; borders are drawn when a pixel is smaller


class Coast:
    """Lines of braille for a view, of which a cell is two pixels high."""

    def __init__(self) -> None:
        self._canvas = DotCanvas(0, 0)

    def line(self, y: int) -> str:
        """Return the text of a line, "" if nothing was drawn yet."""
        return self._canvas.line(y)

    def draw(self, view: GroundView) -> None:
        """Draw the lines that lie in a view."""
        self._canvas = DotCanvas(view.width, view.height // 2)
        if not self._canvas.height or not view.width:
            return
        west, south, east, north = view.bounds
        turns = range(_turn(west), _turn(east) + 1)
        for line in outline.world():
            if line.kind == outline.BORDER and view.step > _BORDERS:
                continue
            left, bottom, right, top = line.bounds
            if top < south or bottom > north:
                continue
            for turn in turns:
                if left + 360 * turn <= east and right + 360 * turn >= west:
                    self._draw(line.points, view, 360 * turn)

    def _draw(self, points: Sequence[tuple[float, float]], view: GroundView, shift: int) -> None:
        across = 2 * view.squeeze / view.step
        down = 2 / view.step
        x0, y0 = view.width - (view.lon - shift) * across, view.height + view.lat * down
        last: tuple[int, int] | None = None
        for lon, lat in points:
            here = int(x0 + lon * across), int(y0 - lat * down)
            if last is None:
                last = here
            elif here != last:
                self._canvas.stroke(*last, *here)
                last = here


def _turn(lon: float) -> int:
    return int((lon + 180) // 360)
