"""The loops that make a tile of pixels, and its differences, compiled.

Tiles are rows (height, width * samples) with the samples of a pixel side by side; TIFF 6.0,
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
