"""Chooses the destination grid of a reprojection.

All coordinates are x, y (longitude, latitude) in the CRS's own units; a transform is the six
numbers (a, b, c, d, e, f) of x = a*col + b*row + c, y = d*col + e*row + f.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import CrsError, SchemaError
from geobatch_tui.execution.proj.crs_lookup import LONLAT, is_degrees, named, same
from geobatch_tui.execution.raster.grid.pixel_grid import Box, Grid, Source, Transform
from geobatch_tui.execution.raster.grid.projection import (
    ROUND,
    apply,
    area_of_use,
    axes,
    invert,
    lattice,
    lonlat_box,
    poles_inside,
    project,
    project_box,
    project_lattice,
    project_sides,
    separately,
    unroll,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyproj import CRS


#: Sizes of GDAL's are C ints.
MAX_SIDE = 2**31 - 1
#: GDAL's suggestion is taken if its pixels are this many times larger or smaller than the
#: source's at most; sound ones measured lie between 0.3 and 2.3.
UNSOUND_RATIO = 4.0
#: A position that comes back this many pixels away shows what another one shows; more than this
#: share of them, and the grid is folded. (A seam at 180 degrees is a line, not a share.)
FOLD_PIXELS, FOLD_SHARE = 2.0, 0.05
#: Degrees between a source and an area of use up to which GDAL's grid is taken, if it is sound.
BESIDE = 10.0
#: Pixels a side under which a pixel may be a large part of the globe.
FEW = 16
#: Slack in pixels before a fraction of one counts as a whole one.
_SLACK = 1e-6


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asks of the grid; see the parameters of ``raster.reproject``."""

    bounds: Box | None = None
    bounds_crs: CRS | None = None
    extent: str = "auto"
    resolution: tuple[float, float] | None = None
    size: tuple[int, int] | None = None
    target_aligned_pixels: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """A grid, how it came about in one word, and what the operator should know of it."""

    grid: Grid
    story: str
    warnings: tuple[str, ...] = ()


Suggestion = tuple[Transform, int, int]


def choose(
    source: Source, dst_crs: CRS, wish: Wish, suggest: Callable[[], Suggestion | None]
) -> Choice:
    """The destination grid.

    ``suggest`` gives GDAL's own (transform, width, height), or None where it has none. It is taken
    as it is if sound; else the source's extent is cut to the area of use of ``dst_crs``, with
    pixels as large as a source pixel is at the centre of that. A source that is in ``dst_crs``
    already keeps its own grid, as with gdalwarp.

    Raises:
        CrsError: source and area of use lie far apart, or the output would wrap round the world.
        SchemaError: a side without pixels, or too many.
    """
    if wish.bounds is not None:
        return _from_bounds(source, dst_crs, wish, suggest)
    if wish.extent != "area-of-use" and _is_north_up(source) and same(source.crs, dst_crs):
        return _from_own(source, dst_crs, wish)
    globe, area = _on_globe(source), area_of_use(dst_crs)
    shared = globe if area is None else _shared_box(globe, area)
    if area is not None and shared is None:
        return _from_beside(source, dst_crs, wish, (globe, area, suggest))
    shared = shared or globe
    local = _local_size(source, dst_crs, shared)
    suggestion = suggest() if wish.extent != "area-of-use" else None
    if suggestion is not None:
        fault = _fault(suggestion, local) or _folded(source, dst_crs, suggestion)
        if fault is None:
            return _from_suggestion(source, dst_crs, wish, suggestion)
        if wish.extent == "source":
            raise CrsError(
                f"the whole source has no sound grid in {named(dst_crs)}: {fault}",
                hint='give bounds and resolution, or extent = "auto"',
            )
    else:
        fault = "asked for" if wish.extent == "area-of-use" else "GDAL suggests no grid"
    return _from_area(source, dst_crs, wish, (shared, local, fault))


# --- the four ways -----------------------------------------------------------------------------


def _is_north_up(source: Source) -> bool:
    a, b, _, d, e, _ = source.transform
    return not (b or d) and a > 0 > e


def _from_own(source: Source, dst_crs: CRS, wish: Wish) -> Choice:
    grid = Grid(dst_crs, source.transform, source.width, source.height)
    if wish.resolution is not None or wish.size is not None:
        grid = _lay(dst_crs, grid.box, wish, (0.0, 0.0))
    return Choice(grid, "source")


