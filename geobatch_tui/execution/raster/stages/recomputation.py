"""How much of a chain its chunks would compute again for each other, and where a stage avoids it.

A step that reads beyond a window, or another grid, has the steps before it compute more pixels than
there are: a halo as wide as a quarter of a chunk doubles them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geobatch_tui.execution.raster.steps.step_table import STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from geobatch_tui.execution.protocol.messages import ChunkGrid
    from geobatch_tui.execution.raster.plan import StepPlan

#: Computed pixels over those that are needed, above which a stage is stored. To store a pixel and
#: read it again costs about half of what reading it from the source and a step on it do.
MOST = 1.5
#: Pixels of a raster that is too small to be worth a file of its own.
FEW = 2048 * 2048
#: Chunks that are looked at: to ask a warp what it needs takes a millisecond or more.
_SAMPLE = 16
#: Steps that compute no pixel: to store what they give would be a copy of the source.
_PASSING = frozenset({"clip", "edit", "materialize", "select"})


def worth_storing(
    chain: tuple[StepPlan, ...], ends: Sequence[int], grids: Sequence[ChunkGrid]
) -> tuple[int, float] | None:
    """Return the step of ``chain`` of which a stage would avoid recomputation, and how many times
    each of its pixels is computed without; None: it is not worth a stage.

    Args:
        chain: as it was planned.
        ends: the steps that the stages there are give, in order, and the last.
        grids: the chunks of each.
    """
    start = 0
    for end, grid in zip(ends, grids, strict=True):
        if len(grid) > 1:
            for number, times in computed_times(chain[start : end + 1], grid):
                step = start + number
                computing = any(one.name not in _PASSING for one in chain[start + 1 : step + 1])
                large = chain[step].raster.whole.size > FEW
                if times > MOST and large and computing:
                    return step, times
        start = end
    return None


def computed_times(chain: tuple[StepPlan, ...], grid: ChunkGrid) -> Iterator[tuple[int, float]]:
    """Yield the steps of ``chain`` but for the last, and for the first, which is read, from the
    end on; and how often a pixel of each that is needed at all is computed by chunks of ``grid``,
    on average."""
    every = range(0, len(grid), -(-len(grid) // _SAMPLE))
    windows = [grid.window(index) for index in every]
    whole, share = chain[-1].raster.whole, len(every) / len(grid)
    for number in range(len(chain) - 2, 0, -1):
        step, up = chain[number + 1], chain[number].raster
        need = STEPS[step.name].need
        windows = [need(step, up, window) for window in windows]
        whole = need(step, up, whole)
        yield number, sum(one.size for one in windows) / share / max(whole.size, 1)
