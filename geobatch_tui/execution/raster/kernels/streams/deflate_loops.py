"""The loop that writes DEFLATE (RFC 1951) by codes of Huffman and runs alone, for tiles of noise.

Differences of noisy pixels hold no strings that come again: to look for them is nine tenths of what
an encoder does there, and those found by chance make the file larger. Only runs of one value pay.

A tile is encoded band by band of its rows. A row has ``planes`` of equally many bytes, as predictor
3 leaves them: some are nearly constant, some are noise, which no code makes shorter. Each gets what
suits it, where an encoder that takes all bytes alike gives all the same code. All rows of a band
have the codes of the band, so that they are found once; each block repeats their description. All
numbers are whole: no processor gives other bytes.
"""

from __future__ import annotations

import numpy as np

from geobatch_tui.execution.native.jit import jit
from geobatch_tui.execution.raster.kernels.streams.huffman_loops import (
    BITS,
    CODE,
    LIMIT,
    SYMBOLS,
    THREE,
    WORD,
    WORD_BITS,
    ZERO,
    clear,
    describe,
    find_codes,
    find_lengths,
    put,
    put_code,
)

#: Bytes of a band at least, but for the last; its rows are whole.
BAND = 2**17
_END, _FIRST_LENGTH = 256, 257
_LONGEST, _SHORTEST = 258, 3
#: Bytes of a stored block at most.
_STORED = 65535
_CODE_64, _BITS_64 = np.uint64(CODE), np.uint64(BITS)
_1, _5, _8, _31 = (np.uint64(number) for number in (1, 5, 8, 31))


@jit
def _length_symbol(length):
    """Symbol of a run, how many bits follow it, and their value."""
    if length == _LONGEST:
        return 285, 0, 0
    value, bits = length - _SHORTEST, 0
    while value >> bits >= 8:
        bits += 1
    return _FIRST_LENGTH + 4 * bits + (value >> bits), bits, value & ((1 << bits) - 1)


@jit
def _copy(source, target):
    for place in range(len(source)):
        target[place] = source[place]


# --- what a band holds -------------------------------------------------------------------------


@jit
def _count(data, row, first, size, rows, tables, counts):
    """Set ``counts`` of the bytes of a plane in a band, which begins at ``first``; return how many
    are the one before."""
    same = np.int64(0)
    a, b, c, d = tables[0], tables[1], tables[2], tables[3]
    for value in range(256):
        a[value], b[value], c[value], d[value] = 0, 0, 0, 0
    for r in range(rows):
        line = data[first + r * row : first + r * row + size]
        whole = size - size % 4
        for k in range(0, whole, 4):  # four tables: a byte need not wait for the one before
            a[line[k]] += 1
            b[line[k + 1]] += 1
            c[line[k + 2]] += 1
            d[line[k + 3]] += 1
        for k in range(whole, size):
            a[line[k]] += 1
        left, right = line[:-1], line[1:]
        alike = np.uint32(0)
        for k in range(len(left)):
            alike += np.uint32(left[k] == right[k])
        same += alike
    for value in range(256):
        counts[value] = a[value] + b[value] + c[value] + d[value]
    for symbol in range(256, SYMBOLS):
        counts[symbol] = 0
    return same


@jit
def _run(line, at):
    """How many bytes from ``at`` on are the one before, if they are worth a run; else 0."""
    size = len(line)
    if at + 2 >= size:
        return 0
    value = line[at - 1]
    if line[at] != value or line[at + 1] != value or line[at + 2] != value:
        return 0
    end = at + 3
    while end < size and line[end] == value:
        end += 1
    return end - at


@jit
def _count_runs(data, row, first, size, rows, counts):
    """Set ``counts`` of the symbols of a plane by runs; return how many bits follow them."""
    clear(counts, SYMBOLS)
    bits = np.int64(0)
    for r in range(rows):
        line = data[first + r * row : first + r * row + size]
        at = 0
        while at < size:
            counts[line[at]] += 1
            at += 1
            run = _run(line, at)
            at += run
            while run >= _SHORTEST:
                part = min(run, _LONGEST)
                symbol, extra, _ = _length_symbol(part)
                counts[symbol] += 1
                bits += extra + 1  # and the distance
                run -= part
            at -= run
    return bits


# --- writing -----------------------------------------------------------------------------------


@jit
def _write_plain(line, codes, out, state):
    at, held, number = state[0], state[1], state[2]
    whole = len(line) - len(line) % 2
    for k in range(0, whole, 2):
        one, two = np.uint64(codes[line[k]]), np.uint64(codes[line[k + 1]])
        held |= (one & _CODE_64) << number
        number += one >> _BITS_64
        held |= (two & _CODE_64) << number
        number += two >> _BITS_64
        out[at] = np.uint32(held & WORD)
        full = number >> _5  # without a branch, which nothing could foretell
        at += full
        held >>= full << _5
        number &= _31
    state[0], state[1], state[2] = at, held, number
    if whole < len(line):
        put_code(out, state, codes[line[whole]])


@jit
def _write_runs(line, codes, out, state):
    at, size = 0, len(line)
    while at < size:
        put_code(out, state, codes[line[at]])
        at += 1
        run = _run(line, at)
        at += run
        while run >= _SHORTEST:
            part = min(run, _LONGEST)
            symbol, bits, value = _length_symbol(part)
            put_code(out, state, codes[symbol])
            # The code of the distance, one bit, is 0.
            put(out, state, np.uint64(value), np.uint64(bits + 1))
            run -= part
        at -= run


