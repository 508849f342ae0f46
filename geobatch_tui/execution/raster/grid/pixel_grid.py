"""Grids of pixels in a CRS: of a source, and of an output."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pyproj import CRS

    from geobatch_tui.execution.raster.types import Points, Transform

#: The longest side of a raster in pixels: GDAL counts them as C ints.
MAX_SIDE = 2**31 - 1


@dataclass(frozen=True, slots=True)
class PixelGrid:
    """A grid in a horizontal ``crs``: of a source, or north up of an output."""

    crs: CRS = field(hash=False)  # its hash writes its WKT anew each time
    transform: Transform
    width: int
    height: int

    @property
    def is_north_up(self) -> bool:
        a, b, _, d, e, _ = self.transform
        return not (b or d) and a > 0 > e

    @property
    def pixel(self) -> tuple[float, float]:
        """Width and height of a pixel of a grid that is north up."""
        return self.transform[0], -self.transform[4]

    @property
    def middle(self) -> tuple[float, float]:
        a, b, c, d, e, f = self.transform
        col, row = self.width / 2, self.height / 2
        return a * col + b * row + c, d * col + e * row + f

    @property
    def box(self) -> Box:
        """Bounds of a grid that is north up."""
        a, _, c, _, e, f = self.transform
        return Box(c, f + e * self.height, c + a * self.width, f)


@dataclass(frozen=True, slots=True)
class Box:
    """Bounds in a CRS's units. In degrees ``maxx`` may exceed 180: then the box crosses the
    antimeridian."""

    minx: float
    miny: float
    maxx: float
    maxy: float

    @classmethod
    def around(cls, x: Points, y: Points) -> Box:
        """Return the bounds of points; NaN does not count."""
        least, most = np.fmin.reduce, np.fmax.reduce
        return cls(
            float(least(x, axis=None)),
            float(least(y, axis=None)),
            float(most(x, axis=None)),
            float(most(y, axis=None)),
        )

    @property
    def centre(self) -> tuple[float, float]:
        return (self.minx + self.maxx) / 2, (self.miny + self.maxy) / 2

    @property
    def width(self) -> float:
        return self.maxx - self.minx

    @property
    def height(self) -> float:
        return self.maxy - self.miny

    def __str__(self) -> str:
        return f"({self.minx:.9g}, {self.miny:.9g}, {self.maxx:.9g}, {self.maxy:.9g})"
