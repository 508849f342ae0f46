"""Checks whether a suggested grid is sound: its pixels as large as the source's, nothing shown
twice, and no way round the world."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import CrsError
from geobatch_tui.execution.proj.crs_lookup import LONLAT, is_degrees, named
from geobatch_tui.execution.raster.grid import projection
from geobatch_tui.execution.raster.grid.pixel_grid import MAX_SIDE, PixelGrid

if TYPE_CHECKING:
    from pyproj import CRS

    from geobatch_tui.execution.raster.grid.pixel_grid import Box

#: GDAL's suggestion is taken if its pixels are at most this many times larger or smaller than the
#: source's; sound ones measured lie between 0.3 and 2.3.
UNSOUND_RATIO = 4.0
#: A position that comes back this many pixels away shows what another one shows; with more than
#: this share of them the grid is folded. (A seam at 180 degrees is a line, not a share.)
FOLD_PIXELS, FOLD_SHARE = 2.0, 0.05
#: Pixels a side under which a pixel may be a large part of the globe.
FEW = 16


def fault_of(suggestion: PixelGrid, local: float | None) -> str | None:
    """Return what is wrong with GDAL's suggestion; None if it is sound. ``local`` is the side of a
    source pixel there (:func:`local_size`)."""
    width, height = suggestion.width, suggestion.height
    if not all(map(math.isfinite, suggestion.transform)):
        return "GDAL suggests a grid that is not finite"
    if width < 1 or height < 1 or width > MAX_SIDE or height > MAX_SIDE:
        return f"GDAL suggests {width}x{height} pixels"
    if local is None:
        return None
    for side in suggestion.pixel:
        ratio = side / local
        if not 1 / UNSOUND_RATIO <= ratio <= UNSOUND_RATIO:
            return (
                f"GDAL suggests pixels of {side:.4g}, {ratio:.3g} times the {local:.4g} that a "
                "source pixel measures there"
            )
    return None


def fold_of(source: PixelGrid, suggestion: PixelGrid) -> str | None:
    """Return a sentence if the suggestion shows parts of the source more than once, as a transverse
    Mercator zone does of a whole globe: positions whose way to the source and back ends
    elsewhere."""
    if _returns(source, suggestion):
        return None
    width, height = suggestion.width, suggestion.height
    cols, rows = projection.lattice(width, height, 65)
    sx, sy = projection.project_lattice(suggestion, 65, source.crs)
    scol, srow = projection.invert(source.transform, sx, sy)
    with np.errstate(invalid="ignore"):
        within = (scol >= 0) & (scol <= source.width) & (srow >= 0) & (srow <= source.height)
    if not within.any():
        return None
    back = projection.project(sx[within], sy[within], source.crs, suggestion.crs)
    bcol, brow = projection.invert(suggestion.transform, *back)
    with np.errstate(invalid="ignore"):
        away = np.hypot(bcol - cols[within], brow - rows[within]) > FOLD_PIXELS
    share = float(away.mean())
    if share <= FOLD_SHARE:
        return None
    return f"GDAL suggests {width}x{height} pixels, {share:.0%} of which repeat what others show"


def _returns(source: PixelGrid, grid: PixelGrid) -> bool:
    """Whether every column and every row comes back from the source, each by itself."""
    there = projection.project_sides(grid, 65, source.crs)
    back = None if there is None else projection.separately(*there, source.crs, grid.crs)
    if back is None:
        return False
    half = FOLD_PIXELS / 2
    return all(
        bool(np.abs(position - expected).max() < half * abs(pixel))
        for position, expected, pixel in zip(
            back, projection.axes(grid, 65), grid.pixel, strict=True
        )
    )


def local_size(source: PixelGrid, dst_crs: CRS, shared: Box) -> float | None:
    """Return the side of a square in ``dst_crs`` with the area of the source pixel at the centre of
    ``shared``; None if it cannot be known."""
    x, y = shared.centre
    # Through the destination, as the datum may differ and the longitude may be unrolled.
    px, py = projection.project(np.array([x]), np.array([y]), LONLAT, dst_crs)
    return pixel_at(source, dst_crs, (float(px[0]), float(py[0])))


def pixel_at(source: PixelGrid, dst_crs: CRS, point: tuple[float, float]) -> float | None:
    """Return the side of a square with the area of the source pixel at ``point`` of ``dst_crs``;
    None if it cannot be known."""
    x, y = projection.project(np.array([point[0]]), np.array([point[1]]), dst_crs, source.crs)
    if is_degrees(source.crs):
        x = projection.unroll(x, source.middle[0])
    col, row = (float(value[0]) for value in projection.invert(source.transform, x, y))
    if not (math.isfinite(col) and math.isfinite(row)):
        return None
    col = min(max(col, 0.5), source.width - 0.5)
    row = min(max(row, 0.5), source.height - 0.5)
    # In a source of few pixels a whole one may reach over poles and the antimeridian.
    half = 0.5 if min(source.width, source.height) >= FEW else 1 / 64
    cols, rows = np.array([-half, half, 0, 0]) + col, np.array([0, 0, -half, half]) + row
    dx, dy = projection.project(
        *projection.apply(source.transform, cols, rows), source.crs, dst_crs
    )
    area = abs((dx[1] - dx[0]) * (dy[3] - dy[2]) - (dx[3] - dx[2]) * (dy[1] - dy[0]))
    return math.sqrt(area) / (2 * half) if math.isfinite(area) and area > 0 else None


def refuse_wrap(source: PixelGrid, dst_crs: CRS, box: Box) -> None:
    """Raise CrsError if ``box`` goes round the world though the source covers less than half."""
    globe = projection.lonlat_box(source)
    if globe is None or globe.width >= 180:
        return
    sides = projection.project_sides(source, 21, dst_crs)
    # Where x depends on the column alone, one row stands for all.
    x = projection.project_lattice(source, 21, dst_crs)[0] if sides is None else sides[0][None]
    if np.isnan(x).all():
        return
    spread = float(np.nanmax(x) - np.nanmin(x))
    jumps = np.concatenate([np.abs(np.diff(x, axis=0)).ravel(), np.abs(np.diff(x, axis=1)).ravel()])
    degrees = box.width if is_degrees(dst_crs) else 0.0
    if np.nanmax(jumps) > spread / 2 and (degrees > projection.ROUND or box.width > 0.9 * spread):
        raise CrsError(
            f"the source crosses the antimeridian: it is {globe.width:.4g} degrees wide, the "
            f"output in {named(dst_crs)} would go round the world ({box})",
            hint="give bounds on one side of it, or a dst_crs centred there",
        )
