"""Plans items of real files, as a worker would, for the tests of the reading side."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import rasterio
from rasterio.transform import from_origin

from geobatch_tui.execution.ops.raster_operations import CONVERT, PIPELINE, REPROJECT
from geobatch_tui.execution.protocol.messages import (
    Chunking,
    ItemContext,
    ProbeTask,
    SourceIdentity,
)
from geobatch_tui.execution.raster import chunk
from geobatch_tui.execution.raster.plan import RasterPlan
from geobatch_tui.execution.sources.source_files import status

OPERATIONS = {
    "raster.reproject": REPROJECT,
    "raster.convert": CONVERT,
    "raster.pipeline": PIPELINE,
}
BUDGET = 512 * 2**20


def no_stage(_name):
    return nullcontext()


def checked(op, params):
    """The parameters of ``op`` as a worker gets them."""
    return OPERATIONS[op].params.model_validate(params).model_dump(mode="json")


def probe(path, params, *, op="raster.reproject", **how):
    """The ItemPlan of ``path``."""
    return _probe(path, checked(op, params), op, **how)


def _probe(path, params, op, *, output=None, cols=0, rows=0, **source_options):
    limits = Chunking(cols, rows, 0, source_options.pop("max_bytes", BUDGET))
    task = ProbeTask(1, "key", str(path), source_options, op, params, output or {}, limits)
    return OPERATIONS[op].probe(task, no_stage)


def item_of(path, params, *, op="raster.reproject", **how):
    """An ItemContext of ``path``; keywords as for :func:`probe`."""
    params = checked(op, params)
    plan = _probe(path, params, op, **how)
    identity = SourceIdentity(*status(str(path)), "")
    return ItemContext(
        item_id=1,
        key="key",
        source=str(path),
        source_id=identity,
        fingerprint="0123456789abcdef" * 2,
        op=op,
        params=params,
        output=how.get("output") or {},
        out_path=str(path.with_name("out.tif")),
        work_dir=str(path.with_name("work")),
        plan=plan,
    )


def read_whole(item, order=None, subdivide=0):
    """Pixels and validity of all chunks, put together; ``order`` of the chunks, else as numbered."""
    plan = RasterPlan.from_json(item.plan.detail)
    whole = np.empty((plan.count, plan.height, plan.width), plan.dtype)
    valid = np.ones((plan.height, plan.width), bool)
    for index in range(len(item.plan.grid)) if order is None else order:
        window = item.plan.grid.window(index)
        part, good, *_ = chunk.read_pixels(item, plan, window, subdivide, no_stage)
        rows = slice(window.row_off, window.row_off + window.height)
        cols = slice(window.col_off, window.col_off + window.width)
        whole[:, rows, cols] = part
        if good is not None:
            valid[rows, cols] = good
    return whole, valid


def globe(path, *, step=1.0, west=-180.0, dtype="uint8", bands=1):
    """A lon/lat raster of the whole world: every pixel names its place, no value is 0."""
    width, height = round(360 / step), round(180 / step)
    lon, lat = np.meshgrid(
        west + (np.arange(width) + 0.5) * step, 90 - (np.arange(height) + 0.5) * step
    )
    layers = [
        120 + 60 * np.sin(np.radians(lon * (b + 1))) + 60 * np.sin(np.radians(lat * 3))
        for b in range(bands)
    ]
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=width,
        height=height,
        count=bands,
        dtype=dtype,
        crs="EPSG:4326",
        transform=from_origin(west, 90, step, step),
        tiled=True,
        blockxsize=128,
        blockysize=128,
    ) as dst:
        dst.write(np.stack(layers).astype(dtype))
    return path
