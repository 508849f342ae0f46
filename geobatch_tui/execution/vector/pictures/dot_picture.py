"""Draws lines in dots: as many as a small picture has, whatever the lines are."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.protocol.preview_messages import DotPicture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.pictures.geometry_lines import GeometryLines, Places

    Dots = NDArray[np.int64]

#: The largest picture, in dots: it crosses a pipe.
_MAX_COLUMNS, _MAX_ROWS = 320, 192
#: Segments that are drawn between two looks at the clock.
_AT_ONCE = 4000


def dot_picture(found: GeometryLines, size: tuple[int, int], until: float) -> DotPicture | None:
    """Draw geometries in their proportions, at most ``size`` (columns, rows) dots; None where they
    have no place that is finite.

    A segment with an end that is not finite is left out. Drawing ends at ``until``, by the
    monotonic clock; then the picture is not whole.
    """
    if not found.lines:
        return None
    places = np.concatenate(found.lines)
    finite = np.isfinite(places).all(axis=1)
    if not finite.any():
        return None
    low, high = places[finite].min(axis=0), places[finite].max(axis=0)
    columns, rows = (
        max(1, min(most, asked))
        for most, asked in zip((_MAX_COLUMNS, _MAX_ROWS), size, strict=True)
    )
    at, (width, height) = _scaled(places, low, high, (columns, rows))
    dots = np.zeros(width * height, np.bool_)
    cells = at[:, 1] * width + at[:, 0]
    dots[cells[finite]] = True
    drawn = _draw(dots, width, _segments(found.lines, cells, finite), until)
    return DotPicture(
        width,
        height,
        dots.tobytes(),
        bounds=(*low.tolist(), *high.tolist()),
        vertices=len(places),
        not_finite=int(len(places) - np.count_nonzero(finite)),
        whole=drawn and found.whole,
    )


def _scaled(
    places: Places, low: Places, high: Places, most: tuple[int, int]
) -> tuple[Dots, tuple[int, int]]:
    """Return the dots of places, from the upper left, and width and height of the picture."""
    # Halves: the width of all doubles is no double.
    reach = high / 2 - low / 2
    step = max(reach[0] / max(most[0] - 1, 1), reach[1] / max(most[1] - 1, 1))
    if not step > 0:
        return np.zeros(places.shape, np.int64), (1, 1)
    sides = np.minimum(np.rint(reach / step) + 1, most).astype(np.int64)
    with np.errstate(invalid="ignore", over="ignore"):
        shares = np.nan_to_num((places / 2 - low / 2) / step)
    at = np.rint(np.clip(shares, 0, sides - 1)).astype(np.int64)
    at[:, 1] = sides[1] - 1 - at[:, 1]
    return at, (int(sides[0]), int(sides[1]))


def _segments(lines: Sequence[Places], cells: Dots, finite: NDArray[np.bool_]) -> Dots:
    """Return (n, 2) the dots at the ends of segments, each once."""
    joined = finite[1:] & finite[:-1] & (cells[1:] != cells[:-1])
    joined[np.cumsum([len(line) for line in lines])[:-1] - 1] = False
    ends = np.stack([cells[:-1], cells[1:]], axis=1)[joined]
    ends.sort(axis=1)
    first = np.sort(np.unique(ends[:, 0] << 32 | ends[:, 1], return_index=True)[1])
    once: Dots = ends[first]
    return once


def _draw(dots: NDArray[np.bool_], width: int, ends: Dots, until: float) -> bool:
    """Draw segments; return whether there was time for all."""
    for begin in range(0, len(ends), _AT_ONCE):
        if dots.all():
            break
        if monotonic() > until:
            return False
        some = ends[begin : begin + _AT_ONCE]
        y, x = np.divmod(some, width)
        across, down = x[:, 1] - x[:, 0], y[:, 1] - y[:, 0]
        count = np.maximum(abs(across), abs(down))
        own = np.repeat(np.arange(len(some)), count)
        step = np.arange(len(own)) - np.repeat(np.cumsum(count) - count, count)
        whole = count[own]
        columns = x[own, 0] + (2 * across[own] * step + whole) // (2 * whole)
        rows = y[own, 0] + (2 * down[own] * step + whole) // (2 * whole)
        dots[rows * width + columns] = True
    return True
