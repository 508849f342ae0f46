"""Attributes of features as SQLite keeps them in a row: the type of each value, and the values."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator, assignment"
# ruff: noqa: ANN001, ANN202, PLR0913, PLR0917  numba takes types from calls
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from geobatch_tui.execution.raster.compiled import jit
from geobatch_tui.execution.vector import wkb
from geobatch_tui.execution.vector.properties import iso_days
from geobatch_tui.execution.vector.sqlitepages import put, width_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

#: Types of Arrow that are kept as they are; numbers that are no numbers are null.
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
#: SQLite's types: a float; 0 and 1, which take no byte; bytes and text, to which twice the length
#: is added.
_FLOAT, _ZERO, _BYTES, _TEXT = 7, 8, 12, 13
_INTEGER = 0


@jit
def _type_of(value):
    """Type of a whole number, and its bytes."""
    if 0 <= value <= 1:
        return _ZERO + value, 0
    for kind, width in ((1, 1), (2, 2), (3, 3), (4, 4), (5, 6)):
        limit = np.int64(1) << (8 * width - 1)
        if -limit <= value < limit:
            return kind, width
    return 6, 8


@jit
def _measure(base, valid, numbers, offsets, types, values):
    """Add the bytes that a field takes to those of the ``types`` and ``values`` of each row."""
    for n in range(len(valid)):
        kind, width = 0, 0
        if valid[n]:
            if base == _INTEGER:
                kind, width = _type_of(numbers[n])
            elif base == _FLOAT:
                kind, width = _FLOAT, 8
            else:
                width = offsets[n + 1] - offsets[n]
                kind = base + 2 * width
        types[n] += width_of(kind)
        values[n] += width


@jit
def _write(out, types, values, base, valid, numbers, offsets, data):
    """Write a field; ``types`` and ``values`` are where both go on in each row."""
    for n in range(len(valid)):
        kind, width = 0, 0
        if valid[n] and base <= _FLOAT:
            kind, width = _FLOAT, 8
            if base == _INTEGER:
                kind, width = _type_of(numbers[n])
            for byte in range(width):
                out[values[n] + byte] = (numbers[n] >> (8 * (width - 1 - byte))) & 255
        elif valid[n]:
            width = offsets[n + 1] - offsets[n]
            kind = base + 2 * width
            into = out[values[n] : values[n] + width]
            source = data[offsets[n] : offsets[n] + width]
            for byte in range(width):
                into[byte] = source[byte]
        types[n] = put(out, types[n], kind)
        values[n] += width


@jit
def _join(out, at, valid, values, offsets):
    """Put a value after the attributes of each row."""
    for n in range(len(valid)):
        if valid[n]:
            count = offsets[n + 1] - offsets[n]
            into, source = out[at[n] : at[n] + count], values[offsets[n] : offsets[n + 1]]
            for byte in range(count):
                into[byte] = source[byte]


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
    """A record of each row, one after the other: types of its attributes, their values, its WKB;
    where each begins, and the last ends; how long the types are, and types and values together.

    ``fields`` are of ``TYPES``; ``geometry`` is a binary column.
    """
    count = batch.num_rows
    columns = [_column(batch.column(name)) for name in fields]
    types, values = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for each in columns:
        _measure(each.base, each.valid, each.numbers, each.offsets, types, values)
    shapes = _column(batch.column(geometry))
    sizes = types + values + np.where(shapes.valid, np.diff(shapes.offsets), 0)
    ends = np.zeros(count + 1, np.int64)
    np.cumsum(sizes, out=ends[1:])
    out = np.empty(int(ends[-1]), np.uint8)
    at_types = ends[:-1].copy()
    at_values = at_types + types
    for each in columns:
        _write(
            out, at_types, at_values, each.base, each.valid, each.numbers, each.offsets, each.data
        )
    _join(out, at_values, shapes.valid, shapes.data, shapes.offsets)
    return out, ends, types.astype(np.uint32), (types + values).astype(np.uint32)


def _column(column: pa.Array) -> _Column:
    valid, start, count, kind = wkb.validity(column), column.offset, len(column), column.type
    data = column.buffers()[-1]
    raw = np.frombuffer(data, np.uint8) if data is not None else _NO_BYTES
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        offsets = np.frombuffer(column.buffers()[1], np.int32)[start : start + count + 1]
        base = _TEXT if pa.types.is_string(kind) else _BYTES
        return _Column(base, valid, _NONE, offsets.astype(np.int64), raw)
    if pa.types.is_date32(kind):
        text, bounds = iso_days(column, "D")
        return _Column(_TEXT, valid, _NONE, bounds, text)
    if pa.types.is_boolean(kind):
        bits = np.unpackbits(raw, bitorder="little")[start : start + count]
        return _Column(_INTEGER, valid, bits.astype(np.int64), _NONE, _NO_BYTES)
    numbers = raw.view(kind.to_pandas_dtype())[start : start + count]
    if pa.types.is_floating(kind):
        real = numbers.astype(np.float64)
        return _Column(_FLOAT, valid & ~np.isnan(real), real.view(np.int64), _NONE, _NO_BYTES)
    return _Column(_INTEGER, valid, numbers.astype(np.int64), _NONE, _NO_BYTES)
