"""Reads the coordinates of batches, and the first features of a source as they go into a chain."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from geobatch_tui.execution.vector.batch import wkb_coordinates
from geobatch_tui.execution.vector.batch.buffers import own
from geobatch_tui.execution.vector.batch.feature_batch import Bad, Batch, Features
from geobatch_tui.execution.vector.batch_schema import full_schema, schema_of
from geobatch_tui.execution.vector.fields import values
from geobatch_tui.execution.vector.formats.source_format import format_of
from geobatch_tui.execution.vector.geometry import curves
from geobatch_tui.execution.vector.kernels import wkb_loops
from geobatch_tui.execution.vector.ogr import archive
from geobatch_tui.execution.vector.plan import FID, UNREAD, WKB
from geobatch_tui.execution.vector.read import batch_reader, parquet_layer

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.stores.store_client import Version
    from geobatch_tui.execution.vector.formats.source_format import Bounds
    from geobatch_tui.execution.vector.plan import VectorPlan


def readable(
    plan: VectorPlan, batch: pa.RecordBatch, params: Json, *, in_chain: bool
) -> tuple[Batch, dict[str, int]]:
    """Read the coordinates of a batch, which is read by ``plan``; set aside the rows that cannot be
    read, and drop those outside ``bounds``. Return also counts of what that lost. ``in_chain``: it
    goes into a chain, with its attributes."""
    keeps_m = plan.output.holds_m
    shapes, lost_m = wkb_coordinates.read(batch.column(WKB), own(), keeps_m=keeps_m)
    curved = np.flatnonzero(shapes.status == wkb_loops.CURVE)
    odd: dict[int, str] = {}
    facts: dict[str, int] = {}
    if len(curved) and params.get("curves") == "linear":
        column, odd = curves.straightened(batch.column(WKB), curved)
        shapes, lost_m = wkb_coordinates.read(column, own(), keeps_m=keeps_m)
        facts["curves_linearised"] = len(curved) - len(odd)
    beyond = _beyond(shapes, params.get("bounds"))
    if lost_m:
        facts["m_dropped"] = lost_m
    wrong = np.flatnonzero((shapes.status != wkb_loops.OK) & (shapes.status != wkb_loops.NULL))
    bad = {
        row: ("GeometryError", odd.get(row) or wkb_coordinates.REASONS[int(shapes.status[row])])
        for row in wrong.tolist()
    }
    if UNREAD in batch.schema.names:
        unread = batch.column(UNREAD).to_pylist()
        bad |= {row: ("CorruptSourceError", why) for row, why in enumerate(unread) if why}
    # What cannot be read may lie anywhere.
    beyond[list(bad)] = False
    if not in_chain:
        return Batch(shapes, bad, beyond), facts
    fields = schema_of(plan)
    names = fields.names
    unfit: Bad = {}
    columns = values.readable([batch.column(name) for name in names], names, unfit)
    attributes = pa.RecordBatch.from_arrays(
        [*columns, batch.column(FID)], schema=fields.append(pa.field(FID, pa.int64()))
    )
    read = Features(
        shapes,
        unfit | bad,
        beyond,
        attributes=attributes,
        owners=np.arange(batch.num_rows),
        measured=shapes.kinds >= wkb_coordinates.MEASURED,
    )
    return read, facts


def _beyond(shapes: wkb_coordinates.Coordinates, bounds: Bounds) -> NDArray[np.bool_]:
    """Mark features whose box does not touch ``bounds``, in the CRS of the source."""
    if not bounds:
        return np.zeros(len(shapes.status), np.bool_)
    minx, miny, maxx, maxy = bounds
    box = shapes.boxes()
    touches = (box[:, 0] <= maxx) & (box[:, 2] >= minx) & (box[:, 1] <= maxy) & (box[:, 3] >= miny)
    out: NDArray[np.bool_] = ~touches
    return out


def first_batch(
    source: str, plan: VectorPlan, params: Json, wanted: Version | None = None
) -> tuple[pa.RecordBatch, bool]:
    """Read the first features of a source, or of the ``wanted`` version of an object, and whether
    these are all. Raises as :func:`batch_reader.open_stream`."""
    with closing(_batches(source, plan, params, wanted)) as batches:
        for batch in batches:
            if batch.num_rows:
                return batch, batch.num_rows >= plan.count
    return pa.RecordBatch.from_pylist([], schema=full_schema(plan)), True


def _batches(
    source: str, plan: VectorPlan, params: Json, wanted: Version | None
) -> Generator[pa.RecordBatch]:
    if format_of(plan.driver).is_arrow:
        yield from parquet_layer.whole_file(source, plan, params.get("bounds"), wanted)
        return
    if wanted is not None:
        from geobatch_tui.execution.vector.read import flatgeobuf_layer

        yield from flatgeobuf_layer.first_features(source, plan, wanted)
        return
    with archive.Plain(source, plan.place or source, os.environ.get("CPL_TMPDIR")) as plain:
        yield from batch_reader.open_stream(plain, plan)
