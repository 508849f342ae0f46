"""Chooses the output grid of a reprojection.

All coordinates are x, y (longitude, latitude) in the CRS's own units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import CrsError, SchemaError
from geobatch_tui.execution.proj.crs_lookup import named, same
from geobatch_tui.execution.raster.grid import projection, soundness
from geobatch_tui.execution.raster.grid.pixel_grid import MAX_SIDE, Box, PixelGrid

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyproj import CRS


#: Degrees between a source and an area of use up to which GDAL's grid is taken, if it is sound.
BESIDE = 10.0
#: A fraction of a pixel beyond a whole number that is rounding, and adds no pixel.
_SLACK = 1e-6


@dataclass(frozen=True, slots=True)
class GridRequest:
    """The user's wishes for the grid; see the parameters of ``raster.reproject``."""

    bounds: Box | None = None
    bounds_crs: CRS | None = None
    extent: str = "auto"
    resolution: tuple[float, float] | None = None
    size: tuple[int, int] | None = None
    target_aligned_pixels: bool = False


@dataclass(frozen=True, slots=True)
class GridChoice:
    """A grid, where it comes from in one word, and warnings."""

    grid: PixelGrid
    story: str
    warnings: tuple[str, ...] = ()


def choose(
    source: PixelGrid, dst_crs: CRS, request: GridRequest, suggest: Callable[[], PixelGrid | None]
) -> GridChoice:
    """Choose the output grid of ``source`` in ``dst_crs``.

    ``suggest`` returns GDAL's suggestion, or None where GDAL has none. A sound one is taken as it
    is; else the source's extent is cut to the area of use of ``dst_crs``, with pixels as large as a
    source pixel at the centre of the result. A source that is in ``dst_crs`` already keeps its own
    grid, as with gdalwarp. Raises CrsError if source and area of use lie far apart or the output
    would wrap round the world, SchemaError for too many pixels.
    """
    if request.bounds is not None:
        return _from_bounds(source, dst_crs, request, suggest)
    if request.extent != "area-of-use" and source.is_north_up and same(source.crs, dst_crs):
        return _from_own(source, dst_crs, request)
    globe, area = _on_globe(source), projection.area_of_use(dst_crs)
    shared = globe if area is None else _shared_box(globe, area)
    if area is not None and shared is None:
        return _from_beside(source, dst_crs, request, (globe, area), suggest)
    shared = shared or globe
    local = soundness.local_size(source, dst_crs, shared)
    suggestion = suggest() if request.extent != "area-of-use" else None
    if suggestion is not None:
        fault = soundness.fault_of(suggestion, local) or soundness.fold_of(source, suggestion)
        if fault is None:
            return _from_suggestion(source, request, suggestion)
        if request.extent == "source":
            raise CrsError(
                f"the whole source has no sound grid in {named(dst_crs)}: {fault}",
                hint='give bounds and resolution, or extent = "auto"',
            )
    else:
        fault = "asked for" if request.extent == "area-of-use" else "GDAL suggests no grid"
    return _from_area(source, dst_crs, request, shared, local, fault)


# --- grids by their origin ---------------------------------------------------------------------


def _from_own(source: PixelGrid, dst_crs: CRS, request: GridRequest) -> GridChoice:
    grid = replace(source, crs=dst_crs)
    if request.resolution is not None or request.size is not None:
        grid = _lay(dst_crs, grid.box, request, (0.0, 0.0))
    return GridChoice(grid, "source")


def _from_suggestion(source: PixelGrid, request: GridRequest, suggestion: PixelGrid) -> GridChoice:
    box = suggestion.box
    soundness.refuse_wrap(source, suggestion.crs, box)
    if request.resolution is None and request.size is None:
        return GridChoice(suggestion, "gdal")
    if request.resolution is not None:
        box = _trimmed(source, suggestion)
    return GridChoice(_lay(suggestion.crs, box, request, suggestion.pixel), "gdal")


