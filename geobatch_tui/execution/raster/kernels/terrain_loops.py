"""Loops of the terrain steps: shades, slopes and roughness of pixels from the eight around each.

``work`` (h + 2, w + 2) are heights, float32 or float64, for ``out`` (h, w); NaN is no height. Where
``marked``, some may be NaN: such a neighbour has the height of the middle, and a middle without
height, or whose result is NaN, becomes 0 or :data:`NODATA`. ``horn`` takes gradients by Horn's
formula, else by that of Zevenbergen and Thorne.

Slopes, directions and plain shades are float32 from the differences of heights on, in the order
of GDAL 3.13; the other shades are float64. No library is called: arcs are polynomials in float64,
so that results depend on no processor. They are off by 2e-15 of the arc at most, so that of those
rounded to float32 all but some in ten million are the nearest.
"""

from __future__ import annotations

import math

import numpy as np

from geobatch_tui.execution.native.jit import jit

NODATA = -9999.0
_NODATA = np.float32(NODATA)
#: The valid value next to nodata, for one that happens to be nodata.
_MOVED = np.nextafter(_NODATA, np.float32(-np.inf))

_NAN = np.float32(np.nan)
_ONE, _HALF, _ZERO = np.float32(1.0), np.float32(0.5), np.float32(0.0)
#: A right angle, a whole one, and both, in degrees.
_RIGHT, _WHOLE, _MORE = np.float32(90.0), np.float32(360.0), np.float32(450.0)
#: Tangents of 22.5 and 67.5 degrees, between which arcs are taken from 45 degrees on.
_LOW, _HIGH = np.float32(math.tan(math.pi / 8)), np.float32(1 / math.tan(math.pi / 8))
_HALF_PI, _QUARTER_PI, _PI, _TWO_PI = math.pi / 2, math.pi / 4, math.pi, math.pi * 2
_DEGREES = np.float32(180 / math.pi)
_C0, _C1, _C2 = -0.3333333333326007, 0.1999999998268188, -0.14285712872824222
_C3, _C4, _C5 = 0.11111054407661186, -0.09089615036971521, 0.07674318490754495
_C6, _C7, _C8 = -0.06510247509190137, 0.050374213112941796, -0.02547429864386313


@jit
def _arc(z):
    """Arc of a tangent of at most tan 22.5 degrees: the best polynomial of its degree, relative to
    the arc, by the exchange algorithm of Remez; it is off by 1e-15 of the arc before rounding."""
    w = z * z
    p = _C8 * w + _C7
    p = p * w + _C6
    p = p * w + _C5
    p = p * w + _C4
    p = p * w + _C3
    p = p * w + _C2
    p = p * w + _C1
    p = p * w + _C0
    return z + z * w * p


@jit
def _atan(t):
    """Arc of a tangent that is not negative, float32 or float64."""
    low, high = t <= _LOW, t > _HIGH
    wide = np.float64(t)
    over = wide if low else (-1.0 if high else wide - 1.0)
    under = 1.0 if low else (wide if high else wide + 1.0)
    base = 0.0 if low else (_HALF_PI if high else _QUARTER_PI)
    return base + _arc(over / under)


@jit
def _atan2(y, x):
    """Angle of a vector of float32, from -pi to pi; 0 of (0, 0)."""
    up, along = np.float64(abs(y)), np.float64(abs(x))
    less, more = min(up, along), max(up, along)
    near = less > _LOW * more
    over = less - more if near else less
    under = less + more if near else more
    angle = (_QUARTER_PI if near else 0.0) + _arc(over / (1.0 if under == 0.0 else under))
    angle = _HALF_PI - angle if up > along else angle
    angle = _PI - angle if x < _ZERO else angle
    return -angle if y < _ZERO else angle


@jit
def _or(value, middle):
    return value if value == value else middle  # noqa: PLR0124 -- np.isnan is not for many at a time


@jit
def _around(upper, line, lower, k, marked):
    """Heights of nine pixels, row by row, the middle one at ``k + 1``."""
    a, b, c = upper[k], upper[k + 1], upper[k + 2]
    d, e, f = line[k], line[k + 1], line[k + 2]
    g, h, i = lower[k], lower[k + 1], lower[k + 2]
    if marked:
        a, b, c = _or(a, e), _or(b, e), _or(c, e)
        d, f = _or(d, e), _or(f, e)
        g, h, i = _or(g, e), _or(h, e), _or(i, e)
    return a, b, c, d, e, f, g, h, i


@jit
def _rise(nine, horn):
    """How much higher the left is than the right, and the top than the bottom: by Horn's formula 8
    times the height of a pixel, else 2 times. Sums before differences."""
    a, b, c, d, _, f, g, h, i = nine
    if horn:
        return (a + d + d + g) - (c + f + f + i), (a + b + b + c) - (g + h + h + i)
    return d - f, b - h


