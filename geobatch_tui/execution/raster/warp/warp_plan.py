"""Plans the warp of an item: its grid, the scale of its kernel, GDAL's options."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import PreflightError, SchemaError
from geobatch_tui.execution.params.frozen import pixel_of
from geobatch_tui.execution.proj import assigned_crs, crs_lookup
from geobatch_tui.execution.raster import validity
from geobatch_tui.execution.raster.grid import (
    datum_operation,
    kernel_scale,
    output_grid,
    pixel_grid,
    projection,
)
from geobatch_tui.execution.raster.plan import Warp
from geobatch_tui.execution.raster.warp import gdal_suggestion, gdal_warp, method

if TYPE_CHECKING:
    from pyproj import CRS
    from rasterio.io import DatasetReader

    from geobatch_tui.execution.params.raster_params import ReprojectParams
    from geobatch_tui.execution.protocol.messages import ChunkGrid
    from geobatch_tui.execution.raster.grid.datum_operation import DatumOperation
    from geobatch_tui.execution.raster.source_facts import Facts

#: A tolerance that is as good as none: with 0, rasterio 1.5 passes no transformer at all.
EXACT = 1e-9
_FLOAT_ALPHA = (
    "alpha keeps its values, with fractions; gdalwarp may cut alpha of floats to whole numbers "
    "from 0 to 255"
)
#: Part of a pixel by which pixels may lie off the source's and still count as the same.
_ALIGNED = 1e-6
#: Resamplings that take values of the source and compute no new ones.
_PICKING = frozenset({"nearest", "mode"})


@dataclass(frozen=True, slots=True)
class Reprojection:
    """A warp as it was planned: its grid, how valid pixels are marked, and facts for the notes.

    ``needed`` is the part of the source that the whole grid needs.
    """

    grid: pixel_grid.PixelGrid
    choice: validity.ValidityChoice
    warp: Warp
    mapper: projection.Mapper
    needed: kernel_scale.SourceWindow
    notes: dict[str, object]


def plan_reproject(
    dataset: DatasetReader,
    facts: Facts,
    placed: pixel_grid.PixelGrid,
    params: ReprojectParams,
    warnings: list[str],
) -> Reprojection:
    """Plan the warp of a source that lies at ``placed``.

    Args:
        dataset: a dataset of its size and place; its pixels are not read.
        facts: its properties.
        placed: its grid, in the CRS that the job gives it.
        params: of the warp.
        warnings: gets sentences for the operator.

    Raises:
        InvalidInputError and its kin: this source cannot be warped so.
        PreflightError: no source could.
    """
    dst_crs = assigned_crs.horizontal(
        assigned_crs.parse(params.dst_crs, "dst_crs", PreflightError), "dst_crs", warnings
    )
    choice = validity.choose(
        facts,
        src_nodata=params.src_nodata,
        dst_nodata=params.dst_nodata,
        add_alpha=params.add_alpha,
        outside=True,
    )
    warnings += choice.warnings
    if choice.validity == "alpha" and facts.dtype.startswith("float"):
        warnings.append(_FLOAT_ALPHA)
    operated = datum_operation.choose(placed, dst_crs)
    own, placed = placed.crs, replace(placed, crs=operated.crs)
    centre = projection.centre_longitude(placed)
    apart = _apart(dataset, own, operated, dst_crs, centre)
    warnings += operated.warnings_beside(apart)
    chosen = _choose_grid(dataset, placed, dst_crs, params, centre)
    warnings += chosen.warnings
    mapper = projection.Mapper(placed, chosen.grid, centre)
    needed = kernel_scale.whole_window(mapper)
    warped = plan_warp(mapper, needed, params, choice)
    path, why = method.choose(facts, mapper, warped)
    warped = replace(warped, path=path)
    notes = operated.to_notes(apart) | {
        "grid": chosen.story, "xscale": warped.xscale, "yscale": warped.yscale,
        "warp_options": dict(warped.options), "coordinates": path, "coordinates_why": why,
        "error_threshold": warped.error_threshold,
    }  # fmt: skip
    return Reprojection(chosen.grid, choice, warped, mapper, needed, notes)


def check_resampling(
    name: str, dtype: str, resampling: str, warnings: list[str], *, palette: bool
) -> None:
    """Refuse to blend the class numbers of a palette; warn of whole numbers that floats round.
    Raises SchemaError."""
    if palette and resampling not in _PICKING:
        raise SchemaError(
            f"{name} is a palette image: {resampling} would blend class numbers",
            hint="resampling = nearest or mode",
        )
    if dtype in {"int64", "uint64"}:
        warnings.append(
            f"GDAL warps {dtype} pixels as float64: whole numbers above 2^53 are rounded"
        )


def _choose_grid(
    dataset: DatasetReader,
    placed: pixel_grid.PixelGrid,
    dst_crs: CRS,
    params: ReprojectParams,
    centre: float | None,
) -> output_grid.GridChoice:
    """Choose the output grid of ``dataset``, whose georeference is ``placed``; ``centre`` is the
    longitude about which it is unrolled. Raises PreflightError if ``bounds_crs`` is no CRS, and as
    :func:`output_grid.choose`."""
    bounds_crs = None
    if params.bounds_crs:
        bounds_crs = assigned_crs.parse(params.bounds_crs, "bounds_crs", PreflightError)
    request = output_grid.GridRequest(
        bounds=None if params.bounds is None else pixel_grid.Box(*params.bounds),
        bounds_crs=bounds_crs,
        extent=params.extent,
        resolution=pixel_of(params.resolution),
        size=params.size,
        target_aligned_pixels=params.target_aligned_pixels,
    )

    def suggest() -> pixel_grid.PixelGrid | None:
        simple = gdal_suggestion.of(placed, dst_crs) if centre is None else None
        return simple or gdal_warp.suggestion(dataset, placed.crs, dst_crs, centre)

    return output_grid.choose(placed, dst_crs, request, suggest)


def _apart(
    dataset: DatasetReader, own: CRS, operated: DatumOperation, dst_crs: CRS, centre: float | None
) -> float:
    """Return the distance in pixels between GDAL's grid by the datum operation that is used and
    gdalwarp's, by the operation for the area of the source; 0 where both are the same.

    ``own`` is the source's CRS, unbound. For its area GDAL counts longitudes from the CRS's own
    meridian, and leaves out operations whose area the source only just misses.
    """
    if not operated.name:
        return 0.0
    ours = gdal_warp.suggestion(dataset, operated.crs, dst_crs, centre)
    theirs = gdal_warp.suggestion(dataset, own, dst_crs, centre, by_area=True)
    if ours is None or theirs is None:
        return 0.0
    a, _, c, _, e, f = ours.transform
    _, _, left, _, _, top = theirs.transform
    away = max(abs((left - c) / a), abs((top - f) / e))
    return round(away, 3)


def plan_warp(
    mapper: projection.Mapper,
    needed: kernel_scale.SourceWindow,
    params: ReprojectParams,
    choice: validity.ValidityChoice,
) -> Warp:
    """Plan kernel scale and options of the warp onto the grid of ``mapper``; ``needed`` is the part
    of the source that it needs."""
    copied = _is_translation(mapper.source, mapper.grid)
    resampling = "nearest" if copied else params.resampling
    xscale, yscale = kernel_scale.kernel_scale(mapper.grid, needed)
    options = {"UNIFIED_SRC_NODATA": "YES" if params.src_nodata is not None else "PARTIAL"}
    options |= dict(params.warp_options)
    xscale = float(options.pop("XSCALE", xscale))
    yscale = float(options.pop("YSCALE", yscale))
    extra = kernel_scale.margin(resampling, xscale, yscale)
    if kernel_scale.is_hard(mapper):
        # GDAL looks at a region's rim first and gives up where most of it fails; a pole inside a
        # region does not show on its rim.
        extra += kernel_scale.HARD_EXTRA
        options.setdefault("SAMPLE_GRID", "YES")
        options.setdefault("SAMPLE_STEPS", str(kernel_scale.HARD_STEPS))
    asked = options.get("SOURCE_EXTRA", "0")
    options["SOURCE_EXTRA"] = str(max(extra, int(asked) if asked.isdecimal() else 0))
    if choice.per_band:
        options[gdal_warp.PER_BAND] = "YES"
    if mapper.centre is not None:
        options[gdal_warp.CENTRE] = repr(mapper.centre)
    options |= dict(params.transform_options)
    return Warp(
        src_crs=crs_lookup.wkt_of(mapper.source.crs),
        resampling=resampling,
        xscale=xscale,
        yscale=yscale,
        tolerance=EXACT,
        src_nodata=choice.src_nodata,
        options=options,
        error_threshold=params.error_threshold,
    )


def _is_translation(source: pixel_grid.PixelGrid, grid: pixel_grid.PixelGrid) -> bool:
    """Whether the pixels of ``grid`` are those of the source, moved by whole pixels: then they are
    copied, as by gdalwarp (GDALTransformIsTranslationOnPixelBoundaries)."""
    a, b, c, d, e, f = source.transform
    x, _, left, _, y, top = grid.transform
    if b or d or not crs_lookup.same(source.crs, grid.crs):
        return False
    spread = max(abs(x / a - 1) * grid.width, abs(y / e - 1) * grid.height)
    cols, rows = (left - c) / a, (top - f) / e
    return max(spread, abs(cols - round(cols)), abs(rows - round(rows))) <= _ALIGNED


def amplification(
    facts: Facts, mapper: projection.Mapper, needed: kernel_scale.SourceWindow, chunks: ChunkGrid
) -> float:
    """Return how many times the pixels that these chunks need are decoded, from a sample of them:
    blocks are decoded whole, and again for every chunk that shares them."""
    cols, rows = facts.block
    parts: list[kernel_scale.SourceWindow | None] = [needed]
    if len(chunks) > 1:
        picked = np.unique(np.linspace(0, len(chunks) - 1, min(len(chunks), 25)).astype(int))
        parts = [
            kernel_scale.source_window(mapper, chunks.window(i), steps=7) for i in picked.tolist()
        ]
    decoded, wanted = 0.0, 0.0
    for part in filter(None, parts):
        blocks = part.pixels.blocks(cols, rows)
        decoded += max(blocks.width, 1) * max(blocks.height, 1) * cols * rows
        wanted += max(part.width * part.height, 1.0)
    return decoded / wanted if wanted else 1.0
