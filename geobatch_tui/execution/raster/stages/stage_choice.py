"""Plans the stages of a chain: what is stored on the way, by which chunks, and what that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.protocol.messages import StagePlan
from geobatch_tui.execution.raster import chunking
from geobatch_tui.execution.raster.plan import sides_of
from geobatch_tui.execution.raster.stages.phases import behind
from geobatch_tui.execution.raster.stages.stage_file import SIDE, size_of
from geobatch_tui.execution.raster.steps.step_table import pixel_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geobatch_tui.execution.protocol.messages import Chunking
    from geobatch_tui.execution.raster.plan import StepPlan

#: A step behind which nothing is left to compute.
_NOTHING = "materialize"


def plan_stages(
    chain: tuple[StepPlan, ...],
    wanted: Mapping[int, tuple[str, bool]],
    limits: Chunking,
    *,
    before: int,
    block_bytes: int,
    warnings: list[str],
) -> tuple[StagePlan, ...]:
    """Return the stages of ``chain``.

    Args:
        chain: as it was planned.
        wanted: what asks for a stage, by the step of the chain that gives it, and whether it cannot
            do without.
        limits: for the choice of chunks.
        before: how many steps of the job stand before the chain's second.
        block_bytes: of a decoded block of the source.
        warnings: gets a sentence on each stage that is asked for and left out.

    Raises:
        MemoryBudgetError: not even one tile fits in a chunk's budget.
        SchemaError: a step behind a stage that is needed reads the source of the item beside.
    """
    stages: list[StagePlan] = []
    start = 0
    for after in sorted(wanted):
        rest, since = chain[after + 1 :], chain[start + 1 : after + 1]
        if all(step.name == _NOTHING for step in rest):
            break
        if stages and all(step.name == _NOTHING for step in since):
            continue
        why, needed = wanted[after]
        if not can_store(chain, after):
            if needed:
                raise SchemaError(
                    f"{why}; but a step behind it reads the item's source beside what it gets, and "
                    "from a stage on there is no source",
                    hint="name the file of the second raster, or run the steps before as a job",
                )
            warnings.append(f"{why}, but a step behind it reads the source: nothing is stored")
            continue
        part = behind(chain, start)[: after - start + 1] if stages else chain[: after + 1]
        raster = chain[after].raster
        cost = chunking.Cost(
            max(pixel_bytes(part[-1:]), -(-pixel_bytes(part) // chunking.COPIES)),
            chunking.OVERHEAD + 2 * block_bytes,
        )
        size = raster.width, raster.height
        grid, _ = chunking.cut(size, (SIDE, SIDE), limits, cost)
        peak = cost.of(min(grid.chunk_width, grid.width), min(grid.chunk_height, grid.height))
        stages.append(StagePlan(grid, peak, after, after + before, size_of(raster), why))
        start = after
    return tuple(stages)


def can_store(chain: tuple[StepPlan, ...], after: int) -> bool:
    """Whether what step ``after`` gives can be stored: no step behind it reads the source."""
    return not any(map(_reads_source, chain[after + 1 :]))


def because(chain: tuple[StepPlan, ...], after: int, times: float, before: int) -> str:
    """Say why what step ``after`` of ``chain`` gives is stored though nobody asks for it: chunks
    would compute each pixel so many ``times``."""
    of, by = (
        f"step {number + before} ({chain[number].values.get('use', chain[number].name)})"
        for number in (after, after + 1)
    )
    return (
        f"{by} reads so far beyond a chunk that each pixel of {of} would be computed {times:.1f} "
        "times"
    )


def _reads_source(step: StepPlan) -> bool:
    """Whether a step has a second raster that is made of the item's own source."""
    return any("facts" not in side for side in sides_of(step))


def rest_of(chain: tuple[StepPlan, ...], stages: tuple[StagePlan, ...]) -> tuple[StepPlan, ...]:
    """Return the steps that chunks of the output go through."""
    return behind(chain, stages[-1].after) if stages else chain


def told(stage: StagePlan) -> str:
    """Return what the plan says of a stage."""
    return (
        f"{stage.why}; what comes before is stored first, in up to {stage.size:,} bytes of disk "
        "until the item is published"
    )


def noted(stage: StagePlan) -> dict[str, object]:
    """Return what ``plan --json`` says of a stage."""
    return {
        "behind_step": stage.steps,
        "why": stage.why,
        "bytes": stage.size,
        "chunks": len(stage.grid),
        "size": [stage.grid.width, stage.grid.height],
    }
