"""Features as FlatGeobuf and GeoPackage are made of them: attributes encoded, then WKB.

In the spool they lie in blocks: a head, arrays with an element for each feature, and the bytes of
all. A block is written from where its arrays are, and used where it was read; nothing is copied.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from geobatch_tui.execution.io.disk import read_exactly
from geobatch_tui.execution.vector.batch import arrow_arrays
from geobatch_tui.execution.vector.batch.arrow_arrays import validity
from geobatch_tui.execution.vector.batch_schema import written_schema
from geobatch_tui.execution.vector.kernels import feature_loops
from geobatch_tui.execution.vector.kernels.attribute_loops import BYTES, FLOAT, INTEGER, TEXT
from geobatch_tui.execution.vector.plan import BOX, FID, GEOMETRY
from geobatch_tui.execution.vector.spool.segment import ALIGN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.plan import VectorPlan

    Bytes = NDArray[np.uint8]
    Numbers = NDArray[np.int64]

#: Head of a block: number of features, of ids, and bytes of all features.
_HEAD = struct.Struct("<QQQ")
_NO_IDS = np.empty(0, np.int64)
#: Types of Arrow that are encoded here, with FlatGeobuf's number for each.
TYPES = {
    pa.bool_(): 2,
    pa.int16(): 3,
    pa.int32(): 5,
    pa.int64(): 7,
    pa.float32(): 9,
    pa.float64(): 10,
    pa.string(): 11,
    pa.binary(): 14,
    pa.date32(): 13,
}
#: The output formats that are put together from records.
FORMATS = frozenset({"FlatGeobuf", "GPKG"})


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

    data: Bytes
    starts: Numbers
    kinds: NDArray[np.uint32]
    heads: NDArray[np.uint32]
    boxes: NDArray[np.float64]
    ids: Numbers

    def block(self) -> list[bytes | memoryview]:
        """Return the bytes that are spooled, in pieces."""
        arrays = (self.starts, self.boxes, self.ids, self.kinds, self.heads)
        head = _HEAD.pack(len(self.kinds), len(self.ids), len(self.data))
        front = b"".join((head, *(each.tobytes() for each in arrays)))
        return [front, bytes(-len(front) % ALIGN), self.data.data, bytes(-len(self.data) % ALIGN)]


def taken(plan: VectorPlan) -> bool:
    """Whether features are spooled as records, since the format and its fields are encoded here."""
    if plan.is_table or plan.format not in FORMATS:
        return False
    return all(each.type in TYPES for each in written_schema(plan))


def of_batch(plan: VectorPlan, batch: pa.RecordBatch) -> Records:
    """Encode a batch with attributes, ``FID`` if ids are a key, ``GEOMETRY`` and ``BOX``."""
    ids, columns = _NO_IDS, [batch.column(name) for name in plan.fields]
    if plan.output.ids == "key":
        data, starts, kinds, heads = sqlite_rows(columns, batch.column(GEOMETRY))
        if plan.id_is_key:
            ids = arrow_arrays.whole_numbers(batch.column(FID))
    else:
        data, starts, heads = flatgeobuf_rows(columns, batch.column(GEOMETRY))
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
    """Read the blocks from ``at`` to ``end`` of a file without their ``data``, but its offset."""
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


def _parsed(front: memoryview, rows: int, ids: int, data: Bytes) -> Records:
    arrays, at = [], _HEAD.size
    sizes = (("<i8", rows + 1), ("<f8", 4 * rows), ("<i8", ids), ("<u4", rows), ("<u4", rows))
    for kind, count in sizes:
        arrays.append(np.frombuffer(front, kind, count, at))
        at += arrays[-1].nbytes
    starts, boxes, numbers, kinds, heads = arrays
    return Records(data, starts, kinds, heads, boxes.reshape(-1, 4), numbers)


# --- how attributes are encoded ----------------------------------------------------------------


def flatgeobuf_rows(
    columns: list[pa.Array], geometry: pa.Array
) -> tuple[Bytes, Numbers, NDArray[np.uint32]]:
    """Encode a record of each row, one after the other: of each attribute (of ``TYPES``) that is
    not null its number and value, then the WKB. Return also where each begins, and the last ends,
    and how long the attributes are."""
    heads = np.zeros(len(geometry), np.int64)
    fields = []
    for number, column in enumerate(columns):
        valid, width, offsets = validity(column), 0, np.zeros(1, np.int64)
        if (varying := _varying(column, "s")) is not None:  # a day is midnight: it has no type
            data, offsets = varying
            heads += np.where(valid, 2 + 4 + np.diff(offsets), 0)
        else:
            values = _fixed(column)
            data, width = values.view(np.uint8), values.itemsize
            heads += np.where(valid, 2 + width, 0)
        fields.append((number, valid, data, width, offsets))
    out, starts, shape = _room_for(heads, geometry)
    at = starts[:-1].copy()
    for field in fields:
        feature_loops.put(out, at, *field)
    feature_loops.join(out, at, *shape)
    return out, starts, heads.astype(np.uint32)


def sqlite_rows(
    columns: list[pa.Array], geometry: pa.Array
) -> tuple[Bytes, Numbers, NDArray[np.uint32], NDArray[np.uint32]]:
    """Encode a record of each row, one after the other: types of its attributes (of ``TYPES``),
    their values (NaN is null), its WKB. Return also where each begins, and the last ends; how long
    the types are, and types and values together."""
    types, values = np.zeros(len(geometry), np.int64), np.zeros(len(geometry), np.int64)
    fields = [_sqlite_field(column) for column in columns]
    for field in fields:
        feature_loops.measure(*field[:4], types, values)
    heads = types + values
    out, starts, shape = _room_for(heads, geometry)
    at_types = starts[:-1].copy()
    at_values = at_types + types
    for field in fields:
        feature_loops.write_values(out, at_types, at_values, *field)
    feature_loops.join(out, at_values, *shape)
    return out, starts, types.astype(np.uint32), heads.astype(np.uint32)


def _sqlite_field(column: pa.Array) -> tuple[int, NDArray[np.bool_], Numbers, Numbers, Bytes]:
    """Return the base of its types, which values there are, numbers (whole, or bits of floats), and
    offsets of bytes and text in the data."""
    valid, nothing = validity(column), np.zeros(1, np.int64)
    if (varying := _varying(column, "D")) is not None:
        data, offsets = varying
        return (BYTES if pa.types.is_binary(column.type) else TEXT), valid, nothing, offsets, data
    values, data = _fixed(column), np.empty(0, np.uint8)
    if pa.types.is_floating(column.type):
        real = values.astype(np.float64)
        return FLOAT, valid & ~np.isnan(real), real.view(np.int64), nothing, data
    return INTEGER, valid, values.astype(np.int64), nothing, data


def _room_for(
    heads: Numbers, geometry: pa.Array
) -> tuple[Bytes, Numbers, tuple[NDArray[np.bool_], Bytes, Numbers]]:
    """Make room for records with so many bytes before their WKB; return also where each begins, and
    which rows have a geometry, the bytes of all, and where each begins in these."""
    valid, (data, offsets) = validity(geometry), _bytes_of(geometry)
    starts = np.zeros(len(geometry) + 1, np.int64)
    np.cumsum(heads + np.where(valid, np.diff(offsets), 0), out=starts[1:])
    return np.empty(int(starts[-1]), np.uint8), starts, (valid, data, offsets)


def _varying(column: pa.Array, unit: Literal["D", "s"]) -> tuple[Bytes, Numbers] | None:
    """Return the bytes of values, and where each begins; None if all are of one width. Days are
    text, to the day or the second."""
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        return _bytes_of(column)
    if not pa.types.is_date32(column.type):
        return None
    days = _fixed(column).astype("datetime64[D]").astype(f"datetime64[{unit}]")
    texts = np.datetime_as_string(days).astype("S")
    starts = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.char.str_len(texts), out=starts[1:])
    return np.frombuffer(b"".join(texts.tolist()), np.uint8), starts


def _bytes_of(column: pa.Array) -> tuple[Bytes, Numbers]:
    offsets = arrow_arrays.offsets(column).astype(np.int64)
    return arrow_arrays.raw_bytes(column.buffers()[2]), offsets


def _fixed(column: pa.Array) -> NDArray[np.generic]:
    """Return the values of a column of numbers, days or booleans (0 and 1)."""
    raw, part = column.buffers()[1] or b"", slice(column.offset, column.offset + len(column))
    if pa.types.is_boolean(column.type):
        return np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")[part]
    width = column.type.bit_width // 8
    kind = "f" if pa.types.is_floating(column.type) else "i"
    return np.frombuffer(raw, f"{kind}{width}")[part]
