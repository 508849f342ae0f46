"""Opens a source, refuses what cannot work, and plans the item."""

from __future__ import annotations

import contextlib
import json
from functools import partial
from typing import TYPE_CHECKING

from rasterio.enums import ColorInterp

from geobatch_tui.errors import GeobatchError, SchemaError
from geobatch_tui.execution.proj import assigned_crs, crs_lookup
from geobatch_tui.execution.raster import item_plan, validity
from geobatch_tui.execution.raster.grid import georeference, pixel_grid
from geobatch_tui.execution.raster.plan import Raster
from geobatch_tui.execution.raster.source import metadata, opened_source
from geobatch_tui.execution.raster.source_facts import Facts
from geobatch_tui.execution.raster.steps import chain, step_table
from geobatch_tui.execution.raster.steps.step import Planning, Source, grid_of
from geobatch_tui.execution.raster.warp import warp_plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rasterio.io import DatasetReader

    from geobatch_tui.execution.params.raster_params import ConvertParams, ReprojectParams
    from geobatch_tui.execution.protocol.messages import ItemPlan, ProbeTask
    from geobatch_tui.execution.protocol.operation import Stage

#: Data types that are read, warped and written.
DTYPES = frozenset({
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64",
})  # fmt: skip
#: Tags of a TIFF about its layout or its resolution on paper, not about the data.
_DROPPED_TAGS = frozenset({
    "AREA_OR_POINT", "TIFFTAG_XRESOLUTION", "TIFFTAG_YRESOLUTION", "TIFFTAG_RESOLUTIONUNIT",
    "TIFFTAG_SOFTWARE", "GEOBATCH_FP",
})  # fmt: skip


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
        palette = _colormap(dataset) is not None
        warp_plan.check_resampling(
            dataset.name, facts.dtype, params.resampling, warnings, palette=palette
        )
        planned = warp_plan.plan_reproject(dataset, facts, placed, params, warnings)
        draft = item_plan.Draft(
            dataset,
            facts,
            _raster_of(dataset, planned.choice, planned.grid, warnings, moved=True),
            planned.grid,
            warnings,
            facts.to_notes() | known | planned.notes,
            warp=planned.warp,
            amplification=partial(warp_plan.amplification, facts, planned.mapper, planned.needed),
        )
        return item_plan.finish(task, draft)


def probe_convert(task: ProbeTask, params: ConvertParams, stage: Stage) -> ItemPlan:
    """Plan a plain copy of the source of ``task``; errors as :func:`probe_reproject`."""
    with _opened(task, stage) as (dataset, known), stage("plan"):
        facts, warnings = _facts_of(dataset)
        placed = _placed(task, dataset, params.src_crs, warnings, known)
        _note_rotation(placed, warnings)
        choice = validity.choose(
            facts,
            src_nodata=params.src_nodata,
            dst_nodata=params.dst_nodata,
            add_alpha=False,
            outside=False,
        )
        warnings += choice.warnings
        raster = _raster_of(dataset, choice, placed, warnings, moved=False)
        notes = facts.to_notes() | known | {"grid": "source"}
        return item_plan.finish(
            task, item_plan.Draft(dataset, facts, raster, placed, warnings, notes)
        )


def probe_chain(task: ProbeTask, stage: Stage) -> ItemPlan:
    """Plan a chain of steps on the source of ``task``; errors as :func:`probe_reproject`, and
    those of a step name it."""
    with _opened(task, stage) as (dataset, known), stage("plan"):
        facts, warnings = _facts_of(dataset)
        placed = _placed(task, dataset, "", warnings, known)
        choice = validity.choose(
            facts, src_nodata=None, dst_nodata=None, add_alpha=False, outside=False
        )
        warnings += choice.warnings
        raster = _raster_of(dataset, choice, placed, warnings, moved=False)
        notes = facts.to_notes() | known | {"grid": "source"}
        planning = Planning(warnings, notes, Source(dataset, facts, placed))
        planned = chain.plan_chain(raster, task.params["steps"], planning)
        last = planned[-1].raster
        return item_plan.finish(
            task,
            item_plan.Draft(
                dataset, facts, last, grid_of(last), warnings, notes,
                chain=planned, pixel_bytes=step_table.pixel_bytes(planned),
            ),
        )  # fmt: skip


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


def _note_rotation(placed: pixel_grid.PixelGrid, warnings: list[str]) -> None:
    a, b, _, d, e, _ = placed.transform
    if b or d or a < 0 or e > 0:
        warnings.append("the grid is rotated or upside down and is kept as it is")


def _raster_of(
    dataset: DatasetReader,
    choice: validity.ValidityChoice,
    grid: pixel_grid.PixelGrid,
    warnings: list[str],
    *,
    moved: bool,
) -> Raster:
    """Return the source on ``grid``, with ``choice`` for its valid pixels; ``moved``: its pixels
    lie in other places than in the source."""
    extra = int(choice.adds_alpha)
    colours = [kind.name for kind in dataset.colorinterp]
    if colours == ["palette"] and not _colormap(dataset):
        colours = ["gray"]
    given = dataset.tags()
    tags = {k: str(v) for k, v in given.items() if k not in _DROPPED_TAGS}
    return Raster(
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
        domains=metadata.domains(dataset, warnings, moved=moved),
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
