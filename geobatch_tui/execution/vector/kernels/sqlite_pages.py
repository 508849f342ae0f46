"""Pages of SQLite tables written by compiled loops, row by row in the order of their ids.

A leaf is numbered when it is full, after the pages that its long rows overflow to: so pages are
written in their order, and none twice. The format is that of https://sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import numpy as np

from geobatch_tui.execution.native.jit import jit
from geobatch_tui.execution.vector.kernels.flatbuffer import copy, little
from geobatch_tui.execution.vector.kernels.wkb_loops import _u32

PAGE = 4096
#: Never used: SQLite locks it.
LOCKED = 0x40000000 // PAGE + 1
#: Cells of the state of a table: number of the next page of the file; rows in the leaf at work, the
#: bytes that they take, the id of the last; how many leaves are full.
NEXT, ROWS, BYTES, LAST, LEAVES = range(5)
STATE = 5
#: Bytes of a row that a leaf holds at most, and at least if the row overflows; of an overflow page.
_MOST, _LEAST, _OVER = PAGE - 35, (PAGE - 12) * 32 // 255 - 23, PAGE - 4
#: Bytes of the head of a leaf, and of an interior page.
_LEAF, _INNER = 8, 12
#: Pages below an interior page, with ids of any size.
CHILDREN = (PAGE - _INNER) // (2 + 4 + 9)
#: Bytes of a number that is negative, or has more than 56 bits; its last byte has 8 of them.
_LONGEST = 9
#: What stands before the envelope of a geometry of GeoPackage, and the envelope; flags:
#: little-endian, with an envelope of x and y, empty.
_HEAD, _ENVELOPE, _PLAIN, _XY, _EMPTY = 8, 32, 1, 2, 16


@jit
def _big(buf, at, value, width):
    for byte in range(width):
        buf[at + byte] = (value >> (8 * (width - 1 - byte))) & 255


@jit
def width_of(value):
    """Return the bytes of a number in SQLite's variable length."""
    if value >> 56:
        return _LONGEST
    width = 1
    while value >> (7 * width):
        width += 1
    return width


@jit
def put(buf, at, value):
    """Write a number in variable length; where it ends."""
    width = width_of(value)
    if width == _LONGEST:
        for byte in range(8):
            buf[at + byte] = ((value >> (57 - 7 * byte)) & 127) | 128
        buf[at + 8] = value & 255
        return at + width
    for byte in range(width):
        more = 128 if byte + 1 < width else 0
        buf[at + byte] = ((value >> (7 * (width - 1 - byte))) & 127) | more
    return at + width


@jit
def _number(out, at, state):
    """Number of the next page, and where it goes; the locked one is left empty."""
    if state[NEXT] == LOCKED:
        out[at : at + PAGE] = 0
        at += PAGE
        state[NEXT] += 1
    state[NEXT] += 1
    return state[NEXT] - 1, at


@jit
def seal(leaf, state):
    """Write the head of the leaf at work."""
    leaf[0] = 13
    leaf[1], leaf[2], leaf[7] = 0, 0, 0
    _big(leaf, 3, state[ROWS], 2)
    _big(leaf, 5, PAGE - state[BYTES], 2)


@jit
def close(out, at, leaf, state, full):
    """Write the leaf at work and note its number and last id in ``full``; where ``out`` goes on."""
    seal(leaf, state)
    number, at = _number(out, at, state)
    copy(out, at, leaf, 0, PAGE)
    full[state[LEAVES], 0], full[state[LEAVES], 1] = number, state[LAST]
    state[LEAVES] += 1
    state[ROWS], state[BYTES] = 0, 0
    leaf[:] = 0
    return at + PAGE