def _from_beside(
    source: PixelGrid,
    dst_crs: CRS,
    request: GridRequest,
    boxes: tuple[Box, Box],
    suggest: Callable[[], PixelGrid | None],
) -> GridChoice:
    """Take GDAL's grid of a source outside the area of use, if the grid is sound and either the
    area is near or the source's extent is asked for."""
    globe, area = boxes
    apart = (
        f"the source covers {globe} (longitude, latitude) and {named(dst_crs)} is for {area}: they "
        "do not overlap"
    )
    asked = request.extent == "source"
    near = request.extent == "auto" and _gap(globe, area) <= BESIDE
    suggestion = suggest() if near or asked else None
    if suggestion is not None:
        local = soundness.local_size(source, dst_crs, globe)
        if (soundness.fault_of(suggestion, local) or soundness.fold_of(source, suggestion)) is None:
            choice = _from_suggestion(source, request, suggestion)
            warning = f"{apart}. GDAL's grid of the source is sound, and is taken"
            return replace(choice, warnings=(*choice.warnings, warning))
    raise CrsError(
        apart, hint='choose another dst_crs, or give bounds, or extent = "source", if you mean it'
    )


def _trimmed(source: PixelGrid, suggestion: PixelGrid) -> Box:
    """Return GDAL's extent without its rounding up to whole pixels.

    As gdalwarp does for a given resolution, it is found from 21 points along each edge of the
    source. Around a pole the edges say too little: then the extent stays.
    """
    box = suggestion.box
    if any(projection.poles_inside(source)):
        return box
    u, v = projection.rim_of_one(21)
    at = projection.apply(source.transform, u * source.width, v * source.height)
    x, y = projection.project(*at, source.crs, suggestion.crs)
    if np.isnan(x).any():
        return box
    pixel_x, pixel_y = suggestion.pixel
    right, bottom = float(x.max()), float(y.min())
    same = abs(x.min() - box.minx) < pixel_x and abs(y.max() - box.maxy) < pixel_y
    near = abs(right - box.maxx) < pixel_x and abs(bottom - box.miny) < pixel_y
    if not (same and near):
        return box
    return Box(box.minx, max(bottom, box.miny), min(right, box.maxx), box.maxy)


def _from_area(
    source: PixelGrid,
    dst_crs: CRS,
    request: GridRequest,
    shared: Box,
    local: float | None,
    fault: str,
) -> GridChoice:
    box = projection.project_box(shared, dst_crs)
    if box is None or local is None:
        raise CrsError(
            f"no grid can be found for {named(dst_crs)}: {fault}", hint="give bounds and resolution"
        )
    soundness.refuse_wrap(source, dst_crs, box)
    grid = _lay(dst_crs, box, request, (local, local), cover=True)
    if fault == "asked for":
        return GridChoice(grid, "area-of-use")
    warning = (
        f"the default grid is unsound ({fault}); the extent is cut to {shared} (longitude, "
        f"latitude), where the source meets the area of use of {named(dst_crs)}: "
        f"{grid.width}x{grid.height} pixels of {grid.transform[0]:.9g}. Give bounds, resolution "
        "or size to choose otherwise"
    )
    return GridChoice(grid, "area-of-use", (warning,))


def _from_bounds(
    source: PixelGrid, dst_crs: CRS, request: GridRequest, suggest: Callable[[], PixelGrid | None]
) -> GridChoice:
    box = _requested_box(request, dst_crs)
    if request.resolution is not None or (request.size is not None and 0 not in request.size):
        return GridChoice(_lay(dst_crs, box, request, (0.0, 0.0)), "bounds")
    local = soundness.pixel_at(source, dst_crs, box.centre)
    suggestion = suggest()
    if suggestion is not None and soundness.fault_of(suggestion, local) is None:
        return GridChoice(_lay(dst_crs, box, request, suggestion.pixel), "bounds")
    if local is None:
        raise CrsError(
            f"the centre of bounds {box} lies outside of what {named(dst_crs)} can show of the "
            "source, so the size of a pixel is unknown",
            hint="give resolution or size",
        )
    return GridChoice(_lay(dst_crs, box, request, (local, local)), "bounds")


