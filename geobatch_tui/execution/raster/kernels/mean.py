"""The loop over pixels of the resampling *average*, compiled. See :mod:`.gather`."""

from __future__ import annotations

import numpy as np

from geobatch_tui.execution.native.jit import jit

#: An extent must reach this far beyond a pixel's edge for the pixel to count.
_NUDGE = 1e-10


@jit
def is_wrapped(low, high, side, scale):
    """Whether the extent from ``low`` to ``high`` crosses the antimeridian: its ends lie within two
    output pixels of the ends of the source."""
    edge = min(2, side // 10)
    return low * scale < edge and (side - high) * scale < edge


@jit
def _share(index, first, last, low, high):
    """Return the weight of pixel ``index`` among those from ``first`` to before ``last``, which the
    extent from ``low`` to ``high`` meets."""
    if index == first:
        return 1.0 if first + 1 == last else 1.0 - (low - first)
    if index + 1 == last:
        return 1.0 - (last - high)
    return 1.0


@jit
def _ends(low, high, side, limited):
    first = int(max(np.floor(low + _NUDGE), 0.0))
    last = int(np.ceil(high - _NUDGE))
    if limited:
        last = min(last, side)
    if first == last and last < side:
        last += 1
    return first, last


@jit
def average(
    source, valid, masked, x1, y1, x2, y2, off, side, xscale, out, touched, whole, low, high
):
    """Weighted means of the source under each output pixel (GWKAverageOrMode).

    ``x1``, ``y1``, ``x2``, ``y2`` (h, w) are the positions of two opposite corners; NaN: none.
    ``valid`` (bands or 1, h, w) is looked at if ``masked``.
    """
    height, width = x1.shape
    for r in range(height):
        for c in range(width):
            if np.isnan(x1[r, c]):
                continue
            left, right = min(x1[r, c], x2[r, c]), max(x1[r, c], x2[r, c])
            top, bottom = min(y1[r, c], y2[r, c]), max(y1[r, c], y2[r, c])
            wrapped = is_wrapped(left, right, side[0], xscale)
            if wrapped:
                left, right = right, left + side[0]
            if not (right > -_NUDGE and left < side[0] + _NUDGE):
                continue
            if not (bottom > -_NUDGE and top < side[1] + _NUDGE):
                continue
            col0, col1 = _ends(left, right, side[0], not wrapped)
            row0, row1 = _ends(top, bottom, side[1], True)
            for band in range(source.shape[0]):
                good = valid[min(band, valid.shape[0] - 1)]
                value, heft = 0.0, 0.0
                for row in range(row0, row1):
                    share = _share(row, row0, row1, top, bottom)
                    for col in range(col0, col1):
                        at = (col - side[0] if col >= side[0] else col) - off[0]
                        if masked and not good[row - off[1], at]:
                            continue
                        w = share * _share(col, col0, col1, left, right)
                        if w > 0.0:
                            # A running mean, as GDAL's: it decides how halves are rounded.
                            heft += w
                            value += (w / heft) * (source[band, row - off[1], at] - value)
                if heft > 0.0:
                    touched[r, c] = 1
                    out[band, r, c] = min(max(np.floor(value + 0.5), low), high) if whole else value