@jit
def add(out, at, leaf, state, full, row, size, ident):
    """Add a row of ``size`` bytes; where ``out`` goes on, or -1 if there is no room for it."""
    local = size
    if size > _MOST:
        local = _LEAST + (size - _LEAST) % _OVER
        if local > _MOST:
            local = _LEAST
    over = size - local
    pages = -(-over // _OVER)
    if at + (pages + 3) * PAGE > len(out) or state[LEAVES] == len(full):
        return -1
    cell = width_of(size) + width_of(ident) + local + (4 if over else 0)
    if _LEAF + 2 * (state[ROWS] + 1) + state[BYTES] + cell > PAGE:
        at = close(out, at, leaf, state, full)
    state[BYTES] += cell
    place = PAGE - state[BYTES]
    _big(leaf, _LEAF + 2 * state[ROWS], place, 2)
    state[ROWS] += 1
    state[LAST] = ident
    place = put(leaf, put(leaf, place, size), ident)
    copy(leaf, place, row, 0, local)
    if over:
        number, at = _number(out, at, state)
        _big(leaf, place + local, number, 4)
        done = local
        while True:
            count = min(size - done, _OVER)
            here = at
            copy(out, here + 4, row, done, count)
            out[here + 4 + count : here + PAGE] = 0
            done += count
            at += PAGE
            if done == size:
                _big(out, here, 0, 4)
                break
            number, at = _number(out, at, state)
            _big(out, here, number, 4)
    return at


@jit
def inner(page, children, ids):
    """Fill an interior page: the numbers of the pages below it, and the last id of each."""
    page[:] = 0
    page[0] = 5
    end, last = PAGE, len(children) - 1
    for n in range(last):
        end -= 4 + width_of(ids[n])
        _big(page, end, children[n], 4)
        put(page, end + 4, ids[n])
        _big(page, _INNER + 2 * n, end, 2)
    _big(page, 3, last, 2)
    _big(page, 5, end, 2)
    _big(page, 8, children[last], 4)


@jit
def _blob(row, at, wkb, start, end, srs, box, multi, sides):
    """Write a geometry as GeoPackage keeps it; where it ends. ``sides`` is scratch."""
    code = np.int64(_u32(wkb, start + 1))
    row[at], row[at + 1], row[at + 2] = 71, 80, 0
    flags = _PLAIN
    little(row, at + 4, srs, 4)
    head = at + _HEAD
    if np.isnan(box[0]):
        flags |= _EMPTY
    elif code % 1000 != 1:
        flags |= _XY
        sides[0], sides[1], sides[2], sides[3] = box[0], box[2], box[1], box[3]
        copy(row, head, sides.view(np.uint8), 0, _ENVELOPE)
        head += _ENVELOPE
    row[at + 3] = flags
    if multi and code % 1000 <= 3:
        row[head] = 1
        little(row, head + 1, code + 3, 4)
        little(row, head + 5, 1, 4)
        head += 9
    copy(row, head, wkb, start, end - start)
    return head + end - start


@jit
def features(
    out, leaf, state, full, ids, starts, lengths, types, heads, boxes, data, srs, multi, sides, row
):
    """Add features as rows; stops before ``out`` is full.

    Record n is ``data[starts[n] : starts[n] + lengths[n]]``: ``types[n]`` bytes of types of the
    attributes, then to ``heads[n]`` their values, then WKB, or nothing. ``row`` has room for one,
    ``sides`` for four floats. Returns how many features, and bytes.
    """
    at = 0
    for n in range(len(starts)):
        start, end = starts[n], starts[n] + lengths[n]
        values, shape = start + types[n], start + heads[n]
        kind = 0
        if shape < end:
            code = np.int64(_u32(data, shape + 1))
            size = _HEAD + end - shape
            if code % 1000 != 1 and not np.isnan(boxes[n, 0]):
                size += _ENVELOPE
            if multi and code % 1000 <= 3:
                size += 9
            kind = 12 + 2 * size
        # The head counts itself; ids are null in the row, and stand before it.
        rest = 1 + width_of(kind) + types[n]
        head = rest + 1 if rest + 1 < 128 else rest + 2
        place = put(row, 0, head)
        row[place] = 0
        place = put(row, place + 1, kind)
        copy(row, place, data, start, types[n])
        place += types[n]
        if kind:
            place = _blob(row, place, data, shape, end, srs, boxes[n], multi, sides)
        copy(row, place, data, values, shape - values)
        place += shape - values
        after = add(out, at, leaf, state, full, row, place, ids[n])
        if after < 0:
            return n, at
        at = after
    return len(starts), at


@jit
def pairs(out, leaf, state, full, ids, values, row):
    """Add rows of an id and a whole number of up to 32 bits; how many rows, and bytes."""
    at = 0
    row[0], row[1], row[2] = 3, 0, 4
    for n in range(len(ids)):
        _big(row, 3, values[n], 4)
        after = add(out, at, leaf, state, full, row, 7, ids[n])
        if after < 0:
            return n, at
        at = after
    return len(ids), at


@jit
def blobs(out, leaf, state, full, ids, values, row):
    """Add rows of an id and a blob, all of the same size; how many rows, and bytes."""
    at = 0
    size = values.shape[1]
    row[0], row[1] = 2 + width_of(12 + 2 * size), 0
    head = put(row, 2, 12 + 2 * size)
    for n in range(len(ids)):
        copy(row, head, values[n], 0, size)
        after = add(out, at, leaf, state, full, row, head + size, ids[n])
        if after < 0:
            return n, at
        at = after
    return len(ids), at