def _requested_box(request: GridRequest, dst_crs: CRS) -> Box:
    if request.bounds is None:
        raise SchemaError("bounds are not given")
    if request.bounds_crs is None or request.bounds_crs == dst_crs:
        return request.bounds
    box = projection.project_box(request.bounds, dst_crs, request.bounds_crs)
    if box is None:
        raise CrsError(f"bounds {request.bounds} cannot be transformed to {named(dst_crs)}")
    return box


# --- laying pixels over a box ------------------------------------------------------------------


def _lay(
    crs: CRS, box: Box, request: GridRequest, pixel: tuple[float, float], *, cover: bool = False
) -> PixelGrid:
    """Lay pixels over ``box`` from its top left corner, counted as gdalwarp counts them.

    Unless a resolution or a size is requested, ``pixel`` is fitted to the box; with ``cover`` it
    is kept and the box is grown.
    """
    left, top, pixel_x, pixel_y = box.minx, box.maxy, *pixel
    if request.resolution is not None:
        pixel_x, pixel_y = request.resolution
        if request.target_aligned_pixels:
            box = _aligned(box, pixel_x, pixel_y)
            left, top = box.minx, box.maxy
        width, height = _count(box.width, pixel_x), _count(box.height, pixel_y)
    elif request.size is not None:
        width, height = _sized(box, request.size)
        pixel_x = box.width / width if request.size[0] else box.height / height
        pixel_y = box.height / height if request.size[1] else pixel_x
    elif cover:
        width = max(1.0, math.ceil(box.width / pixel_x - _SLACK))
        height = max(1.0, math.ceil(box.height / pixel_y - _SLACK))
    else:
        width, height = _count(box.width, pixel_x), _count(box.height, pixel_y)
        pixel_x, pixel_y = box.width / width, box.height / height
    if not max(width, height) <= MAX_SIDE:
        raise SchemaError(
            f"the destination grid would have {width:.0f}x{height:.0f} pixels; GDAL's limit is "
            f"{MAX_SIDE} a side",
            hint="give a coarser resolution, or smaller bounds",
        )
    return PixelGrid(crs, (pixel_x, 0.0, left, 0.0, -pixel_y, top), int(width), int(height))


def _count(length: float, pixel: float) -> float:
    return max(1.0, math.floor(length / pixel + 0.5))


def _sized(box: Box, size: tuple[int, int]) -> tuple[float, float]:
    width, height = float(size[0]), float(size[1])
    if not width:
        width = _count(box.width, box.height / height)
    elif not height:
        height = _count(box.height, box.width / width)
    return width, height


def _aligned(box: Box, x: float, y: float) -> Box:
    return Box(
        math.floor(box.minx / x + _SLACK) * x,
        math.floor(box.miny / y + _SLACK) * y,
        math.ceil(box.maxx / x - _SLACK) * x,
        math.ceil(box.maxy / y - _SLACK) * y,
    )


def _on_globe(source: PixelGrid) -> Box:
    """Return longitudes and latitudes of the source."""
    box = projection.lonlat_box(source)
    if box is None:
        raise CrsError(
            f"no point of the source can be placed on the globe by its CRS {named(source.crs)}"
        )
    return box


def _shared_box(globe: Box, area: Box) -> Box | None:
    """Return longitudes and latitudes of a source within an area of use; None if they do not
    overlap."""
    turned = [(globe.minx + turn, globe.maxx + turn) for turn in (-360, 0, 360)]
    pieces = [(max(area.minx, west), min(area.maxx, east)) for west, east in turned]
    pieces = [(left, right) for left, right in pieces if left < right]
    south, north = max(area.miny, globe.miny), min(area.maxy, globe.maxy)
    if not pieces or south >= north:
        return None
    return Box(min(p[0] for p in pieces), south, max(p[1] for p in pieces), north)


def _gap(globe: Box, area: Box) -> float:
    """Return the degrees between a source and an area of use, the larger of longitude and
    latitude."""
    across = min(
        max(globe.minx + turn - area.maxx, area.minx - globe.maxx - turn) for turn in (-360, 0, 360)
    )
    return max(across, globe.miny - area.maxy, area.miny - globe.maxy)
