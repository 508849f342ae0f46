"""The loops of resampling where all pixels are valid, compiled.

Every function gives for a pixel the same bits whatever window it is called for: it sums the taps
down the rows first, column by column, and then along the row. Sums are float64 for every type of
pixel.

Arrays of pixels are windows of the source (bands, h, w) that hold every tap asked for; positions
are in pixels of the whole source, ``off`` is where the window starts (x, y), ``side`` the size of
the whole source (x, y). ``corner`` (row, column) is where the part that is resampled starts in
``out`` (bands, h, w) and ``touched`` (h, w). ``whole``: round to whole numbers in ``low`` to
``high``.
"""

from __future__ import annotations

import numpy as np

from geobatch_tui.execution.native.jit import jit
from geobatch_tui.execution.native.loop import linked
from geobatch_tui.execution.raster.kernels import pixel_loops
from geobatch_tui.execution.raster.kernels.weights import pixel_of, taps_at

#: Unsigned, so that an index is never taken to count from the end.
_1, _2, _3, _4, _5 = (np.uint32(i) for i in range(1, 6))

#: What is the same for pixels of all types.
weigh_row, place_row = linked(pixel_loops.weigh_row), linked(pixel_loops.place_row)


# --- separable ---------------------------------------------------------------------------------


@jit
def _down(rows, w, sums):
    """Fill ``sums`` (n,) with weighted sums of ``rows`` (taps, n)."""
    taps, n = len(w), len(sums)
    if taps == 2:
        r0, r1 = rows[0], rows[1]
        w0, w1 = w[0], w[1]
        for k in range(n):
            sums[k] = w0 * r0[k] + w1 * r1[k]
    elif taps == 4:
        r0, r1, r2, r3 = rows[0], rows[1], rows[2], rows[3]
        w0, w1, w2, w3 = w[0], w[1], w[2], w[3]
        for k in range(n):
            sums[k] = w0 * r0[k] + w1 * r1[k] + w2 * r2[k] + w3 * r3[k]
    else:
        r0, w0 = rows[0], w[0]
        for k in range(n):
            sums[k] = w0 * r0[k]
        for t in range(1, taps):
            r0, w0 = rows[t], w[t]
            for k in range(n):
                sums[k] += w0 * r0[k]


@jit
def _along(sums, first, w, out, whole, low, high):
    """Fill ``out`` with weighted sums along ``sums`` at ``first`` (n,) with ``w`` (taps, n)."""
    taps, n = w.shape[0], len(out)
    if taps == 2:
        w0, w1 = w[0], w[1]
        for c in range(n):
            f = first[c]
            value = w0[c] * sums[f] + w1[c] * sums[f + _1]
            out[c] = min(max(np.floor(value + 0.5), low), high) if whole else value
    elif taps == 4:
        w0, w1, w2, w3 = w[0], w[1], w[2], w[3]
        for c in range(n):
            f = first[c]
            value = (
                w0[c] * sums[f] + w1[c] * sums[f + _1] + w2[c] * sums[f + _2] + w3[c] * sums[f + _3]
            )
            out[c] = min(max(np.floor(value + 0.5), low), high) if whole else value
    elif taps == 6:
        w0, w1, w2, w3, w4, w5 = w[0], w[1], w[2], w[3], w[4], w[5]
        for c in range(n):
            f = first[c]
            value = (
                w0[c] * sums[f] + w1[c] * sums[f + _1] + w2[c] * sums[f + _2]
                + w3[c] * sums[f + _3] + w4[c] * sums[f + _4] + w5[c] * sums[f + _5]
            )  # fmt: skip
            out[c] = min(max(np.floor(value + 0.5), low), high) if whole else value
    else:
        for c in range(n):
            f = first[c]
            value = w[0, c] * sums[f]
            for t in range(1, taps):
                value += w[t, c] * sums[f + np.uint32(t)]
            out[c] = min(max(np.floor(value + 0.5), low), high) if whole else value


