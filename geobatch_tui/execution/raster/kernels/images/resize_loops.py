"""The loops of the step *resize*, compiled: what lies under each output pixel.

Pixels are taken along rows first, and then along columns, as GDAL does. What an output pixel takes
follows from its place alone, and so does the order of its sums; a window of any size has the same.
"""

from __future__ import annotations

import math

import numpy as np

from geobatch_tui.execution.native.jit import jit
from geobatch_tui.execution.raster.kernels.weights import function_at

#: How near to the edge of a pixel an edge counts as on it, as in GDAL.
_NUDGE = 1e-8
#: What the taps that are left must weigh: of a kernel whose middle is hidden, nothing but rounding
#: may be left.
_NOTHING = 1e-9


@jit
def kernel_taps(start, side, length, code, radius, first, count, weights):
    """Fill in the taps of the output pixels from ``start`` on, of ``length`` along an axis that is
    ``side`` long in the source: ``first`` and ``count`` (n,), ``weights`` (n, taps), which sum to
    1. Beyond the source there are none."""
    ratio = side / length
    scale = 1.0 if ratio <= 1.0 else length / side
    reach = radius / scale
    for n in range(len(first)):
        centre = (start + n + 0.5) * ratio
        begin = max(math.floor(centre - reach + 0.5), 0)
        end = min(math.floor(centre + reach + 0.5), side)
        first[n], count[n] = begin, end - begin
        total = 0.0
        for t in range(end - begin):
            weight = function_at(code, scale * (begin + t - centre + 0.5))
            weights[n, t] = weight
            total += weight
        if total != 0.0:
            for t in range(end - begin):
                weights[n, t] /= total


@jit
def _most_together(seen, row, begin, count):
    """Return how many of the pixels of a row are valid one after another."""
    run, most = 0, 0
    for t in range(count):
        if seen[row, begin + t]:
            run += 1
            most = max(most, run)
        else:
            run = 0
    return most


@jit
def along_rows(source, seen, masked, first, count, weights, off, holds, out, good):
    """Weighted means along rows: ``source`` (h, w), of which ``seen`` are valid if ``masked``, into
    ``out`` and ``good`` (h, n). ``off`` is the column of its first pixel. ``holds``: at least half
    of the taps, side by side, must be valid, as for kernels with weights below 0."""
    for n in range(out.shape[1]):
        begin, taps, w = first[n] - off, count[n], weights[n]
        for r in range(out.shape[0]):
            total, number = 0.0, 0
            for t in range(taps):
                if masked and not seen[r, begin + t]:
                    continue
                total += w[t] * source[r, begin + t]
                number += 1
            good[r, n] = 1
            if number < taps:
                heft = 0.0
                for t in range(taps):
                    if seen[r, begin + t]:
                        heft += w[t]
                enough = not holds or _most_together(seen, r, begin, taps) >= taps // 2
                good[r, n] = number > 0 and heft > _NOTHING and enough
                total = total / heft if good[r, n] else 0.0
            out[r, n] = total


@jit
def along_columns(lines, seen, masked, first, count, weights, off, holds, out, good):
    """Weighted means along columns of ``lines`` (h, n), as :func:`along_rows` has them."""
    for r in range(out.shape[0]):
        begin, taps, w, line = first[r] - off, count[r], weights[r], out[r]
        line[:] = 0.0
        good[r] = 1
        for t in range(taps):
            weight, row = w[t], lines[begin + t]
            for n in range(len(line)):
                line[n] += weight * row[n]
        if not masked:
            continue
        for n in range(len(line)):
            total, heft, number, run, most = 0.0, 0.0, 0, 0, 0
            for t in range(taps):
                if not seen[begin + t, n]:
                    run = 0
                    continue
                total += w[t] * lines[begin + t, n]
                heft += w[t]
                number, run = number + 1, run + 1
                most = max(most, run)
            if number < taps:
                good[r, n] = number > 0 and heft > _NOTHING and (not holds or most >= taps // 2)
                line[n] = total / heft if good[r, n] else 0.0


@jit
def area_sides(start, side, length, first, last, before, behind):
    """Fill in what the output pixels from ``start`` on cover along an axis: source pixels from
    ``first`` to before ``last``, and the shares of these two, ``before`` and ``behind`` (n,)."""
    ratio = side / length
    for n in range(len(first)):
        low, high = (start + n) * ratio, (start + n + 1) * ratio
        first[n] = int(low + _NUDGE)
        last[n] = min(max(math.ceil(high - _NUDGE), first[n] + 1), side)
        before[n] = 1.0 if last[n] - first[n] == 1 else 1.0 - (low - first[n])
        behind[n] = 1.0 - (last[n] - high)


@jit
def average(source, seen, masked, rows, cols, row_shares, col_shares, off, out, good):
    """Means by area: ``rows`` (2, h) and ``cols`` (2, w) are first and last source pixels, as
    :func:`area_sides` gives them with their shares; ``off`` is the corner (x, y) of ``source``."""
    for r in range(out.shape[0]):
        top, bottom = rows[0, r], rows[1, r]
        for c in range(out.shape[1]):
            left, right = cols[0, c], cols[1, c]
            total, heft = 0.0, 0.0
            for y in range(top, bottom):
                line, weight = 0.0, 0.0
                for x in range(left, right):
                    if masked and not seen[y - off[1], x - off[0]]:
                        continue
                    share = 1.0
                    if x == left:
                        share = col_shares[0, c]
                    elif x == right - 1:
                        share = col_shares[1, c]
                    line += source[y - off[1], x - off[0]] * share
                    weight += share
                share = 1.0
                if y == top:
                    share = row_shares[0, r]
                elif y == bottom - 1:
                    share = row_shares[1, r]
                total += line * share
                heft += weight * share
            good[r, c] = heft > 0.0
            out[r, c] = total / heft if heft > 0.0 else 0.0


@jit
def commonest(keys, seen, masked, rows, cols, off, slots, votes, out, good):
    """The commonest of the values whose bits are ``keys`` (h, w), the first that is as common.

    ``slots`` and ``votes`` are a table of more places than pixels under an output pixel, a power of
    two of them, and overwritten; ``votes`` is 0 everywhere before and after.
    """
    last = np.uint64(len(slots) - 1)
    for r in range(out.shape[0]):
        for c in range(out.shape[1]):
            most = 0
            for y in range(rows[0, r] - off[1], rows[1, r] - off[1]):
                for x in range(cols[0, c] - off[0], cols[1, c] - off[0]):
                    if masked and not seen[y, x]:
                        continue
                    place = _place(keys[y, x], last, slots, votes)
                    slots[place] = keys[y, x]
                    votes[place] += 1
                    if votes[place] > most:
                        most = votes[place]
                        out[r, c] = keys[y, x]
            good[r, c] = most > 0
            if most > 0:
                votes[:] = 0


@jit
def _place(key, last, slots, votes):
    """Return the place of a key in the table, or the free one that is to be its."""
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    place = (mixed >> np.uint64(32)) & last
    while votes[np.int64(place)] != 0 and slots[np.int64(place)] != key:
        place = (place + np.uint64(1)) & last
    return np.int64(place)
