"""Computes the pixels of a chunk, and passes them on to be encoded."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from geobatch_tui.errors import MemoryBudgetError, TransientError
from geobatch_tui.execution.protocol.messages import ChunkGrid, ChunkReceipt, Segment
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster import validity
from geobatch_tui.execution.raster.geotiff import assembly, spool
from geobatch_tui.execution.raster.item_plan import AHEAD_BYTES
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.pyramid import passthrough
from geobatch_tui.execution.raster.source import opened_source, source_pixels
from geobatch_tui.execution.raster.source.blocks import unreadable
from geobatch_tui.execution.raster.stages import phases
from geobatch_tui.execution.raster.warp import warp_window
from geobatch_tui.execution.runtime import recorder
from geobatch_tui.execution.sources import source_files
from geobatch_tui.execution.sources.source_list import is_source_list
from geobatch_tui.execution.stores.object_url import is_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rasterio.io import DatasetReader

    from geobatch_tui.execution.protocol.messages import (
        ChunkTask,
        FinaliseTask,
        ItemContext,
        ItemReceipt,
    )
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.raster.pyramid.encode_chunk import EncodedTiles
    from geobatch_tui.execution.raster.source.opened_source import OpenSource
    from geobatch_tui.execution.raster.types import Pixels, Valid

    #: Reads the pixels of a window and encoded tiles that hold them.
    type _TileReader = Callable[
        [OpenSource, RasterPlan, Window, Callable[[Window], Pixels]], tuple[Pixels, EncodedTiles]
    ]

#: Pixels of an object that are fetched ahead, for each that is computed.
MOST_AHEAD = 64
#: The kernel's count of bytes read by a thread, from the page cache too.
_IO = "/proc/thread-self/io"


def run(task: ChunkTask, stage: Stage) -> ChunkReceipt:
    """Compute chunk ``task.index`` into its stage or the spool, or the whole item into its part
    file."""
    phase = phases.phase_of(task.item, _plan_of(task.item), task.index)
    item, plan = phase.item, phase.plan
    window = item.plan.grid.window(phase.index)
    valid: Valid | None = None
    encoded: EncodedTiles | None = None
    undefined = 0
    published = _published_tiles(item, plan, window, stage)
    if published is not None:
        pixels, encoded, bytes_in = published
    elif phase.is_plain and _copies_tiles(item, plan):
        ahead = _following(task, phase)
        pixels, encoded, bytes_in = read_tiles(item, plan, window, stage, ahead)
    else:
        with phase.blaming_the_stage():
            _prove_if_due(replace(task, item=item, index=phase.index), plan, window, stage)
            pixels, valid, bytes_in, undefined = read_pixels(
                item, plan, window, task.subdivide, stage, _following(task, phase)
            )
    share = validity.invalid_share(plan, pixels, valid)
    whole: ItemReceipt | None = None
    if phase.stage is not None:
        segment = phase.file(phase.stage).write(phase.index, pixels, valid, stage)
        bytes_out = segment.length
    else:
        if plan.encoding.alpha_as_mask:
            plan, pixels, valid = plan.stored(), pixels[:-1], pixels[-1] > 0
        if task.whole:
            whole = assembly.write_whole(item, plan, pixels, valid, task.epoch, stage, encoded)
            segment, bytes_out = Segment(phase.index, "", 0, 0, 0), whole.size
            _drop_copy(task.item)
        else:
            segment, bytes_out = spool.write_chunk(
                item, plan, phase.index, pixels, valid, task.epoch, stage, encoded
            )
    return ChunkReceipt(
        index=phase.index,
        segment=segment,
        units=pixels.size,
        bytes_in=bytes_in,
        bytes_out=bytes_out,
        nodata=share,
        seconds={},  # the worker's recorder knows them by stage
        item=whole,
        undefined=undefined,
    )


def _following(task: ChunkTask, phase: phases.Phase) -> dict[int, Window]:
    """Return the windows of this chunk and of those behind it that its worker will get, by their
    numbers; none where memory is short."""
    numbers = () if task.subdivide else task.ahead
    offset, grid = task.index - phase.index, phase.item.plan.grid
    local = [number - offset for number in (task.index, *numbers)]
    return {number: grid.window(number) for number in local if number < len(grid)}


def _published_tiles(
    item: ItemContext, plan: RasterPlan, window: Window, stage: Stage
) -> tuple[Pixels, EncodedTiles, int] | None:
    """As :func:`reuse.published_tiles`, which plans of a chain alone may note."""
    if not plan.chain:
        return None
    from geobatch_tui.execution.raster import reuse

    return reuse.published_tiles(item, plan, window, stage)


def _copies_tiles(item: ItemContext, plan: RasterPlan) -> bool:
    """Whether encoded tiles of sources are taken over."""
    if plan.encoding.passthrough or not plan.chain:
        return plan.encoding.passthrough
    from geobatch_tui.execution.raster.group import mosaic_tiles

    return mosaic_tiles.can_copy(item, plan)


def pixels_of(task: ChunkTask, stage: Stage) -> tuple[Pixels, float]:
    """Return the pixels (bands, h, w) of a chunk, and the share of them that is valid, 0 to 1;
    nothing is written."""
    phase = phases.fused(task.item, _plan_of(task.item), task.index)
    item, plan = phase.item, phase.plan
    window = item.plan.grid.window(phase.index)
    _prove_if_due(replace(task, item=item, index=phase.index), plan, window, stage)
    pixels, valid, _, _ = read_pixels(item, plan, window, task.subdivide, stage)
    return pixels, 1 - validity.invalid_share(plan, pixels, valid)


def _plan_of(item: ItemContext) -> RasterPlan:
    plan = RasterPlan.from_json(item.plan.detail)
    if not plan.chain:
        return plan
    from geobatch_tui.execution.raster.steps.own import function_step
    from geobatch_tui.execution.raster.steps.second import side_chain

    steps = item.params.get("steps", ())
    return side_chain.at_home(function_step.at_home(plan, steps), steps)


def _prove_if_due(task: ChunkTask, plan: RasterPlan, window: Window, stage: Stage) -> None:
    """Try the functions of the user in this chunk; errors as :func:`read_pixels`, and SeamError."""
    if not plan.chain:
        return
    from geobatch_tui.execution.raster.steps import chain
    from geobatch_tui.execution.raster.steps.own import seam_check

    if not seam_check.is_due(task, plan):
        return
    item = task.item
    with recorder.apart(), stage("seams"), opened_source.source_of(item) as opened:
        try:
            seam_check.prove(task, chain.of(opened, plan.chain, stage), window)
        except (RasterioError, OSError) as error:
            raise explain(item, opened, plan, window, error) from error


def finalise(task: FinaliseTask, stage: Stage) -> ItemReceipt:
    """Assemble the item from its segments."""
    opened_source.release()
    plan = RasterPlan.from_json(task.item.plan.detail).stored()
    receipt = assembly.assemble(
        task.item, plan, task.segments, task.epoch, stage, pieced=task.pieced
    )
    _drop_copy(task.item)
    return receipt


def _drop_copy(item: ItemContext) -> None:
    """Remove the copy of an object whose item is finished, if there is one."""
    if is_url(item.source):
        from geobatch_tui.execution.raster.source.object_source import drop_copy

        drop_copy(item.source, item.source_id)


def read_pixels(
    item: ItemContext,
    plan: RasterPlan,
    window: Window,
    subdivide: int,
    stage: Stage,
    following: Mapping[int, Window] | None = None,
) -> tuple[Pixels, Valid | None, int, int]:
    """Return the pixels (bands, h, w) of ``window``, their validity (h, w) where the plan keeps a
    mask, the number of bytes that were read for it, and that of pixels with an undefined result.

    ``subdivide`` n computes 4**n sub-windows in turn, with the same result. ``following``: this
    window and those that come next, by number; of an object their blocks are fetched meanwhile.

    Raises:
        SourceChangedError: the source is not the one that was planned.
        CorruptSourceError: blocks cannot be read; its evidence lists them as [row, column].
        TransientError: a read failed, and succeeded when it was tried again.
        MemoryBudgetError: memory ran out.
    """
    before = _bytes_read()
    with stage("read"), opened_source.source_of(item) as opened:
        if is_url(item.source):
            _fetch_ahead(item, opened, plan, following or {0: window})
        if not subdivide:
            pixels, valid, undefined = _compute_window(item, opened, plan, window, stage)
        else:
            pixels, valid, undefined = _compute_quarters(
                item, opened, plan, window, subdivide, stage
            )
    if valid is None and plan.validity == "mask":
        valid = np.ones(window.shape, bool)
    return pixels, valid, max(_bytes_read() - before, 0), undefined


def _fetch_ahead(
    item: ItemContext, opened: OpenSource, plan: RasterPlan, windows: Mapping[int, Window]
) -> None:
    """Begin to fetch the blocks that windows are computed from, if it is known which."""
    by_gdal = plan.warp is not None and plan.warp.path == "exact"
    if opened.blocks is None or by_gdal:
        return

    def needed(window: Window) -> Window:
        part = _needed_source(opened, plan, window)
        # Else it may be the whole, for want of a better.
        return part if part.size <= MOST_AHEAD * window.size else Window(0, 0, 0, 0)

    room = int(item.plan.notes.get(AHEAD_BYTES, 0))
    opened.blocks.turn_to({at: partial(needed, one) for at, one in windows.items()}, room)


def _compute_quarters(
    item: ItemContext,
    opened: OpenSource,
    plan: RasterPlan,
    window: Window,
    times: int,
    stage: Stage,
) -> tuple[Pixels, Valid | None, int]:
    pixels: Pixels = np.empty((plan.count, *window.shape), plan.dtype)
    valid = np.ones(window.shape, bool) if plan.validity == "mask" else None
    undefined = 0
    for part in _quarters(window, times):
        values, good, count = _compute_window(item, opened, plan, part, stage)
        undefined += count
        rows, cols = part.slices_in(window)
        pixels[:, rows, cols] = values
        if valid is not None and good is not None:
            valid[rows, cols] = good
    return pixels, valid, undefined


def _quarters(window: Window, times: int) -> Iterator[Window]:
    """Cut the window in four, and each part again, ``times`` times."""
    sides = 2**times
    return window.parts(-(-window.width // sides), -(-window.height // sides))


def read_tiles(
    item: ItemContext,
    plan: RasterPlan,
    window: Window,
    stage: Stage,
    following: Mapping[int, Window] | None = None,
) -> tuple[Pixels, EncodedTiles, int]:
    """Return the pixels (bands, h, w) of ``window``, encoded tiles of the source, or of a mosaic's
    files, that hold them, and the number of bytes that were read; errors as :func:`read_pixels`."""
    before = _bytes_read()
    read: _TileReader = passthrough.read_tiles
    if not plan.encoding.passthrough:
        from geobatch_tui.execution.raster.group import mosaic_tiles

        read = mosaic_tiles.read_tiles
    with stage("read"), opened_source.source_of(item) as opened:
        if is_url(item.source):
            _fetch_ahead(item, opened, plan, following or {0: window})
        pixels, encoded = read(
            opened, plan, window, lambda part: _compute_window(item, opened, plan, part, stage)[0]
        )
    return pixels, encoded, max(_bytes_read() - before, 0)


def _compute_window(
    item: ItemContext, opened: OpenSource, plan: RasterPlan, window: Window, stage: Stage
) -> tuple[Pixels, Valid | None, int]:
    try:
        if plan.chain:
            from geobatch_tui.execution.raster.steps import chain

            block, undefined = chain.of(opened, plan.chain, stage).counted(window)
            return block.pixels, block.mask, undefined
        if plan.warp is not None:
            return *warp_window.warp_window(opened, plan, plan.warp, window), 0
        return *source_pixels.copy_window(opened, plan, window, item.params), 0
    except (RasterioError, OSError) as error:
        raise explain(item, opened, plan, window, error) from error


def explain(
    item: ItemContext, opened: OpenSource, plan: RasterPlan, window: Window, error: Exception
) -> Exception:
    """Return the typed error for a failed read, with the blocks that cannot be read."""
    if _is_out_of_memory(error):
        return MemoryBudgetError(f"{item.source}: GDAL ran out of memory: {error}")
    source, allow_vrt = item.source, item.plan.notes.get("driver") == "VRT"
    if is_source_list(source):
        from geobatch_tui.execution.raster.steps import mosaic_step

        source, needed, allow_vrt = mosaic_step.read_last(plan.chain[0], opened)
    else:
        if not item.plan.notes.get(opened_source.STAGED):
            source_files.check_identity(source, item.source_id)
        needed = _needed_source(opened, plan, window)
    # Opened anew: after an error some drivers go on as if nothing had happened.
    with opened_source.open_source(source, allow_vrt=allow_vrt) as dataset:
        bad, tried, first = _bad_blocks(dataset, needed)
    if not bad:
        return TransientError(
            f"{source}: reading failed once ({error}), all {tried} blocks could be read after"
        )
    return unreadable(source, bad, f"{tried} blocks needed here", first)


def _is_out_of_memory(error: BaseException | None) -> bool:
    while error is not None:
        if "OutOfMemory" in type(error).__name__ or isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _needed_source(opened: OpenSource, plan: RasterPlan, window: Window) -> Window:
    """Return the part of the source that ``window`` is computed from, with a margin."""
    if plan.chain:
        from geobatch_tui.execution.raster.steps import step_table

        return step_table.needed_source(plan.chain, window)
    if plan.warp is None:
        return window
    return warp_window.needed_source(opened.facts, plan, plan.warp, window)


def _bad_blocks(dataset: DatasetReader, window: Window) -> tuple[list[tuple[int, int]], int, str]:
    """Read each block under ``window``; return row and column of those that fail, how many were
    tried, and the first message."""
    rows, cols = dataset.block_shapes[0]
    grid = ChunkGrid(dataset.width, dataset.height, cols, rows)
    bad, first = [], ""
    blocks = grid.under(window)
    for block in blocks:
        try:
            dataset.read(window=RasterWindow(*grid.window(block).srcwin))
        except RasterioError as error:
            bad.append(divmod(block, grid.columns))
            first = first or str(error.__cause__ or error)
    return bad, len(blocks), first


def _bytes_read() -> int:
    """Return the number of bytes that this thread has read so far; 0 if unknown."""
    try:
        fd = os.open(_IO, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        text = os.read(fd, 512)
    finally:
        os.close(fd)
    return int(text.partition(b"rchar:")[2].split(None, 1)[0])
