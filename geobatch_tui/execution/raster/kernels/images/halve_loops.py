"""The loops of 2x2 reductions, compiled: means of the four children, for ``pyramid.halve``, and
weighted means of their neighbours too, for `convolution`."""

from __future__ import annotations

import numpy as np

from geobatch_tui.execution.native.jit import jit

#: Means of a row that are made at a time, by the way that their children allow.
_PART = 128


@jit
def _four(upper, lower, out):
    """Means of whole numbers of two rows where all count."""
    pairs = len(upper) // 2
    for k in range(pairs):
        left, right = 2 * k, 2 * k + 1
        total = np.int64(upper[left]) + np.int64(upper[right])
        total += np.int64(lower[left]) + np.int64(lower[right])
        out[k] = (total + 2) >> 2
    if pairs < len(out):  # the missing children are left out
        out[pairs] = (np.int64(upper[-1]) + np.int64(lower[-1]) + 1) >> 1


@jit
def average_whole(band, seen, masked, nodata, excluded, out):
    """Means of 2x2 whole numbers of at most 32 bits, rounded half up: ``band`` (h, w) into ``out``.

    A child counts where ``seen`` (h, w) is not 0, if ``masked``; and where it is not ``nodata[0]``,
    if ``excluded``: then a mean that is becomes ``nodata[1]``. Where none counts, the top left one
    is taken.
    """
    height, width = band.shape
    for r in range(out.shape[0]):
        top, below = 2 * r, min(2 * r + 1, height - 1)
        for first in range(0, out.shape[1], _PART):
            line = out[r, first : first + _PART]
            start, stop = 2 * first, min(2 * (first + len(line)), width)
            upper, lower = band[top, start:stop], band[below, start:stop]
            hidden = masked and _hold(seen[top, start:stop], seen[below, start:stop], np.uint8(0))
            if hidden or (excluded and _hold(upper, lower, nodata[0])):
                _some(band, seen, masked, nodata, excluded, r, first, line)
                continue
            _four(upper, lower, line)
            if excluded:
                for k in range(len(line)):
                    line[k] = nodata[1] if line[k] == nodata[0] else line[k]


@jit
def _hold(upper, lower, wanted):
    """Whether two rows have a value; without branches, for many at a time."""
    found = np.uint8(0)
    for k in range(len(upper)):
        found |= np.uint8(upper[k] == wanted) | np.uint8(lower[k] == wanted)
    return found != 0


@jit
def _some(band, seen, masked, nodata, excluded, r, first, line):
    """Means of whole numbers from column ``first`` of row ``r`` on, some of whose children do not
    count; see :func:`average_whole`."""
    height, width = band.shape
    top, below = 2 * r, min(2 * r + 1, height - 1)
    for k in range(len(line)):
        column = 2 * (first + k)
        total, number = np.int64(0), np.int64(0)
        for y in (top, below):
            for x in (column, min(column + 1, width - 1)):
                if masked and not seen[y, x]:
                    continue
                if excluded and band[y, x] == nodata[0]:
                    continue
                total += np.int64(band[y, x])
                number += 1
        if number == 0:
            line[k] = band[top, column]
            continue
        line[k] = (2 * total + number) // (2 * number)
        if excluded and line[k] == nodata[0]:
            line[k] = nodata[1]


@jit
def average_floats(band, seen, masked, nodata, excluded, out):
    """Average floats as :func:`average_whole` does whole numbers, summed as float64, columns first.
    NaN never counts."""
    # Nothing is equal to NaN.
    void = np.float64(nodata[0]) if excluded else np.nan
    for r in range(out.shape[0]):
        upper, lower, line = band[2 * r], band[min(2 * r + 1, len(band) - 1)], out[r]
        fast = 0 if masked else band.shape[1] // 2
        for k in range(fast):
            # Without branches, so that many are summed at a time.
            a, m = _either(upper[2 * k], void)
            b, n = _either(lower[2 * k], void)
            c, o = _either(upper[2 * k + 1], void)
            d, p = _either(lower[2 * k + 1], void)
            line[k] = ((a + b) + (c + d)) / (m + n + o + p)
        for k in range(len(line)):
            if masked or k >= fast or np.isnan(line[k]) or line[k] == void:
                _alone(band, seen, masked, nodata[1], void, out, r, k)


@jit
def _either(value, void):
    """Return a child and 1, or 0.0 twice if it does not count."""
    good = value == value and value != void  # noqa: PLR0124 -- np.isnan is not for many at a time
    return (np.float64(value), 1.0) if good else (0.0, 0.0)


@jit
def _alone(band, seen, masked, moved, void, out, r, k):
    """Average one block. ``moved`` is the value of a mean that happens to be ``void``, nodata."""
    below, right = min(2 * r + 1, len(band) - 1), min(2 * k + 1, band.shape[1] - 1)
    a, m = _seen(band, seen, masked, void, 2 * r, 2 * k)
    b, n = _seen(band, seen, masked, void, below, 2 * k)
    c, o = _seen(band, seen, masked, void, 2 * r, right)
    d, p = _seen(band, seen, masked, void, below, right)
    number = m + n + o + p
    if number == 0.0:
        out[r, k] = band[2 * r, 2 * k]
        return
    out[r, k] = ((a + b) + (c + d)) / number
    if out[r, k] == void:
        out[r, k] = moved


@jit
def _seen(band, seen, masked, void, y, x):
    if masked and not seen[y, x]:
        return 0.0, 0.0
    return _either(band[y, x], void)


@jit
def _down(band, valid, masked, first, last, taps, shift, sums, weighs):
    """Weighted sums, and their weights, of the rows from ``first`` to before ``last``; tap
    ``shift`` is that of row 0."""
    sums[:], weighs[:] = 0.0, 0.0
    for y in range(first, last):
        weight = taps[y - shift]
        if masked:
            for x in range(len(sums)):
                if valid[y, x]:
                    sums[x] += weight * band[y, x]
                    weighs[x] += weight
        else:
            for x in range(len(sums)):
                sums[x] += weight * band[y, x]
            for x in range(len(sums)):
                weighs[x] += weight


@jit
def convolve(band, valid, masked, left, top, taps, means, weighs, sums, parts):
    """Fill ``means`` and ``weighs`` (h, w), float64, from ``band`` (rows, columns), of which the
    first output pixel covers those from (``left``, ``top``) on. ``valid`` is looked at if
    ``masked``. ``sums`` and ``parts`` (columns,) are overwritten."""
    rows, cols = band.shape
    margin = len(taps) // 2 - 1
    for row in range(means.shape[0]):
        start = top + 2 * row - margin
        first, last = max(start, 0), min(start + len(taps), rows)
        _down(band, valid, masked, first, last, taps, start, sums, parts)
        for col in range(means.shape[1]):
            begin = left + 2 * col - margin
            total, heft = 0.0, 0.0
            for x in range(max(begin, 0), min(begin + len(taps), cols)):
                weight = taps[x - begin]
                total += weight * sums[x]
                heft += weight * parts[x]
            weighs[row, col] = heft
            means[row, col] = total / heft if heft > 0.0 else 0.0