def _from_suggestion(source: Source, dst_crs: CRS, wish: Wish, suggestion: Suggestion) -> Choice:
    (a, _, c, _, e, f), width, height = suggestion
    box = Box(c, f + e * height, c + a * width, f)
    _refuse_wrap(source, dst_crs, box)
    if wish.resolution is None and wish.size is None:
        return Choice(Grid(dst_crs, (a, 0.0, c, 0.0, e, f), width, height), "gdal")
    if wish.resolution is not None:
        box = _trimmed(source, dst_crs, suggestion)
    return Choice(_lay(dst_crs, box, wish, (a, -e)), "gdal")


def _from_beside(
    source: Source,
    dst_crs: CRS,
    wish: Wish,
    found: tuple[Box, Box, Callable[[], Suggestion | None]],
) -> Choice:
    """GDAL's grid of a source outside the area of use, if that is near, or the source's extent is
    asked for, and if the grid is sound."""
    globe, area, suggest = found
    apart = (
        f"the source covers {globe} (longitude, latitude) and {named(dst_crs)} is for {area}: they "
        "do not overlap"
    )
    asked = wish.extent == "source"
    near = wish.extent == "auto" and _gap(globe, area) <= BESIDE
    suggestion = suggest() if near or asked else None
    if suggestion is not None:
        local = _local_size(source, dst_crs, globe)
        if (_fault(suggestion, local) or _folded(source, dst_crs, suggestion)) is None:
            choice = _from_suggestion(source, dst_crs, wish, suggestion)
            told = f"{apart}. GDAL's grid of the source is sound, and is taken"
            return replace(choice, warnings=(*choice.warnings, told))
    raise CrsError(
        apart, hint='choose another dst_crs, or give bounds, or extent = "source", if you mean it'
    )


def _trimmed(source: Source, dst_crs: CRS, suggestion: Suggestion) -> Box:
    """GDAL's extent, which counts whole pixels of its own, without what it was rounded up by: from
    21 points along each edge of the source, as gdalwarp has it for a given resolution.

    Around a pole the edges say too little: then the extent stays.
    """
    (a, _, c, _, e, f), width, height = suggestion
    box = Box(c, f + e * height, c + a * width, f)
    if any(poles_inside(source)):
        return box
    along, zero, one = np.linspace(0, 1, 21), np.zeros(21), np.ones(21)
    cols = np.concatenate([along, along, zero, one]) * source.width
    rows = np.concatenate([zero, one, along, along]) * source.height
    x, y = project(*apply(source.transform, cols, rows), source.crs, dst_crs)
    if np.isnan(x).any():
        return box
    right, bottom = float(x.max()), float(y.min())
    same = abs(x.min() - box.minx) < a and abs(y.max() - box.maxy) < -e
    near = abs(right - box.maxx) < a and abs(bottom - box.miny) < -e
    if not (same and near):
        return box
    return Box(box.minx, max(bottom, box.miny), min(right, box.maxx), box.maxy)


def _from_area(
    source: Source, dst_crs: CRS, wish: Wish, found: tuple[Box, float | None, str]
) -> Choice:
    shared, local, fault = found
    box = project_box(shared, dst_crs)
    if box is None or local is None:
        raise CrsError(
            f"no grid can be found for {named(dst_crs)}: {fault}",
            hint="give bounds and resolution",
        )
    _refuse_wrap(source, dst_crs, box)
    grid = _lay(dst_crs, box, wish, (local, local), cover=True)
    if fault == "asked for":
        return Choice(grid, "area-of-use")
    warning = (
        f"the default grid is unsound ({fault}); the extent is cut to {shared} (longitude, "
        f"latitude), where the source meets the area of use of {named(dst_crs)}: "
        f"{grid.width}x{grid.height} pixels of {grid.transform[0]:.9g}. Give bounds, resolution "
        "or size to choose otherwise"
    )
    return Choice(grid, "area-of-use", (warning,))


