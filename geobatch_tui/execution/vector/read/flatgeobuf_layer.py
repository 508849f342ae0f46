"""The layer of a FlatGeobuf in a store, and the features of its chunks that its index finds.

Requests get the header, the nodes of the index that touch ``bounds``, and the features that these
name. OGR parses them, as it does those of files: the header alone is a file that it opens to
describe the layer, and features are copied behind a header, as those of a local file are whose
index spares much (see ``formats.flatgeobuf``). So each feature has the bytes and the parser that it
would have in a copy, and what is not fetched is not there; in a copy with holes it would be read as
zeros.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from geobatch_tui.errors import CorruptSourceError, GeobatchError
from geobatch_tui.execution.sources.object_sources import version_in
from geobatch_tui.execution.stores.object_url import shown
from geobatch_tui.execution.vector.batch_schema import checked_schema, unread_features
from geobatch_tui.execution.vector.formats.flatgeobuf.flatgeobuf import (
    Copies,
    features_between,
    file_name,
)
from geobatch_tui.execution.vector.formats.flatgeobuf.indexed_object import indexed_object
from geobatch_tui.execution.vector.plan import FID
from geobatch_tui.execution.vector.read.batch_reader import BATCH, open_stream
from geobatch_tui.execution.vector.read.layer import Layer, ogr_layer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from geobatch_tui.execution.params.vector_params import VectorParams
    from geobatch_tui.execution.protocol.messages import ItemContext, ProbeTask
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.stores.store_client import Version
    from geobatch_tui.execution.vector.formats.flatgeobuf.indexed_object import IndexedObject
    from geobatch_tui.execution.vector.formats.flatgeobuf.packed_index import FoundFeatures
    from geobatch_tui.execution.vector.plan import VectorPlan


def flatgeobuf_layer(task: ProbeTask, params: VectorParams, wanted: Version) -> Layer:
    """Read the layer of the ``wanted`` version of an object from its header. Raises as
    :func:`layer.ogr_layer`, and as the client's ``read``."""
    with (
        indexed_object(task.source, wanted) as opened,
        TemporaryDirectory(prefix="head-", dir=os.environ.get("CPL_TMPDIR")) as folder,
    ):
        path = Path(folder) / file_name(task.source)
        with path.open("wb") as file:
            file.write(opened.head)
            if opened.index is not None:
                file.truncate(opened.index.end)
        try:
            layer = ogr_layer(task, str(path), params, ("FlatGeobuf",))
        except GeobatchError as error:
            error.args = (error.message.replace(str(path), shown(task.source)), *error.args[1:])
            raise
    return replace(layer, place=task.source)


def features_in_bounds(
    item: ItemContext, plan: VectorPlan, window: Window
) -> Iterator[pa.RecordBatch]:
    """Read the features of a chunk that touch ``bounds`` by the index; the others come without
    anything.

    Raises:
        CorruptSourceError: index or features are damaged; the message says where.
        SourceChangedError: the object is another one.
        and as the client's ``read``.
    """
    start, stop = window.col_off, window.col_off + window.width
    Path(item.work_dir).mkdir(parents=True, exist_ok=True)
    with indexed_object(item.source, version_in(item.source_id)) as opened:
        if opened.index is None or opened.index.count != plan.count:
            raise CorruptSourceError(f"{shown(item.source)} has not the index that was planned")
        found = opened.index.found(opened.read, item.params["bounds"], start, stop)
        copies = Copies(opened.head, file_name(item.source), item.work_dir)
        for batch in _features(opened, plan, found, copies):
            numbers = found.numbers[batch.column(FID).to_numpy()]
            yield from _with_those_before(batch, plan, numbers, start)
            start = int(numbers[-1]) + 1
    if start < stop:
        yield unread_features(plan, start, stop - start)


def first_features(source: str, plan: VectorPlan, wanted: Version) -> Iterator[pa.RecordBatch]:
    """Read, as one batch, as many features from the start of the ``wanted`` version of an object as
    OGR gives first; raises as :func:`features_in_bounds`."""
    with indexed_object(source, wanted) as opened:
        if opened.index is not None:
            found = opened.index.first(opened.read, BATCH)
            copies = Copies(opened.head, file_name(source), os.environ.get("CPL_TMPDIR"))
            batches = list(_features(opened, plan, found, copies))
            yield from pa.Table.from_batches(batches).combine_chunks().to_batches()


def _features(
    opened: IndexedObject, plan: VectorPlan, found: FoundFeatures, copies: Copies
) -> Iterator[pa.RecordBatch]:
    """Read the features that were found; their ids are positions among these."""
    wide = opened.index.wide if opened.index is not None else 0
    for piece in opened.pieces(found):
        batches = features_between(
            copies, plan, piece.data, piece.at, piece.starts, open_stream, wide=wide
        )
        yield from (batch for batch in batches if batch.num_rows)


def _with_those_before(
    batch: pa.RecordBatch, plan: VectorPlan, numbers: NDArray[np.int64], start: int
) -> Iterator[pa.RecordBatch]:
    """Put features, ``numbers`` in the source, behind those from ``start`` that are not read."""
    if (gap := int(numbers[0]) - start) > BATCH:
        yield unread_features(plan, start, gap)
        start += gap
    count = int(numbers[-1]) + 1 - start
    rows = np.zeros(count, np.int64)
    missing = np.ones(count, np.bool_)
    rows[numbers - start], missing[numbers - start] = np.arange(len(numbers)), False
    columns = batch.take(pa.array(rows, mask=missing)).columns
    columns[batch.schema.get_field_index(FID)] = pa.array(range(start, start + count), pa.int64())
    yield pa.RecordBatch.from_arrays(columns, schema=checked_schema(plan))
