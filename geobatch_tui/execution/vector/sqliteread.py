"""Rows of an SQLite table read from its pages by compiled loops, in the order of their ids.

The format is that of https://sqlite.org/fileformat2.html. Whatever is not as simple as the tables
of GeoPackages mostly are is told, and left to SQLite. Nothing is trusted: each offset is compared
with where its page or row ends.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator, assignment"
# ruff: noqa: ANN001, ANN201, ANN202, C901, PLR0911, PLR0912, PLR0913, PLR0915, PLR0917
# numba takes types from calls, and every call that is not inlined costs
from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from geobatch_tui.execution.raster.compiled import jit
from geobatch_tui.execution.vector.flatbuffer import copy
from geobatch_tui.execution.vector.kernels import _u32

#: Cells of the state of a reader: where its window begins in the file, how many bytes it has, and
#: how many it had when it was last read anew; then where reading stands: leaf and cell; and the
#: bytes that a row or geometry needs which there was no room for.
AT, HELD, AHEAD, LEAF, CELL, NEED = range(6)
STATE = 6
#: How reading ended: the batch is full, or there are no more rows; the table is not simple; no room
#: for a row, for a geometry, or for texts.
FULL, ODD, LONG_ROW, LONG_SHAPE, LONG_TEXT = range(5)
#: What a column is: none that is read; the geometry; the id; else the number of an attribute.
IGNORED, SHAPE, IDENT = -1, -2, -3
#: What an attribute holds.
WHOLE, REAL, TEXT = range(3)
_DEPTH = 24
_LARGEST = 2**31 - 1
#: Pages that are read where reading jumps.
_PIECES = 4
_pread: Any = types.ExternalFunction(
    "pread", types.intp(types.int32, types.voidptr, types.uintp, types.int64)
)


@jit
def _number(buf, at, width):
    """A big-endian number without sign."""
    value = np.int64(0)
    for byte in range(width):
        value = value << 8 | np.int64(buf[at + byte])
    return value


@jit
def _signed(buf, at, width):
    value = _number(buf, at, width)
    shift = 64 - 8 * width
    return value << shift >> shift if width else np.int64(0)


@jit
def _varint(buf, at, end):
    """A number in variable length, and where it ends; -1 if that is beyond ``end``."""
    value = np.int64(0)
    for byte in range(9):
        if at + byte >= end:
            return value, -1
        one = np.int64(buf[at + byte])
        if byte == 8:
            return value << 8 | one, at + 9
        value = value << 7 | (one & 127)
        if one < 128:
            return value, at + byte + 1
    return value, -1


@jit
def _page(fd, number, size, window, state):
    """Where a page begins in the window; -1 if it cannot be read."""
    at = (number - 1) * size
    if number < 1:
        return -1
    end = state[AT] + state[HELD]
    if state[AT] <= at and at + size <= end:
        return at - state[AT]
    # The further reading goes on without a jump, the more is read at a time.
    near = state[AT] <= at <= end + size
    want = min(2 * state[AHEAD] if near else _PIECES * size, len(window) // size * size)
    got = 0
    while got < want:
        more = _pread(fd, window[got:].ctypes, np.uintp(want - got), np.int64(at + got))
        if more <= 0:
            break
        got += more
    state[AT], state[HELD], state[AHEAD] = at, got, want
    return 0 if got >= size else -1


@jit
def leaves(fd, root, size, low, high, window, state, out):
    """Fill ``out`` with the leaves that hold rows of ids from ``low`` to below ``high``. Returns
    how many, or -1: this is no table, or has more."""
    pages, child = np.zeros(_DEPTH, np.int64), np.zeros(_DEPTH, np.int64)
    pages[0] = root
    depth, count, seen = 0, 0, 0
    while depth >= 0:
        seen += 1
        at = _page(fd, pages[depth], size, window, state)
        if at < 0 or seen > 8 * len(out) + 64:
            return -1
        head = at + 100 if pages[depth] == 1 else at
        if window[head] == 13:
            if count == len(out):
                return -1
            out[count] = pages[depth]
            count += 1
            depth -= 1
            continue
        if window[head] != 5 or depth + 1 == _DEPTH:
            return -1
        cells = _number(window, head + 3, 2)
        if head + 12 + 2 * cells > at + size:
            return -1
        below, past = np.int64(0), False
        n = child[depth]
        while n <= cells:
            if n == cells:
                below = _number(window, head + 8, 4)
                break
            cell = at + _number(window, head + 12 + 2 * n, 2)
            if cell + 4 > at + size:
                return -1
            last, after = _varint(window, cell + 4, at + size)
            if after < 0:
                return -1
            if last >= low:
                below, past = _number(window, cell, 4), last >= high - 1
                break
            n += 1
        # The child after one that reaches ``high`` holds nothing that is wanted.
        child[depth] = cells + 1 if past else n + 1
        if below:
            depth += 1
            pages[depth], child[depth] = below, 0
        else:
            depth -= 1
    return count


@jit
def _width(kind):
    """Bytes of a number of a type."""
    return kind if kind <= 4 else 6 if kind == 5 else 8 if kind <= 7 else 0


@jit
def _payload(fd, leaf, at, length, size, usable, window, state, row):
    """Gather a row of ``length`` bytes that begins at ``at`` in ``leaf``; whether it is there."""
    most = usable - 35
    local = length
    if length > most:
        least = (usable - 12) * 32 // 255 - 23
        local = least + (length - least) % (usable - 4)
        if local > most:
            local = least
    if at + local + (4 if local < length else 0) > size:
        return False
    copy(row, 0, leaf, at, local)
    if local == length:
        return True
    number = _number(leaf, at + local, 4)
    done = local
    while done < length:
        page = _page(fd, number, size, window, state)
        if page < 0:
            return False
        number = _number(window, page, 4)
        count = min(length - done, usable - 4)
        copy(row, done, window, page + 4, count)
        done += count
    return True


@jit
def _wkb(row, at, end):
    """Where the WKB in a geometry of GeoPackage begins; -1: it is no plain one."""
    if at + 8 > end or row[at] != 71 or row[at + 1] != 80 or row[at + 2] != 0:
        return -1
    flags = np.int64(row[at + 3])
    envelope = (flags >> 1) & 7
    if flags & 0xE0 or envelope > 4:
        return -1
    at += 8 + (0 if envelope == 0 else 32 if envelope == 1 else 64 if envelope == 4 else 48)
    if at + 5 > end or row[at] != 1 or _u32(row, at + 1) >= 4000:
        return -1
    return at


@jit
def rows(
    fd, size, usable, found, low, high, roles, kinds, limits,
    leaf, window, state, row, ids, shapes, ends, there, numbers, texts, bounds, valid,
):  # fmt: skip
    """Read rows of ids from ``low`` to below ``high`` out of the leaves ``found``, on from where
    ``state`` stands; returns how many, and how it ended.

    ``size`` and ``usable`` are bytes of a page, and those of them that are used; ``roles`` is what
    each column of a row is; ``kinds`` and ``limits`` are of each attribute, the latter its least
    and largest number. ``leaf``, ``window`` and ``row`` are room for a page, for some, and for a
    row.

    Filled are, of each row, ``ids``; ``shapes``, WKB, where each ends, and whether it is there; and
    (attributes, rows) ``numbers``, whole or the bits of real ones; ``texts`` and where each ends
    (``bounds``); and what is not null, ``valid``.
    """
    count = 0
    while count < len(ids):
        if state[LEAF] == len(found):
            return count, FULL
        if state[CELL] == 0 or count == 0:
            at = _page(fd, found[state[LEAF]], size, window, state)
            if at < 0:
                return count, ODD
            copy(leaf, 0, window, at, size)
        head = 100 if found[state[LEAF]] == 1 else 0
        cells = _number(leaf, head + 3, 2)
        if leaf[head] != 13 or head + 8 + 2 * cells > size:
            return count, ODD
        if state[CELL] >= cells:
            state[LEAF] += 1
            state[CELL] = 0
            continue
        at = _number(leaf, head + 8 + 2 * state[CELL], 2)
        length, at = _varint(leaf, at, size)
        if at < 0 or length < 1 or length > _LARGEST:
            return count, ODD
        ident, at = _varint(leaf, at, size)
        if at < 0:
            return count, ODD
        if ident < low or ident >= high:
            state[CELL] += 1
            continue
        if length > len(row):
            state[NEED] = length
            return count, LONG_ROW
        if not _payload(fd, leaf, at, length, size, usable, window, state, row):
            return count, ODD
        # The head of a row: how long it is, and the type of each value.
        top, place = _varint(row, 0, length)
        if place < 0 or top > length:
            return count, ODD
        value = top
        used = np.int64(ends[count])
        there[count] = False
        for n in range(len(roles)):
            kind, width = np.int64(0), np.int64(0)
            if place < top:
                kind, place = _varint(row, place, top)
                if place < 0 or kind < 0 or kind in (10, 11):
                    return count, ODD
                width = (kind - 12) // 2 if kind >= 12 else _width(kind)
            if value + width > length:
                return count, ODD
            role = roles[n]
            if role == IDENT and kind != 0:
                return count, ODD
            if role == SHAPE and kind != 0:
                if kind < 12 or kind & 1:
                    return count, ODD
                wkb = _wkb(row, value, value + width)
                if wkb < 0:
                    return count, ODD
                bytes_ = value + width - wkb
                if used + bytes_ > len(shapes):
                    state[NEED] = bytes_
                    return count, LONG_SHAPE
                copy(shapes, used, row, wkb, bytes_)
                used += bytes_
                there[count] = True
            if role >= 0:
                valid[role, count] = kind != 0
                start = bounds[role, count]
                bounds[role, count + 1] = start
                if kinds[role] == TEXT and kind != 0:
                    if kind < 13 or not kind & 1:
                        return count, ODD
                    if start + width > texts.shape[1]:
                        state[NEED] = width
                        return count, LONG_TEXT
                    for byte in range(width):
                        one = row[value + byte]
                        if one == 0:
                            return count, ODD
                        texts[role, start + byte] = one
                    bounds[role, count + 1] = start + width
                elif kinds[role] == REAL and kind == 7:
                    numbers[role, count] = _number(row, value, 8)
                elif kind != 0:
                    if kind == 7 or kind > 9:
                        return count, ODD
                    whole = kind - 8 if kind >= 8 else _signed(row, value, width)
                    if kinds[role] == REAL:
                        numbers[role, count] = np.array([np.float64(whole)]).view(np.int64)[0]
                    elif whole < limits[role, 0] or whole > limits[role, 1]:
                        return count, ODD
                    else:
                        numbers[role, count] = whole
                else:
                    numbers[role, count] = 0
            value += width
        ids[count] = ident
        ends[count + 1] = used
        state[CELL] += 1
        count += 1
    return count, FULL
