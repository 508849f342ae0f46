"""Coasts and borders in dots of braille, under the footprints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from geobatch_tui.tui.map import outline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.tui.map.picture.place import GroundView

_DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_BRAILLE: Final = 0x2800
_BORDERS: Final = 0.8  #: degrees a pixel; borders are drawn when a pixel is smaller


class Coast:
    """Lines of braille for a view: a cell has 2 x 4 dots, two pixels' height of four."""

    def __init__(self) -> None:
        self._lines: list[bytearray] = []

    def line(self, y: int) -> str:
        """Return the text of a line, "" if nothing was drawn yet."""
        if y >= len(self._lines):
            return ""
        return "".join(chr(_BRAILLE + dots) if dots else " " for dots in self._lines[y])

    def draw(self, view: GroundView) -> None:
        self._lines = [bytearray(view.width) for _ in range(view.height // 2)]
        if not self._lines or not view.width:
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
                self._stroke(*last, *here)
                last = here

    def _stroke(self, x0: int, y0: int, x1: int, y1: int) -> None:
        """Draw a line of dots; steps that are clearly out of view are skipped at once."""
        high, wide = 4 * len(self._lines), 2 * len(self._lines[0])
        if max(x0, x1) < 0 or max(y0, y1) < 0 or min(x0, x1) >= wide or min(y0, y1) >= high:
            return
        count = max(abs(x1 - x0), abs(y1 - y0))
        first, last = _visible(x0, x1, wide, count)
        for step in range(first, last + 1):
            x = x0 + (x1 - x0) * step // count
            y = y0 + (y1 - y0) * step // count
            if 0 <= x < wide and 0 <= y < high:
                self._lines[y >> 2][x >> 1] |= _DOTS[x & 1][y & 3]


def _visible(start: int, end: int, size: int, count: int) -> tuple[int, int]:
    """Return the range of ``count`` steps from ``start`` to ``end`` that may lie in 0 to
    ``size``."""
    if start == end:
        return 0, count
    ends = sorted(((edge - start) * count / (end - start)) for edge in (-1, size))
    return max(0, int(ends[0]) - 1), min(count, int(ends[1]) + 1)


def _turn(lon: float) -> int:
    return int((lon + 180) // 360)
