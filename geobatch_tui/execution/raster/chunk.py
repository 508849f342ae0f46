"""Computes the pixels of a chunk, and hands them on to be encoded."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
from pyproj import CRS
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from geobatch_tui.errors import CorruptSourceError, MemoryBudgetError, TransientError
from geobatch_tui.execution.protocol.messages import (
    ChunkReceipt,
    Segment,
)
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster import validity
from geobatch_tui.execution.raster.geotiff import assembly, spool
from geobatch_tui.execution.raster.grid import kernel_scale, pixel_grid
from geobatch_tui.execution.raster.grid.projection import Mapper
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.raster.pyramid import passthrough
from geobatch_tui.execution.raster.source import opened_source
from geobatch_tui.execution.raster.warp import gdal_warp, resample
from geobatch_tui.execution.sources import source_files

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from geobatch_tui.execution.ops.registry import Stage
    from geobatch_tui.execution.protocol.messages import (
        ChunkTask,
        FinaliseTask,
        ItemContext,
        ItemReceipt,
        Json,
    )
    from geobatch_tui.execution.raster.pyramid.encode_chunk import KeptTiles
    from geobatch_tui.execution.raster.source.opened_source import Held
    from geobatch_tui.execution.raster.types import Pixels, Valid

#: Pixels of a source that is looked at as a whole: where a window needs them costs as much.
_SMALL = 2**20
_IO = "/proc/thread-self/io"


def run(task: ChunkTask, stage: Stage) -> ChunkReceipt:
    """Compute chunk ``task.index`` into the spool, or the whole item into its part file."""
    item = task.item
    plan = RasterPlan.from_json(item.plan.detail)
    window = item.plan.grid.window(task.index)
    kept: KeptTiles | None = None
    if plan.encoding.passthrough:
        valid = None
        pixels, kept, bytes_in = read_encoded(item, plan, window, stage)
    else:
        pixels, valid, bytes_in = read_chunk(item, plan, window, task.subdivide, stage)
    share = validity.invalid_share(plan, pixels, valid)
    if plan.encoding.alpha_as_mask:
        plan, pixels, valid = plan.stored(), pixels[:-1], pixels[-1] > 0
    whole: ItemReceipt | None = None
    if task.whole:
        whole = assembly.write_whole(item, plan, pixels, valid, task.epoch, stage, kept)
        segment, bytes_out = Segment(task.index, "", 0, 0, 0), whole.size
    else:
        segment, bytes_out = spool.write_chunk(
            item, plan, task.index, pixels, valid, task.epoch, stage, kept
        )
    return ChunkReceipt(
        index=task.index,
        segment=segment,
        units=pixels.size,
        bytes_in=bytes_in,
        bytes_out=bytes_out,
        nodata=share,
        seconds={},  # the worker's recorder knows them by stage
        item=whole,
    )


def finalise(task: FinaliseTask, stage: Stage) -> ItemReceipt:
    """Assemble the item from its segments."""
    opened_source.release()
    plan = RasterPlan.from_json(task.item.plan.detail).stored()
    return assembly.assemble(task.item, plan, task.segments, task.epoch, stage)


def read_chunk(
    item: ItemContext, plan: RasterPlan, window: Window, subdivide: int, stage: Stage
) -> tuple[Pixels, Valid | None, int]:
    """Pixels (bands, h, w) of ``window``, validity (h, w) where the plan keeps a mask, and the
    bytes that were read for it.

    ``subdivide`` n computes 4**n sub-windows in turn, with the same result.

    Raises:
        SourceChangedError: the source is not the one that was planned.
        CorruptSourceError: blocks cannot be read; its evidence lists them as [row, column].
        TransientError: a read failed, and succeeded when it was tried again.
        MemoryBudgetError: memory ran out.
    """
    before = _bytes_read()
    with stage("read"), opened_source.held_source(item) as held:
        if not subdivide:
            pixels, valid = _read_part(item, held, plan, window)
        else:
            pixels, valid = _read_quarters(item, held, plan, window, subdivide)
    if valid is None and plan.validity == "mask":
        valid = np.ones(window.shape, bool)
    return pixels, valid, max(_bytes_read() - before, 0)


def _read_quarters(
    item: ItemContext, held: Held, plan: RasterPlan, window: Window, times: int
) -> tuple[Pixels, Valid | None]:
    pixels: Pixels = np.empty((plan.count, *window.shape), plan.dtype)
    valid = np.ones(window.shape, bool) if plan.validity == "mask" else None
    for part in _quarters(window, times):
        values, good = _read_part(item, held, plan, part)
        rows, cols = part.slices_in(window)
        pixels[:, rows, cols] = values
        if valid is not None and good is not None:
            valid[rows, cols] = good
    return pixels, valid


def read_encoded(
    item: ItemContext, plan: RasterPlan, window: Window, stage: Stage
) -> tuple[Pixels, KeptTiles, int]:
    """Pixels (bands, h, w) of ``window``, the encoded tiles of the source that they came from, and
    the bytes that were read. A tile at a time: there is nothing to subdivide.

    Raises: as :func:`read_chunk`.
    """
    before = _bytes_read()
    with stage("read"), opened_source.held_source(item) as held:

        def by_gdal(part: Window) -> Pixels:
            return _read_part(item, held, plan, part)[0]

        pixels, kept = passthrough.read_tiles(held, item.source, plan, window, by_gdal)
    return pixels, kept, max(_bytes_read() - before, 0)


def _quarters(window: Window, times: int) -> list[Window]:
    """Cut the window in four, and each part again, ``times`` times."""
    parts = [window]
    for _ in range(times):
        parts = [
            quarter
            for part in parts
            for quarter in part.parts(-(-part.width // 2), -(-part.height // 2))
        ]
    return parts


def _read_part(
    item: ItemContext, held: Held, plan: RasterPlan, window: Window
) -> tuple[Pixels, Valid | None]:
    try:
        if plan.warp is not None:
            if plan.warp.path != "exact":
                return resample.resample_window(held, plan, window)
            _check_warped(held, plan, window)
            return gdal_warp.warp_window(held, plan, window)
        return _copy(held, plan, window, item.params)
    except (RasterioError, OSError) as error:
        raise explain(item, held, plan, window, error) from error


def _copy(
    held: Held, plan: RasterPlan, window: Window, params: Json
) -> tuple[Pixels, Valid | None]:
    """Pixels as they are; where nodata is renamed, the pixels that held the old one, too."""
    part = RasterWindow(*window.srcwin)
    pixels = held.read_window(window)
    if plan.validity == "mask":
        return pixels, _valid(held, part, pixels)
    if plan.validity == "nodata" and params.get("dst_nodata") is not None:
        _rename_nodata(held, plan, part, pixels, params)
    return pixels, None


def _valid(held: Held, part: RasterWindow, pixels: Pixels) -> Valid:
    """Where all bands of ``part`` of the source, with these ``pixels``, are valid. A mask decides
    alone where the output keeps nodata beside it, as GDAL reads such files."""
    facts = held.facts
    seen: Valid = np.ones(pixels.shape[1:], bool)
    if facts.mask:
        seen &= held.dataset.read_masks(1, window=part) > 0
    if facts.nodata_differs:
        for band, value in zip(pixels, facts.nodatavals, strict=True):
            seen &= validity.differs(band, value)
    return seen


def _rename_nodata(
    held: Held, plan: RasterPlan, part: RasterWindow, pixels: Pixels, params: Json
) -> None:
    """Write the plan's nodata where pixels are invalid, and move valid ones off it."""
    own, facts = params.get("src_nodata"), held.facts
    values = facts.nodatavals if own is None else (None if own == "none" else float(own),)
    values = values * (len(pixels) if len(values) == 1 else 1)
    if not facts.mask and not any(value is not None for value in values):
        return  # what holds it is declared nodata
    invalid = np.zeros(pixels.shape, bool)
    if facts.mask:
        invalid |= held.dataset.read_masks(1, window=part) == 0
    for index, value in enumerate(values):
        if value is not None:
            invalid[index] |= ~validity.differs(pixels[index], value)
    kept, aside = validity.avoided(plan.nodata, pixels.dtype, plan.dtype)
    if kept != aside:
        pixels[:, ((pixels == kept) & ~invalid).all(axis=0)] = aside
    pixels[invalid] = plan.nodata


