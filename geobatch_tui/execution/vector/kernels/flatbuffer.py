"""Features of FlatGeobuf made from WKB by compiled loops: flatbuffers, each after its size.

A flatbuffer is written from its end: what is referred to lies before what refers to it, so every
offset is known when it is needed. Alignment counts from the size, as it does for OGR.
"""

# mypy: disable-error-code="assignment"
from __future__ import annotations

import numpy as np

from geobatch_tui.execution.native.jit import external, jit
from geobatch_tui.execution.vector.kernels.wkb_loops import _is_nan, _u32, _u64

#: How deep collections are nested at most, as ``wkb_loops`` has it.
_DEPTH = 32
#: Cells of the state: bytes written, largest alignment, vtables; then where the fields of the
#: current table lie, and then where each vtable lies; then three stacks of collections.
_SIZE, _ALIGN, _TABLES, _FIELDS, _VTABLES, _STACKS = 0, 1, 2, 8, 16, 64
#: Cells that a state needs.
STATE = _STACKS + 3 * _DEPTH
#: Numbers of the fields of the table Geometry.
_ENDS, _XY, _Z, _M, _TYPE, _PARTS = 0, 1, 2, 3, 6, 7
_pread = external("pread", "intp", "int32 voidptr uintp int64")


def room(record: int) -> int:
    """Return the bytes that a feature takes at most whose properties and WKB have ``record``
    bytes."""
    return 4 * record + 256


@jit
def copy(out, to, data, at, count):
    """Copy bytes. By views, whose indexes need no check of their sign: five times as fast."""
    into, source = out[to : to + count], data[at : at + count]
    for n in range(len(into)):
        into[n] = source[n]


@jit
def _align(buf, state, more, width):
    """Pad, so that ``more`` bytes from here the size is a multiple of ``width``."""
    state[_ALIGN] = max(state[_ALIGN], width)
    for _ in range(-(state[_SIZE] + more) & (width - 1)):
        state[_SIZE] += 1
        buf[len(buf) - state[_SIZE]] = 0


@jit
def little(buf, at, value, width):
    """Write the lowest bytes of a number, the least first."""
    for byte in range(width):
        buf[at + byte] = (value >> (8 * byte)) & 255


@jit
def _push(buf, state, value, width):
    _align(buf, state, 0, width)
    state[_SIZE] += width
    little(buf, len(buf) - state[_SIZE], value, width)
    return state[_SIZE]


@jit
def _refer(buf, state, to):
    """Push the distance to what was written when the size was ``to``."""
    _align(buf, state, 0, 4)
    return _push(buf, state, state[_SIZE] - to + 4, 4)


@jit
def _vector(buf, state, count, width):
    """Make room for ``count`` numbers; return where they go, and what refers to them."""
    size = count * width
    _align(buf, state, size, 4)
    _align(buf, state, size, width)
    state[_SIZE] += size
    start = len(buf) - state[_SIZE]
    return start, _push(buf, state, count, 4)


@jit
def _end_table(buf, state, start, fields):
    """Close a table of up to ``fields`` fields that began at ``start``; vtables are shared."""
    table = _push(buf, state, 0, 4)
    last = fields
    while last > 0 and state[_FIELDS + last - 1] == 0:
        last -= 1
    size = 4 + 2 * last
    state[_SIZE] += size
    at = len(buf) - state[_SIZE]
    little(buf, at, size, 2)
    little(buf, at + 2, table - start, 2)
    for n in range(last):
        field = state[_FIELDS + n]
        little(buf, at + 4 + 2 * n, table - field if field else 0, 2)
    use = state[_SIZE]
    for n in range(state[_TABLES]):
        other = len(buf) - state[_VTABLES + n]
        same = True
        for byte in range(size):
            if buf[other + byte] != buf[at + byte]:
                same = False
                break
        if same:
            state[_SIZE] = table
            use = state[_VTABLES + n]
            break
    if use == state[_SIZE] and use != table and _VTABLES + state[_TABLES] < len(state):
        state[_VTABLES + state[_TABLES]] = use
        state[_TABLES] += 1
    little(buf, len(buf) - table, use - table, 4)
    return table


@jit
def _geometry(buf, state, ends, xy, z, m, kind, parts):
    start = state[_SIZE]
    state[_FIELDS : _FIELDS + 8] = 0
    if parts:
        state[_FIELDS + _PARTS] = _refer(buf, state, parts)
    if m:
        state[_FIELDS + _M] = _refer(buf, state, m)
    if z:
        state[_FIELDS + _Z] = _refer(buf, state, z)
    if xy:
        state[_FIELDS + _XY] = _refer(buf, state, xy)
    if ends:
        state[_FIELDS + _ENDS] = _refer(buf, state, ends)
    if kind:
        state[_FIELDS + _TYPE] = _push(buf, state, kind, 1)
    return _end_table(buf, state, start, 8)