def _from_bounds(
    source: Source, dst_crs: CRS, wish: Wish, suggest: Callable[[], Suggestion | None]
) -> Choice:
    box = _wished_box(wish, dst_crs)
    if wish.resolution is not None or (wish.size is not None and 0 not in wish.size):
        return Choice(_lay(dst_crs, box, wish, (0.0, 0.0)), "bounds")
    local = _pixel_at(source, dst_crs, box.centre)
    suggestion = suggest()
    if suggestion is not None and _fault(suggestion, local) is None:
        (a, _, _, _, e, _), _, _ = suggestion
        return Choice(_lay(dst_crs, box, wish, (a, -e)), "bounds")
    if local is None:
        raise CrsError(
            f"the centre of bounds {box} lies outside of what {named(dst_crs)} can show of the "
            "source, so the size of a pixel is unknown",
            hint="give resolution or size",
        )
    return Choice(_lay(dst_crs, box, wish, (local, local)), "bounds")


def _wished_box(wish: Wish, dst_crs: CRS) -> Box:
    if wish.bounds is None:
        raise SchemaError("bounds are not given")
    if wish.bounds_crs is None or wish.bounds_crs == dst_crs:
        return wish.bounds
    box = project_box(wish.bounds, dst_crs, wish.bounds_crs)
    if box is None:
        raise CrsError(f"bounds {wish.bounds} cannot be transformed to {named(dst_crs)}")
    return box


# --- laying pixels over a box ------------------------------------------------------------------


def _lay(
    crs: CRS, box: Box, wish: Wish, pixel: tuple[float, float], *, cover: bool = False
) -> Grid:
    """Pixels over ``box`` from its top left corner, counted as gdalwarp does.

    Without a wish, ``pixel`` is fitted to the box, or, with ``cover``, kept and the box grown.
    """
    left, top, pixel_x, pixel_y = box.minx, box.maxy, *pixel
    if wish.resolution is not None:
        pixel_x, pixel_y = wish.resolution
        if wish.target_aligned_pixels:
            box = _aligned(box, pixel_x, pixel_y)
            left, top = box.minx, box.maxy
        width, height = _count(box.width, pixel_x), _count(box.height, pixel_y)
    elif wish.size is not None:
        width, height = _sized(box, wish.size)
        pixel_x = box.width / width if wish.size[0] else box.height / height
        pixel_y = box.height / height if wish.size[1] else pixel_x
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
    return Grid(crs, (pixel_x, 0.0, left, 0.0, -pixel_y, top), int(width), int(height))


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


# --- soundness ---------------------------------------------------------------------------------


def _fault(suggestion: Suggestion, local: float | None) -> str | None:
    """What is wrong with GDAL's suggestion; None if it is sound."""
    transform, width, height = suggestion
    if not all(math.isfinite(value) for value in transform):
        return "GDAL suggests a grid that is not finite"
    if width < 1 or height < 1 or width > MAX_SIDE or height > MAX_SIDE:
        return f"GDAL suggests {width}x{height} pixels"
    if local is None:
        return None
    for side in (transform[0], -transform[4]):
        ratio = side / local
        if not 1 / UNSOUND_RATIO <= ratio <= UNSOUND_RATIO:
            return (
                f"GDAL suggests pixels of {side:.4g}, {ratio:.3g} times the {local:.4g} that a "
                "source pixel measures there"
            )
    return None


def _folded(source: Source, dst_crs: CRS, suggestion: Suggestion) -> str | None:
    """Whether the suggestion shows parts of the source more than once, as a transverse Mercator
    zone does of a whole globe: positions whose way to the source and back ends elsewhere."""
    transform, width, height = suggestion
    if _returns(source, Grid(dst_crs, transform, width, height)):
        return None
    cols, rows = lattice(width, height, 65)
    sx, sy = project_lattice(Grid(dst_crs, transform, width, height), 65, source.crs)
    scol, srow = invert(source.transform, sx, sy)
    with np.errstate(invalid="ignore"):
        within = (scol >= 0) & (scol <= source.width) & (srow >= 0) & (srow <= source.height)
    if not within.any():
        return None
    bx, by = project(sx[within], sy[within], source.crs, dst_crs)
    bcol, brow = invert(transform, bx, by)
    with np.errstate(invalid="ignore"):
        away = np.hypot(bcol - cols[within], brow - rows[within]) > FOLD_PIXELS
    share = float(away.mean())
    if share <= FOLD_SHARE:
        return None
    return f"GDAL suggests {width}x{height} pixels, {share:.0%} of which repeat what others show"


def _returns(source: Source, grid: Grid) -> bool:
    """Whether every column and every row comes back from the source, each by itself."""
    there = project_sides(grid, 65, source.crs)
    back = None if there is None else separately(*there, source.crs, grid.crs)
    if back is None:
        return False
    half = FOLD_PIXELS / 2
    return all(
        bool(np.abs(found - meant).max() < half * abs(pixel))
        for found, meant, pixel in zip(
            back, axes(grid, 65), (grid.transform[0], grid.transform[4]), strict=True
        )
    )


