"""Opens a source, refuses what cannot work, and plans the item."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from rasterio.enums import ColorInterp

from geobatch_tui.errors import GeobatchError, PreflightError, SchemaError
from geobatch_tui.execution.proj import assigned_crs, crs_lookup
from geobatch_tui.execution.protocol.messages import ItemPlan
from geobatch_tui.execution.raster import chunking, validity
from geobatch_tui.execution.raster.encode import encoding
from geobatch_tui.execution.raster.grid import (
    datum_operation,
    georeference,
    kernel_scale,
    pixel_grid,
    projection,
)
from geobatch_tui.execution.raster.plan import RasterPlan, Warp
from geobatch_tui.execution.raster.pyramid import passthrough
from geobatch_tui.execution.raster.source import metadata, opened_source
from geobatch_tui.execution.raster.source_facts import Facts
from geobatch_tui.execution.raster.warp import method, warp_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rasterio.io import DatasetReader

    from geobatch_tui.execution.params.raster_params import ConvertParams, ReprojectParams
    from geobatch_tui.execution.protocol.messages import ChunkGrid, ProbeTask
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.raster.plan import Encoding

#: Data types that are read, warped and written.
DTYPES = frozenset({
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64",
})  # fmt: skip
#: Tags of a TIFF about its layout or its resolution on paper, not about the data.
_DROPPED_TAGS = frozenset({
    "AREA_OR_POINT", "TIFFTAG_XRESOLUTION", "TIFFTAG_YRESOLUTION", "TIFFTAG_RESOLUTIONUNIT",
    "TIFFTAG_SOFTWARE", "GEOBATCH_FP",
})  # fmt: skip
#: Resamplings that take values of the source and compute no new ones.
_PICKING = frozenset({"nearest", "mode"})
#: Sources of fewer raw bytes fit GDAL's block cache, which decodes each block once.
_CACHED = 64 * 2**20
#: Room for headers, tags and tables.
HEADER_BYTES = 65536
#: Read amplification from which there is a warning.
_AMPLIFIED = 4.0
#: Chunks beyond which an item is large enough for a finer lattice of places.
MANY_CHUNKS = 256


@dataclass(frozen=True, slots=True)
class _Draft:
    """The parts of an item's plan that are settled before its encoding."""

    dataset: DatasetReader
    facts: Facts
    choice: validity.ValidityChoice
    grid: pixel_grid.PixelGrid
    warnings: list[str]
    notes: dict[str, object]


def probe_reproject(task: ProbeTask, params: ReprojectParams, stage: Stage) -> ItemPlan:
    """Plan a warp of the source of ``task``.

    Raises:
        InvalidInputError and its kin: this source cannot be processed.
        PreflightError: no source could, with this configuration.
        MemoryBudgetError: a block or a chunk needs more memory than there is.
    """
    with _opened(task, stage) as (dataset, known), stage("plan"):
        facts, warnings = _facts_of(dataset)
        placed = _placed(task, dataset, params.src_crs, warnings, known)
        _check_resampling(dataset, params, warnings)
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
        operated = datum_operation.choose(placed, dst_crs)
        own, placed = placed.crs, replace(placed, crs=operated.crs)
        centre = projection.centre_longitude(placed)
        apart = warp_plan.apart(dataset, own, operated, dst_crs, centre)
        warnings += operated.warnings_beside(apart)
        chosen = warp_plan.choose_grid(dataset, placed, dst_crs, params, centre)
        warnings += chosen.warnings
        mapper = projection.Mapper(placed, chosen.grid, centre)
        needed = kernel_scale.whole_window(mapper)
        warped = warp_plan.plan_warp(mapper, needed, params, choice)
        path, why = method.choose(facts, mapper, warped)
        warped = replace(warped, path=path)
        notes = facts.to_notes() | known | operated.to_notes(apart) | {
            "grid": chosen.story, "xscale": warped.xscale, "yscale": warped.yscale,
            "warp_options": dict(warped.options), "coordinates": path, "coordinates_why": why,
            "error_threshold": warped.error_threshold,
        }  # fmt: skip
        draft = _Draft(dataset, facts, choice, chosen.grid, warnings, notes)
        decoding = partial(warp_plan.amplification, facts, mapper, needed)
        return _finish(task, draft, warped, decoding)


def probe_convert(task: ProbeTask, params: ConvertParams, stage: Stage) -> ItemPlan:
    """Plan a plain copy of the source of ``task``; errors as :func:`probe_reproject`."""
    with _opened(task, stage) as (dataset, known), stage("plan"):
        facts, warnings = _facts_of(dataset)
        placed = _placed(task, dataset, params.src_crs, warnings, known)
        a, b, _, d, e, _ = placed.transform
        if b or d or a < 0 or e > 0:
            warnings.append("the grid is rotated or upside down and is kept as it is")
        choice = validity.choose(
            facts,
            src_nodata=params.src_nodata,
            dst_nodata=params.dst_nodata,
            add_alpha=False,
            outside=False,
        )
        warnings += choice.warnings
        notes = facts.to_notes() | known | {"grid": "source"}
        return _finish(task, _Draft(dataset, facts, choice, placed, warnings, notes), None, None)


