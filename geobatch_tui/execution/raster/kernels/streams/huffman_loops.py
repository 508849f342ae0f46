"""The loops that find Huffman's codes for a block of DEFLATE (RFC 1951), and describe them.

Bits go to whole words, the first lowest. All numbers are whole: no processor gives other bytes.
"""

from __future__ import annotations

import numpy as np

from geobatch_tui.execution.native.jit import jit

#: Symbols: the bytes, the end of a block, the lengths of runs.
SYMBOLS = np.int64(286)
#: Longest codes of symbols, and of the lengths of these codes, of which there are so many.
LIMIT, _LIMIT_OF_LENGTHS, _LENGTHS = np.int64(15), np.int64(7), np.int64(19)
#: In which order the lengths of the codes of lengths are written.
_ORDER = np.array([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15])
#: A code and, above it, its number of bits.
CODE, BITS = np.uint32(0xFFFF), np.uint32(16)
ZERO, THREE, WORD_BITS = np.uint64(0), np.uint64(3), np.uint64(32)
WORD = np.uint64(0xFFFFFFFF)
_ONE = np.uint64(1)


@jit
def clear(counts, size):
    """Set the first of ``counts`` to 0."""
    for symbol in range(size):
        counts[symbol] = 0


@jit
def _sort(keys, count):
    """Sort the first of ``keys``, by Shell's gaps."""
    gap = 1
    while gap < count // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for at in range(gap, count):
            key, to = keys[at], at
            while to >= gap and keys[to - gap] > key:
                keys[to] = keys[to - gap]
                to -= gap
            keys[to] = key
        gap //= 3


@jit
def find_lengths(counts, size, limit, work, lengths):
    """Set ``lengths`` (symbols,) of the shortest codes of symbols with ``counts``, the first
    ``size`` of them, none longer than ``limit``; return how many bits all of them take. At least
    two occur: a block has an end, and the codes of distances another length than 0."""
    keys, weight, parent, numbers = work[0], work[1], work[2], work[3]
    found = np.int64(0)
    for symbol in range(size):
        lengths[symbol] = 0
        if counts[symbol]:
            keys[found] = (counts[symbol] << 9) | symbol
            found += 1
    _sort(keys, found)
    leaf, node = 0, 0
    for new in range(found - 1):
        total = np.int64(0)
        for _ in range(2):
            if leaf < found and (node >= new or keys[leaf] >> 9 <= weight[node]):
                total += keys[leaf] >> 9
                parent[leaf] = new
                leaf += 1
            else:
                total += weight[node]
                parent[found + node] = new
                node += 1
        weight[new] = total
    # From here on ``weight`` is the depth of a node.
    clear(numbers, limit + 1)
    weight[found - 2] = 0
    for node in range(found - 3, -1, -1):
        weight[node] = weight[parent[found + node]] + 1
    for leaf in range(found):
        numbers[min(weight[parent[leaf]] + 1, limit)] += 1
    room = np.int64(0)
    for length in range(1, limit + 1):
        room += numbers[length] << (limit - length)
    while room > 1 << limit:
        numbers[limit] -= 1
        length = limit - 1
        while numbers[length] == 0:
            length -= 1
        numbers[length] -= 1
        numbers[length + 1] += 2
        room -= 1
    at, bits = 0, np.int64(0)
    for length in range(limit, 0, -1):
        for _ in range(numbers[length]):
            lengths[keys[at] & 511] = length
            bits += (keys[at] >> 9) * length
            at += 1
    return bits


@jit
def find_codes(lengths, size, limit, codes):
    """Set ``codes`` (symbols,): the bits, the first to be written lowest, and their number in the
    bits from 16 up."""
    code = 0
    for length in range(1, limit + 1):
        for symbol in range(size):
            if lengths[symbol] == length:
                turned = 0
                for bit in range(length):
                    turned |= ((code >> bit) & 1) << (length - 1 - bit)
                codes[symbol] = np.uint32(turned | (length << 16))
                code += 1
        code <<= 1


@jit
def put(out, state, value, bits):
    """Append at most 32 bits. ``state``: whole words so far, bits beyond them, and their number."""
    held = state[1] | (value << state[2])
    number = state[2] + bits
    out[state[0]] = np.uint32(held & WORD)
    if number >= WORD_BITS:
        state[0] += _ONE
        held >>= WORD_BITS
        number -= WORD_BITS
    state[1], state[2] = held, number


@jit
def put_code(out, state, code):
    """Append a code, as :func:`find_codes` gives it."""
    put(out, state, np.uint64(code & CODE), np.uint64(code >> BITS))


@jit
def describe(lengths, work, codes, words, state):
    """Write the description of codes of ``lengths`` into ``words``, the head of a block that is not
    the last; return its number of bits."""
    every, more, counts, own = work[0], work[1], work[2], work[3]
    size = SYMBOLS
    while lengths[size - 1] == 0:
        size -= 1
    # Both codes of distances are one bit long. Runs of lengths are shortened.
    lengths[size], lengths[size + 1] = 1, 1
    clear(counts, _LENGTHS)
    number, at = 0, 0
    while at < size + 2:
        length, end = lengths[at], at + 1
        while end < size + 2 and lengths[end] == length:
            end += 1
        run, at = end - at, end
        first = length != 0
        while run > 0:
            if length and not first and run >= 3:
                part = min(run, 6)
                symbol, extra = 16, part - 3
            elif not length and run >= 11:
                part = min(run, 138)
                symbol, extra = 18, part - 11
            elif not length and run >= 3:
                part = min(run, 10)
                symbol, extra = 17, part - 3
            else:
                part, symbol, extra = 1, length, 0
            every[number], more[number], first = symbol, extra, False
            counts[symbol] += 1
            number, run = number + 1, run - part
    lengths[size], lengths[size + 1] = 0, 0
    find_lengths(counts, _LENGTHS, _LIMIT_OF_LENGTHS, work[4:], own)
    find_codes(own, _LENGTHS, _LIMIT_OF_LENGTHS, codes)
    last = 19
    while last > 4 and own[_ORDER[last - 1]] == 0:
        last -= 1
    state[0], state[1], state[2] = ZERO, ZERO, ZERO
    put(words, state, np.uint64(260 | ((size - 257) << 3) | ((last - 4) << 13)), np.uint64(17))
    for place in range(last):
        put(words, state, np.uint64(own[_ORDER[place]]), np.uint64(3))
    for place in range(number):
        symbol = every[place]
        put_code(words, state, codes[symbol])
        if symbol >= 16:
            behind = 2 if symbol == 16 else (3 if symbol == 17 else 7)
            put(words, state, np.uint64(more[place]), np.uint64(behind))
    words[state[0]] = np.uint32(state[1])
    return np.int64(state[0] * WORD_BITS + state[2])
