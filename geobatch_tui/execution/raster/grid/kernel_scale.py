"""GDAL's kernel scale, for a whole item at once.

GDAL derives XSCALE and YSCALE from the source window of each chunk that it warps, so pixels depend
on how an image was cut. Here they are derived once, from the whole destination, in the way of
``GDALWarpOperation::ComputeSourceWindow`` and ``GDALWarpKernel::PerformWarp`` (GDAL 3.12), and
pinned for every window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import CrsError
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.grid.pixel_grid import PixelGrid
from geobatch_tui.execution.raster.grid.projection import poles_inside, rim_of_one

if TYPE_CHECKING:
    from geobatch_tui.execution.raster.grid.projection import Mapper
    from geobatch_tui.execution.raster.types import Pair, Points

#: Points along an edge that GDAL transforms.
STEPS = 21
#: Kernel radius in source pixels, by GDAL's name of the resampling (GWKGetFilterRadius). All other
#: resamplings count the pixels of an extent.
RADIUS = {"nearest": 0, "bilinear": 1, "cubic": 2, "cubicspline": 2, "lanczos": 3}
#: 1/scale this near to a whole number is taken for it.
_SNAP = 0.05


@dataclass(frozen=True, slots=True)
class SourceWindow:
    """The part of the source that an output window needs, without the kernel's margin, in pixels
    and fractions, clipped to the source. ``failed``: some points could not be transformed."""

    left: float
    top: float
    width: float
    height: float
    failed: bool

    @property
    def pixels(self) -> Window:
        """Whole pixels that it meets."""
        return Window.between(
            math.floor(self.left),
            math.floor(self.top),
            math.ceil(self.left + self.width),
            math.ceil(self.top + self.height),
        )


def source_window(mapper: Mapper, window: Window, steps: int = STEPS) -> SourceWindow | None:
    """Return the part of the source that ``window`` of the output needs; None if nothing.

    Its edges are transformed first, and its inside too if points on them fail or it holds a pole.
    """
    u, v = rim_of_one(steps)
    x, y = mapper.to_source(window.col_off + u * window.width, window.row_off + v * window.height)
    failed = bool(np.isnan(x).any())
    if failed or _pole_inside(mapper, window):
        inside = mapper.to_source(*_inside(window, steps))
        own = _source_points_inside(mapper, window, steps)
        x, y = (np.concatenate([a, b]) for a, b in zip(inside, own, strict=True))
    if np.isnan(x).all():
        return None
    source = mapper.source
    left, right = _clip(x, source.width)
    top, bottom = _clip(y, source.height)
    if right <= left or bottom <= top:
        return None
    return SourceWindow(left, top, right - left, bottom - top, failed)


def whole_window(mapper: Mapper) -> SourceWindow:
    """Return the part of the source that the whole output needs. Raises CrsError if no pixel of it
    lies over the source."""
    needed = source_window(mapper, Window(0, 0, mapper.grid.width, mapper.grid.height))
    if needed is None:
        raise CrsError(
            f"the destination grid {mapper.grid.box} does not meet the source anywhere",
            hint="check bounds and dst_crs",
        )
    return needed


def kernel_scale(grid: PixelGrid, needed: SourceWindow) -> tuple[float, float]:
    """Return XSCALE and YSCALE of a grid that needs this of its source: output over source size,
    snapped where 1/scale is nearly whole."""
    return snapped(grid.width / needed.width), snapped(grid.height / needed.height)


def snapped(scale: float) -> float:
    """Return ``scale``, or 1/n if 1/scale is within 0.05 of n, as GDAL does when reducing."""
    if scale >= 1:
        return scale
    nearest = math.floor(1 / scale + 0.5)
    return 1 / nearest if abs(1 / scale - nearest) < _SNAP else scale


def margin(resampling: str, xscale: float, yscale: float) -> int:
    """Return how many source pixels beyond a window the kernel reaches at the pinned scale.

    GDAL gets it as SOURCE_EXTRA: it widens each window by the scale of the window itself, and where
    that varies pixels at the rim of a chunk would lack neighbours.
    """
    radius = RADIUS.get(resampling, 1)
    return math.ceil(radius / min(xscale, yscale, 1.0)) + 2


def _inside(window: Window, steps: int) -> Pair:
    """Return a lattice over the window, with two more lines half a pixel from the rim."""
    ratios = np.concatenate(
        [[0.5 / window.width], np.linspace(0, 1, steps), [1 - 0.5 / window.width]]
    )
    u, v = np.meshgrid(ratios, ratios)
    return (window.col_off + u * window.width).ravel(), (window.row_off + v * window.height).ravel()


def _source_points_inside(mapper: Mapper, window: Window, steps: int) -> Pair:
    """Return the points of a lattice over the source that fall into the window, in source pixels: a
    projection may reach places that its inverse does not."""
    source = mapper.source
    cols, rows = _inside(Window(0, 0, source.width, source.height), steps)
    x, y = mapper.to_destination(cols, rows)
    left, top, right, bottom = window.bounds
    with np.errstate(invalid="ignore"):
        within = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
    return cols[within], rows[within]


def _pole_inside(mapper: Mapper, window: Window) -> bool:
    a, b, c, d, e, f = mapper.grid.transform
    col, row, width, height = window.srcwin
    transform = (a, b, a * col + b * row + c, d, e, d * col + e * row + f)
    return any(poles_inside(PixelGrid(mapper.grid.crs, transform, width, height)))


def _clip(values: Points, limit: int) -> tuple[float, float]:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return min(max(low, 0.0), float(limit)), min(max(high, 0.0), float(limit))


#: Source pixels that hard projections get beyond the margin, and points a side that GDAL samples.
HARD_EXTRA, HARD_STEPS = 10, 64


def is_hard(mapper: Mapper) -> bool:
    """Whether the rim of a region says too little of its inside: parts of the output have no source
    coordinate, or it holds a pole, or neighbouring pixels lie half the source apart."""
    grid = mapper.grid
    if any(poles_inside(grid)):
        return True
    sides = mapper.sides_to_source(65)
    if sides is not None:
        ways = zip(sides, (mapper.source.width, mapper.source.height), strict=True)
        return any(np.abs(np.diff(positions)).max() > side / 2 for positions, side in ways)
    x, y = mapper.lattice_to_source(65)
    if np.isnan(x).any():
        return True
    return any(
        np.abs(np.diff(positions, axis=axis)).max() > side / 2
        for positions, side in ((x, mapper.source.width), (y, mapper.source.height))
        for axis in (0, 1)
    )
