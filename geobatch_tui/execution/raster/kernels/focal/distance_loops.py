"""The loops that look round pixels for the nearest ones of a kind, compiled; see
``steps.focal.distance_steps`` and ``proximity_step``.

They get a window and all round it that is near enough to count; in that it begins at ``corner``
(row, column). What a pixel gets depends on its surroundings alone.
"""

from __future__ import annotations

import math

import numpy as np

from geobatch_tui.execution.native.jit import jit


@jit
def _look_up(kind, first, most, above, last):
    """Fill ``above`` (h, W), from row ``first`` of ``kind`` on, with the row of the next of the
    kind at or above, at most ``most`` away, or -1; ``last`` (W,) is overwritten."""
    height, width = above.shape
    last[:] = -1
    for r in range(max(first - most, 0), first + height):
        for x in range(width):
            if kind[r, x]:
                last[x] = r
        if r >= first:
            for x in range(width):
                above[r - first, x] = last[x] if last[x] >= 0 and r - last[x] <= most else -1
    last[:] = -1


@jit
def _nearer(values, row, x, r, s, distance, value):
    """Return distance and value of the pixel (``row``, ``x``), seen from ``s`` columns beside it in
    row ``r``, if it is nearer than ``distance``; else these."""
    if row >= 0:
        square = float(s) * float(s) + float(row - r) * float(row - r)
        # Of equal ones the later may count: GDAL squares the root too.
        if square < distance * distance:
            return math.sqrt(square), float(values[row, x])
    return distance, value


@jit
def fill(values, valid, corner, most, ends, nearest, above, below, out, filled):
    """Fill ``out`` (h, w) with the values, and with a mean of the next valid ones in four quadrants
    where they are not valid; ``filled`` (h, w) says where.

    Of each column the next valid pixel at or above, and the next one below, count; of these the
    nearest in each quadrant within ``most`` pixels, weighted by 1 / distance, or the nearest of
    all. ``ends``: the last column is that of the raster, which has its own column at the right too.
    ``above`` (h, W) and ``below`` (W,) are overwritten.
    """
    height, width = out.shape
    rows, columns = valid.shape
    _look_up(valid, corner[0], most, above, below)
    for r in range(min(corner[0] + height + most, rows) - 1, corner[0] - 1, -1):
        if r < corner[0] + height:
            k = r - corner[0]
            for c in range(width):
                x = c + corner[1]
                out[k, c] = values[r, x]
                filled[k, c] = 0
                if not valid[r, x]:
                    found, value = _mean(values, above[k], below, r, x, most, ends, nearest)
                    if found:
                        out[k, c] = value
                        filled[k, c] = 1
        for x in range(columns):
            if valid[r, x]:
                below[x] = r


@jit
def _mean(values, above, below, r, x, most, ends, nearest):
    """Return whether there is a valid pixel in any quadrant round (``r``, ``x``), and the value."""
    d0 = d1 = d2 = d3 = most + 1.0
    v0 = v1 = v2 = v3 = 0.0
    s, last = 0, most
    if ends and x == len(above) - 1:
        d2, v2 = _nearer(values, above[x], x, r, 0, d2, v2)
        d3, v3 = _nearer(values, below[x], x, r, 0, d3, v3)
    while s <= last:
        left, right = x - s, x + s
        if left >= 0:
            d0, v0 = _nearer(values, above[left], left, r, s, d0, v0)
            d1, v1 = _nearer(values, below[left], left, r, s, d1, v1)
        if s > 0 and right < len(above):
            d2, v2 = _nearer(values, above[right], right, r, s, d2, v2)
            d3, v3 = _nearer(values, below[right], right, r, s, d3, v3)
        if s & 3 == 3:  # none further away is nearer
            last = min(most, math.floor(max(d0, d1, d2, d3)))
        s += 1
    if nearest:
        for d, v in ((d1, v1), (d2, v2), (d3, v3)):
            if d < d0:
                d0, v0 = d, v
        return d0 <= most, v0
    weights, total = 0.0, 0.0
    for d, v in ((d0, v0), (d1, v1), (d2, v2), (d3, v3)):
        if d <= most:
            weights += 1.0 / d
            total += v * (1.0 / d)
    return weights > 0.0, total / weights if weights > 0.0 else 0.0


@jit
def smooth(values, known, filled, rows, out):
    """Fill ``out`` (h, w) with the values, and with the mean of the ``known`` ones of the 3x3
    pixels round those that were ``filled``, in the rows from ``rows`` (first, beyond)."""
    height, width = out.shape
    for r in range(height):
        for c in range(width):
            out[r, c] = values[r, c]
            if filled[r, c] and rows[0] <= r < rows[1]:
                out[r, c] = 0  # sums are of the values' own type, as GDAL's are
                count = 0
                for y in range(max(r - 1, 0), min(r + 2, height)):
                    for x in range(max(c - 1, 0), min(c + 2, width)):
                        if known[y, x]:
                            out[r, c] += values[y, x]
                            count += 1
                out[r, c] /= count


