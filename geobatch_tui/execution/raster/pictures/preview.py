"""A small picture of a window of a source, for the eye: the pixels that a failing chunk reads.

Blocks are read singly and at full resolution, so that a damaged one shows: decimated reads would
take overviews, which may be sound where the pixels are not.
"""

from __future__ import annotations

import contextlib
import math
from time import monotonic
from typing import TYPE_CHECKING, Final

import numpy as np
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from geobatch_tui.errors import CorruptSourceError, InvalidInputError
from geobatch_tui.execution.protocol.messages import ChunkGrid
from geobatch_tui.execution.protocol.preview_messages import PreviewReceipt
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster import validity
from geobatch_tui.execution.raster.grid import kernel_scale
from geobatch_tui.execution.raster.grid.projection import Mapper
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.source import opened_source, size_checks
from geobatch_tui.execution.raster.source_facts import Facts
from geobatch_tui.execution.raster.steps import step_table
from geobatch_tui.execution.runtime.recorder import expected_gdal_errors

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.protocol.preview_messages import PreviewTask
    from geobatch_tui.execution.raster.types import Flags, Pixels

VALUE, NODATA, UNREADABLE, UNREAD = range(4)
#: Shares of the values, in percent, that the stretch maps to black and white.
_LOW, _HIGH = 2, 98
#: The largest picture, in pixels: it crosses a pipe and is drawn with half blocks.
_MAX_COLUMNS, _MAX_ROWS = 160, 96
#: Blocks that are read for one picture: of a vast window a coarse picture is shown at once.
MOST_BLOCKS = 1500
_RGB: Final = 3


def preview(task: PreviewTask, stage: Stage) -> PreviewReceipt:
    """Read the window of the source that ``task`` is about.

    Raises:
        InvalidInputError: the source cannot be opened, is dangerous, or has no such band; or the
            window lies over no part of it. A block that cannot be read is no error.
    """
    with stage("open"), opened_source.gdal_options():
        # Its own dataset: what a failed read leaves behind must not reach a chunk.
        opened_source.release()
        opened = opened_source.open_source(task.source, allow_vrt=task.allow_vrt, head=True)
        with opened as dataset, contextlib.ExitStack() as stack:
            size_checks.refuse_bomb(task.source, dataset, task.max_bytes)
            facts = Facts.of(dataset)
            plan = RasterPlan.from_json(task.detail) if task.detail else None
            window = _source_window(task, facts, plan)
            bands = _bands(task, facts)
            width, height = _affordable(
                facts, window, *fitted_size(window, task.columns, task.rows)
            )
            picture = _Picture(window, len(bands), width, height)
            blocks = _Blocks(
                opened_source.OpenSource.of(task.source, facts, stack, dataset), bands, plan
            )
            with stage("read"), expected_gdal_errors():
                picture.sample(blocks, monotonic() + task.max_seconds)
        return _receipt(picture, facts, blocks, window)


def _bands(task: PreviewTask, facts: Facts) -> tuple[int, ...]:
    if task.band > facts.count:
        raise InvalidInputError(f"{task.source} has {facts.count} bands, no band {task.band}")
    if task.band:
        return (task.band,)
    colours = facts.count - facts.alpha
    return (1, 2, 3) if colours >= _RGB else (1,)


def fitted_size(window: Window, columns: int, rows: int) -> tuple[int, int]:
    """Return width and height of a picture of ``window`` in its proportions, at most as given."""
    columns = max(1, min(columns, _MAX_COLUMNS, window.width))
    rows = max(1, min(rows, _MAX_ROWS, window.height))
    ratio = min(columns / window.width, rows / window.height)
    width = max(1, min(columns, round(window.width * ratio)))
    return width, max(1, min(rows, round(window.height * ratio)))


