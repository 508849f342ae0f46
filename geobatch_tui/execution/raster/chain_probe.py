"""Plans a chain of steps on a source, or on the files of a group."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from geobatch_tui.errors import SourceNotFoundError
from geobatch_tui.execution.params.frozen import COMBINING, given
from geobatch_tui.execution.protocol.looking import MembersReceipt, SurveyReceipt
from geobatch_tui.execution.raster import item_plan, reuse, source_raster, validity
from geobatch_tui.execution.raster.group import group_probe
from geobatch_tui.execution.raster.group.file_looks import Looks, look
from geobatch_tui.execution.raster.plan import StepPlan
from geobatch_tui.execution.raster.probe import open_source_of, place_source
from geobatch_tui.execution.raster.source import opened_source, size_checks
from geobatch_tui.execution.raster.stages import recomputation, stage_choice
from geobatch_tui.execution.raster.steps import chain, step_table
from geobatch_tui.execution.raster.steps.step import Planning, Source, facts_of, grid_of
from geobatch_tui.execution.raster.steps.survey import Reached, Surveys
from geobatch_tui.execution.sources import source_files
from geobatch_tui.execution.sources.file_identity import identify_each
from geobatch_tui.execution.sources.object_sources import version_in
from geobatch_tui.execution.sources.source_list import members_of
from geobatch_tui.execution.stores.object_url import is_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rasterio.io import DatasetReader

    from geobatch_tui.execution.protocol.looking import MembersTask, SurveyTask
    from geobatch_tui.execution.protocol.messages import ItemPlan, ProbeTask
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.raster.grid import pixel_grid
    from geobatch_tui.execution.raster.plan import Raster
    from geobatch_tui.execution.raster.source_facts import Facts


#: Plans by the facts that decided them: to plan a chain takes several times as long as to open a
#: small file, and the bands and dates of one scene are alike. So many are kept.
_shared: dict[str, ItemPlan] = {}
MOST_SHARED = 32
#: Parts of a survey of a group at most: each looks at what its files are once more.
GROUP_PARTS = 64


def probe_chain(task: ProbeTask, stage: Stage) -> ItemPlan:
    """Plan a chain of steps on the source of ``task``; errors as those of a warp, and
    those of a step name it."""
    return _planned(task, stage, Surveys(task.surveys))


def survey_part(task: SurveyTask[ProbeTask], stage: Stage) -> SurveyReceipt:
    """Plan the chain of ``task`` up to the step that needs the survey, and look at the part. Raises
    as :func:`probe_chain`, and SourceChangedError."""
    probe, identity = task.probe, task.probe.source_id
    try:
        _planned(probe, stage, Surveys(probe.surveys, asked=True, part=task.part))
    except Reached as reached:
        if identity is not None:
            source_files.check_identity(probe.source, identity)
        return reached.receipt
    return SurveyReceipt(0)


def _planned(task: ProbeTask, stage: Stage, surveys: Surveys) -> ItemPlan:
    combines = task.params["steps"][0]["name"] in COMBINING
    return (_probe_group if combines else _probe_one)(task, stage, surveys)


def _probe_one(task: ProbeTask, stage: Stage, surveys: Surveys) -> ItemPlan:
    steps = task.params["steps"]
    with (
        open_source_of(task, stage) as (dataset, known),
        stage("plan"),
        contextlib.ExitStack() as stack,
    ):
        facts, warnings = source_raster.facts_of_source(dataset)
        placed = place_source(task, dataset, "", warnings, known)
        choice = validity.choose(
            facts, src_nodata=None, dst_nodata=None, add_alpha=False, outside=False
        )
        warnings += choice.warnings
        raster = source_raster.raster_of(dataset, choice, placed, warnings, moved=False)
        notes = facts.to_notes() | known | {"grid": "source"}
        planning = Planning(
            warnings, notes, Source(dataset, facts, placed), item=task.key, surveys=surveys
        )
        # What was published of an earlier plan, and what surveys found, is of one item alone.
        may_share = not (task.previous or surveys.known or surveys.asked)
        name = _facts_named(task, facts, raster, planning) if may_share else ""
        if name in _shared:
            return _shared[name]
        first = StepPlan(step_table.READ, step_table.READ_VERSION, {}, raster)
        wanted = version_in(task.source_id) if task.source_id and is_url(task.source) else None
        opened = partial(opened_source.OpenSource.of, task.source, facts, stack, dataset, wanted)
        planned = chain.plan_chain(first, steps, planning, chain.Opener(opened, stage))
        item = _finish_chain(task, dataset, facts, planned, planning)
        if name and not planning.alone:
            if len(_shared) >= MOST_SHARED:
                _shared.clear()
            _shared[name] = item
        return item


def _facts_named(task: ProbeTask, facts: Facts, raster: Raster, planning: Planning) -> str:
    """Name all that the plan of a chain depends on, unless a step looks at more: the job, the
    ``raster`` of the source and how it is stored, what is known and said of it before the first
    step is planned."""
    asked = (task.params, task.output, task.chunking, is_url(task.source))
    return repr((asked, facts, raster, planning.notes, planning.warnings))


def _probe_group(task: ProbeTask, stage: Stage, surveys: Surveys) -> ItemPlan:
    """Plan a chain on all files of a group."""
    opened_source.release()
    surveys.most = GROUP_PARTS
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
            planning = Planning(
                group.warnings, group.known, step=step, item=task.key, surveys=surveys
            )
            first = group_probe.plan_group(group, head["name"], given(head), planning)
            facts = facts_of(first.raster)
            opened = partial(opened_source.OpenSource.of, task.source, facts, stack)
            opener = chain.Opener(opened, stage)
            planned = chain.plan_chain(first, steps, planning, opener, before=1)
            planning.notes.update(facts.to_notes())
            if surveys.known and task.source_id is not None:
                # Chunks hold each file against what it is now: the surveys may have seen another.
                source_files.check_identity(task.source, task.source_id)
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
        return place_source(task, dataset, "", warnings, known)

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
