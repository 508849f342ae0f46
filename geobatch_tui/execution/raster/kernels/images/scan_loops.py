"""The loop that finds the pixels under polygons, compiled; see ``grid.cutline``."""

from __future__ import annotations

import math

from geobatch_tui.execution.native.jit import jit


@jit
def touched(edges, left, top, out):
    """Fill ``out`` (h, w), whose corner is the pixel (``left``, ``top``): 1 where a pixel has a
    part of the polygons inside, else 0.

    ``edges`` (n, 4) are the sides of all rings: x, y of the upper end, x, y of the lower. What one
    does to a pixel is computed from both alone, so it is the same in every window.
    """
    height, width = out.shape
    out[:, :] = 0
    for n in range(len(edges)):
        _turn_behind(edges[n, 0], edges[n, 1], edges[n, 2], edges[n, 3], left, top, out)
    for r in range(height):
        inside = 0
        for c in range(width):
            inside ^= out[r, c]
            out[r, c] = inside
    for n in range(len(edges)):
        _cover(edges[n, 0], edges[n, 1], edges[n, 2], edges[n, 3], left, top, out)


@jit
def _turn_behind(x0, y0, x1, y1, left, top, out):
    """Turn round the first pixel of each row whose centre lies behind the side, for sums."""
    height, width = out.shape
    first = max(math.ceil(y0 - 0.5), top)
    last = min(math.ceil(y1 - 0.5), top + height)
    for r in range(first, last):
        x = x0 + (r + 0.5 - y0) * (x1 - x0) / (y1 - y0)
        c = max(math.ceil(x - 0.5) - left, 0)
        if c < width:
            out[r - top, c] ^= 1


@jit
def _cover(x0, y0, x1, y1, left, top, out):
    """Mark the pixels through which the side goes; on a pixel's own edge it goes through none."""
    height, width = out.shape
    first = max(math.floor(y0), top)
    last = min(math.ceil(y1), top + height)
    for r in range(first, last):
        a, b = x0, x1
        if y0 < r:
            a = x0 + (r - y0) * (x1 - x0) / (y1 - y0)
        if y1 > r + 1:
            b = x0 + (r + 1 - y0) * (x1 - x0) / (y1 - y0)
        low = max(math.floor(min(a, b)) - left, 0)
        high = min(math.ceil(max(a, b)) - left, width)
        for c in range(low, high):
            out[r - top, c] = 1