@jit
def _steps(nine, horn):
    """The same, differences before sums, which lose less."""
    a, b, c, d, _, f, g, h, i = nine
    if horn:
        across, back = a - i, g - c
        x, y = d - f, b - h
        return ((across + x) + x) + back, ((across + y) + y) - back
    return d - f, b - h


@jit
def _is_number(value, middle):
    return value == value and middle == middle  # noqa: PLR0124 -- as above


# --- shades, from 1 to 255 ---------------------------------------------------------------------


@jit
def shade(work, marked, horn, numbers, out):
    """Cosine of the angle between surface and light. ``numbers``: x and y steps to slopes, the
    light's x, y and z."""
    x_slope, y_slope = np.float32(numbers[0]), np.float32(numbers[1])
    x_light, y_light = np.float32(numbers[2]), np.float32(numbers[3])
    z_light = np.float32(numbers[4])
    for r in range(out.shape[0]):
        upper, line, lower, row = work[r], work[r + 1], work[r + 2], out[r]
        for k in range(len(row)):
            nine = _around(upper, line, lower, k, marked)
            x, y = _steps(nine, horn)
            x, y = np.float32(x) * x_slope, np.float32(y) * y_slope
            light = (z_light + (x * x_light + y * y_light)) / np.sqrt(_ONE + (x * x + y * y))
            light = max(_ZERO, light) + (_ONE + _HALF)
            row[k] = np.uint8(np.int32(light)) if _is_number(x + y, nine[4]) else np.uint8(0)


@jit
def shade_combined(work, marked, horn, numbers, out):
    """The light, darkened by the slope. ``numbers``: as of :func:`shade`, and 4 / pi**2."""
    x_slope, y_slope, x_light, y_light, z_light, most = (
        numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5],
    )  # fmt: skip
    for r in range(out.shape[0]):
        upper, line, lower, row = work[r], work[r + 1], work[r + 2], out[r]
        for k in range(len(row)):
            nine = _around(upper, line, lower, k, marked)
            x, y = _steps(nine, horn)
            x, y = np.float64(x) * x_slope, np.float64(y) * y_slope
            square = x * x + y * y
            light = (z_light + (x * x_light + y * y_light)) / np.sqrt(1.0 + square)
            light = np.float64(min(1.0, max(-1.0, light)))
            angle = 2.0 * _atan(np.sqrt((1.0 - light) / (1.0 + light)))
            value = 1.0 - angle * _atan(np.sqrt(square)) * most
            value = 254.0 * max(0.0, value) + 1.5
            row[k] = np.uint8(np.int32(value)) if _is_number(x + y, nine[4]) else np.uint8(0)


@jit
def _lit(light):
    return max(0.0, light)


@jit
def shade_multidirectional(work, marked, horn, numbers, out):
    """Light from 225, 270, 315 and 360 degrees, each weighted by how far the slope turns from it.
    ``numbers``: x and y steps to slopes, the light's height, its sides, and both of 225 degrees."""
    x_slope, y_slope, high, side, both = (
        numbers[0], numbers[1], numbers[2], numbers[3], numbers[4],
    )  # fmt: skip
    for r in range(out.shape[0]):
        upper, line, lower, row = work[r], work[r + 1], work[r + 2], out[r]
        for k in range(len(row)):
            nine = _around(upper, line, lower, k, marked)
            x, y = _steps(nine, horn)
            x, y = np.float64(x) * x_slope, np.float64(y) * y_slope
            square = x * x + y * y
            half = 0.5 * square - x * y
            light = half * _lit(high - (x - y) * both) + (x * x) * _lit(high - x * side)
            light += (square - half) * _lit(high - (x + y) * both)
            light += (y * y) * _lit(high - y * side)
            value = light / (square if square > 0.0 else 1.0) / np.sqrt(1.0 + square)
            value = _lit(value if square > 0.0 else 2.0 * high) + 1.5
            row[k] = np.uint8(np.int32(value)) if _is_number(x + y, nine[4]) else np.uint8(0)


@jit
def shade_igor(work, marked, horn, numbers, out):
    """Dark where it is steep and turned from the light. ``numbers``: x and y steps to slopes, the
    signs of x and y, the angle of the light, 2 / pi and 1 / pi."""
    x_slope, y_slope = numbers[0], numbers[1]
    x_sign, y_sign = np.float32(numbers[2]), np.float32(numbers[3])
    light, of_steep, of_turn = numbers[4], numbers[5], numbers[6]
    for r in range(out.shape[0]):
        upper, line, lower, row = work[r], work[r + 1], work[r + 2], out[r]
        for k in range(len(row)):
            nine = _around(upper, line, lower, k, marked)
            x, y = _steps(nine, horn)
            angle = _atan2(-np.float32(y) * y_sign, np.float32(x) * x_sign)
            x, y = np.float64(x) * x_slope, np.float64(y) * y_slope
            angle = abs((angle + _TWO_PI if angle < 0.0 else angle) - light)
            angle = _TWO_PI - angle if angle > _PI else angle
            steep = _atan(np.sqrt(x * x + y * y)) * of_steep
            value = 255.0 * (1.0 - steep * (1.0 - angle * of_turn)) + 0.5
            value = max(1.0, value)  # 0 is nodata
            row[k] = np.uint8(np.int32(value)) if _is_number(x + y, nine[4]) else np.uint8(0)


