"""The loop of :func:`.gather.gather` over pixels of three or four bands, compiled.

Here the bands of a pixel lie side by side, four at a time, so that one instruction takes a tap of
all of them. That is twice as fast, and gives the same bits: each band is summed in the same order.
LLVM sees the four only if it is asked to look for such things (``SLP``).
"""

from __future__ import annotations

import numpy as np

from geobatch_tui.execution.native.jit import jit
from geobatch_tui.execution.raster.kernels.gather import gatherer


@jit
def interleave_bytes(planes, quads):
    """Three or four ``planes`` (bands, n) of 8 bits side by side in ``quads`` (n,), the first in
    the lowest bits."""
    a, b, c, d = planes[0], planes[1], planes[2], planes[len(planes) - 1]
    for k in range(len(quads)):
        low = np.uint32(a[k]) | np.uint32(b[k]) << np.uint32(8)
        quads[k] = low | np.uint32(c[k]) << np.uint32(16) | np.uint32(d[k]) << np.uint32(24)


@jit
def interleave_words(planes, quads):
    """Put ``planes`` of 16 bits side by side, as :func:`interleave_bytes` does those of 8."""
    a, b, c, d = planes[0], planes[1], planes[2], planes[len(planes) - 1]
    for k in range(len(quads)):
        low = np.uint64(a[k]) | np.uint64(b[k]) << np.uint64(16)
        quads[k] = low | np.uint64(c[k]) << np.uint64(32) | np.uint64(d[k]) << np.uint64(48)


@jit
def _put(picked, c, v0, v1, v2, v3, whole, low, high):
    if whole:
        v0, v1 = np.floor(v0 + 0.5), np.floor(v1 + 0.5)
        v2, v3 = np.floor(v2 + 0.5), np.floor(v3 + 0.5)
        v0, v1 = min(max(v0, low), high), min(max(v1, low), high)
        v2, v3 = min(max(v2, low), high), min(max(v3, low), high)
    picked[c, 0], picked[c, 1], picked[c, 2], picked[c, 3] = v0, v1, v2, v3


def _picker(across, down):
    """Compiles the sums of rows of taps of one size, whose loops are then written out; 0: of any
    size."""

    @jit
    def pick(quads, at, stride, wx, wy, whole, low, high, picked):
        columns = across if across > 0 else wx.shape[0]
        rows = down if down > 0 else wy.shape[0]
        for c in range(len(at)):
            v0, v1, v2, v3 = 0.0, 0.0, 0.0, 0.0
            for i in range(columns):
                f = at[c] + np.uint32(i)
                w = wy[0, c]
                p0, p1 = w * quads[f, 0], w * quads[f, 1]
                p2, p3 = w * quads[f, 2], w * quads[f, 3]
                for j in range(1, rows):
                    f += stride
                    w = wy[j, c]
                    p0, p1 = p0 + w * quads[f, 0], p1 + w * quads[f, 1]
                    p2, p3 = p2 + w * quads[f, 2], p3 + w * quads[f, 3]
                w = wx[i, c]
                if i == 0:
                    v0, v1, v2, v3 = w * p0, w * p1, w * p2, w * p3
                else:
                    v0, v1, v2, v3 = v0 + w * p0, v1 + w * p1, v2 + w * p2, v3 + w * p3
            _put(picked, c, v0, v1, v2, v3, whole, low, high)

    return pick


_two, _four, _six = _picker(2, 2), _picker(4, 4), _picker(6, 6)


@jit
def _two_wide(quads, at, stride, wx, wy, whole, low, high, picked):
    """Sums of four by two taps, of a kernel that is widened a little: nearly always an outer one
    has no weight, and to whole numbers that is as if it was not there."""
    for c in range(len(at)):
        v0, v1, v2, v3 = 0.0, 0.0, 0.0, 0.0
        if wx[0, c] == 0.0 or wx[3, c] == 0.0:
            skip = 1 if wx[0, c] == 0.0 else 0
            for i in range(3):
                f = at[c] + np.uint32(skip + i)
                w = wy[0, c]
                p0, p1 = w * quads[f, 0], w * quads[f, 1]
                p2, p3 = w * quads[f, 2], w * quads[f, 3]
                f += stride
                w = wy[1, c]
                p0, p1 = p0 + w * quads[f, 0], p1 + w * quads[f, 1]
                p2, p3 = p2 + w * quads[f, 2], p3 + w * quads[f, 3]
                w = wx[skip + i, c]
                if i == 0:
                    v0, v1, v2, v3 = w * p0, w * p1, w * p2, w * p3
                else:
                    v0, v1, v2, v3 = v0 + w * p0, v1 + w * p1, v2 + w * p2, v3 + w * p3
            _put(picked, c, v0, v1, v2, v3, whole, low, high)
            continue
        for i in range(4):
            f = at[c] + np.uint32(i)
            w = wy[0, c]
            p0, p1 = w * quads[f, 0], w * quads[f, 1]
            p2, p3 = w * quads[f, 2], w * quads[f, 3]
            f += stride
            w = wy[1, c]
            p0, p1 = p0 + w * quads[f, 0], p1 + w * quads[f, 1]
            p2, p3 = p2 + w * quads[f, 2], p3 + w * quads[f, 3]
            w = wx[i, c]
            if i == 0:
                v0, v1, v2, v3 = w * p0, w * p1, w * p2, w * p3
            else:
                v0, v1, v2, v3 = v0 + w * p0, v1 + w * p1, v2 + w * p2, v3 + w * p3
        _put(picked, c, v0, v1, v2, v3, whole, low, high)


