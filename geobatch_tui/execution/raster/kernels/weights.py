"""Weights of source pixels, compiled: which taps a position takes along an axis.

See ``warp.taps`` for what a tap is; ``code`` is one of its ``CODES``.
"""

from __future__ import annotations

import math

import numpy as np

from geobatch_tui.execution.native.jit import jit
from geobatch_tui.execution.native.loop import linked
from geobatch_tui.execution.raster.kernels import pixel_loops

#: A position this near beyond the edge of a pixel belongs to the next one.
NUDGE = 1e-10


@jit
def pixel_of(x, side):
    """Return the pixel that a position lies in, -1 outside the source
    (GWKCheckAndComputeSrcOffsets)."""
    if not (x >= 0.0 and x + NUDGE <= side):
        return -1
    return min(int(x + NUDGE), side - 1)


@jit
def function_at(code, distance):
    """Return the value of the kernel's function at a distance."""
    far = abs(distance)
    if code == 1:
        return max(1.0 - far, 0.0)
    if code == 2:
        if far <= 1.0:
            return (1.5 * far - 2.5) * far * far + 1.0
        return ((-0.5 * far + 2.5) * far - 4.0) * far + 2.0 if far <= 2.0 else 0.0
    if code == 3:
        if far <= 1.0:
            return ((3.0 * far - 6.0) * far * far + 4.0) / 6.0
        # GDAL's formula goes on below zero at the far side of a widened kernel.
        return (2.0 - far) ** 3 / 6.0 if far <= 2.0 or distance > 0.0 else 0.0
    if far == 0.0:
        return 1.0
    if far > 3.0:
        return 0.0
    angle = math.pi * far
    return 3.0 * math.sin(angle) * math.sin(angle / 3.0) / (angle * angle)


@jit
def _lanczos(delta, w):
    """Fill ``w`` with the six weights of Lanczos 3 at full scale, from one sine instead of
    twelve."""
    if delta == 0.0:
        w[:] = 0.0
        w[2] = 1.0
        return
    sine = math.sin(math.pi / 3.0 * delta)
    square = sine * sine
    # sin(pi d) is that of three times the angle. Of sin(pi (d - k)) sin(pi/3 (d - k)) there are
    # three cases, by k mod 3: a sum of angles; its sign cancels that of sin(pi (d - k)).
    common = (3.0 - 4.0 * square) * sine * 3.0 / (math.pi * math.pi)
    root = 0.8660254037844386 * math.sqrt(1.0 - square)
    even = common * sine
    after = -common * (0.5 * sine - root)
    before = -common * (0.5 * sine + root)
    w[0] = after / ((delta + 2.0) * (delta + 2.0))
    w[1] = before / ((delta + 1.0) * (delta + 1.0))
    w[2] = even / (delta * delta)
    w[3] = after / ((delta - 1.0) * (delta - 1.0))
    w[4] = before / ((delta - 2.0) * (delta - 2.0))
    w[5] = even / ((delta - 3.0) * (delta - 3.0))


@jit
def _lanczos_widened(delta, scale, lead, w):
    """Fill ``w`` for Lanczos 3 at any scale: the sines of a tap follow from the tap before."""
    angle, step = math.pi * (-lead - delta) * scale, math.pi * scale
    sine, cosine = math.sin(angle), math.cos(angle)
    slow_sine, slow_cosine = math.sin(angle / 3.0), math.cos(angle / 3.0)
    turn, along = math.sin(step), math.cos(step)
    slow_turn, slow_along = math.sin(step / 3.0), math.cos(step / 3.0)
    for t in range(len(w)):
        far = (t - lead - delta) * scale
        angle = math.pi * far
        w[t] = 0.0
        if abs(far) < 1e-9:
            w[t] = 1.0
        elif abs(far) <= 3.0:
            w[t] = 3.0 * sine * slow_sine / (angle * angle)
        sine, cosine = sine * along + cosine * turn, cosine * along - sine * turn
        slow_sine, slow_cosine = (
            slow_sine * slow_along + slow_cosine * slow_turn,
            slow_cosine * slow_along - slow_sine * slow_turn,
        )


@jit
def weigh(delta, code, scale, lead, w):
    """Fill ``w`` with the weights of the taps of a position ``delta`` after the centre of a pixel;
    ``lead`` taps come before that pixel."""
    if scale == 1.0:
        if code == 1:
            w[0] = 1.0 - delta
            w[1] = delta
        elif code == 2:
            half = 0.5 * delta
            w[0] = half * (-1.0 + delta * (2.0 - delta))
            w[1] = 1.0 + half * delta * (-5.0 + 3.0 * delta)
            w[2] = half * (1.0 + delta * (4.0 - 3.0 * delta))
            w[3] = half * delta * (-1.0 + delta)
        elif code == 4:
            _lanczos(delta, w)
        else:
            for t in range(len(w)):
                w[t] = function_at(code, t - lead - delta)
    elif code == 4:
        _lanczos_widened(delta, scale, lead, w)
    else:
        for t in range(len(w)):
            w[t] = function_at(code, (t - lead - delta) * scale)


_weigh = linked(pixel_loops.weigh)


@jit
def _scale_to_one(w):
    total = 0.0
    for t in range(len(w)):
        total += w[t]
    for t in range(len(w)):
        w[t] /= total


@jit
def _fit(first, side, w):
    """Move the taps into the source: those beyond it lose their weight. Return the first."""
    taps = len(w)
    moved = min(max(first, 0), side - taps)
    if moved > first:
        by = moved - first
        for t in range(taps - by):
            w[t] = w[t + by]
        for t in range(max(taps - by, 0), taps):
            w[t] = 0.0
    elif moved < first:
        by = first - moved
        for t in range(taps - 1, by - 1, -1):
            w[t] = w[t - by]
        for t in range(min(by, taps)):
            w[t] = 0.0
    return moved


