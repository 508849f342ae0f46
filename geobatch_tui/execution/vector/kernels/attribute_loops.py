"""Compiled loops that write attributes of features as SQLite and FlatGeobuf keep them."""

from __future__ import annotations

import numpy as np

from geobatch_tui.execution.native.jit import jit
from geobatch_tui.execution.vector.kernels.sqlite_pages import put, width_of

#: SQLite's types: a float; 0 and 1, which take no byte; bytes and text, to which twice the length
#: is added.
FLOAT, _ZERO, BYTES, TEXT = 7, 8, 12, 13
INTEGER = 0


@jit
def _type_of(value):
    """Return the type of a whole number, and its bytes."""
    if 0 <= value <= 1:
        return _ZERO + value, 0
    for kind, width in ((1, 1), (2, 2), (3, 3), (4, 4), (5, 6)):
        limit = np.int64(1) << (8 * width - 1)
        if -limit <= value < limit:
            return kind, width
    return 6, 8


@jit
def measure(base, valid, numbers, offsets, types, values):
    """Add the bytes that a field takes to those of the ``types`` and ``values`` of each row."""
    for n in range(len(valid)):
        kind, width = 0, 0
        if valid[n]:
            if base == INTEGER:
                kind, width = _type_of(numbers[n])
            elif base == FLOAT:
                kind, width = FLOAT, 8
            else:
                width = offsets[n + 1] - offsets[n]
                kind = base + 2 * width
        types[n] += width_of(kind)
        values[n] += width


@jit
def write(out, types, values, base, valid, numbers, offsets, data):
    """Write a field; ``types`` and ``values`` are where both go on in each row."""
    for n in range(len(valid)):
        kind, width = 0, 0
        if valid[n] and base <= FLOAT:
            kind, width = FLOAT, 8
            if base == INTEGER:
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
def put_property(out, at, number, valid, values, width, offsets):
    """Append a field to the properties of each feature in FlatGeobuf; ``at`` is where they go on.
    ``width`` 0: bytes by ``offsets``."""
    for n in range(len(valid)):
        if not valid[n]:
            continue
        pos = at[n]
        out[pos], out[pos + 1] = number & 255, number >> 8
        pos += 2
        start, count = n * width, width
        if width == 0:
            start, count = offsets[n], offsets[n + 1] - offsets[n]
            for byte in range(4):
                out[pos + byte] = (count >> (8 * byte)) & 255
            pos += 4
        for byte in range(count):
            out[pos + byte] = values[start + byte]
        at[n] = pos + count


@jit
def append_value(out, at, valid, values, offsets):
    """Append a value, as it is, to what is written of each feature; ``at`` is where that ends."""
    for n in range(len(valid)):
        if valid[n]:
            start, count = offsets[n], offsets[n + 1] - offsets[n]
            into, source = out[at[n] : at[n] + count], values[start : start + count]
            for byte in range(len(into)):
                into[byte] = source[byte]
