"""The loops of resampling where some pixels are invalid, compiled. See :mod:`.gather`.

``valid`` (bands or 1, h, w) says of each pixel whether it may be a tap; ``centre`` (h, w) whether
an output pixel may have its centre in it. Where all taps are valid, a pixel gets the bits that
:mod:`.gather` gives it.
"""

from __future__ import annotations

import numpy as np

from geobatch_tui.execution.native.jit import jit
from geobatch_tui.execution.raster.kernels.gather import (
    parts_of,
    parts_of_few,
    pick_row,
    place_row,
    sum_of,
    weigh_row,
)
from geobatch_tui.execution.raster.kernels.weights import pixel_of, taps_at

#: Weight of the valid taps below which GDAL leaves a pixel as it was.
_LIGHT, _LIGHT_BILINEAR = 1e-6, 1e-5


@jit
def _real(x, side, lead, taps, moved):
    """Return which of the taps from ``moved`` on are the position's own: the first, and the first
    beyond."""
    first = int(np.floor(x - 0.5)) - lead
    return max(first, 0) - moved, min(first + taps, side) - moved


@jit
def _masked_sum(pixels, valid, row, col, wy, wx, real_y, real_x, wide_y, wide_x):
    """Return the weighted sum over the valid taps, their weight, their number, and the number of
    taps.

    Along an axis where the kernel is widened (``wide_y``, ``wide_x``), a tap without weight does
    not count.
    """
    total, weight, taken, taps = 0.0, 0.0, 0, 0
    for j in range(real_y[0], real_y[1]):
        if wide_y and wy[j] == 0.0:
            continue
        for i in range(real_x[0], real_x[1]):
            if wide_x and wx[i] == 0.0:
                continue
            taps += 1
            if valid[row + j, col + i]:
                w = wx[i] * wy[j]
                total += w * pixels[row + j, col + i]
                weight += w
                taken += 1
    return total, weight, taken, taps


@jit
def nearest(source, valid, centre, x, y, off, side, out, touched, corner):
    """Fill ``out`` as :func:`.gather.nearest` does, from the valid pixels."""
    height, width = x.shape
    for r in range(height):
        for c in range(width):
            px, py = pixel_of(x[r, c], side[0]), pixel_of(y[r, c], side[1])
            if px < 0 or py < 0 or not centre[py - off[1], px - off[0]]:
                continue
            down, across = corner[0] + r, corner[1] + c
            touched[down, across] = 1
            for band in range(source.shape[0]):
                if valid[min(band, valid.shape[0] - 1), py - off[1], px - off[0]]:
                    out[band, down, across] = source[band, py - off[1], px - off[0]]


@jit
def _keep_clear(valid, at, stride, taps, ready):
    """Leave ``ready`` only where all taps are valid in all bands; returns whether any is left.

    The pixel that such a position lies in is one of its taps, and so valid too.
    """
    left = False
    for c in range(len(ready)):
        if not ready[c]:
            continue
        row, col = at[c] // stride, at[c] % stride
        for band in range(valid.shape[0]):
            if not ready[c]:
                break
            for j in range(taps[1]):
                for i in range(taps[0]):
                    if not valid[band, row + j, col + i]:
                        ready[c] = 0
                        break
                if not ready[c]:
                    break
        left = left or ready[c]
    return left


@jit
def _all_valid(valid, row, col, wy, wx):
    for j in range(len(wy)):
        for i in range(len(wx)):
            if not valid[row + j, col + i]:
                return False
    return True


@jit
def _mixed_row(
    source, valid, centre, x, y, off, side, code, scale, lead, taps, falls_back,
    out, touched, down, left, whole, low, high, ready, wx, wy, bx, by,
):  # fmt: skip
    """Fill the pixels of a row that are not ``ready``, one by one, from the valid taps."""
    light = _LIGHT_BILINEAR if code == 1 and scale[0] == 1.0 and scale[1] == 1.0 else _LIGHT
    for c in range(len(x)):
        if ready[c]:
            touched[down, left + c] = 1
            continue
        px, py = pixel_of(x[c], side[0]), pixel_of(y[c], side[1])
        if px < 0 or py < 0 or not centre[py - off[1], px - off[0]]:
            continue
        col, whole_x = taps_at(x[c], side[0], code, scale[0], lead[0], wx)
        row, whole_y = taps_at(y[c], side[1], code, scale[1], lead[1], wy)
        near = falls_back and not (whole_x and whole_y)
        col2, row2 = 0, 0
        if falls_back:
            col2, _ = taps_at(x[c], side[0], 1, 1.0, 0, bx)
            row2, _ = taps_at(y[c], side[1], 1, 1.0, 0, by)
        for band in range(source.shape[0]):
            good = valid[min(band, valid.shape[0] - 1)]
            two, full = near, False
            if not two:
                full = _all_valid(good, row - off[1], col - off[0], wy, wx)
                two = falls_back and not full
            if two:
                full = _all_valid(good, row2 - off[1], col2 - off[0], by, bx)
            if full and two:
                value = sum_of(source[band], row2 - off[1], col2 - off[0], by, bx)
            elif full:
                value = sum_of(source[band], row - off[1], col - off[0], wy, wx)
            elif two:
                total, weight, _, _ = _masked_sum(
                    source[band], good, row2 - off[1], col2 - off[0], by, bx,
                    (0, 2), (0, 2), False, False,
                )  # fmt: skip
                if weight < _LIGHT_BILINEAR:
                    continue
                value = total / weight
            else:
                total, weight, taken, asked = _masked_sum(
                    source[band], good, row - off[1], col - off[0], wy, wx,
                    _real(y[c], side[1], lead[1], taps[1], row),
                    _real(x[c], side[0], lead[0], taps[0], col), scale[1] != 1.0, scale[0] != 1.0,
                )  # fmt: skip
                if weight < light or (code == 4 and taken < asked // 2):
                    continue
                value = total / weight
            touched[down, left + c] = 1
            out[band, down, left + c] = (
                min(max(np.floor(value + 0.5), low), high) if whole else value
            )


@jit
def gather(
    source, planes, valid, centre, x, y, off, side, code, scale, lead, taps, falls_back,
    out, touched, corner, whole, low, high, rows, at, ready, few, picked,
):  # fmt: skip
    """Resample as :func:`.gather.gather` does, from the valid taps.

    A value needs taps of enough weight (GWKResample, GWKBilinearResample4Sample), of Lanczos half
    of the taps too (GWKResampleOptimizedLanczos); cubic becomes bilinear where a tap is missing
    (GWKCubicResample4Sample).
    """
    stride = source.shape[2]
    step = np.uint32(stride)
    rows_x, rows_y, dx, dy, spare = parts_of(rows, taps)
    wx, wy, bx, by = parts_of_few(few, taps)
    for r in range(len(x)):
        down, left = corner[0] + r, corner[1]
        place_row(x[r], y[r], side, off, stride, lead, taps, at, dx, dy, ready, wx)
        if _keep_clear(valid, at, stride, taps, ready):
            weigh_row(code, dx, scale[0], lead[0], rows_x, spare, wx)
            weigh_row(code, dy, scale[1], lead[1], rows_y, spare, wy)
            pick_row(
                planes, at, step, rows_x, rows_y, ready, False,
                out, down, left, whole, low, high, picked,
            )  # fmt: skip
        _mixed_row(
            source, valid, centre, x[r], y[r], off, side, code, scale, lead, taps, falls_back,
            out, touched, down, left, whole, low, high, ready, wx, wy, bx, by,
        )  # fmt: skip
