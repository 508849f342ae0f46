"""The loops that write attributes of features as FlatGeobuf keeps them, compiled."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator, assignment"
# ruff: noqa: ANN001, ANN201  numba takes types from calls
from __future__ import annotations

from geobatch_tui.execution.native.jit import jit


@jit
def put(out, at, number, valid, values, width, offsets):
    """Append a field to the properties of each feature; ``at`` is where they go on. ``width`` 0:
    bytes by ``offsets``."""
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
def join(out, at, valid, values, offsets):
    """Put a value after the properties of each feature."""
    for n in range(len(valid)):
        if valid[n]:
            start, count = offsets[n], offsets[n + 1] - offsets[n]
            into, source = out[at[n] : at[n] + count], values[start : start + count]
            for byte in range(len(into)):
                into[byte] = source[byte]
