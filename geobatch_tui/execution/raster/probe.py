"""Opens a source, refuses what cannot work, and plans the item."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

from geobatch_tui.errors import GeobatchError
from geobatch_tui.execution.proj import assigned_crs
from geobatch_tui.execution.raster import item_plan, source_raster, validity
from geobatch_tui.execution.raster.grid import georeference
from geobatch_tui.execution.raster.source import opened_source, size_checks
from geobatch_tui.execution.raster.warp import warp_plan
from geobatch_tui.execution.sources.object_sources import version_in
from geobatch_tui.execution.stores.object_url import is_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rasterio.io import DatasetReader

    from geobatch_tui.execution.params.raster_params import ConvertParams, ReprojectParams
    from geobatch_tui.execution.protocol.looking import MembersTask
    from geobatch_tui.execution.protocol.messages import ItemPlan, ProbeTask
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.raster.grid import pixel_grid


def probe_reproject(task: ProbeTask, params: ReprojectParams, stage: Stage) -> ItemPlan:
    """Plan a warp of the source of ``task``.

    Raises:
        InvalidInputError and its kin: this source cannot be processed.
        PreflightError: no source could, with this configuration.
        MemoryBudgetError: a block or a chunk needs more memory than there is.
    """
    with open_source_of(task, stage) as (dataset, known), stage("plan"):
        facts, warnings = source_raster.facts_of_source(dataset)
        placed = place_source(task, dataset, params.src_crs, warnings, known)
        palette = source_raster.colormap_of(dataset) is not None
        warp_plan.check_resampling(
            dataset.name, facts.dtype, params.resampling, warnings, palette=palette
        )
        planned = warp_plan.plan_reproject(dataset, facts, placed, params, warnings)
        draft = item_plan.Draft(
            dataset,
            facts,
            source_raster.raster_of(dataset, planned.choice, planned.grid, warnings, moved=True),
            planned.grid,
            warnings,
            facts.to_notes() | known | planned.notes,
            warp=planned.warp,
            amplification=partial(warp_plan.amplification, facts, planned.mapper, planned.needed),
        )
        return item_plan.finish(task, draft)


def probe_convert(task: ProbeTask, params: ConvertParams, stage: Stage) -> ItemPlan:
    """Plan a plain copy of the source of ``task``; errors as :func:`probe_reproject`."""
    with open_source_of(task, stage) as (dataset, known), stage("plan"):
        facts, warnings = source_raster.facts_of_source(dataset)
        placed = place_source(task, dataset, params.src_crs, warnings, known)
        _note_rotation(placed, warnings)
        choice = validity.choose(
            facts,
            src_nodata=params.src_nodata,
            dst_nodata=params.dst_nodata,
            add_alpha=False,
            outside=False,
        )
        warnings += choice.warnings
        raster = source_raster.raster_of(dataset, choice, placed, warnings, moved=False)
        notes = facts.to_notes() | known | {"grid": "source"}
        return item_plan.finish(
            task, item_plan.Draft(dataset, facts, raster, placed, warnings, notes)
        )


@contextlib.contextmanager
def open_source_of(
    task: ProbeTask, stage: Stage
) -> Iterator[tuple[DatasetReader, dict[str, object]]]:
    """Open the dataset; what is entered in the dictionary beside it (where its CRS comes from) goes
    into the evidence of an error."""
    allow_vrt = bool(task.source_options.get("allow_vrt"))
    wanted = version_in(task.source_id) if task.source_id and is_url(task.source) else None
    opened_source.release()
    known: dict[str, object] = {}
    with contextlib.ExitStack() as stack:
        with stage("open"):
            stack.enter_context(opened_source.gdal_options())
            dataset = stack.enter_context(
                opened_source.open_source(
                    task.source, allow_vrt=allow_vrt, head=True, wanted=wanted, alone=task.alone
                )
            )
            source_raster.check_types(task.source, dataset)
            size_checks.refuse_bomb(task.source, dataset, task.chunking.max_bytes)
            if dataset.driver == "GTiff":
                size_checks.refuse_missing_blocks(task.source)
        try:
            yield dataset, known
        except GeobatchError as error:
            error.evidence = {**known, **error.evidence}
            raise


def place_source(
    task: ProbeTask | MembersTask,
    dataset: DatasetReader,
    own: str,
    warnings: list[str],
    known: dict[str, object],
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