@jit
def taps_at(x, side, code, scale, lead, w):
    """Fill ``w`` with weights that sum to 1; return the first tap, and whether all lie inside."""
    base = np.floor(x - 0.5)
    first = int(base) - lead
    _weigh(x - 0.5 - base, code, scale, lead, w)
    whole = first >= 0 and first + len(w) <= side
    if not whole:
        first = _fit(first, side, w)
    if not whole or scale != 1.0 or code > 2:
        _scale_to_one(w)
    return first, whole


@jit
def axis(x, side, code, scale, lead, first, weights, pixel, whole, w):
    """Fill in the taps of positions ``x`` (n,) along an axis: ``first``, ``pixel`` (-1: outside)
    and ``whole`` (n,), ``weights`` (taps, n). ``w`` (taps,) is overwritten."""
    for n in range(len(x)):
        pixel[n] = pixel_of(x[n], side)
        if pixel[n] < 0:
            first[n], whole[n] = 0, False
            for t in range(len(w)):
                weights[t, n] = 0.0
            continue
        first[n], whole[n] = taps_at(x[n], side, code, scale, lead, w)
        for t in range(len(w)):
            weights[t, n] = w[t]


@jit
def weigh_row(code, delta, scale, lead, w, total, one):
    """Fill ``w`` (taps, n) with weights of a row of positions, which sum to 1. ``total`` (n,) and
    ``one`` (taps,) are overwritten."""
    if scale == 1.0 and code == 1:
        w0, w1 = w[0], w[1]
        for c in range(len(delta)):
            w0[c], w1[c] = 1.0 - delta[c], delta[c]
    elif scale == 1.0 and code == 2:
        w0, w1, w2, w3 = w[0], w[1], w[2], w[3]
        for c in range(len(delta)):
            d = delta[c]
            half = 0.5 * d
            w0[c] = half * (-1.0 + d * (2.0 - d))
            w1[c] = 1.0 + half * d * (-5.0 + 3.0 * d)
            w2[c] = half * (1.0 + d * (4.0 - 3.0 * d))
            w3[c] = half * d * (-1.0 + d)
    elif code == 1 and w.shape[0] == 4:
        _weigh_four(delta, scale, lead, w)
    elif code < 3:
        _weigh_widened(code, delta, scale, lead, w, total)
    else:
        taps = w.shape[0]
        for c in range(len(delta)):
            weigh(delta[c], code, scale, lead, one)
            _scale_to_one(one)
            for t in range(taps):
                w[t, c] = one[t]


@jit
def _tent(far):
    return max(1.0 - abs(far), 0.0)


@jit
def _weigh_four(delta, scale, lead, w):
    """Fill ``w`` as :func:`_weigh_widened` does, for a bilinear kernel widened to four taps."""
    w0, w1, w2, w3 = w[0], w[1], w[2], w[3]
    for c in range(len(delta)):
        d = delta[c]
        a, b = _tent((0 - lead - d) * scale), _tent((1 - lead - d) * scale)
        e, f = _tent((2 - lead - d) * scale), _tent((3 - lead - d) * scale)
        total = a + b + e + f
        w0[c], w1[c], w2[c], w3[c] = a / total, b / total, e / total, f / total


@jit
def _weigh_widened(code, delta, scale, lead, w, total):
    """Fill ``w`` for bilinear and cubic at any scale, tap by tap, so that the compiler takes many
    positions at a time."""
    total[:] = 0.0
    for t in range(w.shape[0]):
        row = w[t]
        for c in range(len(delta)):
            far = abs((t - lead - delta[c]) * scale)
            if code == 1:
                value = max(1.0 - far, 0.0)
            else:
                near = (1.5 * far - 2.5) * far * far + 1.0
                outer = ((-0.5 * far + 2.5) * far - 4.0) * far + 2.0
                value = near if far <= 1.0 else (outer if far <= 2.0 else 0.0)
            row[c] = value
            total[c] += value
    for t in range(w.shape[0]):
        row = w[t]
        for c in range(len(delta)):
            row[c] /= total[c]


@jit
def place_row(x, y, side, off, stride, lead, taps, at, dx, dy, ready, one):
    """Find for a row of positions the first tap, as a place in the window, and the distance from
    the pixel centre before. ``ready``: no tap lies beyond the source; ``one[0]`` becomes the number
    of those of which some do.

    There is no branch, so that the compiler takes many positions at a time.
    """
    low_x, high_x = float(lead[0]), float(side[0] - taps[0] + lead[0])
    low_y, high_y = float(lead[1]), float(side[1] - taps[1] + lead[1])
    left, top = np.uint32(lead[0] + off[0]), np.uint32(lead[1] + off[1])
    step = np.uint32(stride)
    beyond = 0
    for c in range(len(x)):
        base_x, base_y = np.floor(x[c] - 0.5), np.floor(y[c] - 0.5)
        inside = (base_x >= low_x) & (base_x <= high_x) & (base_y >= low_y) & (base_y <= high_y)
        ready[c] = inside
        beyond += not inside
        dx[c] = x[c] - 0.5 - base_x if inside else 0.5
        dy[c] = y[c] - 0.5 - base_y if inside else 0.5
        row = np.uint32(np.int32(base_y if inside else 0.0)) - top
        column = np.uint32(np.int32(base_x if inside else 0.0)) - left
        at[c] = row * step + column if inside else 0
    one[0] = beyond
