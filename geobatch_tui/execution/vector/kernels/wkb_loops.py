"""Loops over WKB buffers, compiled by numba: coordinates are found, gathered and put back without
making a geometry object.

Numbers in WKB lie at any byte, so they are read and written byte by byte; the compiler makes one
load or store of it.
"""

# mypy: disable-error-code="assignment"
from __future__ import annotations

import numpy as np

from geobatch_tui.execution.native.jit import jit

#: What is wrong with a geometry; 0 if nothing.
OK, BROKEN, NOT_PLAIN, CURVE, NAN, SHORT_RING, DEEP, NULL = range(8)
_DEPTH = 32
#: Cells that :func:`gather` overwrites.
SCRATCH = _DEPTH + 1
_LINE, _POLYGON, _CIRCULAR, _TRIANGLE = 2, 3, 8, 17


@jit
def _u32(buf, pos):
    at = np.uint64(pos)
    return (
        np.uint32(buf[at])
        | np.uint32(buf[at + np.uint64(1)]) << np.uint32(8)
        | np.uint32(buf[at + np.uint64(2)]) << np.uint32(16)
        | np.uint32(buf[at + np.uint64(3)]) << np.uint32(24)
    )


@jit
def _u64(buf, pos):
    low, high = np.uint64(_u32(buf, pos)), np.uint64(_u32(buf, pos + 4))
    return low | high << np.uint64(32)


@jit
def _is_nan(bits):
    return (bits & np.uint64(0x7FFFFFFFFFFFFFFF)) > np.uint64(0x7FF0000000000000)


@jit
def _is_finite(bits):
    return (bits & np.uint64(0x7FFFFFFFFFFFFFFF)) < np.uint64(0x7FF0000000000000)


@jit
def _take(buf, pos, end, count, step, out):
    """Gather ``count`` coordinates of ``step`` bytes at ``pos``; return a status."""
    xs, ys, at, total = out
    if count < 0 or pos + count * step > end:
        return BROKEN
    k = total[0]
    for i in range(count):
        p = pos + i * step
        x, y = _u64(buf, p), _u64(buf, p + 8)
        if not (_is_finite(x) and _is_finite(y)):
            return NAN
        xs[k], ys[k], at[k] = x, y, p
        k += 1
    total[0] = k
    return OK


@jit
def _leaf(buf, pos, end, base, step, out):
    """Gather the coordinates of a point, line or polygon whose header ends at ``pos``: (status, new
    pos)."""
    if base == 1:
        if pos + step > end:
            return BROKEN, pos
        if _is_nan(_u64(buf, pos)) and _is_nan(_u64(buf, pos + 8)):
            return OK, pos + step  # WKB's way to say POINT EMPTY
        return _take(buf, pos, end, 1, step, out), pos + step
    if pos + 4 > end:
        return BROKEN, pos
    count = np.int64(_u32(buf, pos))
    pos += 4
    if base in (_LINE, _CIRCULAR):
        return _take(buf, pos, end, count, step, out), pos + count * step
    for _ in range(count):
        if pos + 4 > end:
            return BROKEN, pos
        points = np.int64(_u32(buf, pos))
        pos += 4
        status = _take(buf, pos, end, points, step, out)
        if status != OK:
            return status, pos
        if 0 < points < 4:
            return SHORT_RING, pos
        pos += points * step
    return OK, pos


@jit
def _walk(buf, pos, end, left, out):
    """Read a geometry; return its status and its type with dimensions. ``left``: for the stack."""
    depth, kind, curved = 0, np.int64(0), False
    left[0] = 1
    while True:
        while left[depth] == 0:
            if depth == 0:
                status = BROKEN if pos != end else CURVE if curved else OK
                return status, kind
            depth -= 1
        left[depth] -= 1
        if pos + 5 > end:
            return BROKEN, kind
        code = np.int64(_u32(buf, pos + 1))
        if buf[pos] != 1 or code >= 4000:
            return NOT_PLAIN, kind
        pos += 5
        base, dims = code % 1000, code // 1000
        if kind == 0:
            kind = code
        step = 8 * (2 if dims == 0 else 4 if dims == 3 else 3)
        curved = curved or base > 7
        if base in (1, _LINE, _POLYGON, _CIRCULAR, _TRIANGLE):
            status, pos = _leaf(buf, pos, end, base, step, out)
            if status != OK:
                return status, kind
        elif 4 <= base <= 16 and base not in (13, 14):
            if pos + 4 > end:
                return BROKEN, kind
            if depth + 1 >= _DEPTH:
                return DEEP, kind
            depth += 1
            left[depth] = np.int64(_u32(buf, pos))
            pos += 4
        else:
            return BROKEN, kind