@jit
def separable(
    source, first_x, weights_x, first_y, weights_y, out, corner, whole, low, high, sums, w
):  # fmt: skip
    """Resample ``source``, all valid, into a part of ``out``.

    ``first_x`` (columns,) uint32 are the first taps in the window, ``weights_x`` (taps, columns)
    their weights; likewise of the rows. ``whole``: round to whole numbers in ``low`` to ``high``.
    ``sums`` (columns of the source,) and ``w`` (taps,) are overwritten.
    """
    taps = weights_y.shape[0]
    left, right = corner[1], corner[1] + len(first_x)
    for row in range(len(first_y)):
        first = first_y[row]
        for t in range(taps):
            w[t] = weights_y[t, row]
        for band in range(source.shape[0]):
            _down(source[band, first : first + taps], w, sums)
            _along(
                sums, first_x, weights_x, out[band, corner[0] + row, left:right], whole, low, high
            )


# --- any coordinates ---------------------------------------------------------------------------


@jit
def sum_of(pixels, row, col, wy, wx):
    """Return the weighted sum of the taps from (``row``, ``col``) of ``pixels`` (h, w)."""
    row, col = np.uint32(row), np.uint32(col)
    if len(wx) == 2 and len(wy) == 2:
        return wx[0] * (wy[0] * pixels[row, col] + wy[1] * pixels[row + _1, col]) + wx[1] * (
            wy[0] * pixels[row, col + _1] + wy[1] * pixels[row + _1, col + _1]
        )
    total = 0.0
    for i in range(len(wx)):
        at = col + np.uint32(i)
        part = wy[0] * pixels[row, at]
        for j in range(1, len(wy)):
            part += wy[j] * pixels[row + np.uint32(j), at]
        if i == 0:
            total = wx[0] * part
        else:
            total += wx[i] * part
    return total


@jit
def nearest(source, x, y, off, side, out, touched, corner):
    """Fill ``out`` with the pixel that each position lies in."""
    height, width = x.shape
    for r in range(height):
        for c in range(width):
            px, py = pixel_of(x[r, c], side[0]), pixel_of(y[r, c], side[1])
            if px < 0 or py < 0:
                continue
            down, across = corner[0] + r, corner[1] + c
            touched[down, across] = 1
            at_x, at_y = np.uint32(px - off[0]), np.uint32(py - off[1])
            for band in range(source.shape[0]):
                out[band, down, across] = source[band, at_y, at_x]


def _picker(across, down):
    """Compiles the sums of rows of taps of one size, whose loops are then written out; 0: of any
    size."""

    @jit
    def pick(flat, at, stride, wx, wy, ready, out, whole, low, high):
        columns = across if across > 0 else wx.shape[0]
        rows = down if down > 0 else wy.shape[0]
        for c in range(len(out)):
            if ready[c]:
                value = 0.0
                for i in range(columns):
                    f = at[c] + np.uint32(i)
                    part = wy[0, c] * flat[f]
                    for j in range(1, rows):
                        f += stride
                        part += wy[j, c] * flat[f]
                    value = wx[i, c] * part if i == 0 else value + wx[i, c] * part
                out[c] = min(max(np.floor(value + 0.5), low), high) if whole else value

    return pick


#: Bilinear, cubic and Lanczos at full scale; bilinear and cubic widened a little along one axis.
_two, _four, _six = _picker(2, 2), _picker(4, 4), _picker(6, 6)
_two_wide, _two_tall = _picker(4, 2), _picker(2, 4)
_four_wide, _four_tall = _picker(6, 4), _picker(4, 6)
_many = _picker(0, 0)


