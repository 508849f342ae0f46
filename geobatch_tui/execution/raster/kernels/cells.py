"""The loops over cells of interpolated coordinates, compiled; see ``warp.lattice``.

``nodes`` (n, 4, 4: row, column) are source positions at thirds of the sides of n cells, one array
for x and one for y. ``places`` (n, 2) are columns and rows of the cells, counted in cells.
"""

from __future__ import annotations

import numpy as np

from geobatch_tui.execution.native.jit import jit


@jit
def _blend(nodes, column, b0, b1, b2, b3):
    return (
        b0 * nodes[0, column]
        + b1 * nodes[1, column]
        + b2 * nodes[2, column]
        + b3 * nodes[3, column]
    )


@jit
def interpolate(nodes_x, nodes_y, places, size, basis, x, y, left, top):
    """Fill ``x`` and ``y`` (h, w), which start at (``left``, ``top``) of the item, within the cells
    of ``size`` pixels; ``basis`` (4, size) are the nodes' weights."""
    height, width = x.shape
    for n in range(len(places)):
        col0, row0 = places[n, 0] * size - left, places[n, 1] * size - top
        low, high = max(0, -col0), min(size, width - col0)
        for r in range(max(0, -row0), min(size, height - row0)):
            b0, b1, b2, b3 = basis[0, r], basis[1, r], basis[2, r], basis[3, r]
            x0 = _blend(nodes_x[n], 0, b0, b1, b2, b3)
            x1 = _blend(nodes_x[n], 1, b0, b1, b2, b3)
            x2 = _blend(nodes_x[n], 2, b0, b1, b2, b3)
            x3 = _blend(nodes_x[n], 3, b0, b1, b2, b3)
            y0 = _blend(nodes_y[n], 0, b0, b1, b2, b3)
            y1 = _blend(nodes_y[n], 1, b0, b1, b2, b3)
            y2 = _blend(nodes_y[n], 2, b0, b1, b2, b3)
            y3 = _blend(nodes_y[n], 3, b0, b1, b2, b3)
            row_x = x[row0 + r, col0 + low : col0 + high]
            row_y = y[row0 + r, col0 + low : col0 + high]
            p0, p1, p2, p3 = basis[0, low:], basis[1, low:], basis[2, low:], basis[3, low:]
            for c in range(high - low):
                c0, c1, c2, c3 = p0[c], p1[c], p2[c], p3[c]
                row_x[c] = c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3
                row_y[c] = c0 * y0 + c1 * y1 + c2 * y2 + c3 * y3


@jit
def _deviation(nodes, true, across, down):
    """Return the distance of the interpolated position, with weights ``across`` and ``down`` (4,),
    from the true one."""
    guess = 0.0
    for j in range(4):
        guess += across[j] * _blend(nodes, j, down[0], down[1], down[2], down[3])
    return abs(guess - true)


@jit
def judge(nodes_x, nodes_y, check_x, check_y, basis, limit, jump, good, empty):
    """Fill ``good`` and ``empty`` (n,): whether interpolation is within ``limit`` of the true
    positions ``check_x``, ``check_y`` (n, checks), and whether a cell has no position at all.

    ``basis`` (checks, 2, 4) are the nodes' weights of columns and rows there. Cells whose x differ
    by more than ``jump`` go round the back of the globe, and are not good.
    """
    for n in range(len(nodes_x)):
        fits, seen = True, False
        low, high = np.inf, -np.inf
        for j in range(4):
            for i in range(4):
                value = nodes_x[n, j, i]
                if np.isnan(value):
                    fits = False
                else:
                    seen = True
                    low, high = min(low, value), max(high, value)
        for k in range(check_x.shape[1]):
            seen = seen or not np.isnan(check_x[n, k])
            if fits:
                across, down = basis[k, 0], basis[k, 1]
                off = max(
                    _deviation(nodes_x[n], check_x[n, k], across, down),
                    _deviation(nodes_y[n], check_y[n, k], across, down),
                )
                fits = off <= limit  # NaN compares false
        good[n] = fits and high - low <= jump
        empty[n] = not seen


@jit
def _extent(nodes, rows):
    """Return bounds of the values of the patch between the nodes (4, 4): the least and the largest
    of its control points as a Bezier patch, which encloses it. ``rows`` (4, 4) is overwritten."""
    for i in range(4):
        a, b, c, d = nodes[0, i], nodes[1, i], nodes[2, i], nodes[3, i]
        rows[0, i] = a
        rows[1, i] = (-5.0 * a + 18.0 * b - 9.0 * c + 2.0 * d) / 6.0
        rows[2, i] = (2.0 * a - 9.0 * b + 18.0 * c - 5.0 * d) / 6.0
        rows[3, i] = d
    low, high = np.inf, -np.inf
    for j in range(4):
        a, b, c, d = rows[j, 0], rows[j, 1], rows[j, 2], rows[j, 3]
        second = (-5.0 * a + 18.0 * b - 9.0 * c + 2.0 * d) / 6.0
        third = (2.0 * a - 9.0 * b + 18.0 * c - 5.0 * d) / 6.0
        low = min(low, a, second, third, d)
        high = max(high, a, second, third, d)
    return low, high


@jit
def _widen(extents, row, col, x0, x1, y0, y1):
    extents[0, row, col] = min(extents[0, row, col], x0)
    extents[1, row, col] = max(extents[1, row, col], x1)
    extents[2, row, col] = min(extents[2, row, col], y0)
    extents[3, row, col] = max(extents[3, row, col], y1)


@jit
def extents_of_cells(nodes_x, nodes_y, places, per, first, side, extents, rows):
    """Widen ``extents`` (4: x from, to, y from, to; rows, columns) of the largest cells, from cell
    ``first`` (column, row) on, by those of smaller ones, of which ``per`` make up a side. Cells
    beside the source of ``side`` (x, y) pixels do not count. ``rows`` (4, 4) is overwritten."""
    for n in range(len(places)):
        x0, x1 = _extent(nodes_x[n], rows)
        y0, y1 = _extent(nodes_y[n], rows)
        if x1 >= 0.0 and x0 <= side[0] and y1 >= 0.0 and y0 <= side[1]:
            row, col = places[n, 1] // per - first[1], places[n, 0] // per - first[0]
            _widen(extents, row, col, x0, x1, y0, y1)


@jit
def extents_of_pixels(x, y, places, per, first, side, extents):
    """Widen ``extents`` as :func:`extents_of_cells` does, by single pixels at ``x``, ``y`` (n,)."""
    for n in range(len(places)):
        if 0.0 <= x[n] <= side[0] and 0.0 <= y[n] <= side[1]:
            row, col = places[n, 1] // per - first[1], places[n, 0] // per - first[0]
            _widen(extents, row, col, x[n], x[n], y[n], y[n])