# --- failures ----------------------------------------------------------------------------------


def explain(
    item: ItemContext, held: Held, plan: RasterPlan, window: Window, error: Exception
) -> Exception:
    """The typed error for a failed read: which blocks of the source cannot be read."""
    if _says_memory(error):
        return MemoryBudgetError(f"{item.source}: GDAL ran out of memory: {error}")
    source_files.check_identity(item.source, item.source_id)
    needed = _needed(held, plan, window)
    # Opened anew: after an error some drivers go on as if nothing had happened.
    driver = item.plan.notes.get("driver")
    with opened_source.open_source(item.source, allow_vrt=driver == "VRT") as dataset:
        bad, tried, first = _bad_blocks(dataset, needed)
    if not bad:
        return TransientError(
            f"{item.source}: reading failed once ({error}), all {tried} blocks could be read after"
        )
    listed = ", ".join(f"{row},{col}" for row, col in bad[:5]) + (" ..." if len(bad) > 5 else "")
    corrupt = CorruptSourceError(
        f"{item.source}: {len(bad)} of {tried} blocks needed here cannot be read (row,column "
        f"{listed}): {first}"
    )
    opened_source.attach_blocks(corrupt, [list(block) for block in bad])
    return corrupt


def _says_memory(error: BaseException | None) -> bool:
    while error is not None:
        if "OutOfMemory" in type(error).__name__ or isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _needed(held: Held, plan: RasterPlan, window: Window) -> Window:
    """The window of the source that ``window`` of the output is computed from, with a margin."""
    facts = held.facts
    if plan.warp is None:
        return window
    whole = Window(0, 0, facts.width, facts.height)
    cols, rows = gdal_warp.BLOCK
    # GDAL warps a block of its virtual dataset as a whole, so damage under any part of it fails
    # every chunk that shares it.
    window = window.align(cols, rows, Window(0, 0, plan.width, plan.height))
    grid = pixel_grid.Grid(CRS.from_wkt(plan.crs), plan.transform, plan.width, plan.height)
    own = pixel_grid.Source(
        CRS.from_wkt(plan.warp.src_crs), facts.transform, facts.width, facts.height
    )
    part = kernel_scale.source_window(Mapper.between(own, grid), window)
    if part is None or part.failed:
        return whole
    extra = kernel_scale.margin(plan.warp.resampling, plan.warp.xscale, plan.warp.yscale) + 8
    return part.pixels.pad(extra).clip(whole)


