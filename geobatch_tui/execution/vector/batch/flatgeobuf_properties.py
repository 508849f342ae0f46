"""Attributes of features as FlatGeobuf keeps them: of each that is not null, number and value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from geobatch_tui.execution.vector.batch import wkb_coordinates
from geobatch_tui.execution.vector.kernels import feature_loops

if TYPE_CHECKING:
    from numpy.typing import NDArray


#: Types of Arrow that FlatGeobuf keeps as they are, with its number for each.
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


def records(
    batch: pa.RecordBatch, fields: list[str], geometry: str
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint32]]:
    """Encode a record of each row, one after the other: its properties, then its WKB; where each
    begins, and the last ends; and how long the properties are.

    ``fields`` are of ``TYPES``; ``geometry`` is a binary column.
    """
    count = batch.num_rows
    columns = [_raw(batch.column(name)) for name in fields]
    heads = np.zeros(count, np.int64)
    for valid, _, width, offsets in columns:
        heads += np.where(valid, 2 + (width or 4), 0)
        if not width:
            heads += np.where(valid, np.diff(offsets), 0)
    valid, shapes, _, bounds = _raw(batch.column(geometry))
    ends = np.zeros(count + 1, np.int64)
    np.cumsum(heads + np.where(valid, np.diff(bounds), 0), out=ends[1:])
    out = np.empty(int(ends[-1]), np.uint8)
    at = ends[:-1].copy()
    for number, (there, values, width, offsets) in enumerate(columns):
        feature_loops.put(out, at, number, there, values, width, offsets)
    feature_loops.join(out, at, valid, shapes, bounds)
    return out, ends, heads.astype(np.uint32)


_NO_OFFSETS = np.zeros(1, np.int64)


def _raw(
    column: pa.Array,
) -> tuple[NDArray[np.bool_], NDArray[np.uint8], int, NDArray[np.int64]]:
    """Return validity, bytes, bytes of a value (0: it varies), and where each value begins."""
    valid, start, count = wkb_coordinates.validity(column), column.offset, len(column)
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        offsets = np.frombuffer(column.buffers()[1], np.int32)[start : start + count + 1]
        return valid, _bytes(column.buffers()[2]), 0, offsets.astype(np.int64)
    if pa.types.is_date32(column.type):
        text, bounds = iso_days(column, "s")  # midnight: there is no type for days
        return valid, text, 0, bounds
    if pa.types.is_boolean(column.type):
        bits = np.unpackbits(_bytes(column.buffers()[1]), bitorder="little")
        return valid, bits[start : start + count], 1, _NO_OFFSETS
    width = column.type.bit_width // 8
    values = _bytes(column.buffers()[1])[start * width : (start + count) * width]
    return valid, values, width, _NO_OFFSETS


def iso_days(
    column: pa.Array, unit: Literal["D", "s"]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Write days (date32) as text, to the day or the second, one after the other; where each
    begins."""
    days = np.frombuffer(column.buffers()[1], np.int32)[column.offset :][: len(column)]
    moments = days.astype("datetime64[D]").astype(f"datetime64[{unit}]")
    texts = np.datetime_as_string(moments).astype("S")
    sizes = np.char.str_len(texts)
    ends = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(sizes, out=ends[1:])
    return np.frombuffer(b"".join(texts.tolist()), np.uint8), ends


def _bytes(data: pa.Buffer | None) -> NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