@jit
def _step(code):
    """Return the bytes of a coordinate of a geometry of type ``code``."""
    return 16 + 8 * (code // 1000 % 2) + (8 if code >= 2000 else 0)


@jit
def _run(wkb, pos, base, step):
    """Read the coordinates of the part at ``pos``: (count, where, the next part)."""
    if base == 1:
        empty = _is_nan(_u64(wkb, pos)) and _is_nan(_u64(wkb, pos + 8))
        return (0 if empty else 1), pos, pos + step
    if base == 4:
        pos += 5
        empty = _is_nan(_u64(wkb, pos)) and _is_nan(_u64(wkb, pos + 8))
        return (0 if empty else 1), pos, pos + step
    if base == 5:
        pos += 5
    count = np.int64(_u32(wkb, pos))
    return count, pos + 4, pos + 4 + count * step


@jit
def _spread(buf, flat, high, along, wkb, start, count, step):
    """Put x and y, Z (at ``high``, unless that is 0) and M (at ``along``) of coordinates apart."""
    for k in range(count):
        p = start + step * k
        copy(buf, flat + 16 * k, wkb, p, 16)
        if high:
            copy(buf, high + 8 * k, wkb, p + 16, 8)
        if along:
            copy(buf, along + 8 * k, wkb, p + step - 8, 8)


@jit
def _simple(buf, state, wkb, pos, base, code, kind, measured):
    """Write a geometry without parts of its own: (what refers to it, where its WKB ends)."""
    step = _step(code)
    runs = 1
    if base >= 3:
        runs = np.int64(_u32(wkb, pos))
        pos += 4
    total, full, at = 0, 0, pos
    for _ in range(runs):
        count, _, at = _run(wkb, at, base, step)
        total += count
        full += 1 if count else 0
    ends = 0
    listed = full if base == 5 else runs
    if (base == 3 and runs > 1) or (base == 5 and full > 0):
        start, ends = _vector(buf, state, listed, 4)
        at, total = pos, 0
        for _ in range(runs):
            count, _, at = _run(wkb, at, base, step)
            total += count
            if count or base == 3:
                little(buf, start, total, 4)
                start += 4
    if total == 0:
        return _geometry(buf, state, ends, 0, 0, 0, kind, 0), at
    flat, xy = _vector(buf, state, 2 * total, 8)
    high, z, along, m = 0, 0, 0, 0
    if code // 1000 % 2 == 1:
        high, z = _vector(buf, state, total, 8)
    if measured and code >= 2000:
        along, m = _vector(buf, state, total, 8)
    at = pos
    for _ in range(runs):
        count, start, at = _run(wkb, at, base, step)
        if step == 16:
            copy(buf, flat, wkb, start, 16 * count)
        else:
            _spread(buf, flat, high if z else 0, along if m else 0, wkb, start, count, step)
            high += 8 * count
            along += 8 * count
        flat += 16 * count
    return _geometry(buf, state, ends, xy, z, m, kind, 0), at


@jit
def _empty(wkb, pos):
    """Whether the geometry at ``pos`` has no coordinate, and where it ends."""
    left, bare = 1, True
    while left:
        left -= 1
        code = np.int64(_u32(wkb, pos + 1))
        base, step = code % 1000, _step(code)
        pos += 5
        if base == 1:
            bare = bare and _is_nan(_u64(wkb, pos)) and _is_nan(_u64(wkb, pos + 8))
            pos += step
        elif base == 2:
            count = np.int64(_u32(wkb, pos))
            bare = bare and count == 0
            pos += 4 + count * step
        elif base == 3:
            rings = np.int64(_u32(wkb, pos))
            pos += 4
            for _ in range(rings):
                count = np.int64(_u32(wkb, pos))
                bare = bare and count == 0
                pos += 4 + count * step
        else:
            left += np.int64(_u32(wkb, pos))
            pos += 4
    return bare, pos


@jit
def _any(buf, state, parts, wkb, pos, typed, measured):
    """Write a geometry that is not empty; return what refers to it. ``parts`` is a stack."""
    kinds, left = state[_STACKS : _STACKS + _DEPTH], state[_STACKS + _DEPTH : STATE - _DEPTH]
    bottom = state[STATE - _DEPTH :]
    depth, top, made = 0, 0, 0
    while True:
        bare, after = _empty(wkb, pos)
        code = np.int64(_u32(wkb, pos + 1))
        base = code % 1000
        if base >= 6 and not bare:
            kinds[depth], left[depth], bottom[depth] = base, np.int64(_u32(wkb, pos + 5)), top
            depth += 1
            pos += 9
            continue
        if not bare:
            told = base if typed or depth else 0
            made, _ = _simple(buf, state, wkb, pos + 5, base, code, told, measured)
        pos = after
        while depth:
            if not bare:
                parts[top] = made
                top += 1
            left[depth - 1] -= 1
            if left[depth - 1]:
                break
            depth -= 1
            made = _collected(buf, state, parts, bottom[depth], top, kinds[depth])
            top, bare = bottom[depth], False
        if depth == 0:
            return made


@jit
def _collected(buf, state, parts, bottom, top, base):
    """Write a geometry of the parts on the stack from ``bottom`` to ``top``."""
    count = top - bottom
    _align(buf, state, 4 * count, 4)
    for n in range(top - 1, bottom - 1, -1):
        _refer(buf, state, parts[n])
    held = _push(buf, state, count, 4)
    return _geometry(buf, state, 0, 0, 0, 0, base, held)


@jit
def build(buf, state, parts, wkb, pos, properties, typed, measured):
    """Write a feature at the end of ``buf``; return its bytes, with the four of its size.

    Args:
        buf: long enough, see :func:`room`.
        state: int64, of ``STATE`` cells.
        parts: int64, one for each part of a geometry at least.
        wkb: holds plain ISO WKB.
        pos: where in it; below 0: there is no geometry. An empty one is left out, too.
        properties: of the feature, encoded.
        typed: whether geometries say their type, as a layer of unknown type needs.
        measured: whether M is written.
    """
    state[:_STACKS] = 0
    state[_ALIGN] = 8
    geometry, held = 0, 0
    if pos >= 0 and not _empty(wkb, pos)[0]:
        geometry = _any(buf, state, parts, wkb, pos, typed, measured)
    count = len(properties)
    if count:
        start, held = _vector(buf, state, count, 1)
        copy(buf, start, properties, 0, count)
    start = state[_SIZE]
    state[_FIELDS : _FIELDS + 8] = 0
    if held:
        state[_FIELDS + 1] = _refer(buf, state, held)
    if geometry:
        state[_FIELDS] = _refer(buf, state, geometry)
    feature = _end_table(buf, state, start, 2)
    _align(buf, state, 8, state[_ALIGN])
    _refer(buf, state, feature)
    return _push(buf, state, state[_SIZE], 4)


@jit
def fetch(fds, at, starts, lengths, order, out):
    """Read ``lengths[n]`` bytes at ``at[n]`` of the file ``fds[n]`` to ``out[starts[n]:]``, each n
    of ``order`` in turn; how many are there before one cannot be read."""
    for done in range(len(order)):
        n = order[done]
        got = np.int64(0)
        while got < lengths[n]:
            place = out[starts[n] + got :].ctypes
            more = _pread(fds[n], place, np.uintp(lengths[n] - got), np.int64(at[n] + got))
            if more <= 0:
                return done
            got += more
    return len(order)


@jit
def write(
    out, wkb, starts, lengths, heads, multi, typed, measured, buf, scratch, parts, sizes, state
):
    """Write features one after the other into ``out``; stop before it is full.

    Record n is ``wkb[starts[n] : starts[n] + lengths[n]]``: ``heads[n]`` bytes of properties, then
    WKB, or nothing. ``multi``: single geometries are written as multi ones of one part. Fills
    ``sizes``; returns how many features, and how many bytes. The rest is as for :func:`build`.
    """
    at = 0
    for n in range(len(starts)):
        start, end = starts[n], starts[n] + lengths[n]
        pos = start + heads[n]
        properties = wkb[start:pos]
        # One call of what is long: each would be compiled by itself.
        source, place = wkb, pos
        if pos == end:
            place = -1
        else:
            code = np.int64(_u32(wkb, pos + 1))
            if multi and code % 1000 <= 3:
                scratch[0] = 1
                little(scratch, 1, code + 3, 4)
                little(scratch, 5, 1, 4)
                copy(scratch, 9, wkb, pos, end - pos)
                source, place = scratch, 0
        size = build(buf, state, parts, source, place, properties, typed, measured)
        if at + size > len(out):
            return n, at
        copy(out, at, buf, len(buf) - size, size)
        sizes[n] = size
        at += size
    return len(starts), at


@jit
def hilbert(boxes, extent, keys):
    """Fill ``keys`` with where the middle of each box lies on a curve of Hilbert through ``extent``
    (minx, miny, maxx, maxy), in steps of 1/65536 of it."""
    width, height = extent[2] - extent[0], extent[3] - extent[1]
    side = 65535
    for n in range(len(boxes)):
        middle_x = (boxes[n, 0] + boxes[n, 2]) / 2 - extent[0]
        middle_y = (boxes[n, 1] + boxes[n, 3]) / 2 - extent[1]
        x = np.int64(side * middle_x / width) if width > 0 else 0
        y = np.int64(side * middle_y / height) if height > 0 else 0
        key, half = np.int64(0), np.int64(32768)
        while half:
            right, upper = (x & half) != 0, (y & half) != 0
            quarter = (3 if not upper else 2) if right else (1 if upper else 0)
            key += half * half * quarter
            # Each quarter is the curve again, turned: its first and last are mirrored.
            if not upper:
                if right:
                    x, y = side - x, side - y
                x, y = y, x
            half >>= 1
        keys[n] = key
