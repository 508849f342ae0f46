"""The loops of the step *blend*, compiled: two images of bytes into one.

All is in whole numbers as GDAL has it, where 255 stands for 1: a product is rounded up, a quotient
down, and each is kept as a byte, so that one beyond 255 begins at 0 again.
"""

from __future__ import annotations

import numpy as np

from geobatch_tui.execution.native.jit import jit

#: Numbers of the operators, as loops take them.
OPERATORS = {
    "src-over": 0, "hsv-value": 1, "multiply": 2, "screen": 3, "overlay": 4, "hard-light": 5,
    "darken": 6, "lighten": 7, "color-dodge": 8, "color-burn": 9,
}  # fmt: skip
_ONE, _HALF, _SIX = np.float32(1.0), np.float32(0.5), np.float32(6.0)
_THIRD = np.float32(2.0) / np.float32(6.0)


@jit
def _times(a, b):
    return ((a & 255) * (b & 255) + 255) // 256


@jit
def _over(a, b):
    a, b = a & 255, b & 255
    if a == 0:
        return 0
    return 255 if b == 0 else ((a * 255) // b) & 255


@jit
def _mixed(how, c, a, o, x, both, alpha):
    """Return a colour of two with their alphas, ``c`` with ``a`` and ``o`` with ``x``, all
    multiplied by these; ``both`` is their product, ``alpha`` that of the result."""
    rest = _times(c, 255 - x) + _times(o, 255 - a)
    if how == 2:
        return _over(_times(c, o) + rest, alpha)
    if how == 3:
        return _over(c + o - _times(c, o), alpha)
    if how == 4:
        if 2 * c < a:
            return _over(2 * _times(c, o) + rest, alpha)
        return _over(both - 2 * _times(a - c, x - o) + rest, alpha)
    if how == 6:
        return _over(min(_times(o, a), _times(c, x)) + rest, alpha)
    if how == 7:
        return _over(max(_times(o, a), _times(c, x)) + rest, alpha)
    if how == 8:
        if _times(o, a) + _times(c, x) >= both:
            return _over(both + rest, alpha)
        return _over(_over(_times(c, x), 255 - _over(o, x)) + rest, alpha)
    if _times(o, a) + _times(c, x) <= both:
        return _over(rest, alpha)
    return _over(_times(both, _over(c, a) + _over(o, x) - 255) + rest, alpha)


@jit
def mix(base, base_alpha, over, over_alpha, how, opacity, of_base, out, out_alpha):
    """Blend ``base`` with ``over`` (bands, n) by an operator but the first two; a band that one of
    them lacks is its first. Alphas are (n,). ``of_base``: the opacity is that of the base."""
    turned = how == 5
    for n in range(out.shape[1]):
        a, x = np.int64(base_alpha[n]), np.int64(over_alpha[n])
        if of_base:
            a = _times(a, opacity) if opacity < 255 else a
        else:
            x = _times(x, opacity) if opacity < 255 else x
        both = _times(x, a)
        alpha = (x + a - both) & 255
        out_alpha[n] = alpha
        for band in range(out.shape[0]):
            c = np.int64(base[min(band, base.shape[0] - 1), n])
            o = np.int64(over[min(band, over.shape[0] - 1), n])
            c = c if a == 255 else _times(c, a)
            o = o if x == 255 else _times(o, x)
            if turned:
                out[band, n] = _mixed(4, o, x, c, a, both, alpha)
            else:
                out[band, n] = _mixed(how, c, a, o, x, both, alpha)


@jit
def lay_over(base, base_alpha, over, over_alpha, way, opacity, out, out_alpha):
    """Lay ``over`` on ``base``. ``way`` is 1 where both have colours and no alpha, 2 where both
    have colours and alpha: GDAL rounds these otherwise."""
    for n in range(out.shape[1]):
        x = np.int64(over_alpha[n])
        x = (x * opacity + 255) // 256 if opacity < 255 else x
        rest = (np.int64(base_alpha[n]) * (255 - x) + 255) // 256
        alpha = x + rest
        out_alpha[n] = alpha
        for band in range(out.shape[0]):
            c = np.int64(base[band, n])
            if over.shape[0] > out.shape[0]:  # of a grey image, the brightness
                o = (306 * over[0, n] + 601 * over[1, n] + 117 * over[2, n]) // 1024
            else:
                o = np.int64(over[min(band, over.shape[0] - 1), n])
            if way == 1:
                value = (o * x + c * (255 - x) + 255) // 256
            else:
                value = (o * x + c * rest + 255) // 256
                if way == 2:
                    value &= 255
                    inverse = (255 * 256 + alpha // 2) // alpha if alpha > 0 else 0
                    value = (value * inverse + 255) >> 8
                elif 0 < alpha < 255:
                    value = (value * 255 + alpha // 2) // alpha
                value = value & 255 if way == 2 else min(value, 255)
            out[band, n] = value


@jit
def _shade(r, g, b, value):
    """Return a colour with another value, by its hue and saturation, in float32."""
    most, least = max(r, g, b), min(r, g, b)
    spread = np.float32(most - least)
    part = spread / np.float32(max(most, 1))
    inverse = _ONE / (_ONE if most == least else _SIX * spread)
    if most == b:
        hue = (_THIRD + _THIRD) + np.float32(r - g) * inverse
    elif most == g:
        hue = _THIRD + np.float32(b - r) * inverse
    else:
        hue = np.float32(g - b) * inverse
        if hue < np.float32(0.0):
            hue = hue + _ONE
    turn = _SIX * hue
    side = np.int64(turn)
    along = turn - np.float32(side)
    v = np.float32(value)
    p = np.int64(v * (_ONE - part) + _HALF)
    q = np.int64(v * (_ONE - part * along) + _HALF)
    t = np.int64(v * (_ONE - part * (_ONE - along)) + _HALF)
    if side == 0:
        return value, t, p
    if side == 1:
        return q, value, p
    if side == 2:
        return p, value, t
    if side == 3:
        return p, q, value
    if side == 4:
        return t, p, value
    return value, p, q


@jit
def shade(base, over, over_alpha, opacity, plain, out):
    """Give the colours of ``base`` (3, n) the value, as of hue and saturation, of ``over``: of its
    lightest band. ``plain``: that alone, without alpha or opacity."""
    for n in range(out.shape[1]):
        value = np.int64(over[0, n])
        for band in range(1, over.shape[0]):
            value = max(value, np.int64(over[band, n]))
        r, g, b = np.int64(base[0, n]), np.int64(base[1, n]), np.int64(base[2, n])
        if not plain:
            x = np.int64(over_alpha[n])
            x = (x * opacity + 255) // 256 if opacity < 255 else x
            value = (value * x + max(r, g, b) * (255 - x) + 255) // 256
        r, g, b = _shade(r, g, b, value)
        out[0, n], out[1, n], out[2, n] = r, g, b
