"""Plans, items and pixels for the tests of the assembler."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from planning import OPERATIONS, no_stage
from rasterio.crs import CRS

from geobatch_tui.execution.protocol.messages import (
    ChunkGrid,
    ChunkTask,
    FinaliseTask,
    ItemContext,
    ItemPlan,
    SourceIdentity,
)
from geobatch_tui.execution.raster.geotiff import assembly, spool
from geobatch_tui.execution.raster.plan import Encoding, RasterPlan

FINGERPRINT = "0123456789abcdef" * 2
COLOURS = {3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}


@cache
def wkt(code: str) -> str:
    return CRS.from_user_input(code).to_wkt()


def halves(width, height, block):
    """Overview sizes down to one block."""
    sizes = []
    while max(width, height) > block:
        width, height = -(-width // 2), -(-height // 2)
        sizes.append((width, height))
    return tuple(sizes)


def make_plan(width, height, *, count=1, dtype="uint8", block=64, crs="EPSG:3035", **changes):
    """A plan; names of Encoding's fields go there, others to the plan."""
    encoding = {
        "format": "COG",
        "block_width": block,
        "block_height": block,
        "compress": "DEFLATE",
        "level": 6,
        "predictor": 1,
        "interleave": "pixel",
        "overviews": halves(width, height, block),
        "overview_resampling": "average",
    }
    encoding.update({name: changes.pop(name) for name in list(changes) if name in encoding})
    for name in ("bigtiff", "sparse", "max_z_error", "alpha_as_mask"):
        if name in changes:
            encoding[name] = changes.pop(name)
    fields = {
        "crs": wkt(crs) if crs else "",
        "transform": (100.0, 0.0, 4_000_000.0, 0.0, -100.0, 3_000_000.0),
        "nodata": None,
        "validity": "none",
        "colorinterp": COLOURS.get(count, ("gray", *["undefined"] * (count - 1))),
        "colormap": None,
        "descriptions": ("",) * count,
        "scales": (1.0,) * count,
        "offsets": (0.0,) * count,
        "units": ("",) * count,
        "tags": {},
        "area_or_point": "Area",
        "warp": None,
        **changes,
    }
    return RasterPlan(
        width=width,
        height=height,
        count=count,
        dtype=dtype,
        encoding=Encoding(**encoding),
        **fields,
    )


def make_item(plan, folder, *, chunk=None, name="out.tif", fingerprint=FINGERPRINT):
    """An item with chunks of ``chunk`` pixels (None: one chunk), its state under ``folder``."""
    width, height = chunk or (plan.width, plan.height)
    grid = ChunkGrid(plan.width, plan.height, width, height)
    return ItemContext(
        item_id=1,
        key=name,
        source="/source.tif",
        source_id=SourceIdentity(1, 1, "00"),
        fingerprint=fingerprint,
        op="raster.convert",
        params={},
        output={},
        out_path=str(folder / name),
        work_dir=str(folder / "work"),
        plan=ItemPlan(grid, 1, 1, {}),
    )


def noise(plan, seed=0):
    """Pixels (bands, h, w) with smooth and rough parts, in the plan's dtype."""
    rng = np.random.default_rng(seed)
    shape = (plan.count, plan.height, plan.width)
    dtype = np.dtype(plan.dtype)
    values = rng.integers(0, 100, shape) + np.arange(plan.width) // 7
    if dtype.kind in "iu":
        return (values % 120).astype(dtype)
    if dtype.kind == "c":
        return (values / 7 + 1j * rng.random(shape)).astype(dtype)
    return (values / 7).astype(dtype)


def window_of(item, index):
    at = item.plan.grid.window(index)
    return (
        slice(at.row_off, at.row_off + at.height),
        slice(at.col_off, at.col_off + at.width),
    )


def write_segments(item, plan, pixels, valid=None, *, epoch=1, skip=()):
    """Spool every chunk but those in ``skip``."""
    segments = []
    for index in range(len(item.plan.grid)):
        if index in skip:
            continue
        rows, cols = window_of(item, index)
        part = None if valid is None else valid[rows, cols]
        segment, size = spool.write_chunk(
            item, plan, index, pixels[:, rows, cols], part, epoch, no_stage
        )
        assert size == segment.length
        segments.append(segment)
    return segments


def build(folder, plan, pixels, valid=None, *, chunk=None, order=None, skip=()):
    """Write an item in chunks (None: whole); its receipt."""
    folder.mkdir(parents=True, exist_ok=True)
    item = make_item(plan, folder, chunk=chunk)
    if chunk is None:
        return assembly.write_whole(item, plan, pixels, valid, 1, no_stage)
    segments = write_segments(item, plan, pixels, valid, skip=skip)
    if order is not None:
        segments = [segments[number] for number in order]
    return assembly.assemble(item, plan, segments, 1, no_stage)


def with_encoding(plan, **changes):
    return replace(plan, encoding=replace(plan.encoding, **changes))


def publish(item):
    """Runs all chunks and assembles; the part file's path and the receipts."""
    operation = OPERATIONS[item.op]
    Path(item.work_dir).mkdir(exist_ok=True)
    count = len(item.plan.grid)
    receipts = [
        operation.run(ChunkTask(1, item, index, 1, 1, whole=count == 1), no_stage)
        for index in range(count)
    ]
    if count == 1:
        return receipts[0].item.part_path, receipts
    segments = tuple(receipt.segment for receipt in reversed(receipts))
    return operation.finalise(FinaliseTask(1, item, 1, segments), no_stage).part_path, receipts
