"""Tries whether functions of the user keep the cut law, before their pixels are taken.

The middle of a chunk is computed twice: as part of the whole window, whose pixels around it are a
far larger halo, and in four parts. Where a halo is too small, or where a function looks at all of
its block, or at chance, the two differ. When that is done: see ``own_trials``.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.errors import SeamError
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.plan import sides_of, unpack_chain
from geobatch_tui.execution.raster.steps.second import side_chain
from geobatch_tui.execution.raster.steps.step_table import STEPS
from geobatch_tui.execution.runtime.own_trials import Trials

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.protocol.messages import ChunkTask, Json
    from geobatch_tui.execution.raster.plan import RasterPlan, StepPlan
    from geobatch_tui.execution.raster.steps.chain import Stream
    from geobatch_tui.execution.raster.steps.step import Block
    from geobatch_tui.execution.runtime.own_trials import Key


@dataclass(frozen=True, slots=True)
class _Trial:
    """A step to try: the stream that ends with it, and the window of it that a chunk needs;
    ``side``: the second raster that it makes; None: it is a step of the chain itself."""

    stream: Stream
    window: Window
    key: Key
    side: Json | None = None


def is_due(task: ChunkTask, plan: RasterPlan) -> bool:
    """Whether a chunk has steps to try."""
    trials = Trials(task)
    return any(
        trials.is_due(trials.key(place, step.values)) for place, step in _functions(plan.chain)
    )


def _functions(chain: tuple[StepPlan, ...], within: str = "") -> Iterator[tuple[str, StepPlan]]:
    """Yield the functions of a chain, and of those beside its steps, each with its place."""
    for number, step in enumerate(chain):
        if "use" in step.values:
            yield f"{within}{number}", step
        for side in sides_of(step):
            yield from _functions(unpack_chain(side["chain"]), f"{number} {side['name']} ")


def prove(task: ChunkTask, stream: Stream, window: Window) -> None:
    """Try the functions that make ``window`` of ``stream``.

    Raises:
        SeamError: one gives other pixels in another cut; it says where.
    """
    trials = Trials(task)
    # The first of the chain first: one behind it would have its faults.
    for trial in reversed(list(_trials(trials, stream, window))):
        if not trials.is_due(trial.key):
            continue
        with nullcontext() if trial.side is None else side_chain.reading(trial.side):
            proved = _is_proved(trial)
        if proved:
            trials.passed(trial.key)


def _trials(
    trials: Trials, stream: Stream, window: Window, side: Json | None = None, within: str = ""
) -> Iterator[_Trial]:
    """Walk from the last step to the first, and through the chains beside them, with the window
    that is needed of each."""
    while len(stream.chain) > 1 and window.size:
        step, place = stream.step, f"{within}{len(stream.chain) - 1}"
        if "use" in step.values:
            yield _Trial(stream, window, trials.key(place, step.values), side)
        for beside in sides_of(step):
            other, at = stream.before.stream_of(beside), f"{place} {beside['name']} "
            yield from _trials(trials, other, window, beside, at)
        window = STEPS[step.name].need(step, stream.before.raster, window)
        stream = stream.before


def _is_proved(trial: _Trial) -> bool:
    """Compute the middle of a window in two ways; return whether it says anything: a middle of one
    value proves nothing. Raises SeamError where they differ."""
    window = trial.window
    middle = Window.between(
        window.col_off + window.width // 4,
        window.row_off + window.height // 4,
        window.right - window.width // 4,
        window.bottom - window.height // 4,
    )
    # A copy, so that the block is not in memory beside the parts.
    reference = _layers(trial.stream.block(window), middle.slices_in(window))
    # Cut off the centre, where one might expect it.
    cols, rows = max(1, middle.width * 2 // 5), max(1, middle.height * 3 // 7)
    corner = (middle.col_off + cols, middle.row_off + rows)
    for part in middle.tiles(
        max(cols, middle.width - cols), max(rows, middle.height - rows), corner
    ):
        again = _layers(trial.stream.block(part))
        _compare(trial.stream.step, reference[:, *part.slices_in(middle)], again, part)
    return bool((reference != reference[:, :1, :1]).any())


def _layers(block: Block, slices: tuple[slice, slice] = (slice(None), slice(None))) -> Any:
    """Return pixels and mask of a part of a block as one array, with the mask as its last band."""
    pixels = block.pixels[:, *slices]
    if block.mask is None:
        return np.array(pixels)
    return np.concatenate([pixels, block.mask[np.newaxis, *slices].astype(pixels.dtype)])


def _compare(step: StepPlan, one: Any, other: Any, part: Window) -> None:
    same = one == other
    if one.dtype.kind == "f":
        same &= np.signbit(one) == np.signbit(other)
        same |= np.isnan(one) & np.isnan(other)
    if same.all():
        return
    band, row, col = (int(index) for index in np.argwhere(~same)[0])
    column, line = part.col_off + col, part.row_off + row
    values = [str(one[band, row, col]), str(other[band, row, col])]
    error = SeamError(
        f"{step.values['use']}: column {column}, row {line} of band {band + 1} is {values[0]} in "
        f"one cut and {values[1]} in another: halo={step.values['halo']} is too small, or it looks "
        "at the whole block (mean, percentile, random)"
    )
    error.evidence = {"column": column, "row": line, "band": band + 1, "values": values}
    raise error