@jit
def _two_tall(quads, at, stride, wx, wy, whole, low, high, picked):
    """Sums of two by four taps, of a kernel that is widened a little: nearly everywhere the outer
    ones have no weight, and to whole numbers that is as if they were not there. Both cases are
    written out, as LLVM only sees the four side by side if each is put by itself."""
    for c in range(len(at)):
        v0, v1, v2, v3 = 0.0, 0.0, 0.0, 0.0
        if wy[0, c] == 0.0 and wy[3, c] == 0.0:
            for i in range(2):
                f = at[c] + stride + np.uint32(i)
                w = wy[1, c]
                p0, p1 = w * quads[f, 0], w * quads[f, 1]
                p2, p3 = w * quads[f, 2], w * quads[f, 3]
                f += stride
                w = wy[2, c]
                p0, p1 = p0 + w * quads[f, 0], p1 + w * quads[f, 1]
                p2, p3 = p2 + w * quads[f, 2], p3 + w * quads[f, 3]
                w = wx[i, c]
                if i == 0:
                    v0, v1, v2, v3 = w * p0, w * p1, w * p2, w * p3
                else:
                    v0, v1, v2, v3 = v0 + w * p0, v1 + w * p1, v2 + w * p2, v3 + w * p3
            _put(picked, c, v0, v1, v2, v3, whole, low, high)
            continue
        for i in range(2):
            f = at[c] + np.uint32(i)
            w = wy[0, c]
            p0, p1 = w * quads[f, 0], w * quads[f, 1]
            p2, p3 = w * quads[f, 2], w * quads[f, 3]
            for j in range(1, 4):
                f += stride
                w = wy[j, c]
                p0, p1 = p0 + w * quads[f, 0], p1 + w * quads[f, 1]
                p2, p3 = p2 + w * quads[f, 2], p3 + w * quads[f, 3]
            w = wx[i, c]
            if i == 0:
                v0, v1, v2, v3 = w * p0, w * p1, w * p2, w * p3
            else:
                v0, v1, v2, v3 = v0 + w * p0, v1 + w * p1, v2 + w * p2, v3 + w * p3
        _put(picked, c, v0, v1, v2, v3, whole, low, high)


_four_wide, _four_tall = _picker(6, 4), _picker(4, 6)
_many = _picker(0, 0)


@jit
def _pick_row(quads, at, stride, wx, wy, ready, full, out, r, left, whole, low, high, picked):
    across, down = wx.shape[0], wy.shape[0]
    if across == 2 and down == 2:
        _two(quads, at, stride, wx, wy, whole, low, high, picked)
    elif across == 4 and down == 4:
        _four(quads, at, stride, wx, wy, whole, low, high, picked)
    elif across == 6 and down == 6:
        _six(quads, at, stride, wx, wy, whole, low, high, picked)
    elif across == 4 and down == 2:
        _two_wide(quads, at, stride, wx, wy, whole, low, high, picked)
    elif across == 2 and down == 4:
        _two_tall(quads, at, stride, wx, wy, whole, low, high, picked)
    elif across == 6 and down == 4:
        _four_wide(quads, at, stride, wx, wy, whole, low, high, picked)
    elif across == 4 and down == 6:
        _four_tall(quads, at, stride, wx, wy, whole, low, high, picked)
    else:
        _many(quads, at, stride, wx, wy, whole, low, high, picked)
    _deal(picked, ready, full, out, r, left)


@jit
def _deal_words(words, bits, ready, full, out, r, left):
    for band in range(out.shape[0]):
        row = out[band, r, left : left + len(ready)]
        shift = np.uint64(bits * band)
        for c in range(len(row)):
            if full or ready[c]:
                row[c] = words[c, 0] >> shift


@jit
def _deal(picked, ready, full, out, r, left):
    """The bands of ``picked`` (w, 4) into their rows. The four of a pixel are taken as one number,
    so that many pixels are dealt at once."""
    if picked.itemsize == 1:
        _deal_words(picked.view(np.uint32), 8, ready, full, out, r, left)
    else:
        _deal_words(picked.view(np.uint64), 16, ready, full, out, r, left)


gather = gatherer(_pick_row)
