"""What one chunk computes, in a stage or behind it: as if the stage before it were its source."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geobatch_tui.errors import (
    CorruptSourceError,
    GeobatchError,
    SourceNotFoundError,
    UnsupportedFormatError,
    VerifyError,
)
from geobatch_tui.execution.protocol.messages import ItemPlan, SourceIdentity, chunk_place
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.plan import RasterPlan, StepPlan
from geobatch_tui.execution.raster.source.opened_source import STAGED
from geobatch_tui.execution.raster.stages.stage_file import SIDE, StageFile
from geobatch_tui.execution.raster.steps.step_table import BESIDE, READ, READ_VERSION, STEP

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from geobatch_tui.execution.protocol.messages import ChunkGrid, ItemContext, StagePlan
    from geobatch_tui.execution.raster.plan import Raster

#: What is wrong with a file that is read.
_DAMAGE = (CorruptSourceError, UnsupportedFormatError, SourceNotFoundError)


@dataclass(frozen=True, slots=True)
class Phase:
    """A chunk, with its item and plan as they are for it.

    Attributes:
        item: its source is the stage before, where there is one.
        plan: its chain reads that source, and gives the pixels of the chunk.
        index: number of the chunk in ``item.plan.grid``.
        stage: what it is a chunk of; None: of the output.
        source: the stage that it reads; None: it reads the item's own source.
        first: number in the item of the first chunk of ``source``.
    """

    item: ItemContext
    plan: RasterPlan
    index: int
    stage: StagePlan | None = None
    source: StagePlan | None = None
    first: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether no stage has to do with it."""
        return self.stage is None and self.source is None

    def file(self, stage: StagePlan) -> StageFile:
        """Lay out the file of ``stage``, which the chunk belongs to."""
        raster = self.plan.chain[-1].raster
        return StageFile.of(_path_of(self.item, stage), raster, stage.grid, stage.fingerprint)

    @contextlib.contextmanager
    def blaming_the_stage(self) -> Iterator[None]:
        """Tell damage to the stage before from damage to the item's source, and count the step that
        failed among those of the job.

        Raises:
            VerifyError: it is damaged; its evidence lists the chunks to compute again.
        """
        try:
            yield
        except GeobatchError as error:
            if self.source is None:
                raise
            if isinstance(error, _DAMAGE) and BESIDE not in error.evidence:
                raise _lost(self.source, self.first, _met(self.source, error)) from error
            number = error.evidence.get(STEP)
            if isinstance(number, int):
                error.evidence = {**error.evidence, STEP: number + self.source.steps}
            raise


def phase_of(item: ItemContext, plan: RasterPlan, index: int) -> Phase:
    """Return what chunk ``index`` of an item computes; ``plan`` is that of the whole item.

    Raises:
        VerifyError: the stage before it is gone; its evidence lists the chunks to compute again.
    """
    if not item.plan.stages:
        return Phase(item, plan, index)
    number, grid, local = chunk_place(item.plan.grids, index)
    stages = item.plan.stages
    stage = stages[number] if number < len(stages) else None
    last = len(plan.chain) - 1 if stage is None else stage.after
    if not number:
        return Phase(*_cut(item, plan, plan.chain[: last + 1], grid), local, stage)
    source, first = stages[number - 1], sum(len(one.grid) for one in stages[: number - 1])
    chain = behind(plan.chain, source.after)[: last + 1 - source.after]
    item, plan = _cut(item, plan, chain, grid)
    item = _reading(item, source, chain[0].raster, first)
    return Phase(item, plan, local, stage, source, first)


def fused(item: ItemContext, plan: RasterPlan, index: int) -> Phase:
    """Return the same of a chunk that is computed from the item's own source, whatever is stored on
    the way: its pixels are the same."""
    number, grid, local = chunk_place(item.plan.grids, index)
    stages = item.plan.stages
    last = stages[number].after if number < len(stages) else len(plan.chain) - 1
    return Phase(*_cut(item, plan, plan.chain[: last + 1], grid), local)


def _cut(
    item: ItemContext, plan: RasterPlan, chain: tuple[StepPlan, ...], grid: ChunkGrid
) -> tuple[ItemContext, RasterPlan]:
    """Return an item without stages, and its plan, that ends with ``chain``."""
    item = replace(item, plan=replace(item.plan, grid=grid, stages=()))
    return item, RasterPlan.of(chain[-1].raster, plan.encoding, None, chain) if chain else plan


def behind(chain: tuple[StepPlan, ...], after: int) -> tuple[StepPlan, ...]:
    """Return the chain that reads what step ``after`` of ``chain`` gave."""
    return (StepPlan(READ, READ_VERSION, {}, chain[after].raster), *chain[after + 1 :])


def finished(item: ItemContext) -> ItemContext:
    """Return the item as its assembly has to know it."""
    return replace(item, plan=replace(item.plan, stages=())) if item.plan.stages else item


def _reading(item: ItemContext, stage: StagePlan, raster: Raster, first: int) -> ItemContext:
    """Return the item with the file of ``stage``, which holds ``raster``, as its source."""
    from geobatch_tui.execution.raster.steps.step import facts_of

    path = _path_of(item, stage)
    try:
        status = path.lstat()
    except FileNotFoundError as error:
        raise _lost(stage, first, range(len(stage.grid))) from error
    identity = SourceIdentity(status.st_size, status.st_mtime_ns, stage.fingerprint)
    notes = {**item.plan.notes, **facts_of(raster).to_notes(), STAGED: True}
    plan: ItemPlan = replace(item.plan, notes=notes)
    return replace(item, source=str(path), source_id=identity, plan=plan)


def _met(stage: StagePlan, error: GeobatchError) -> Sequence[int]:
    """Return the chunks of ``stage`` that hold the tiles that cannot be read; all if none is
    named."""
    grid = stage.grid
    blocks: Any = error.evidence.get("blocks", ())
    windows = [Window(int(col) * SIDE, int(row) * SIDE, 1, 1) for row, col in blocks]
    return sorted({one for window in windows for one in grid.under(window)}) or range(len(grid))


def _lost(stage: StagePlan, first: int, chunks: Sequence[int]) -> VerifyError:
    error = VerifyError(
        f"what was stored behind step {stage.steps} is gone or damaged: {len(chunks)} of its "
        f"{len(stage.grid)} chunks",
        hint="they have to be computed again",
    )
    error.evidence = {"staged": [first + one for one in chunks]}
    return error


def _path_of(item: ItemContext, stage: StagePlan) -> Path:
    if not stage.fingerprint:
        raise ValueError("a stage without a fingerprint has no file")
    return Path(item.work_dir) / stage.file_name