@jit
def squares(targets, corner, most, ratio, above, below, hull, downs, out):
    """Fill ``out`` (h, w) with the squared distance, in widths of a pixel ``ratio`` times as high,
    to the nearest of the ``targets``; -1 if the columns have none up to ``most`` rows away.

    The lower hull of the columns' parabolas gives a row's (Meijster, Roerdink and Hesselink 2000),
    exactly for squares; else it is looked for, as a hull would be rounded. ``above`` (h, W),
    ``below`` and ``downs`` (W,) and ``hull`` (3, W) are overwritten.
    """
    height, width = out.shape
    rows, columns = targets.shape
    _look_up(targets, corner[0], most, above, below)
    for r in range(min(corner[0] + height + most, rows) - 1, corner[0] - 1, -1):
        for x in range(columns):
            if targets[r, x]:
                below[x] = r
        if r >= corner[0] + height:
            continue
        k = r - corner[0]
        for x in range(columns):
            hull[2, x] = _down(above[k, x], below[x], r, most)
        if ratio == 1.0:
            _under(hull, _hull(hull), corner[1], out[k])
            continue
        for x in range(columns):
            downs[x] = np.inf if hull[2, x] < 0 else (hull[2, x] * ratio) * (hull[2, x] * ratio)
        for c in range(width):
            out[k, c] = _least(downs, c + corner[1], most)


@jit
def _down(above, below, r, most):
    """Return how many rows away the next target of a column is; -1 if there is none."""
    down = r - above if above >= 0 else -1
    if below >= 0 and below - r <= most and (down < 0 or below - r < down):
        down = below - r
    return down


@jit
def _height(hull, x, column):
    """Return the parabola of ``column`` at ``x``."""
    return (x - column) * (x - column) + hull[2, column] * hull[2, column]


@jit
def _hull(hull):
    """Fill ``hull`` with the columns that are nearest somewhere, and where each begins to be, from
    the distances in its last row; return the number of the last, -1 if there is none."""
    width = hull.shape[1]
    q = -1
    for u in range(width):
        if hull[2, u] < 0:
            continue
        while q >= 0 and _height(hull, hull[1, q], hull[0, q]) > _height(hull, hull[1, q], u):
            q -= 1
        if q < 0:
            q = 0
            hull[0, 0], hull[1, 0] = u, 0
            continue
        i = hull[0, q]
        apart = u * u - i * i + hull[2, u] * hull[2, u] - hull[2, i] * hull[2, i]
        begin = 1 + apart // (2 * (u - i))
        if begin < width:
            q += 1
            hull[0, q], hull[1, q] = u, begin
    return q


@jit
def _under(hull, last, left, out):
    """Fill ``out`` (w,), whose first column is ``left``, with the heights of the hull."""
    q = last
    out[:] = -1.0
    for u in range(hull.shape[1] - 1 if q >= 0 else -1, -1, -1):
        if left <= u < left + len(out):
            out[u - left] = float(_height(hull, u, hull[0, q]))
        if u == hull[1, q]:
            q -= 1


@jit
def _least(downs, x, most):
    """Return the least squared distance from column ``x``; -1 if there is no target."""
    least = downs[x]
    for s in range(1, most + 1):
        across = float(s) * float(s)
        if across >= least:
            break
        if x - s >= 0:
            least = min(least, across + downs[x - s])
        if x + s < len(downs):
            least = min(least, across + downs[x + s])
    return -1.0 if least == np.inf else least


@jit
def downs(targets, corner, out):
    """Bring the distances in ``out`` (h, W), how many rows away the next target of a column is, or
    -1, up to date with the ``targets`` of a block whose first pixel lies at ``corner`` (row,
    column) of it, above it or below, too."""
    rows, columns = targets.shape
    height = out.shape[0]
    top = corner[0]
    for c in range(columns):
        x = c + corner[1]
        last = -1
        for r in range(rows):
            if targets[r, c]:
                last = r
            if last >= 0 and 0 <= r + top < height:
                _shorten(out, r + top, x, r - last)
        if last >= 0:
            for k in range(max(rows + top, 0), height):
                _shorten(out, k, x, k - top - last)
        last = -1
        for r in range(rows - 1, -1, -1):
            if targets[r, c]:
                last = r
            if last >= 0 and 0 <= r + top < height:
                _shorten(out, r + top, x, last - r)
        if last >= 0:
            for k in range(min(top, height)):
                _shorten(out, k, x, last + top - k)


@jit
def _shorten(out, k, x, distance):
    if out[k, x] < 0 or distance < out[k, x]:
        out[k, x] = distance


@jit
def squares_of_downs(down, left, hull, out):
    """Fill ``out`` (h, w), whose first column is ``left`` of ``down`` (h, W), with the squared
    distance to the nearest target, or -1, from how many rows away those of the columns are.
    ``hull`` (3, W) is overwritten."""
    for k in range(out.shape[0]):
        for x in range(down.shape[1]):
            hull[2, x] = down[k, x]
        _under(hull, _hull(hull), left, out[k])
