"""The loops over pixels of the step *neighbors*, compiled.

``values`` (h + 2r, w + 2r) are the pixels of one band with ``r`` more on each side, and ``out``
(h, w) what is made of them. ``flags``, of the same form as ``values``, say which pixels count; they
are looked at if ``masked``, and the values of the others are 0. ``places`` (n, 2) are the row and
the column of each tap, row by row, and ``weights`` (n) what its pixel is multiplied by.

A pixel comes from its own taps alone, in their order, so it is the same however a window is cut.
Where no tap counts, ``out`` means nothing. ``line``, ``lines``, ``counts`` and ``held`` are
overwritten.
"""

from __future__ import annotations

import numpy as np

from geobatch_tui.execution.native.jit import jit


@jit
def _taken(values, places, k, r, width):
    """Return the pixels under tap ``k`` of the pixels of row ``r``."""
    col = places[k, 1]
    return values[r + places[k, 0], col : col + width]


@jit
def _add(values, places, weights, r, sums):
    """Add the products of row ``r``, tap by tap; three at a time are twice as fast as one."""
    taps, width = len(weights), len(sums)
    for k in range(0, taps - 2, 3):
        x, u = _taken(values, places, k, r, width), weights[k]
        y, v = _taken(values, places, k + 1, r, width), weights[k + 1]
        z, w = _taken(values, places, k + 2, r, width), weights[k + 2]
        for c in range(width):
            sums[c] = ((sums[c] + x[c] * u) + y[c] * v) + z[c] * w
    for k in range(taps - taps % 3, taps):
        x, u = _taken(values, places, k, r, width), weights[k]
        for c in range(width):
            sums[c] += x[c] * u


@jit
def _add_squares(values, places, weights, r, means, squares):
    """Add the squared distances from the means of row ``r``, as :func:`_add` does products."""
    taps, width = len(weights), len(squares)
    for k in range(0, taps - 2, 3):
        x, u = _taken(values, places, k, r, width), weights[k]
        y, v = _taken(values, places, k + 1, r, width), weights[k + 1]
        z, w = _taken(values, places, k + 2, r, width), weights[k + 2]
        for c in range(width):
            a, b, d = x[c] * u - means[c], y[c] * v - means[c], z[c] * w - means[c]
            squares[c] = ((squares[c] + a * a) + b * b) + d * d
    for k in range(taps - taps % 3, taps):
        x, u = _taken(values, places, k, r, width), weights[k]
        for c in range(width):
            a = x[c] * u - means[c]
            squares[c] += a * a


@jit
def weighted(values, flags, masked, places, weights, mean, line, out, good):
    """Sums of products; with ``mean``, over the sum of the weights that count: ``good`` (h, w)
    becomes 0 where that is 0."""
    width = out.shape[1]
    total = 0.0
    for k in range(len(weights)):
        total += weights[k]
    for r in range(out.shape[0]):
        sums = out[r]
        sums[:] = 0.0
        _add(values, places, weights, r, sums)
        if not mean:
            continue
        line[:] = 0.0 if masked else total
        if masked:
            for k in range(len(weights)):
                counted = _taken(flags, places, k, r, width)
                for c in range(width):
                    line[c] += counted[c] * weights[k]
        for c in range(width):
            good[r, c] = line[c] != 0.0
            sums[c] /= line[c]


@jit
def box(values, flags, masked, size, mean, lines, counts, out):
    """Sums over squares of ``size`` pixels, of weight 1: along each row from the left, and of these
    from the top; with ``mean``, over the number of pixels that count.

    ``lines`` (h + 2r, w) gets the sums along the rows, ``counts`` those of the flags if ``masked``.
    """
    height, width = out.shape
    for r in range(len(values)):
        across, taken = lines[r], values[r]
        for c in range(width):
            across[c] = taken[c]
        for k in range(1, size):
            moved = taken[k : k + width]
            for c in range(width):
                across[c] += moved[c]
        if masked and mean:
            number, seen = counts[r], flags[r]
            number[:] = 0.0
            for k in range(size):
                moved_flags = seen[k : k + width]
                for c in range(width):
                    number[c] += moved_flags[c]
    area = np.float64(size * size)
    for r in range(height):
        sums = out[r]
        first = lines[r]
        for c in range(width):
            sums[c] = first[c]
        for k in range(1, size):
            below = lines[r + k]
            for c in range(width):
                sums[c] += below[c]
        if not mean:
            continue
        if not masked:
            for c in range(width):
                sums[c] /= area
            continue
        number = counts[r]  # not needed again as that of one row
        for k in range(1, size):
            further = counts[r + k]
            for c in range(width):
                number[c] += further[c]
        for c in range(width):
            sums[c] /= number[c]


