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
        if samples == 3:
            # The commonest number of bands, in one go.
            a, b, c = raw[r, 0, 0], raw[r, 0, 1], raw[r, 0, 2]
            red, green, blue = out[0, r], out[1, r], out[2, r]
            red[0], green[0], blue[0] = a, b, c
            for k in range(1, width):
                a, b, c = a + raw[r, k, 0], b + raw[r, k, 1], c + raw[r, k, 2]
                red[k], green[k], blue[k] = a, b, c
        else:
            for s in range(samples):
                out[s, r, 0] = raw[r, 0, s]
                for k in range(1, width):
                    out[s, r, k] = out[s, r, k - 1] + raw[r, k, s]


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
def join_bytes(raw, out):
    """Differences of bytes of floats ``raw`` (h, bytes of a row) into ``out`` (samples, h, w), the
    floats taken as unsigned numbers. A row holds the first bytes of all its values, then the
    second, the most significant first. ``raw`` is overwritten."""
    samples, height, width = out.shape
    values = samples * width
    size = raw.shape[1] // values
    for r in range(height):
        row = raw[r]
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