# --- numbers as float32 ------------------------------------------------------------------------


@jit
def slope(work, marked, horn, numbers, percent, tangents, out):
    """Slopes in degrees, or in ``percent``. ``numbers``: one over the width and the height of a
    pixel, and what the root is multiplied by. ``tangents`` (w,) are overwritten."""
    x_scale, y_scale = np.float32(numbers[0]), np.float32(numbers[1])
    factor = np.float32(numbers[2])
    for r in range(out.shape[0]):
        upper, line, lower, row = work[r], work[r + 1], work[r + 2], out[r]
        steep = np.int32(0)
        for k in range(len(row)):
            nine = _around(upper, line, lower, k, marked)
            x, y = _rise(nine, horn)
            x, y = np.float32(x) * x_scale, np.float32(y) * y_scale
            tangent = np.sqrt(x * x + y * y) * factor
            tangents[k] = tangent if nine[4] == nine[4] else _NAN
            steep |= np.int32(tangent > _LOW)
        if percent:
            for k in range(len(row)):
                row[k] = _or(tangents[k], _NODATA)
        elif steep:
            for k in range(len(row)):
                row[k] = _or(np.float32(_atan(tangents[k])) * _DEGREES, _NODATA)
        else:  # the same, for the most part of the world
            for k in range(len(row)):
                row[k] = _or(np.float32(_arc(np.float64(tangents[k]))) * _DEGREES, _NODATA)


@jit
def aspect(work, marked, horn, numbers, azimuth, out):
    """Directions that slopes face, in degrees: from north clockwise if ``azimuth``, else from east
    the other way round. ``numbers``: the signs of x and y, and what a flat pixel gets."""
    x_sign, y_sign, flat = np.float32(numbers[0]), np.float32(numbers[1]), np.float32(numbers[2])
    for r in range(out.shape[0]):
        upper, line, lower, row = work[r], work[r + 1], work[r + 2], out[r]
        for k in range(len(row)):
            nine = _around(upper, line, lower, k, marked)
            x, y = _rise(nine, horn)
            x, y = np.float32(x) * x_sign, -np.float32(y) * y_sign
            angle = np.float32(_atan2(y, x)) * _DEGREES
            if azimuth:
                angle = _MORE - angle if angle > _RIGHT else _RIGHT - angle
            else:
                angle = angle + _WHOLE if angle < _ZERO else angle
            angle = _ZERO if angle == _WHOLE else angle
            angle = flat if x == _ZERO and y == _ZERO else angle
            row[k] = angle if _is_number(x + y, nine[4]) else _NODATA


@jit
def position(work, marked, out):
    """How far each is above the mean of those around it."""
    for r in range(out.shape[0]):
        upper, line, lower, row = work[r], work[r + 1], work[r + 2], out[r]
        for k in range(len(row)):
            a, b, c, d, e, f, g, h, i = _around(upper, line, lower, k, marked)
            total = np.float64(a + b + c + d + f + g + h + i)
            value = np.float32(np.float64(e) - total * 0.125)
            value = _MOVED if value == _NODATA else value
            row[k] = _or(value, _NODATA)


@jit
def _square(value):
    return np.float64(value) * np.float64(value)


@jit
def ruggedness(work, marked, riley, out):
    """Root of the sum of the squares of the differences to those around, by Riley, or the mean
    difference, by Wilson."""
    for r in range(out.shape[0]):
        upper, line, lower, row = work[r], work[r + 1], work[r + 2], out[r]
        if riley:
            for k in range(len(row)):
                a, b, c, d, e, f, g, h, i = _around(upper, line, lower, k, marked)
                total = _square(a - e) + _square(b - e) + _square(c - e) + _square(d - e)
                total = total + _square(f - e) + _square(g - e) + _square(h - e) + _square(i - e)
                row[k] = _or(np.float32(np.sqrt(total)), _NODATA)
        else:
            for k in range(len(row)):
                a, b, c, d, e, f, g, h, i = _around(upper, line, lower, k, marked)
                total = abs(a - e) + abs(b - e) + abs(c - e) + abs(d - e)
                total = total + abs(f - e) + abs(g - e) + abs(h - e) + abs(i - e)
                row[k] = _or(np.float32(np.float64(total) * 0.125), _NODATA)


@jit
def roughness(work, marked, out):
    """The largest difference between any two of nine."""
    for r in range(out.shape[0]):
        upper, line, lower, row = work[r], work[r + 1], work[r + 2], out[r]
        for k in range(len(row)):
            a, b, c, d, e, f, g, h, i = _around(upper, line, lower, k, marked)
            low = min(a, b, c, d, f, g, h, i)
            high = max(a, b, c, d, f, g, h, i)
            value = np.float32(max(high, e) - min(low, e))
            row[k] = value if _is_number(value, e) else _NODATA
