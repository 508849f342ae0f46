"""Attributes of features as SQLite keeps them in a row: the type of each value, and the values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from geobatch_tui.execution.vector.batch import wkb_coordinates
from geobatch_tui.execution.vector.batch.flatgeobuf_properties import iso_days
from geobatch_tui.execution.vector.kernels import feature_loops
from geobatch_tui.execution.vector.kernels.attribute_loops import BYTES, FLOAT, INTEGER, TEXT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

#: Types of Arrow that are kept as they are; NaN becomes null.
TYPES = frozenset(
    (
        pa.bool_(),
        pa.int16(),
        pa.int32(),
        pa.int64(),
        pa.float32(),
        pa.float64(),
        pa.string(),
        pa.binary(),
        pa.date32(),
    )
)


@dataclass(frozen=True, slots=True)
class _Column:
    """``numbers`` are whole, or bits of floats; bytes and text are in ``data`` by ``offsets``."""

    base: int
    valid: NDArray[np.bool_]
    numbers: Numbers
    offsets: Numbers
    data: NDArray[np.uint8]


_NONE, _NO_BYTES = np.zeros(1, np.int64), np.empty(0, np.uint8)


def records(
    batch: pa.RecordBatch, fields: list[str], geometry: str
) -> tuple[NDArray[np.uint8], Numbers, NDArray[np.uint32], NDArray[np.uint32]]:
    """Encode a record of each row, one after the other: types of its attributes, their values, its
    WKB; where each begins, and the last ends; how long the types are, and types and values
    together.

    ``fields`` are of ``TYPES``; ``geometry`` is a binary column.
    """
    count = batch.num_rows
    columns = [_column(batch.column(name)) for name in fields]
    types, values = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for each in columns:
        feature_loops.measure(each.base, each.valid, each.numbers, each.offsets, types, values)
    shapes = _column(batch.column(geometry))
    sizes = types + values + np.where(shapes.valid, np.diff(shapes.offsets), 0)
    ends = np.zeros(count + 1, np.int64)
    np.cumsum(sizes, out=ends[1:])
    out = np.empty(int(ends[-1]), np.uint8)
    at_types = ends[:-1].copy()
    at_values = at_types + types
    for each in columns:
        feature_loops.write_values(
            out, at_types, at_values, each.base, each.valid, each.numbers, each.offsets, each.data
        )
    feature_loops.join(out, at_values, shapes.valid, shapes.data, shapes.offsets)
    return out, ends, types.astype(np.uint32), (types + values).astype(np.uint32)


def _column(column: pa.Array) -> _Column:
    valid, start, count, kind = (
        wkb_coordinates.validity(column),
        column.offset,
        len(column),
        column.type,
    )
    data = column.buffers()[-1]
    raw = np.frombuffer(data, np.uint8) if data is not None else _NO_BYTES
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        offsets = np.frombuffer(column.buffers()[1], np.int32)[start : start + count + 1]
        base = TEXT if pa.types.is_string(kind) else BYTES
        return _Column(base, valid, _NONE, offsets.astype(np.int64), raw)
    if pa.types.is_date32(kind):
        text, bounds = iso_days(column, "D")
        return _Column(TEXT, valid, _NONE, bounds, text)
    if pa.types.is_boolean(kind):
        bits = np.unpackbits(raw, bitorder="little")[start : start + count]
        return _Column(INTEGER, valid, bits.astype(np.int64), _NONE, _NO_BYTES)
    numbers = raw.view(kind.to_pandas_dtype())[start : start + count]
    if pa.types.is_floating(kind):
        real = numbers.astype(np.float64)
        return _Column(FLOAT, valid & ~np.isnan(real), real.view(np.int64), _NONE, _NO_BYTES)
    return _Column(INTEGER, valid, numbers.astype(np.int64), _NONE, _NO_BYTES)
