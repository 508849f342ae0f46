"""Opens a source, refuses what cannot work, and plans the item."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from geobatch_tui.errors import GeobatchError, SourceNotFoundError
from geobatch_tui.execution.params.frozen import COMBINING, given
from geobatch_tui.execution.proj import assigned_crs
from geobatch_tui.execution.protocol.looking import MembersReceipt
from geobatch_tui.execution.raster import item_plan, reuse, source_raster, validity
from geobatch_tui.execution.raster.grid import georeference
from geobatch_tui.execution.raster.group import group_probe
from geobatch_tui.execution.raster.group.file_looks import Looks, look
from geobatch_tui.execution.raster.plan import StepPlan
from geobatch_tui.execution.raster.source import opened_source, size_checks
from geobatch_tui.execution.raster.stages import recomputation, stage_choice
from geobatch_tui.execution.raster.steps import chain, step_table
from geobatch_tui.execution.raster.steps.step import Planning, Source, facts_of, grid_of
from geobatch_tui.execution.raster.warp import warp_plan
from geobatch_tui.execution.sources.file_identity import identify_each
from geobatch_tui.execution.sources.object_sources import version_in
from geobatch_tui.execution.sources.source_list import members_of
from geobatch_tui.execution.stores.object_url import is_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rasterio.io import DatasetReader

    from geobatch_tui.execution.params.raster_params import ConvertParams, ReprojectParams
    from geobatch_tui.execution.protocol.looking import MembersTask
    from geobatch_tui.execution.protocol.messages import ItemPlan, ProbeTask
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.raster.grid import pixel_grid
    from geobatch_tui.execution.raster.source_facts import Facts


def probe_reproject(task: ProbeTask, params: ReprojectParams, stage: Stage) -> ItemPlan:
    """Plan a warp of the source of ``task``.

    Raises:
        InvalidInputError and its kin: this source cannot be processed.
        PreflightError: no source could, with this configuration.
        MemoryBudgetError: a block or a chunk needs more memory than there is.
    """
    with _opened(task, stage) as (dataset, known), stage("plan"):
        facts, warnings = source_raster.facts_of_source(dataset)
        placed = _placed(task, dataset, params.src_crs, warnings, known)
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
    with _opened(task, stage) as (dataset, known), stage("plan"):
        facts, warnings = source_raster.facts_of_source(dataset)
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
        raster = source_raster.raster_of(dataset, choice, placed, warnings, moved=False)
        notes = facts.to_notes() | known | {"grid": "source"}
        return item_plan.finish(
            task, item_plan.Draft(dataset, facts, raster, placed, warnings, notes)
        )


def probe_chain(task: ProbeTask, stage: Stage) -> ItemPlan:
    """Plan a chain of steps on the source of ``task``; errors as :func:`probe_reproject`, and
    those of a step name it."""
    steps = task.params["steps"]
    if steps[0]["name"] in COMBINING:
        return _probe_group(task, stage)
    with (
        _opened(task, stage) as (dataset, known),
        stage("plan"),
        contextlib.ExitStack() as stack,
    ):
        facts, warnings = source_raster.facts_of_source(dataset)
        placed = _placed(task, dataset, "", warnings, known)
        choice = validity.choose(
            facts, src_nodata=None, dst_nodata=None, add_alpha=False, outside=False
        )
        warnings += choice.warnings
        raster = source_raster.raster_of(dataset, choice, placed, warnings, moved=False)
        notes = facts.to_notes() | known | {"grid": "source"}
        planning = Planning(warnings, notes, Source(dataset, facts, placed), item=task.key)
        first = StepPlan(step_table.READ, step_table.READ_VERSION, {}, raster)
        opened = partial(opened_source.OpenSource.of, task.source, facts, stack, dataset)
        planned = chain.plan_chain(first, steps, planning, chain.Opener(opened, stage))
        return _finish_chain(task, dataset, facts, planned, planning)


def _probe_group(task: ProbeTask, stage: Stage) -> ItemPlan:
    """Plan a chain on all files of a group."""
    opened_source.release()
    head, *steps = task.params["steps"]
    paths, allow_vrt = members_of(task.source), bool(task.source_options.get("allow_vrt"))
    with contextlib.ExitStack() as stack:
        stack.enter_context(opened_source.gdal_options())
        with stage("open"):
            looks = Looks.joined(task.looks or [_look(task, paths).to_json()])
            dataset = stack.enter_context(
                opened_source.open_source(paths[0], allow_vrt=allow_vrt, head=True)
            )
            group = group_probe.Group.of(paths, looks, dataset, allow_vrt=allow_vrt)
            group.check_blocks(task.chunking.max_bytes)
        with stage("plan"):
            step = f"step 1 ({head['name']})"
            planning = Planning(group.warnings, group.known, step=step, item=task.key)
            first = group_probe.plan_group(group, head["name"], given(head), planning)
            facts = facts_of(first.raster)
            opened = partial(opened_source.OpenSource.of, task.source, facts, stack)
            opener = chain.Opener(opened, stage)
            planned = chain.plan_chain(first, steps, planning, opener, before=1)
            planning.notes.update(facts.to_notes())
            return _finish_chain(task, dataset, facts, planned, planning, before=1)


def look_at_members(task: MembersTask, stage: Stage) -> MembersReceipt:
    """Identify some files of a group, and look at them for its probe.

    Raises:
        InvalidInputError and its kin: a file cannot be read; the message names it.
    """
    opened_source.release()
    paths = members_of(task.source)[task.first : task.beyond]
    with stage("open"):
        try:
            statuses, digests = identify_each(paths)
        except FileNotFoundError as error:
            raise SourceNotFoundError(f"{error.filename}: {error.strerror}") from error
        return MembersReceipt(statuses, digests, _look(task, paths).to_json())


def _look(task: ProbeTask | MembersTask, paths: Sequence[str]) -> Looks:
    def place(
        dataset: DatasetReader, warnings: list[str], known: dict[str, object]
    ) -> pixel_grid.PixelGrid:
        return _placed(task, dataset, "", warnings, known)

    return look(paths, place, allow_vrt=bool(task.source_options.get("allow_vrt")))


def _finish_chain(
    task: ProbeTask,
    dataset: DatasetReader,
    facts: Facts,
    planned: tuple[StepPlan, ...],
    planning: Planning,
    *,
    before: int = 0,
) -> ItemPlan:
    """Finish the plan of a chain; ``before``: how many steps of the job stand before its second.
    Stages are added where chunks would compute too much again for each other."""
    while True:
        item = _staged(task, dataset, facts, planned, planning, before=before)
        ends = [*(stage.after for stage in item.stages), len(planned) - 1]
        found = None
        if reuse.NOTE not in item.notes:
            found = recomputation.worth_storing(planned, ends, item.grids)
        if found is None or not stage_choice.can_store(planned, found[0]):
            return item
        if found[0] in planning.stages:  # it was asked for, and was left out
            return item
        after, times = found
        planning.stages[after] = stage_choice.because(planned, after, times, before), False


def _staged(
    task: ProbeTask,
    dataset: DatasetReader,
    facts: Facts,
    planned: tuple[StepPlan, ...],
    planning: Planning,
    *,
    before: int,
) -> ItemPlan:
    """Finish the plan of a chain with the stages that are asked for."""
    last, warnings = planned[-1].raster, [*planning.warnings]
    stages = stage_choice.plan_stages(
        planned, planning.stages, task.chunking,
        before=before, block_bytes=size_checks.block_bytes(dataset), warnings=warnings,
    )  # fmt: skip
    draft = item_plan.Draft(
        dataset, facts, last, grid_of(last), warnings, {**planning.notes},
        chain=planned, pixel_bytes=step_table.pixel_bytes(stage_choice.rest_of(planned, stages)),
    )  # fmt: skip
    item = item_plan.finish(task, draft)
    reused = reuse.with_reuse(item, task.previous, task.source)
    if not stages or reuse.is_whole(reused):
        return reused
    # Chunks behind a stage are computed from all of it: none can be taken over alone.
    told = map(stage_choice.told, stages)
    notes = {**item.notes, "stages": [stage_choice.noted(stage) for stage in stages]}
    return replace(item, stages=stages, warnings=(*item.warnings, *told), notes=notes)


@contextlib.contextmanager
def _opened(task: ProbeTask, stage: Stage) -> Iterator[tuple[DatasetReader, dict[str, object]]]:
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
                    task.source, allow_vrt=allow_vrt, head=True, wanted=wanted
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


def _placed(
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
