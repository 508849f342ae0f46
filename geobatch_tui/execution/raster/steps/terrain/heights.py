"""The heights around the pixels of a window, by tiles, with those beyond the rim of the raster.

They go on as they came: rows in the first and last row, columns in the first and last column
between, as GDAL has it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.raster import validity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.plan import Raster
    from geobatch_tui.execution.raster.steps.step import Block
    from geobatch_tui.execution.raster.types import Pixels, Valid

#: Rows that are computed at a time, so that their heights stay in the processor's cache.
TILE = 64
#: Types that float32 holds exactly. GDAL takes all others for float32 too; here they are float64.
SHORT = frozenset({"uint8", "int8", "uint16", "int16", "float32"})


@dataclass(frozen=True, slots=True)
class Heights:
    """The heights of ``part`` of ``up``; ``edges``: they go on beyond the rim of the raster."""

    up: Raster
    band: int
    given: Block
    part: Window
    edges: bool

    def around(self, first: int, last: int, window: Window) -> Pixels:
        """Return heights of rows ``first`` to before ``last`` of the raster in the columns of
        ``window``, and of a pixel more on each side; NaN where there are none."""
        work = np.empty((last - first + 2, window.width + 2), type_of(self.up))
        top, bottom = int(first == 0), int(last == self.up.height)
        left, right = int(window.col_off == 0), int(window.right == self.up.width)
        inner = work[top : len(work) - bottom, left : work.shape[1] - right]
        self._read(inner, first - 1 + top - self.part.row_off)
        with np.errstate(invalid="ignore", over="ignore"):
            # The first and last row take columns as they are, as GDAL does.
            across = 1 if top or bottom else 2
            if left:
                work[:, 0] = self._beyond(work[:, 1], work[:, across])
            if right:
                work[:, -1] = self._beyond(work[:, -2], work[:, -1 - across])
            if top:
                work[0] = self._beyond(work[1], work[2])
            if bottom:
                work[-1] = self._beyond(work[-2], work[-3])
        return work

    def _read(self, heights: Pixels, row: int) -> None:
        """Fill ``heights`` with those from ``row`` of the part on."""
        rows = slice(row, row + len(heights))
        pixels, mask, nodata = self.given.pixels, self.given.mask, self.up.nodata
        band = pixels[self.band, rows]
        heights[:] = band  # NaN among them is what it is
        if self.up.validity == "alpha":
            np.copyto(heights, np.nan, where=pixels[-1, rows] == 0)
            return
        if mask is not None:
            np.copyto(heights, np.nan, where=~mask[rows])
        if validity.is_number(nodata):
            np.copyto(heights, np.nan, where=band == band.dtype.type(nodata))

    def _beyond(self, rim: Pixels, before: Pixels) -> Pixels | float:
        """Return the heights beyond ``rim``, which follows ``before``."""
        return 2 * rim - before if self.edges else math.nan


def type_of(up: Raster) -> np.dtype[np.generic]:
    """Return the type that heights are computed with."""
    return np.dtype("float32" if up.dtype in SHORT else "float64")


def tiles(window: Window, height: int) -> Iterator[tuple[int, int]]:
    """Cut the rows of ``window`` into tiles; the first and the last of the raster are alone."""
    first = window.row_off
    while first < window.bottom:
        alone = first in {0, height - 1}
        last = first + 1 if alone else min(first + TILE, window.bottom, height - 1)
        yield first, last
        first = last


def beside(marks: Valid) -> Valid:
    """Return where a pixel, or one of those around it, is marked."""
    rows = marks[:-2] | marks[1:-1] | marks[2:]
    found: Valid = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
    return found
