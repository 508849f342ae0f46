"""The loop over pixels of :mod:`.convolution`, compiled."""

# ruff: noqa: ANN001, ANN201, ANN202 -- numba gives the types
# ruff: noqa: PLR0913, PLR0917 -- a struct would have to be one of numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

from geobatch_tui.execution.native.jit import jit


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
def halve(band, valid, masked, left, top, taps, means, weighs, sums, parts):
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