def _affordable(facts: Facts, window: Window, width: int, height: int) -> tuple[int, int]:
    """Return width and height, reduced where the samples would lie in too many blocks."""
    cols, rows = facts.block
    across = min(width, window.width // cols + 2)
    down = min(height, window.height // rows + 2)
    if across * down <= MOST_BLOCKS:
        return width, height
    ratio = math.sqrt(MOST_BLOCKS / (across * down))
    return max(1, int(across * ratio)), max(1, int(down * ratio))


def _source_window(task: PreviewTask, facts: Facts, plan: RasterPlan | None) -> Window:
    """Return the part of the source under the requested window of the plan's grid."""
    window = task.window
    whole = Window(0, 0, facts.width, facts.height)
    if window is None or plan is None:
        return whole
    if plan.chain:
        window = step_table.needed_source(plan.chain, window)
    elif plan.warp is not None:
        part = kernel_scale.source_window(Mapper.of(plan, plan.warp, facts), window)
        if part is None:
            raise InvalidInputError(f"no part of {task.source} lies under this window")
        window = part.pixels
    inside = window.clip(whole)
    if not inside.size:
        raise InvalidInputError(
            f"the window lies outside of {task.source} as it is now: {whole.width}x{whole.height} "
            "pixels",
            hint="the source is another one than was planned; a new run plans it anew",
        )
    return inside


class _Picture:
    """Samples of a window: ``columns`` and ``rows`` are their places in the source."""

    def __init__(self, window: Window, bands: int, width: int, height: int) -> None:
        self.columns = window.col_off + (np.arange(width) * 2 + 1) * window.width // (2 * width)
        self.rows = window.row_off + (np.arange(height) * 2 + 1) * window.height // (2 * height)
        self.values: Pixels = np.zeros((bands, height, width))
        self.marks: Flags = np.full((height, width), UNREAD, np.uint8)
        self.bad, self.error = 0, ""

    def sample(self, blocks: _Blocks, until: float) -> None:
        """Fill in the samples, block by block, until time runs out."""
        block_cols, block_rows = blocks.grid.chunk_width, blocks.grid.chunk_height
        for row in np.unique(self.rows // block_rows).tolist():
            down = self.rows // block_rows == row
            for col in np.unique(self.columns // block_cols).tolist():
                if monotonic() > until:
                    return
                across = self.columns // block_cols == col
                place = np.ix_(down, across)
                try:
                    part, valid = blocks.read_block(row, col)
                except (RasterioError, CorruptSourceError) as error:
                    self.marks[place] = UNREADABLE
                    self.bad += 1
                    self.error = self.error or str(error.__cause__ or error)
                    continue
                inner = np.ix_(
                    self.rows[down] - row * block_rows, self.columns[across] - col * block_cols
                )
                for index, band in enumerate(part):
                    self.values[index][place] = band[inner]
                self.marks[place] = np.where(valid[inner], VALUE, NODATA)


class _Blocks:
    """Reads whole blocks of some bands, and where they are valid."""

    def __init__(
        self, opened: opened_source.OpenSource, bands: tuple[int, ...], plan: RasterPlan | None
    ) -> None:
        self._source = opened
        self._facts = facts = opened.facts
        self.bands = bands
        self.grid = ChunkGrid(facts.width, facts.height, *facts.block)
        self.nodata = [facts.nodatavals[band - 1] for band in bands]
        if plan is not None and plan.warp is not None and plan.warp.src_nodata is not None:
            self.nodata = [plan.warp.src_nodata] * len(bands)
        if facts.alpha:
            self.nodata = [None] * len(bands)

    def read_block(self, row: int, col: int) -> tuple[Pixels, Pixels]:
        """Return values (bands, h, w) and validity (h, w) of a block, by its row and column.

        Raises:
            RasterioError, CorruptSourceError: GDAL cannot read it, or would read it wrongly.
        """
        block = self.grid.window(row * self.grid.columns + col)
        window, dataset = RasterWindow(*block.srcwin), self._source.dataset
        self._source.check(block)
        pixels: Pixels = dataset.read(list(self.bands), window=window)
        valid: Pixels = np.zeros(pixels.shape[1:], bool)
        for band, nodata in zip(pixels, self.nodata, strict=True):
            valid |= validity.differs(band, nodata)
        if self._facts.mask:
            valid &= dataset.dataset_mask(window=window) > 0
        if self._facts.alpha:
            valid &= dataset.read(self._facts.count, window=window) > 0
        return (np.abs(pixels) if pixels.dtype.kind == "c" else pixels), valid


def _receipt(picture: _Picture, facts: Facts, blocks: _Blocks, window: Window) -> PreviewReceipt:
    seen = picture.marks == VALUE
    limits = [ends(band[seen]) for band in picture.values]
    layers = [
        np.where(seen, stretched(band, low, high), 0)
        for band, (low, high) in zip(picture.values, limits, strict=True)
    ]
    pixels = np.stack(layers if len(layers) == _RGB else layers * _RGB, axis=-1).astype(np.uint8)
    height, width = picture.marks.shape
    nodata = blocks.nodata[0]
    shown = {
        "window": list(window.srcwin),
        "size": [facts.width, facts.height],
        "bands": list(blocks.bands),
        "count": facts.count,
        "dtype": facts.dtype,
        "nodata": None if nodata is None else repr(nodata),
        "block": list(facts.block),
        "low": [low for low, _ in limits],
        "high": [high for _, high in limits],
        "bad_blocks": picture.bad,
        "error": picture.error,
    }
    return PreviewReceipt(width, height, pixels.tobytes(), picture.marks.tobytes(), shown)


def ends(values: Pixels) -> tuple[float, float]:
    """Return the values at black and white: the percentiles 2 and 98 of the finite ones."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 0.0
    low, high = np.percentile(finite, (_LOW, _HIGH))
    return float(low), float(high)


def stretched(values: Pixels, low: float, high: float) -> Pixels:
    """Scale values from ``low`` to ``high`` to 0 to 255; to the middle if these are equal."""
    if not high > low:
        return np.full(values.shape, 128, np.uint8)
    with np.errstate(invalid="ignore", over="ignore"):
        share = np.nan_to_num((values - low) / (high - low), nan=0.0, posinf=1.0, neginf=0.0)
    return np.round(np.clip(share, 0, 1) * 255).astype(np.uint8)
