"""Computes GDAL's suggested grid for a small source, without GDAL's transformer.

To create a transformer takes GDAL longer than to use it: for a small file, as long as to read the
file. So in the plain case the few sums of GDALSuggestedWarpOutput2 (GDAL 3.12) are done here, on
points that GDAL projects. Every case that GDAL treats specially is left to GDAL.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from rasterio import crs as rio
from rasterio._err import CPLE_BaseError  # GDAL's where rasterio has no class; no public name
from rasterio.errors import RasterioError
from rasterio.warp import transform

from geobatch_tui.execution.proj import crs_lookup
from geobatch_tui.execution.raster.grid import projection
from geobatch_tui.execution.raster.grid.pixel_grid import PixelGrid
from geobatch_tui.execution.raster.warp import method
from geobatch_tui.execution.runtime.recorder import expected_gdal_errors

if TYPE_CHECKING:
    from pyproj import CRS

    from geobatch_tui.execution.raster.types import Points

#: Steps along an edge; of sources with a longer shorter side, GDAL takes more.
_STEPS, _LONGEST = 20, 1024
#: Degrees within which GDAL takes a longitude to be the antimeridian's.
_SEAM = 1e-8


def of(source: PixelGrid, dst_crs: CRS) -> PixelGrid | None:
    """Return the grid that GDAL suggests, to the last bit; None if only GDAL knows."""
    _, b, _, d, _, _ = source.transform
    plain = not b and not d and min(source.width, source.height) <= _LONGEST
    if not plain or not _are_simple(source.crs, dst_crs):
        return None
    try:
        with expected_gdal_errors():
            return _suggest(source, dst_crs)
    except (RasterioError, CPLE_BaseError):
        return None


def _suggest(source: PixelGrid, dst_crs: CRS) -> PixelGrid | None:
    src, dst = (_gdal_crs(crs_lookup.wkt_of(crs)) for crs in (source.crs, dst_crs))
    a, _, c, _, e, f = source.transform
    px, py = _rim(source)
    x, y = _projected(c + px * a, f + py * e, src, dst)
    if not (np.isfinite(x).all() and np.isfinite(y).all()) or _may_have_seam(x):
        return None
    left, right, bottom, top = x.min(), x.max(), y.min(), y.max()
    dx, dy = x[-1] - x[0], y[-1] - y[0]
    if not (dx and dy):
        return None
    diagonal = math.sqrt(source.width * source.width + source.height * source.height)
    pixel = math.sqrt(dx * dx + dy * dy) / diagonal
    width, height = int((right - left) / pixel + 0.5), int((top - bottom) / pixel + 0.5)
    if not (width and height):
        return None
    corners = np.array([left + width * pixel, left]), np.array([top, top - height * pixel])
    # What follows is compared within parts of a pixel or of an edge: no matter whose PROJ it is.
    back = projection.project(
        np.append(x, corners[0]), np.append(y, corners[1]), dst_crs, source.crs
    )
    ways = (c, a, px, source.width), (f, e, py, source.height)
    for positions, (origin, step, expected, side) in zip(back, ways, strict=True):
        away = np.abs((positions[:-2] - origin) / step - expected)
        if not (away <= side / _STEPS / 2).all():
            return None
    # Right and bottom rim must lie on the globe, or GDAL moves them.
    again = projection.project(back[0][-2:], back[1][-2:], source.crs, dst_crs)
    for new, old in zip(again, corners, strict=True):
        if not (np.abs(new - old) < pixel / 2).all():
            return None
    numbers = (float(pixel), 0.0, float(left), 0.0, -float(pixel), float(top))
    return PixelGrid(dst_crs, numbers, width, height)


@lru_cache(maxsize=64)
def _gdal_crs(wkt: str) -> rio.CRS:
    return rio.CRS.from_wkt(wkt)


def _rim(source: PixelGrid) -> tuple[Points, Points]:
    """Return pixel positions along top, bottom, left and right of a source."""
    along = np.arange(_STEPS + 1) * (1.0 / _STEPS)
    along[-1] = 1.0
    zero, one = np.zeros(_STEPS + 1), np.ones(_STEPS + 1)
    x = np.concatenate([along, along, zero, one]) * source.width
    y = np.concatenate([zero, one, along, along]) * source.height
    return x, y


def _are_simple(src: CRS, dst: CRS) -> bool:
    """Whether PROJ knows one way between two CRSs, both cylindrical and plain to GDAL."""
    return (
        dst.is_projected
        and src.srs != dst.srs
        and projection.is_separable(src, dst)
        and method.agree(src, dst)
    )


def _may_have_seam(x: Points) -> bool:
    """Whether GDAL would search for a seam: x changes its sign, or is 180."""
    edges = x[: 2 * (_STEPS + 1)].reshape(2, -1)
    turns = bool((edges[:, 1:] * edges[:, :-1] < 0).any())
    return turns or bool((np.abs(np.abs(x) - 180.0) < _SEAM).any())


def _projected(x: Points, y: Points, src: rio.CRS, dst: rio.CRS) -> tuple[Points, Points]:
    """Transform points of ``src`` to ``dst`` by GDAL."""
    u, v = transform(src, dst, x.tolist(), y.tolist())
    return np.array(u), np.array(v)