@jit
def box_extremes(values, size, sign, lines, out):
    """Largest values of squares of ``size`` pixels; the smallest if ``sign`` is -1, not 1."""
    height, width = out.shape
    for r in range(len(values)):
        across, taken = lines[r], values[r]
        for c in range(width):
            across[c] = taken[c] * sign
        for k in range(1, size):
            moved = taken[k : k + width]
            for c in range(width):
                value = moved[c] * sign
                across[c] = max(across[c], value)
    for r in range(height):
        most = out[r]
        first = lines[r]
        for c in range(width):
            most[c] = first[c]
        for k in range(1, size):
            below = lines[r + k]
            for c in range(width):
                most[c] = max(most[c], below[c])
        for c in range(width):
            most[c] *= sign


@jit
def extremes(values, flags, masked, places, weights, sign, out):
    """Largest products; the smallest if ``sign`` is -1, not 1."""
    width = out.shape[1]
    for r in range(out.shape[0]):
        most = out[r]
        most[:] = -np.inf
        for k in range(len(weights)):
            weight, taken = weights[k] * sign, _taken(values, places, k, r, width)
            if masked:
                counted = _taken(flags, places, k, r, width)
                for c in range(width):
                    value = taken[c] * weight if counted[c] else -np.inf
                    most[c] = max(most[c], value)
            else:
                for c in range(width):
                    value = taken[c] * weight
                    most[c] = max(most[c], value)
        for c in range(width):
            most[c] *= sign


@jit
def deviations(values, flags, masked, places, weights, line, number, out):
    """Standard deviations of the products that count, as of all there are."""
    width = out.shape[1]
    for r in range(out.shape[0]):
        squares = out[r]
        squares[:] = 0.0
        line[:] = 0.0
        _add(values, places, weights, r, line)
        number[:] = 0.0 if masked else np.float64(len(weights))
        if masked:
            for k in range(len(weights)):
                counted = _taken(flags, places, k, r, width)
                for c in range(width):
                    number[c] += counted[c]
        for c in range(width):
            line[c] /= number[c]
        if masked:
            for k in range(len(weights)):
                taken = _taken(values, places, k, r, width)
                counted = _taken(flags, places, k, r, width)
                for c in range(width):
                    away = taken[c] * weights[k] - line[c] if counted[c] else 0.0
                    squares[c] += away * away
        else:
            _add_squares(values, places, weights, r, line, squares)
        for c in range(width):
            squares[c] = np.sqrt(squares[c] / number[c])


@jit
def any_seen(flags, places, out):
    """Whether any tap counts: ``out`` (h, w) becomes 1 or 0."""
    width = out.shape[1]
    for r in range(out.shape[0]):
        found = out[r]
        found[:] = 0
        for k in range(len(places)):
            counted = _taken(flags, places, k, r, width)
            for c in range(width):
                found[c] |= counted[c]


@jit
def _low(a, b):
    return a if a < b else b  # noqa: FURB136 - min() would branch


@jit
def _high(a, b):
    return b if a < b else a  # noqa: FURB136


@jit
def _sorted_three(a, b, c):
    low, high = _low(a, b), _high(a, b)
    middle, high = _low(high, c), _high(high, c)
    return _low(low, middle), _high(low, middle), high


@jit
def _middle(a, b, c):
    return _high(_low(a, b), _low(_high(a, b), c))


@jit
def _median_of_nine(a, b, c, d, e, f, g, h, i):
    """The middle of the largest of three small ones, the middle one of three middle ones, and the
    smallest of three large ones."""
    a, b, c = _sorted_three(a, b, c)
    d, e, f = _sorted_three(d, e, f)
    g, h, i = _sorted_three(g, h, i)
    return _middle(_high(_high(a, d), g), _middle(b, e, h), _low(_low(c, f), i))


@jit
def medians_of_nine(values, out):
    """Medians of 3x3 pixels that all count."""
    width = out.shape[1]
    for r in range(out.shape[0]):
        above, line, below, found = values[r], values[r + 1], values[r + 2], out[r]
        for c in range(width):
            found[c] = _median_of_nine(
                above[c], above[c + 1], above[c + 2],
                line[c], line[c + 1], line[c + 2],
                below[c], below[c + 1], below[c + 2],
            )  # fmt: skip