@contextlib.contextmanager
def _opened(task: ProbeTask, stage: Stage) -> Iterator[tuple[DatasetReader, dict[str, object]]]:
    """Open the dataset; what is entered in the dictionary beside it (where its CRS comes from) goes
    into the evidence of an error."""
    allow_vrt = bool(task.source_options.get("allow_vrt"))
    opened_source.release()
    known: dict[str, object] = {}
    with contextlib.ExitStack() as stack:
        with stage("open"):
            stack.enter_context(opened_source.gdal_options())
            dataset = stack.enter_context(
                opened_source.open_source(task.source, allow_vrt=allow_vrt)
            )
            _check_types(task.source, dataset)
            opened_source.refuse_bomb(task.source, dataset, task.chunking.max_bytes)
            if dataset.driver == "GTiff":
                opened_source.refuse_missing_blocks(task.source)
        try:
            yield dataset, known
        except GeobatchError as error:
            error.evidence = {**known, **error.evidence}
            raise


def _facts_of(dataset: DatasetReader) -> tuple[Facts, list[str]]:
    """Return the source's facts, and warnings about its pixels."""
    warnings: list[str] = []
    metadata.warn_of_bits(dataset, warnings)
    if dataset.colorinterp[0] == ColorInterp.palette and not _colormap(dataset):
        warnings.append(
            "the source is called a palette image and has no colours: it is taken for grey"
        )
    if dataset.tags().get("AREA_OR_POINT") == "Point":
        warnings.append("the source says AREA_OR_POINT=Point: kept, half-pixel shift accounted for")
    return Facts.of(dataset), warnings


def _check_types(path: str, dataset: DatasetReader) -> None:
    kinds = sorted(set(dataset.dtypes))
    if len(kinds) > 1:
        raise SchemaError(
            f"{path} has bands of different types ({', '.join(kinds)}); a GeoTIFF has one",
            hint="split it, or convert it with gdal_translate -ot first",
        )
    if kinds[0] not in DTYPES:
        raise SchemaError(f"{path} has {kinds[0]} pixels, which are not supported")
    palettes = [kind == ColorInterp.palette for kind in dataset.colorinterp]
    if any(palettes) and (dataset.count > 1 or kinds[0] != "uint8"):
        raise SchemaError(f"{path} has a palette on other than one uint8 band")


def _placed(
    task: ProbeTask, dataset: DatasetReader, own: str, warnings: list[str], known: dict[str, object]
) -> pixel_grid.PixelGrid:
    """Return the georeference of the source, in the CRS that the job requires; ``own`` is the
    operation's ``src_crs``. ``known`` gets where the CRS comes from."""
    assigned = assigned_crs.Assigned.of(task.source_options, own)
    placed, crs_source = georeference.place(dataset, assigned, warnings)
    known |= assigned.notes(crs_source)
    assigned_crs.require(placed.crs, str(task.source_options.get("require_crs") or ""))
    return placed


def _check_resampling(dataset: DatasetReader, params: ReprojectParams, warnings: list[str]) -> None:
    if _colormap(dataset) and params.resampling not in _PICKING:
        raise SchemaError(
            f"{dataset.name} is a palette image: {params.resampling} would blend class numbers",
            hint="resampling = nearest or mode",
        )
    if dataset.dtypes[0] in {"int64", "uint64"}:
        warnings.append(
            f"GDAL warps {dataset.dtypes[0]} pixels as float64: whole numbers above 2^53 are "
            "rounded"
        )