@jit
def pick_row(planes, at, stride, wx, wy, ready, _full, out, r, left, whole, low, high, _picked):
    """Fill row ``r`` of ``out`` from column ``left``, where ``ready``; ``planes`` are bands as they
    lie in memory."""
    across, down = wx.shape[0], wy.shape[0]
    right = left + len(at)
    for band in range(planes.shape[0]):
        flat = planes[band]
        row = out[band, r, left:right]
        if across == 2 and down == 2:
            _two(flat, at, stride, wx, wy, ready, row, whole, low, high)
        elif across == 4 and down == 4:
            _four(flat, at, stride, wx, wy, ready, row, whole, low, high)
        elif across == 6 and down == 6:
            _six(flat, at, stride, wx, wy, ready, row, whole, low, high)
        elif across == 4 and down == 2:
            _two_wide(flat, at, stride, wx, wy, ready, row, whole, low, high)
        elif across == 2 and down == 4:
            _two_tall(flat, at, stride, wx, wy, ready, row, whole, low, high)
        elif across == 6 and down == 4:
            _four_wide(flat, at, stride, wx, wy, ready, row, whole, low, high)
        elif across == 4 and down == 6:
            _four_tall(flat, at, stride, wx, wy, ready, row, whole, low, high)
        else:
            _many(flat, at, stride, wx, wy, ready, row, whole, low, high)


@jit
def parts_of(rows, taps):
    """Cut ``rows`` into the weights of both axes, the distances of both, and a spare row."""
    both = taps[0] + taps[1]
    return rows[: taps[0]], rows[taps[0] : both], rows[both], rows[both + 1], rows[both + 2]


@jit
def parts_of_few(few, taps):
    """Cut ``few`` into the weights of one position along both axes, and its bilinear weights."""
    both = taps[0] + taps[1]
    return few[: taps[0]], few[taps[0] : both], few[both : both + 2], few[both + 2 : both + 4]


@jit
def _one(source, row, col, wy, wx, out, r, c, whole, low, high):
    for band in range(source.shape[0]):
        value = sum_of(source[band], row, col, wy, wx)
        out[band, r, c] = min(max(np.floor(value + 0.5), low), high) if whole else value


def gatherer(pick):
    """Compiles the loop over rows of positions; ``pick`` sums the taps of a row of them."""

    @jit
    def gather(
        source, taken, x, y, off, side, code, scale, lead, taps, falls_back, out, touched,
        corner, whole, low, high, rows, at, ready, few, picked,
    ):  # fmt: skip
        height, width = x.shape
        stride = source.shape[2]
        step = np.uint32(stride)
        wx, wy, dx, dy, spare = parts_of(rows, taps)
        ax, ay, bx, by = parts_of_few(few, taps)
        for r in range(height):
            place_row(x[r], y[r], side, off, stride, lead, taps, at, dx, dy, ready, ax)
            full = ax[0] == 0.0
            weigh_row(code, dx, scale[0], lead[0], wx, spare, ax)
            weigh_row(code, dy, scale[1], lead[1], wy, spare, ay)
            down, left = corner[0] + r, corner[1]
            pick(taken, at, step, wx, wy, ready, full, out, down, left, whole, low, high, picked)
            line = touched[down, left : left + width]
            if full:
                line[:] = 1
                continue
            for c in range(width):
                if ready[c]:
                    line[c] = 1
                elif pixel_of(x[r, c], side[0]) >= 0 and pixel_of(y[r, c], side[1]) >= 0:
                    # Positions at the rim of the source are resampled one by one.
                    line[c] = 1
                    if falls_back:
                        col, _ = taps_at(x[r, c], side[0], 1, 1.0, 0, bx)
                        row, _ = taps_at(y[r, c], side[1], 1, 1.0, 0, by)
                        row, col = row - off[1], col - off[0]
                        _one(source, row, col, by, bx, out, down, left + c, whole, low, high)
                    else:
                        col, _ = taps_at(x[r, c], side[0], code, scale[0], lead[0], ax)
                        row, _ = taps_at(y[r, c], side[1], code, scale[1], lead[1], ay)
                        row, col = row - off[1], col - off[0]
                        _one(source, row, col, ay, ax, out, down, left + c, whole, low, high)

    return gather


#: Resample ``source``, all valid, at positions ``x``, ``y`` (h, w). ``taken`` is the same as it is
#: picked from, here (bands, h * w). ``scale``, ``lead`` and ``taps`` are pairs (x, y). ``touched``
#: (h, w) is set where there is a value. ``rows`` (taps of both axes and 3, w), ``at`` and ``ready``
#: (w,), ``few`` (as many as rows and 4,) and ``picked`` (w, 4) are overwritten.
gather = gatherer(pick_row)
