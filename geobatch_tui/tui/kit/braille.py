"""Dots of braille: a cell has 2 x 4 of them, which lie as far from each other across as down."""

from __future__ import annotations

from typing import Final

_DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_FIRST: Final = 0x2800
ACROSS, DOWN = 2, 4
"""Dots of a cell."""


class DotCanvas:
    """Cells whose dots are set one by one, or along lines.

    Args:
        width: in cells.
        height: in cells.
    """

    def __init__(self, width: int, height: int) -> None:
        self._cells = [bytearray(width) for _ in range(height)]

    @property
    def width(self) -> int:
        """In dots."""
        return ACROSS * len(self._cells[0]) if self._cells else 0

    @property
    def height(self) -> int:
        """In dots."""
        return DOWN * len(self._cells)

    def line(self, y: int) -> str:
        """Return the text of a line of cells, "" if there is none."""
        if y >= len(self._cells):
            return ""
        return "".join(chr(_FIRST + dots) if dots else " " for dots in self._cells[y])

    def dot(self, x: int, y: int) -> None:
        """Set a dot, which lies within."""
        self._cells[y >> 2][x >> 1] |= _DOTS[x & 1][y & 3]

    def stroke(self, x0: int, y0: int, x1: int, y1: int) -> None:
        """Set the dots of a line; steps that are clearly outside are skipped at once."""
        high, wide = self.height, self.width
        if max(x0, x1) < 0 or max(y0, y1) < 0 or min(x0, x1) >= wide or min(y0, y1) >= high:
            return
        count = max(abs(x1 - x0), abs(y1 - y0))
        first, last = _visible(x0, x1, wide, count)
        for step in range(first, last + 1):
            x = x0 + (x1 - x0) * step // count
            y = y0 + (y1 - y0) * step // count
            if 0 <= x < wide and 0 <= y < high:
                self.dot(x, y)


def _visible(start: int, end: int, size: int, count: int) -> tuple[int, int]:
    """Return the range of ``count`` steps from ``start`` to ``end`` that may lie in 0 to
    ``size``."""
    if start == end:
        return 0, count
    ends = sorted(((edge - start) * count / (end - start)) for edge in (-1, size))
    return max(0, int(ends[0]) - 1), min(count, int(ends[1]) + 1)