def _finish(
    task: ProbeTask,
    draft: _Draft,
    warped: Warp | None,
    amplification: Callable[[ChunkGrid], float] | None,
) -> ItemPlan:
    dataset, choice, grid, warnings = draft.dataset, draft.choice, draft.grid, draft.warnings
    count, palette = dataset.count + choice.adds_alpha, _colormap(dataset) is not None
    image = encoding.Image(
        grid.width, grid.height, count, dataset.dtypes[0], palette, choice.validity
    )
    encoded = encoding.plan_encoding(task.output, image)
    plan = _raster_plan(draft, warped, encoded)
    if warped is None:
        creation = task.output.get("creation") or {}
        if task.params.get("dst_nodata") is None and passthrough.fits(
            task.source, draft.facts, plan, creation
        ):
            plan = replace(plan, encoding=replace(encoded, passthrough=True))
        draft.notes["passthrough"] = plan.encoding.passthrough
    chunks, cost = _chunks(task, draft, plan, warnings)
    if amplification is not None:
        times = amplification(chunks)
        draft.notes["read_amplification"] = round(times, 2)
        raw_source = dataset.width * dataset.height * opened_source.pixel_bytes(dataset)
        if times >= _AMPLIFIED and raw_source > _CACHED:
            cols, rows = draft.facts.block
            warnings.append(
                f"the source is stored in blocks of {cols}x{rows} pixels: about {times:.0f} times "
                "the pixels needed are decoded; tiles of 512x512 would read faster"
            )
    if encoded.alpha_as_mask:
        warnings.append("JPEG has no alpha: it becomes a mask, which hides pixels whose alpha is 0")
    draft.notes["overviews"] = [list(size) for size in encoded.overviews]
    draft.notes["overview_resampling"] = encoded.overview_resampling
    raw = grid.width * grid.height * cost.pixel_bytes
    pyramid = raw // 3 if encoded.overviews else 0
    box = None
    if crs_lookup.is_on_earth(grid.crs):
        box = projection.lonlat_box(grid)
        draft.notes["lonlat"] = projection.lonlat_lattice(grid, _lattice_nodes(len(chunks)))
    else:
        warnings.append(
            f"PROJ knows no way from {crs_lookup.named(grid.crs)} to longitude and latitude "
            "on WGS 84"
        )
    return ItemPlan(
        grid=chunks,
        chunk_bytes=cost.of(
            min(chunks.chunk_width, chunks.width), min(chunks.chunk_height, chunks.height)
        ),
        output_bytes=raw + pyramid + HEADER_BYTES,
        detail=plan.to_json(),
        bounds_lonlat=None if box is None else (box.minx, box.miny, box.maxx, box.maxy),
        warnings=tuple(warnings),
        notes=draft.notes,
    )


def _lattice_nodes(chunks: int) -> int:
    """Return the nodes a side of the lattice that places chunks on the earth."""
    if chunks == 1:
        return 3
    return 9 if chunks <= MANY_CHUNKS else 17


def _chunks(
    task: ProbeTask, draft: _Draft, plan: RasterPlan, warnings: list[str]
) -> tuple[ChunkGrid, chunking.Cost]:
    cols, rows = draft.facts.block
    in_rows = plan.warp is None and cols == draft.facts.width and rows < plan.encoding.block_height
    overhead = chunking.OVERHEAD if plan.warp is not None else 16 * 2**20
    cost = chunking.Cost(
        plan.count * np.dtype(plan.dtype).itemsize + (plan.validity == "mask"),
        overhead + 2 * opened_source.block_bytes(draft.dataset),
    )
    block = (plan.encoding.block_width, plan.encoding.block_height)
    chunks, noted = chunking.cut(
        (plan.width, plan.height), block, task.chunking, cost, full_width=in_rows
    )
    warnings += noted
    return chunks, cost


def _raster_plan(draft: _Draft, warped: Warp | None, encoded: Encoding) -> RasterPlan:
    dataset, choice, grid = draft.dataset, draft.choice, draft.grid
    extra = int(choice.adds_alpha)
    colours = [kind.name for kind in dataset.colorinterp]
    if colours == ["palette"] and not _colormap(dataset):
        colours = ["gray"]
    given = dataset.tags()
    tags = {k: str(v) for k, v in given.items() if k not in _DROPPED_TAGS}
    return RasterPlan(
        width=grid.width,
        height=grid.height,
        crs=crs_lookup.wkt_of(grid.crs),
        transform=grid.transform,
        count=dataset.count + extra,
        dtype=dataset.dtypes[0],
        nodata=choice.nodata,
        validity=choice.validity,
        colorinterp=tuple(colours + ["alpha"] * extra),
        colormap=_colormap(dataset),
        descriptions=tuple(text or "" for text in dataset.descriptions) + ("",) * extra,
        scales=tuple(dataset.scales) + (1.0,) * extra,
        offsets=tuple(dataset.offsets) + (0.0,) * extra,
        units=tuple(text or "" for text in dataset.units) + ("",) * extra,
        tags=json.loads(json.dumps(tags)),
        area_or_point=given.get("AREA_OR_POINT", "Area"),
        warp=warped,
        encoding=encoded,
        domains=metadata.domains(dataset, draft.warnings, moved=warped is not None),
        band_tags=metadata.of_bands(dataset, extra),
    )


def _colormap(dataset: DatasetReader) -> tuple[tuple[int, int, int, int], ...] | None:
    """Return the colours of a palette image by pixel value; None where there is no table."""
    if dataset.colorinterp[0] != ColorInterp.palette:
        return None
    try:
        entries = dataset.colormap(1)
    except ValueError:  # GDAL has none
        entries = {}
    if not entries:
        return None
    return tuple(
        tuple(int(part) for part in entries.get(index, (0, 0, 0, 255)))  # type: ignore[misc]
        for index in range(256)
    )