def _on_globe(source: Source) -> Box:
    """Longitudes and latitudes of the source."""
    box = lonlat_box(source)
    if box is None:
        raise CrsError(
            f"no point of the source can be placed on the globe by its CRS {named(source.crs)}"
        )
    return box


def _shared_box(globe: Box, area: Box) -> Box | None:
    """Longitudes and latitudes of a source within an area of use; None if there are none."""
    turned = [(globe.minx + turn, globe.maxx + turn) for turn in (-360, 0, 360)]
    pieces = [(max(area.minx, west), min(area.maxx, east)) for west, east in turned]
    pieces = [(left, right) for left, right in pieces if left < right]
    south, north = max(area.miny, globe.miny), min(area.maxy, globe.maxy)
    if not pieces or south >= north:
        return None
    return Box(min(p[0] for p in pieces), south, max(p[1] for p in pieces), north)


def _gap(globe: Box, area: Box) -> float:
    """Degrees between a source and an area of use, the larger of longitude and latitude."""
    across = min(
        max(globe.minx + turn - area.maxx, area.minx - globe.maxx - turn) for turn in (-360, 0, 360)
    )
    return max(across, globe.miny - area.maxy, area.miny - globe.maxy)


def _local_size(source: Source, dst_crs: CRS, shared: Box) -> float | None:
    """Side of a square in ``dst_crs`` with the area of the source pixel at the centre of
    ``shared``; None if it cannot be known."""
    x, y = shared.centre
    # Through the destination, as the datum may differ and the longitude may be unrolled.
    px, py = project(np.array([x]), np.array([y]), LONLAT, dst_crs)
    return _pixel_at(source, dst_crs, (float(px[0]), float(py[0])))


def _pixel_at(source: Source, dst_crs: CRS, point: tuple[float, float]) -> float | None:
    x, y = project(np.array([point[0]]), np.array([point[1]]), dst_crs, source.crs)
    if is_degrees(source.crs):
        middle, _ = apply(
            source.transform, np.array([source.width / 2]), np.array([source.height / 2])
        )
        x = unroll(x, float(middle[0]))
    col, row = (float(value[0]) for value in invert(source.transform, x, y))
    if not (math.isfinite(col) and math.isfinite(row)):
        return None
    col = min(max(col, 0.5), source.width - 0.5)
    row = min(max(row, 0.5), source.height - 0.5)
    # Of a source of few pixels a whole one may reach over poles and the antimeridian.
    half = 0.5 if min(source.width, source.height) >= FEW else 1 / 64
    cols, rows = np.array([-half, half, 0, 0]) + col, np.array([0, 0, -half, half]) + row
    dx, dy = project(*apply(source.transform, cols, rows), source.crs, dst_crs)
    area = abs((dx[1] - dx[0]) * (dy[3] - dy[2]) - (dx[3] - dx[2]) * (dy[1] - dy[0]))
    return math.sqrt(area) / (2 * half) if math.isfinite(area) and area > 0 else None


def _refuse_wrap(source: Source, dst_crs: CRS, box: Box) -> None:
    """Raises CrsError if ``box`` goes round the world though the source covers less than half."""
    globe = lonlat_box(source)
    if globe is None or globe.width >= 180:
        return
    alone = project_sides(source, 21, dst_crs)
    # Along a column of a cylinder x stays where it is.
    x = project_lattice(source, 21, dst_crs)[0] if alone is None else alone[0][np.newaxis]
    if np.isnan(x).all():
        return
    spread = float(np.nanmax(x) - np.nanmin(x))
    jumps = np.concatenate([np.abs(np.diff(x, axis=0)).ravel(), np.abs(np.diff(x, axis=1)).ravel()])
    degrees = box.width if is_degrees(dst_crs) else 0.0
    if np.nanmax(jumps) > spread / 2 and (degrees > ROUND or box.width > 0.9 * spread):
        raise CrsError(
            f"the source crosses the antimeridian: it is {globe.width:.4g} degrees wide, the "
            f"output in {named(dst_crs)} would go round the world ({box})",
            hint="give bounds on one side of it, or a dst_crs centred there",
        )
