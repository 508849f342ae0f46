"""The loops between pixels by bands and blocks of TIFF, compiled, with the predictors.

A block is rows (height, width * samples) with the samples of a pixel side by side; TIFF 6.0,
section 14, has the differences.
"""

from __future__ import annotations

import numpy as np

from geobatch_tui.execution.native.jit import jit

_1, _2, _3 = (np.uint32(i) for i in range(1, 4))


@jit
def interleave(planes, samples, strides, shape, tile):
    """Fill the upper left (h, w: ``shape``) of ``tile`` from ``planes`` of two to four samples:
    values as they lie in memory, ``strides`` apart from a sample and from a row to the next."""
    height, width = shape
    band, step = strides
    for r in range(height):
        row = tile[r]
        a = planes[r * step : r * step + width]
        b = planes[band + r * step : band + r * step + width]
        if samples == 2:
            for k in range(width):
                at = np.uint32(2 * k)
                row[at], row[at + _1] = a[k], b[k]
            continue
        c = planes[2 * band + r * step : 2 * band + r * step + width]
        if samples == 3:
            for k in range(width):
                at = np.uint32(3 * k)
                row[at], row[at + _1], row[at + _2] = a[k], b[k], c[k]
            continue
        d = planes[3 * band + r * step : 3 * band + r * step + width]
        for k in range(width):
            at = np.uint32(4 * k)
            row[at], row[at + _1], row[at + _2], row[at + _3] = a[k], b[k], c[k], d[k]


@jit
def differences(rows, distance, out):
    """Each value of ``rows`` less the one ``distance`` to its left, into ``out``; the first as
    they are. Unsigned, and as far as they go round."""
    for r in range(rows.shape[0]):
        left, right, line = rows[r], rows[r, distance:], out[r, distance:]
        for c in range(distance):
            out[r, c] = left[c]
        for c in range(len(line)):
            line[c] = right[c] - left[c]


@jit
def are_differences(stored, rows, distance, sums, wrong):
    """Set ``wrong`` (1,) unless every one of ``rows`` is the one ``distance`` to its left and what
    is ``stored`` in its place. ``sums`` (n,) are overwritten."""
    bits = sums[0] ^ sums[0]
    for r in range(rows.shape[0]):
        left, right, added = rows[r], rows[r, distance:], stored[r, distance:]
        for c in range(distance):
            bits |= stored[r, c] ^ left[c]
        for c in range(len(added)):
            sums[c] = added[c] + left[c]
        for c in range(len(added)):
            bits |= sums[c] ^ right[c]
    wrong[0] = bits != 0


@jit
def sum_differences(raw, out):
    """Horizontal differences ``raw`` (h, w, samples), unsigned, into ``out`` (samples, h, w)."""
    height, width, samples = raw.shape
    for r in range(height):
        for s in range(samples):
            line, total = out[s, r], raw[r, 0, s]
            line[0] = total
            for k in range(1, width):
                total = total + raw[r, k, s]
                line[k] = total


@jit
def apart(rows, out):
    """Put samples that lie side by side in ``rows`` (h, w * samples) into planes of their own,
    ``out`` (samples, h, w); of three, the commonest number, many at a time."""
    samples, height, width = out.shape
    for r in range(height):
        row = rows[r]
        if samples == 3:
            red, green, blue = out[0, r], out[1, r], out[2, r]
            for k in range(width):
                red[k], green[k], blue[k] = row[3 * k], row[3 * k + 1], row[3 * k + 2]
            continue
        for s in range(samples):
            for k in range(width):
                out[s, r, k] = row[k * samples + s]


#: Of eight bytes 1 in each, the first bit of each, and all others; every other byte; the last.
_ONES, _TOPS, _LOW = (np.uint64(n * 0x0101010101010101) for n in (1, 0x80, 0x7F))
_EVEN, _LAST = np.uint64(0x00FF00FF00FF00FF), np.uint64(0xFF)
_8, _16, _32, _56 = (np.uint64(bits) for bits in (8, 16, 32, 56))


@jit
def sum_bytes(words):
    """Replace each byte of rows, here eight in a word, by the sum of those of its row up to it, as
    far as it goes round: as ``sum_differences`` does with one sample, four times as fast."""
    for r in range(words.shape[0]):
        row = words[r]
        for k in range(len(row)):
            word = row[k]
            odd = (word >> _8) & _EVEN
            pairs = (word & _EVEN) + odd
            pairs += pairs << _16
            pairs += pairs << _32  # sums of pairs of bytes, in 16 bits
            row[k] = ((pairs - odd) & _EVEN) | ((pairs & _EVEN) << _8)
        before = np.uint64(0)
        for k in range(len(row)):
            word, each = row[k], before * _ONES
            # Bytes are added without their first bits, so that none goes over into the next.
            row[k] = ((word & _LOW) + (each & _LOW)) ^ ((word ^ each) & _TOPS)
            before = (before + (word >> _56)) & _LAST


@jit
def split_bytes(values, out):
    """Rows of whole numbers ``values`` (h, n), floats as they lie in memory, into ``out`` (h, bytes
    of a row): the first bytes of all values of a row, then the second, the most significant
    first."""
    number = values.shape[1]
    size = out.shape[1] // number
    for r in range(values.shape[0]):
        line = values[r]
        for b in range(size):
            part, shift = out[r, b * number : (b + 1) * number], 8 * (size - 1 - b)
            for k in range(number):
                part[k] = np.uint8(line[k] >> shift)


@jit
def _sum_bytes(row, samples):
    for s in range(samples):
        total = np.uint8(0)
        for k in range(s, len(row), samples):
            total = np.uint8(total + row[k])
            row[k] = total


@jit
def join_bytes(raw, summed, out):
    """Differences of bytes of floats ``raw`` (h, bytes of a row), or what :func:`sum_bytes` made of
    them if ``summed``, into ``out`` (samples, h, w), the floats taken as unsigned numbers. A row
    holds the first bytes of all its values, then the second, the most significant first. ``raw`` is
    overwritten."""
    samples, height, width = out.shape
    values = samples * width
    size = raw.shape[1] // values
    for r in range(height):
        row = raw[r]
        if not summed:
            _sum_bytes(row, samples)
        if samples == 1 and size == 4:
            # The commonest layout, many at a time.
            line = out[0, r]
            b0, b1 = row[:width], row[width : 2 * width]
            b2, b3 = row[2 * width : 3 * width], row[3 * width :]
            for k in range(width):
                high = (np.uint32(b0[k]) << np.uint32(24)) | (np.uint32(b1[k]) << np.uint32(16))
                line[k] = high | (np.uint32(b2[k]) << np.uint32(8)) | np.uint32(b3[k])
            continue
        for s in range(samples):
            for k in range(width):
                out[s, r, k] = row[k * samples + s]
            for b in range(1, size):
                at = b * values + s
                for k in range(width):
                    out[s, r, k] = (out[s, r, k] << 8) | row[at + k * samples]
