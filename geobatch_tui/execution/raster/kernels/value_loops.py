"""Loops over single pixels, compiled: powers, classes of values, and colours of values."""

from __future__ import annotations

import math

import numpy as np

from geobatch_tui.execution.native.jit import jit

#: ln 2 in two parts; multiples of the first up to 2**20 are exact.
_LN2, _LN2_REST = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_ROOT = math.sqrt(2)
#: The least number of 53 bits, what makes one of less, and the bits of a fraction and of 1.
_NORMAL, _LIFT = 2.0**-1022, 2.0**54
_FRACTION, _ONE = (1 << 52) - 1, 1023 << 52
#: Coefficients, of the last power first: of artanh s / s in s**2, of (e**r - 1 - r) / r**2 in r.
_ARTANH = tuple(1.0 / n for n in range(25, 1, -2))
_EXPONENTIAL = tuple(1.0 / math.factorial(n) for n in range(14, 1, -1))
#: Splits a number of 53 bits into halves whose products are exact.
_SPLITTER = 2.0**27 + 1
#: How a colour is chosen, as arguments of :func:`colour`.
INTERPOLATE, EXACT, NEAREST = 0, 1, 2


@jit
def _product(a, b):
    """Return a * b, and what its rounding lost (Dekker)."""
    product = a * b
    split = _SPLITTER * a
    a1 = split - (split - a)
    a2 = a - a1
    split = _SPLITTER * b
    b1 = split - (split - b)
    b2 = b - b1
    return product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2


@jit
def _logarithm(x):
    """Return ln x in two parts, for a finite x > 0."""
    k = np.int64(0)
    if x < _NORMAL:
        x *= _LIFT
        k -= 54
    bits = np.float64(x).view(np.int64)
    k += (bits >> 52) - 1023
    m = np.int64((bits & _FRACTION) | _ONE).view(np.float64)  # from 1 to 2
    if m > _ROOT:
        m *= 0.5
        k += 1
    # ln m = 2 artanh s, s = (m - 1) / (m + 1)
    above, below = m - 1.0, m + 1.0
    below_rest = m - (below - 1.0)
    s = above / below
    whole, rest = _product(s, below)
    s_rest = ((above - whole) - rest - s * below_rest) / below
    z = s * s
    series = 0.0
    for coefficient in _ARTANH:
        series = series * z + coefficient
    high = 2.0 * s
    low = 2.0 * s_rest + high * (z * series)
    whole = k * _LN2
    total = whole + high
    lost = high - (total - whole) if abs(whole) >= abs(high) else whole - (total - high)
    low += lost + k * _LN2_REST
    high = total + low
    return high, low - (high - total)


@jit
def _power_of_two(n):
    """Return 2 to the power of a whole number from -1022 to 1023."""
    return np.int64((n + 1023) << 52).view(np.float64)


@jit
def _exponential(x, rest):
    """Return e to the power of x + rest."""
    if x > 710.0:
        return np.inf
    if x < -746.0:
        return 0.0
    n = np.rint(x / (_LN2 + _LN2_REST))
    r = (x - n * _LN2) - n * _LN2_REST
    rest += ((x - n * _LN2) - r) - n * _LN2_REST
    x = r
    r += rest
    rest -= r - x
    series = 0.0
    for coefficient in _EXPONENTIAL:
        series = series * r + coefficient
    total = 1.0 + r
    lost = r - (total - 1.0)
    # By two powers of 2: one may be beyond the type where the result is not.
    half = int(n) // 2
    result = total + (lost + (rest * total + (r * r) * series))
    return result * _power_of_two(half) * _power_of_two(int(n) - half)


@jit
def power(values, exponent):
    """Raise ``values`` (n) to ``exponent``, which is finite and above 0, in place.

    It has the same bits on every processor, and is within 0.6 of the last place: the functions of C
    libraries differ by processor.
    """
    whole = exponent == np.floor(exponent)
    odd = whole and exponent % 2.0 == 1.0
    for n in range(values.size):
        value = values[n]
        if np.isnan(value) or value in (0.0, 1.0):
            continue
        if value < 0.0 and not whole:
            values[n] = np.nan
            continue
        size = abs(value)
        if size == np.inf:
            result = np.inf
        else:
            high, low = _logarithm(size)
            product, lost = _product(high, exponent)
            result = _exponential(product, lost + low * exponent)
        values[n] = -result if value < 0.0 and odd else result


@jit
def classify(values, lows, highs, places):
    """Fill ``places`` (n) with the number of the interval that each of ``values`` lies in: from
    ``lows`` to ``highs`` (k), in ascending order. It is k where there is none, k + 1 for NaN."""
    count = lows.size
    at = 0
    for n in range(values.size):
        value = float(values[n])
        if np.isnan(value):
            places[n] = count + 1
            continue
        # Neighbours are often alike.
        if count == 0 or not (lows[at] <= value <= highs[at]):
            first, last = 0, count
            while first < last:
                middle = (first + last) // 2
                if lows[middle] <= value:
                    first = middle + 1
                else:
                    last = middle
            if first == 0 or value > highs[first - 1]:
                places[n] = count
                continue
            at = first - 1
        places[n] = at


@jit
def _between(before, after, ratio):
    return min(max(int((0.5 + before) + ratio * (after - before)), 0), 255)


@jit
def colour(values, stops, colours, how, out):
    """Fill ``out`` (4, n) with the colours of ``values``: ``stops`` (k), in ascending order, have
    ``colours`` (k, 4); ``how`` is INTERPOLATE, EXACT or NEAREST. NaN has none, which is 0, and so
    has what EXACT does not find."""
    count = stops.size
    after = 0
    for n in range(values.size):
        value = float(values[n])
        if np.isnan(value):
            for part in range(4):
                out[part, n] = 0
            continue
        # The first stop that is not less.
        below = after == 0 or stops[after - 1] < value
        if not below or not (after == count or stops[after] >= value):
            first, last = 0, count
            while first < last:
                middle = (first + last) // 2
                if stops[middle] < value:
                    first = middle + 1
                else:
                    last = middle
            after = first
        near = min(after, count - 1)
        if stops[near] == value or (how != EXACT and after in (0, count)):
            for part in range(4):
                out[part, n] = int(colours[near, part])
        elif how == EXACT:
            for part in range(4):
                out[part, n] = 0
        elif how == NEAREST:
            if value - stops[after - 1] < stops[after] - value:
                near = after - 1
            for part in range(4):
                out[part, n] = int(colours[near, part])
        else:
            ratio = (value - stops[after - 1]) / (stops[after] - stops[after - 1])
            for part in range(4):
                out[part, n] = _between(colours[after - 1, part], colours[after, part], ratio)
