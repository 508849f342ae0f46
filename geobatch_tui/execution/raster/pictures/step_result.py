"""What a step of a chain gives for one chunk: a small picture, and the range of each band.

It is computed as a run computes it; a pixel of the picture is the mean of those it stands for.
Nothing is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from rasterio.errors import RasterioError

from geobatch_tui.errors import CorruptSourceError, InvalidInputError
from geobatch_tui.execution.params.frozen import COMBINING
from geobatch_tui.execution.protocol.preview_messages import PreviewReceipt, PreviewTask
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.pictures import preview
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.stages import phases
from geobatch_tui.execution.raster.steps import chain
from geobatch_tui.execution.raster.steps.conversion import valid_bands
from geobatch_tui.execution.raster.steps.own import function_step
from geobatch_tui.execution.raster.steps.second import side_chain
from geobatch_tui.execution.raster.steps.step_table import needed_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.execution.protocol.messages import ResultTask
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.raster.plan import Raster
    from geobatch_tui.execution.raster.steps.step import Block
    from geobatch_tui.execution.raster.types import Pixels, Valid

#: The longest side of what is computed, in pixels: of more its middle is shown.
MOST_SIDE: Final = 2048
_BYTE: Final = "uint8"
_RGB: Final = 3


def picture_of(task: PreviewTask | ResultTask, stage: Stage) -> PreviewReceipt:
    """Make the picture that a task asks for; errors as of :func:`preview.preview`, or of
    :func:`step_result`."""
    return (
        preview.preview(task, stage) if isinstance(task, PreviewTask) else step_result(task, stage)
    )


def step_result(task: ResultTask, stage: Stage) -> PreviewReceipt:
    """Compute what step ``task.step`` gives for the chunk: the part of its raster that the chunk
    is made of. The ranges and shares of nodata are those of all pixels of that part.

    Raises:
        InvalidInputError: the job has no such step, or it is not a chain.
        CorruptSourceError: the source cannot be read.
        StepError and its kin: a step failed.
    """
    steps = task.item.params.get("steps", ())
    plan = function_step.at_home(RasterPlan.from_json(task.item.plan.detail), steps)
    plan = side_chain.at_home(plan, steps)
    # A chunk that is stored on the way is computed as if it were not: its pixels are the same.
    phase = phases.fused(task.item, plan, task.index)
    planned = phase.plan.chain
    place = task.step - (1 if planned and planned[0].name in COMBINING else 0)
    if not 0 <= place < len(planned):
        count = len(planned) - (len(plan.chain) - len(steps))
        raise InvalidInputError(f"the chain has {count} steps; there is no step {task.step}")
    done, behind = planned[: place + 1], planned[place:]
    raster = done[-1].raster
    window = needed_source(behind, phase.item.plan.grid.window(phase.index)).clip(raster.whole)
    window = _middle(window)
    if not window.size:
        raise InvalidInputError("no pixel of this step's raster lies under the chunk")
    with stage("read"), opened_source.source_of(phase.item) as opened:
        try:
            block = chain.of(opened, done, stage).block(window)
        except (RasterioError, OSError) as error:
            raise CorruptSourceError(f"{task.item.source} cannot be read: {error}") from error
    with stage("picture"):
        return _receipt(task, raster, block, window)


def _middle(window: Window) -> Window:
    """Return the middle of a window, at most so many pixels on a side."""
    width, height = min(window.width, MOST_SIDE), min(window.height, MOST_SIDE)
    left = window.col_off + (window.width - width) // 2
    top = window.row_off + (window.height - height) // 2
    return Window(left, top, width, height)


def _receipt(task: ResultTask, raster: Raster, block: Block, window: Window) -> PreviewReceipt:
    valid = valid_bands(raster, block)
    bands = block.pixels[: raster.bands]
    good = [
        None if valid is None else valid[min(band, len(valid) - 1)] for band in range(len(bands))
    ]
    ranges = [_range(band, where) for band, where in zip(bands, good, strict=True)]
    shown = (0, 1, 2) if len(bands) >= _RGB else (0,)
    cells = _Cells(window, *preview.fitted_size(window, *task.size))
    if raster.colormap is not None and raster.dtype == _BYTE:
        pixels, seen, ends = _palette(raster.colormap, bands[0], good[0], cells)
    else:
        pixels, seen, ends = _colours(bands, good, shown, cells)
    height, width = seen.shape
    marks = np.where(seen, preview.VALUE, preview.NODATA).astype(np.uint8)
    facts = {
        "window": list(window.srcwin),
        "size": [raster.width, raster.height],
        "bands": [band + 1 for band in shown],
        "count": raster.count,
        "dtype": raster.dtype,
        "nodata": None if raster.nodata is None else repr(raster.nodata),
        "low": [low for low, _ in ends],
        "high": [high for _, high in ends],
        "ranges": ranges,
        "missing": [0.0 if where is None else 1 - float(where.mean()) for where in good],
    }
    return PreviewReceipt(width, height, pixels.tobytes(), marks.tobytes(), facts)


def _range(band: Pixels, good: Valid | None) -> list[float] | None:
    """Return the least and the greatest valid value of a band; None: there is none."""
    known = band if good is None else band[good]
    if known.dtype.kind == "c":
        known = np.abs(known)
    if known.dtype.kind == "f":
        known = known[~np.isnan(known)]
    return [known.min().item(), known.max().item()] if known.size else None


class _Cells:
    """Parts of a window, each of which is a pixel of its picture."""

    def __init__(self, window: Window, width: int, height: int) -> None:
        self.columns = np.arange(width) * window.width // width
        self.rows = np.arange(height) * window.height // height
        self.middle = np.ix_(
            (np.arange(height) * 2 + 1) * window.height // (2 * height),
            (np.arange(width) * 2 + 1) * window.width // (2 * width),
        )

    def means(self, band: Pixels, good: Valid | None) -> Pixels:
        """Return the mean of the valid values in each cell; NaN where there is none."""
        values = (np.abs(band) if band.dtype.kind == "c" else band).astype(np.float64)
        known = np.isfinite(values) if good is None else np.isfinite(values) & good
        values[~known] = 0
        with np.errstate(invalid="ignore", over="ignore"):
            means: Pixels = self._sums(values) / self._sums(known.astype(np.float64))
        return means

    def _sums(self, values: Pixels) -> Pixels:
        sums: Pixels = np.add.reduceat(np.add.reduceat(values, self.rows, 0), self.columns, 1)
        return sums


def _palette(
    table: Sequence[Sequence[int]], band: Pixels, good: Valid | None, cells: _Cells
) -> tuple[Pixels, Valid, list[tuple[float, float]]]:
    """Return the colours (h, w, 3) of the pixels in the middle of cells, and which are valid."""
    seen = np.ones(band.shape, bool)[cells.middle] if good is None else good[cells.middle]
    colours = np.array(table, np.uint8)[:, :_RGB][band[cells.middle]]
    return np.where(seen[..., np.newaxis], colours, 0).astype(np.uint8), seen, []


def _colours(
    bands: Pixels, good: Sequence[Valid | None], shown: Sequence[int], cells: _Cells
) -> tuple[Pixels, Valid, list[tuple[float, float]]]:
    """Return the colours (h, w, 3) of cells, which of them have a value, and the values of each
    band that are black and white. Three bands of bytes are colours already; all else is
    stretched."""
    means = [cells.means(bands[band], good[band]) for band in shown]
    seen = ~np.isnan(np.stack(means)).any(axis=0)
    is_colour = bands.dtype == _BYTE and len(shown) == _RGB
    ends = [(0.0, 255.0) if is_colour else preview.ends(band[seen]) for band in means]
    layers = [
        np.where(seen, preview.stretched(band, *limits), 0)
        for band, limits in zip(means, ends, strict=True)
    ]
    colours = np.stack(layers if len(layers) == _RGB else layers * _RGB, axis=-1)
    return colours.astype(np.uint8), seen, ends