@jit
def _write_stored(data, out, state):
    """Write bytes as they are, in blocks."""
    for first in range(0, len(data), _STORED):
        part = data[first : first + _STORED]
        size = len(part)
        put(out, state, ZERO, THREE)
        put(out, state, ZERO, (_8 - state[2] % _8) % _8)
        put(out, state, np.uint64(size | ((size ^ 0xFFFF) << 16)), WORD_BITS)
        at, held, number = state[0], state[1], state[2]
        whole = size - size % 4
        for k in range(0, whole, 4):
            word = np.uint32(part[k]) | (np.uint32(part[k + 1]) << np.uint32(8))
            word |= np.uint32(part[k + 2]) << np.uint32(16)
            word |= np.uint32(part[k + 3]) << np.uint32(24)
            held |= np.uint64(word) << number
            out[at] = np.uint32(held & WORD)
            at += _1
            held >>= WORD_BITS
        state[0], state[1], state[2] = at, held, number
        for k in range(whole, size):
            put(out, state, np.uint64(part[k]), _8)


@jit
def _write_head(words, bits, out, state):
    for k in range(bits // 32):
        put(out, state, np.uint64(words[k]), WORD_BITS)
    put(out, state, np.uint64(words[bits // 32]), np.uint64(bits % 32))


@jit
def _cost(counts, rows, lengths, work, codes, head, state):
    """Find the code of a block in each row; return its bits in all rows, and those of its head."""
    counts[_END] = rows
    needed = find_lengths(counts, SYMBOLS, LIMIT, work, lengths)
    bits = describe(lengths, work, codes, head, state)
    return needed + rows * bits, bits


@jit
def _plan_band(data, row, first, size, rows, planes, work, codes, heads, state):
    """Choose how the planes of a band are written: set ``codes[p]``, and ``heads[p]``, the head of
    a block, for the first of those that share a code.

    ``work[planes]`` says, for a plane: 0, stored; 1, coded; 2, by runs; the numbers behind, how
    many bits the head of its block has, or 0 if it goes on with that of the plane before.
    """
    kinds, bits, extra = work[planes], work[planes + 1], work[planes + 2]
    spare, total = work[planes + 3 :], size * rows
    every, lengths, chosen = spare[0], spare[1], spare[10]
    opened, cost = -1, 0
    for plane in range(planes):
        start = first + plane * size
        counts, head = work[plane], heads[plane]
        same = _count(data, row, start, size, rows, spare, counts)
        kinds[plane], bits[plane], extra[plane] = 0, 0, 0
        squares = np.int64(0)
        for value in range(256):
            squares += counts[value] * counts[value]
        best = 8 * total
        if 250 * squares >= total * total:  # else all bytes are about as frequent
            for kind in range(1, 3 if 2 * same > total else 2):
                behind = np.int64(0)
                if kind == 2:
                    behind = _count_runs(data, row, start, size, rows, every)
                else:
                    _copy(counts, every)
                needed, described = _cost(
                    every, rows, lengths, spare[2:], codes[planes], heads[planes], state
                )
                needed += behind
                if needed < best:
                    best, kinds[plane], extra[plane] = needed, kind, behind
                    bits[plane] = described
                    _copy(every, chosen)
                    _copy(heads[planes], head)
        if kinds[plane] == 0:
            opened = -1
            continue
        _copy(chosen, counts)
        if opened >= 0:  # a code for both has one head in a row
            for symbol in range(SYMBOLS):
                every[symbol] = counts[symbol] + work[opened, symbol]
            needed, described = _cost(
                every, rows, lengths, spare[2:], codes[planes], heads[planes], state
            )
            needed += extra[opened] + extra[plane]
            if needed <= cost + best:
                _copy(every, work[opened])
                _copy(heads[planes], heads[opened])
                bits[opened], bits[plane] = described, 0
                extra[opened] += extra[plane]
                cost = needed
                continue
        opened, cost = plane, best
    for plane in range(planes):
        if bits[plane]:
            find_lengths(work[plane], SYMBOLS, LIMIT, spare[2:], lengths)
            find_codes(lengths, SYMBOLS, LIMIT, codes[plane])


@jit
def deflate(data, row, planes, work, codes, heads, state, out):
    """Write the stream of ``data`` (n,) into ``out`` (words,); return its number of bytes. Rows of
    ``row`` bytes have ``planes``; of one, a band is one block, whatever its rows are. ``work``,
    ``codes``, ``heads`` and ``state`` are overwritten."""
    own = state[3:]
    state[0], state[1], state[2] = ZERO, ZERO, ZERO
    kinds, bits = work[planes], work[planes + 1]
    first, pending = np.int64(0), np.int64(0)
    while first < len(data):
        rows = min(max(BAND // row, 1), (len(data) - first) // row)
        step = row
        if planes == 1:
            step, rows = min(max(BAND // row, 1) * row, len(data) - first), 1
        size = step // planes
        _plan_band(data, step, first, size, rows, planes, work, codes, heads, own)
        block = 0
        for r in range(rows):
            for plane in range(planes):
                start = first + r * step + plane * size
                if kinds[plane] == 0:
                    continue
                if bits[plane]:
                    if pending < start:
                        _write_stored(data[pending:start], out, state)
                    _write_head(heads[plane], bits[plane], out, state)
                    block = plane
                line = data[start : start + size]
                if kinds[plane] == 2:
                    _write_runs(line, codes[block], out, state)
                else:
                    _write_plain(line, codes[block], out, state)
                pending = start + size
                if plane + 1 == planes or kinds[plane + 1] == 0 or bits[plane + 1]:
                    put_code(out, state, codes[block, _END])
        first += rows * step
    if pending < len(data):
        _write_stored(data[pending:], out, state)
    put(out, state, THREE, np.uint64(10))  # an empty block, the last
    put(out, state, ZERO, (_8 - state[2] % _8) % _8)
    return np.int64(state[0] * np.uint64(4) + state[2] // _8)
