"""Chooses, at plan time, how an item is warped: the source of its coordinates (``types.Method``).

Our own kernels take an item only if they can do everything in its plan, and if GDAL's coordinates
of a few thousand points of this very grid are the same as ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rasterio import Affine
from rasterio.enums import Resampling
from rasterio.errors import CRSError, RasterioError
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.proj import coordinate_operations, crs_lookup
from geobatch_tui.execution.raster.grid import kernel_scale, projection
from geobatch_tui.execution.raster.grid.pixel_grid import PixelGrid
from geobatch_tui.execution.raster.warp import coordinates, gdal_warp, source_window, taps
from geobatch_tui.execution.runtime.recorder import expected_gdal_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyproj import CRS

    from geobatch_tui.execution.raster.grid.projection import Mapper
    from geobatch_tui.execution.raster.plan import Warp
    from geobatch_tui.execution.raster.source_facts import Facts
    from geobatch_tui.execution.raster.types import Method, Points

#: Options that do not change pixels; UNIFIED's and INIT_DEST's values are checked beside.
_HARMLESS = frozenset({
    "SOURCE_EXTRA", "SAMPLE_GRID", "SAMPLE_STEPS", "INIT_DEST", source_window.UNIFIED,
    gdal_warp.CENTRE,
})  # fmt: skip
#: Output pixels below which GDAL warps an item faster than it could be asked for coordinates.
SMALL = 2**20
#: Source pixels by which a small grid may reach beyond its source.
_RIM = 8.0
#: Points a side at which GDAL's coordinates are compared, and pixels a side of the picture for it.
_POINTS, _SIDE = 40, 64
#: Pixels a side of grids that stand for all: with so many, GDAL's coordinates may differ by less
#: than a millimetre.
_WHOLE = 2**18
#: Difference allowed between GDAL's coordinates and ours, in source pixels: that of two builds of
#: PROJ.
_AGREE = 1e-6
#: Share of points that may lie on the source for GDAL or us alone, as at a limb.
_STRAY = 0.005


def choose(facts: Facts, mapper: Mapper, planned: Warp) -> tuple[Method, str]:
    """Choose the method of an item, and say why no faster one (empty for the fastest). Raises
    SchemaError if only our kernels heed both a mask and nodata, and they cannot take the item."""
    nodata = planned.src_nodata is not None or gdal_warp.PER_BAND in planned.options
    only_ours = facts.mask and nodata
    why = "error_threshold is 0" if planned.error_threshold <= 0 else ""
    why = why or _beyond_kernels(facts, planned)
    if not why and not only_ours and mapper.grid.width * mapper.grid.height < SMALL:
        return _method_of_few_pixels(mapper)
    if not why and not agrees(mapper, planned.options, planned.tolerance):
        why = "GDAL has other coordinates than PROJ alone"
    path: Method = "exact"
    if not why:
        path, why = _method_of_grid(mapper, planned)
    if only_ours and path == "exact":
        raise SchemaError(
            "the source has a mask beside nodata; GDAL's warper heeds only one of them, and our "
            f"kernels cannot be used: {why}",
            hint='src_nodata = "none" leaves it to the mask; or choose another resampling',
        )
    return path, why


def _method_of_grid(mapper: Mapper, planned: Warp) -> tuple[Method, str]:
    if coordinates.separable(mapper) is not None:
        return "separable", ""
    if planned.resampling == "average" and "SAMPLE_GRID" in planned.options:
        # GDAL's mean of a pixel over the antimeridian depends on what else it has in memory.
        return "exact", "averages over poles, limbs and the antimeridian are GDAL's"
    return "lattice", "the grid is not separable"


def _beyond_kernels(facts: Facts, planned: Warp) -> str:
    if planned.resampling not in {*kernel_scale.RADIUS, "average"}:
        return f"{planned.resampling} is GDAL's"
    dtype = facts.dtype
    if dtype not in source_window.NATIVE | source_window.WIDENED:
        return f"{dtype} pixels are GDAL's"
    unknown = sorted(set(planned.options) - _HARMLESS)
    unified = planned.options.get(source_window.UNIFIED) in ("YES", "PARTIAL")
    if unknown or not unified or "INIT_DEST" in planned.options:
        return f"warp options: {', '.join(unknown) or 'nodata'}"
    if facts.alpha and dtype != "uint8":
        return f"alpha of {dtype}"
    if planned.resampling in taps.CODES:
        kernel = taps.Kernel.of(planned.resampling, planned.xscale, planned.yscale)
        if facts.width < kernel.taps[0] + 2 or facts.height < kernel.taps[1] + 2:
            return "the source is smaller than the kernel"
    return ""


def _method_of_few_pixels(mapper: Mapper) -> tuple[Method, str]:
    """Choose the method of a small item. GDAL is asked once for all grids of the two CRSs."""
    src, dst = mapper.source.crs, mapper.grid.crs
    plain = mapper.centre is None and agree(src, dst)
    vectors = coordinates.separable(mapper) if plain else None
    if vectors is not None and _lies_on_source(mapper, vectors):
        return "separable", ""
    return "exact", "few pixels"


def _lies_on_source(mapper: Mapper, vectors: coordinates.Vectors) -> bool:
    """Whether no pixel of a separable grid is so far off the source that GDAL might search for it a
    turn of the globe away."""
    return all(
        values.min() >= -_RIM and values.max() <= side + _RIM
        for values, side in ((vectors.x, mapper.source.width), (vectors.y, mapper.source.height))
    )


@crs_lookup.by_text
def agree(src: CRS, dst: CRS) -> bool:
    """Whether GDAL's warper has our coordinates on every grid in ``dst`` over a source in ``src``:
    PROJ knows one way between them, and they agree on a grid that stands for all.

    Where PROJ knows several ways, or would need a grid of shifts that it does not find, GDAL
    chooses by the area of a source, and PROJ by itself from point to point.
    """
    ways = coordinate_operations.known(crs_lookup.wkt_of(src), crs_lookup.wkt_of(dst))
    if len(ways.pipelines) != 1 or ways.lacking is not None or not ways.best:
        return False
    mapper = _reference(src, dst)
    return mapper is not None and agrees(mapper, {}, 1e-9)


def _reference(src: CRS, dst: CRS) -> Mapper | None:
    """Return a source and a grid that cover most of the area of use of both CRSs; None if that area
    is unknown, or lies across the antimeridian."""
    shared = projection.shared_area(src, dst)
    if shared is None:
        return None
    grids = []
    for crs in (src, dst):
        box = projection.project_box(shared, crs)
        if box is None:
            return None
        step_x, step_y = box.width / _WHOLE, -box.height / _WHOLE
        transform = (step_x, 0.0, box.minx, 0.0, step_y, box.maxy)
        grids.append(PixelGrid(crs, transform, _WHOLE, _WHOLE))
    mapper = projection.Mapper.between(*grids)
    return None if mapper.centre is not None else mapper


def agrees(mapper: Mapper, options: Mapping[str, str], tolerance: float) -> bool:
    """Whether GDAL's warper, with its ``options``, has our coordinates.

    GDAL warps a small picture in the place of the source whose pixels hold their own position;
    bilinear interpolation of it gives the position that GDAL took.
    """
    source, grid = mapper.source, mapper.grid
    cols, rows = min(grid.width, _POINTS), min(grid.height, _POINTS)
    asked = _resized(grid, cols, rows)
    try:
        theirs = _positions_by_gdal(_resized(source, _SIDE, _SIDE), asked, options, tolerance)
    except (RasterioError, CRSError):
        return False
    step_x, step_y = grid.width / cols, grid.height / rows
    at = np.meshgrid((np.arange(cols) + 0.5) * step_x, (np.arange(rows) + 0.5) * step_y)
    x, y = coordinates.exact(mapper, *at)
    # Within half a pixel of the rim the picture is flat.
    rim_x, rim_y = source.width / _SIDE / 2, source.height / _SIDE / 2
    with np.errstate(invalid="ignore"):
        ours = (x > rim_x) & (x < source.width - rim_x) & (y > rim_y) & (y < source.height - rim_y)
        outside = ~((x >= 0) & (x <= source.width) & (y >= 0) & (y <= source.height))
        distance = np.maximum(
            np.abs(theirs[0] * (source.width / _SIDE) - x),
            np.abs(theirs[1] * (source.height / _SIDE) - y),
        )
    known = ~np.isnan(theirs[0])
    stray = (ours & ~known) | (outside & known)
    return bool((distance[ours & known] <= _AGREE).all()) and stray.mean() <= _STRAY


def _resized(grid: PixelGrid, width: int, height: int) -> PixelGrid:
    """Return a grid of so many pixels over the same area."""
    across, down = grid.width / width, grid.height / height
    a, b, c, d, e, f = grid.transform
    return PixelGrid(grid.crs, (a * across, b * down, c, d * across, e * down, f), width, height)


def _positions_by_gdal(
    picture: PixelGrid, asked: PixelGrid, options: Mapping[str, str], tolerance: float
) -> Points:
    """Return x and y (2, h, w) of the pixels of ``asked`` in pixels of ``picture``."""
    options = dict(options)
    options.pop(source_window.UNIFIED, None)
    options.pop("SOURCE_EXTRA", None)
    centre = options.pop(gdal_warp.CENTRE, None)
    own = crs_lookup.gdal_wkt_of(picture.crs)
    profile: dict[str, object] = {
        "driver": "GTiff", "width": picture.width, "height": picture.height, "count": 2,
        "dtype": "float64", "transform": Affine(*picture.transform), "crs": own,
    }  # fmt: skip
    with expected_gdal_errors(), MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            cols, rows = np.arange(picture.width) + 0.5, np.arange(picture.height) + 0.5
            dataset.write(np.stack(np.meshgrid(cols, rows)))
        with (
            memory.open() as dataset,
            WarpedVRT(
                dataset,
                src_crs=own if centre is None else gdal_warp.unrolled_wkt(own, centre),
                crs=crs_lookup.gdal_wkt_of(asked.crs),
                width=asked.width,
                height=asked.height,
                transform=Affine(*asked.transform),
                tolerance=tolerance,
                resampling=Resampling.bilinear,
                nodata=float("nan"),
                XSCALE="1",
                YSCALE="1",
                SOURCE_EXTRA="10",
                **options,
            ) as warped,
        ):
            positions: Points = warped.read()
            return positions