def _check_warped(held: Held, plan: RasterPlan, window: Window) -> None:
    """Raises CorruptSourceError if a block that ``window`` needs is damaged."""
    checks = held.checksums
    if checks is None:
        return
    whole = Window(0, 0, held.facts.width, held.facts.height)
    # To look at all of a small source costs less than to find out what of it is needed.
    if whole.size > _SMALL or checks.damaged(whole):
        held.check(_needed(held, plan, window))


def _bad_blocks(dataset: DatasetReader, window: Window) -> tuple[list[tuple[int, int]], int, str]:
    """Blocks (row, column) under ``window`` that fail, how many were tried, the first message."""
    rows, cols = dataset.block_shapes[0]
    whole = Window(0, 0, dataset.width, dataset.height)
    bad: list[tuple[int, int]] = []
    tried, first = 0, ""
    for block in window.align(cols, rows, whole).tiles(cols, rows):
        tried += 1
        try:
            dataset.read(window=RasterWindow(*block.srcwin))
        except RasterioError as error:
            bad.append((block.row_off // rows, block.col_off // cols))
            first = first or str(error.__cause__ or error)
    return bad, tried, first


def _bytes_read() -> int:
    """Bytes that this thread has read through the kernel, from a cache or not; 0 if unknown."""
    try:
        fd = os.open(_IO, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        text = os.read(fd, 512)
    finally:
        os.close(fd)
    return int(text.partition(b"rchar:")[2].split(None, 1)[0])