@jit
def _filled(value, flag, fill):
    """Return what stands for a pixel in a median, and what would for the next one that does not
    count: least and greatest in turn."""
    return value if flag else fill, fill if flag else -fill


@jit
def _median_of_some(above, line, below, flags_above, flags, flags_below, c, fill):
    a, fill = _filled(above[c], flags_above[c], fill)
    b, fill = _filled(above[c + 1], flags_above[c + 1], fill)
    d, fill = _filled(above[c + 2], flags_above[c + 2], fill)
    e, fill = _filled(line[c], flags[c], fill)
    f, fill = _filled(line[c + 1], flags[c + 1], fill)
    g, fill = _filled(line[c + 2], flags[c + 2], fill)
    h, fill = _filled(below[c], flags_below[c], fill)
    i, fill = _filled(below[c + 1], flags_below[c + 1], fill)
    j, fill = _filled(below[c + 2], flags_below[c + 2], fill)
    return _median_of_nine(a, b, d, e, f, g, h, i, j)


@jit
def medians_of_some(values, flags, out):
    """Medians of those of 3x3 pixels that count."""
    width = out.shape[1]
    for r in range(out.shape[0]):
        above, line, below, found = values[r], values[r + 1], values[r + 2], out[r]
        x, y, z = flags[r], flags[r + 1], flags[r + 2]
        # Of an even number, the greater of the two middle ones, and the smaller.
        for c in range(width):
            found[c] = _median_of_some(above, line, below, x, y, z, c, np.inf)
        for c in range(width):
            other = _median_of_some(above, line, below, x, y, z, c, -np.inf)
            found[c] = other if other == found[c] else (other + found[c]) / 2


@jit
def _take(values, flags, masked, places, weights, r, c, held):
    """Put the products that count into ``held``; return their number."""
    number = 0
    for k in range(len(weights)):
        row, col = r + places[k, 0], c + places[k, 1]
        if not masked or flags[row, col]:
            held[number] = values[row, col] * weights[k]
            number += 1
    return number


@jit
def _select(held, number, rank):
    """Reorder the first ``number`` values: that of ``rank`` to its place, the smaller before it."""
    low, high = 0, number - 1
    while low < high:
        pivot = held[(low + high) // 2]
        left, right = low, high
        while left <= right:
            while held[left] < pivot:
                left += 1
            while held[right] > pivot:
                right -= 1
            if left <= right:
                held[left], held[right] = held[right], held[left]
                left += 1
                right -= 1
        if rank <= right:
            high = right
        elif rank >= left:
            low = left
        else:
            break


@jit
def _median(held, number):
    half = number // 2
    _select(held, number, half)
    if number % 2:
        return held[half]
    before = held[0]
    for k in range(1, half):
        before = _high(before, held[k])
    return (before + held[half]) / 2


@jit
def medians(values, flags, masked, places, weights, held, out):
    """Medians of the products that count; of an even number, means of the two middle ones."""
    for r in range(out.shape[0]):
        for c in range(out.shape[1]):
            number = _take(values, flags, masked, places, weights, r, c, held)
            if number:
                out[r, c] = _median(held, number)


@jit
def _mode(held, number, keys, counts, marks, mark):
    """The commonest of the first ``number`` values; of equally common ones, that which was so
    first, as they are counted one by one.

    ``keys``, ``counts`` and ``marks`` are a table by hash, of a power of two places; those in use
    have ``mark``.
    """
    last, best, most = len(keys) - 1, held[0], 0
    for k in range(number):
        value = held[k] + 0.0  # no two zeros
        bits = np.float64(value).view(np.int64)
        at = ((bits ^ (bits >> 32)) * 0x9E3779B1 >> 16) & last
        while marks[at] == mark and keys[at] != value:
            at = (at + 1) & last
        if marks[at] != mark:
            marks[at], keys[at], counts[at] = mark, value, 0
        counts[at] += 1
        if counts[at] > most:
            best, most = value, counts[at]
    return best


@jit
def modes(values, flags, masked, places, weights, held, keys, counts, marks, out):
    """The commonest products; see :func:`_mode`. ``marks`` are 0 at first."""
    mark = 0
    for r in range(out.shape[0]):
        for c in range(out.shape[1]):
            number = _take(values, flags, masked, places, weights, r, c, held)
            mark += 1
            if number:
                out[r, c] = _mode(held, number, keys, counts, marks, mark)