@jit
def gather(buf, offsets, valid, xs, ys, at, first, status, kinds, scratch):
    """Find all coordinates of the geometries ``buf[offsets[i]:offsets[i + 1]]``.

    Fills, for each coordinate, the bits of its x and y and where it lies; for each geometry its
    ``status``, its type, and in ``first`` (one longer) where its coordinates begin. A geometry
    whose status is not OK gives no coordinates. ``scratch`` is of ``SCRATCH`` cells. Returns how
    many there are.
    """
    left, total = scratch[:_DEPTH], scratch[_DEPTH:]
    total[0] = 0
    out = (xs, ys, at, total)
    for i in range(len(valid)):
        first[i] = before = total[0]
        if not valid[i]:
            status[i], kinds[i] = NULL, 0
            continue
        status[i], kinds[i] = _walk(buf, np.int64(offsets[i]), np.int64(offsets[i + 1]), left, out)
        if status[i] != OK:
            total[0] = before
    first[len(valid)] = total[0]
    return total[0]


@jit
def scatter(buf, xs, ys, at):
    """Put coordinates (their bits) back where :func:`gather` found them."""
    for k in range(len(at)):
        x, y, pos = xs[k], ys[k], np.int64(at[k])
        for byte in range(8):
            shift = np.uint64(8 * byte)
            buf[pos + byte] = np.uint8((x >> shift) & np.uint64(255))
            buf[pos + 8 + byte] = np.uint8((y >> shift) & np.uint64(255))


@jit
def boxes(x, y, first, out):
    """Fill ``out`` (n, 4) with minx, miny, maxx, maxy of each geometry; NaN where there is no
    coordinate or one is not finite. Returns nothing."""
    for i in range(len(first) - 1):
        minx = miny = np.inf
        maxx = maxy = -np.inf
        finite = first[i + 1] > first[i]
        for k in range(first[i], first[i + 1]):
            if not (np.isfinite(x[k]) and np.isfinite(y[k])):
                finite = False
                break
            minx, maxx = min(minx, x[k]), max(maxx, x[k])
            miny, maxy = min(miny, y[k]), max(maxy, y[k])
        if finite:
            out[i, 0], out[i, 1], out[i, 2], out[i, 3] = minx, miny, maxx, maxy
        else:
            out[i, :] = np.nan


@jit
def _cell(x, y, left, bottom, size, state):
    """Return the row and column of the cell that a coordinate lies in; row -1 if in none."""
    column, row = np.floor((x - left) / size), np.floor((y - bottom) / size)
    if 0 <= column < state.shape[1] and 0 <= row < state.shape[0]:
        return np.int64(row), np.int64(column)
    return -1, -1


@jit
def visit(x, y, first, which, left, bottom, size, state, fresh):
    """Mark in ``fresh`` the cells of ``state`` 0 that coordinates of the geometries ``which`` lie
    in."""
    west = south = 1.0
    east = north = 0.0
    for i in range(len(which)):
        if not which[i]:
            continue
        for k in range(first[i], first[i + 1]):
            # The next coordinate lies mostly in the cell of the one before.
            if west < x[k] < east and south < y[k] < north:
                continue
            row, column = _cell(x[k], y[k], left, bottom, size, state)
            if row >= 0:
                west, south = left + column * size, bottom + row * size
                east, north = west + size, south + size
                if state[row, column] == 0:
                    fresh[row, column] = True


@jit
def sparse(x, y, first, which, step, left, bottom, size, state, out):
    """Fill ``out`` with coordinates of the geometries ``which`` outside cells of ``state`` 1, such
    that every other one there is less than ``step`` from the one before it in ``out``, in x and in
    y. Returns how many."""
    total = 0
    west = south = 1.0
    east = north = 0.0
    for i in range(len(which)):
        if not which[i]:
            continue
        begin = total
        for k in range(first[i], first[i + 1]):
            if west < x[k] < east and south < y[k] < north:
                continue
            row, column = _cell(x[k], y[k], left, bottom, size, state)
            if row >= 0 and state[row, column] == 1:
                west, south = left + column * size, bottom + row * size
                east, north = west + size, south + size
                continue
            if total > begin:
                last = out[total - 1]
                if abs(x[k] - x[last]) < step and abs(y[k] - y[last]) < step:
                    continue
            out[total] = k
            total += 1
    return total
