"""Features as FlatGeobuf and GeoPackage are made of them: attributes encoded, then WKB.

In the spool they lie in blocks: a head, arrays with an element for each feature, and the bytes of
all. A block is written from where its arrays are, and used where it was read; nothing is copied.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.io.disk import read_exactly
from geobatch_tui.execution.vector.batch import arrow_arrays, flatgeobuf_properties
from geobatch_tui.execution.vector.batch_schema import written_schema
from geobatch_tui.execution.vector.plan import BOX, FID, GEOMETRY
from geobatch_tui.execution.vector.spool import sqlite_rows
from geobatch_tui.execution.vector.spool.segment import ALIGN

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.plan import VectorPlan

#: Head of a block: number of features, of ids, and bytes of all features.
_HEAD = struct.Struct("<QQQ")
_NO_IDS = np.empty(0, np.int64)
#: By output format: types of attributes that are encoded here.
RECORD_TYPES = {"FlatGeobuf": flatgeobuf_properties.TYPES, "GPKG": sqlite_rows.TYPES}


@dataclass(frozen=True, slots=True)
class Records:
    """Records of n features.

    Attributes:
        data: all of them, one after the other.
        starts: where each begins in ``data``, and where the last ends (n + 1).
        kinds: bytes of the types of its attributes, which come first; 0 in FlatGeobuf.
        heads: bytes of all that stands before its WKB.
        boxes: minx, miny, maxx, maxy of each (n, 4); NaN where there is none.
        ids: of each (n), or of none (0).
    """

    data: NDArray[np.uint8]
    starts: NDArray[np.int64]
    kinds: NDArray[np.uint32]
    heads: NDArray[np.uint32]
    boxes: NDArray[np.float64]
    ids: NDArray[np.int64]

    def block(self) -> list[bytes | memoryview]:
        """Return the bytes that are spooled, in pieces."""
        arrays = (self.starts, self.boxes, self.ids, self.kinds, self.heads)
        head = _HEAD.pack(len(self.kinds), len(self.ids), len(self.data))
        front = b"".join((head, *(each.tobytes() for each in arrays)))
        return [front, bytes(-len(front) % ALIGN), self.data.data, bytes(-len(self.data) % ALIGN)]


def taken(plan: VectorPlan) -> bool:
    """Whether features are spooled as records, since the format and its fields are encoded here."""
    kept = frozenset() if plan.is_table else RECORD_TYPES.get(plan.format, frozenset())
    return bool(kept) and all(each.type in kept for each in written_schema(plan))


def of_batch(plan: VectorPlan, batch: pa.RecordBatch) -> Records:
    """Encode a batch with attributes, ``FID`` if ids are a key, ``GEOMETRY`` and ``BOX``."""
    ids = _NO_IDS
    if plan.output.ids == "key":
        data, starts, kinds, heads = sqlite_rows.records(batch, list(plan.fields), GEOMETRY)
        if plan.id_is_key:
            ids = arrow_arrays.whole_numbers(batch.column(FID))
    else:
        data, starts, heads = flatgeobuf_properties.records(batch, list(plan.fields), GEOMETRY)
        kinds = np.zeros(batch.num_rows, np.uint32)
    known, sides = arrow_arrays.box_sides(batch.column(BOX))
    boxes = np.stack([np.where(known, side, np.nan) for side in sides], axis=1)
    return Records(data, starts, kinds, heads, boxes, ids)


def blocks(piece: memoryview) -> Iterator[Records]:
    """Read the blocks of a piece."""
    at = 0
    while at < len(piece):
        rows, ids, size = _HEAD.unpack_from(piece, at)
        front = piece[at : at + _front(rows, ids)]
        at += len(front)
        yield _parsed(front, rows, ids, np.frombuffer(piece, np.uint8, size, at))
        at += size + -size % ALIGN


def fronts(fd: int, at: int, end: int) -> Iterator[tuple[int, Records]]:
    """Read the blocks from ``at`` to ``end`` of a file without their ``data``; give also its
    offset."""
    while at < end:
        rows, ids, size = _HEAD.unpack(read_exactly(fd, at, _HEAD.size))
        front = memoryview(read_exactly(fd, at, _front(rows, ids)))
        at += len(front)
        yield at, _parsed(front, rows, ids, np.empty(0, np.uint8))
        at += size + -size % ALIGN


def _front(rows: int, ids: int) -> int:
    """Return the bytes of a block before its ``data``."""
    size = _HEAD.size + 8 * (rows + 1) + (4 * 8 + 4 + 4) * rows + 8 * ids
    return size + -size % ALIGN


def _parsed(front: memoryview, rows: int, ids: int, data: NDArray[np.uint8]) -> Records:
    arrays, at = [], _HEAD.size
    sizes = (("<i8", rows + 1), ("<f8", 4 * rows), ("<i8", ids), ("<u4", rows), ("<u4", rows))
    for kind, count in sizes:
        arrays.append(np.frombuffer(front, kind, count, at))
        at += arrays[-1].nbytes
    starts, boxes, numbers, kinds, heads = arrays
    return Records(data, starts, kinds, heads, boxes.reshape(-1, 4), numbers)
