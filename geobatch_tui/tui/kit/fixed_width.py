"""Text of a fixed width in cells: a column of one width never jumps."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len, set_cell_size

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCKS: Final = " ▁▂▃▄▅▆▇█"


def clock(t: float) -> str:
    """Return UNIX time as local ``HH:MM:SS``."""
    return time.strftime("%H:%M:%S", time.localtime(t))


def fit(text: str, width: int) -> str:
    """Return a text in ``width`` cells: cut with an ellipsis, or padded on the right."""
    if width <= 0:
        return ""
    if cell_len(text) > width:
        text = set_cell_size(text, width - 1).rstrip(" ") + "…"
    return set_cell_size(text, width)


def fit_middle(text: str, width: int) -> str:
    """Fit a text as :func:`fit` does, but cut its middle: both ends of a path tell most."""
    length = cell_len(text)
    if length <= width or width < 5:
        return fit(text, width)
    tail = (width - 1) // 2
    head = width - 1 - tail
    end = text[-tail:]
    while cell_len(end) > tail:
        end = end[1:]
    return set_cell_size(set_cell_size(text, head) + "…" + end, width)


def right(text: str, width: int) -> str:
    """Return a text at the right end of ``width`` cells; one that is too long is cut."""
    length = cell_len(text)
    return " " * (width - length) + text if length <= width else fit(text, width)


def sparkline(values: Sequence[float], width: int, top: float | None = None) -> str:
    """Return the last ``width`` values as blocks, right-aligned; zero is a blank, a value above it
    at least the lowest block.

    Args:
        values: not negative.
        width: cells.
        top: the value of a full block; default the largest value shown.
    """
    shown = values[-width:] if width > 0 else ()
    limit = top or max(shown, default=0.0)
    cells = []
    for value in shown:
        level = 0 if value <= 0 or limit <= 0 else max(1, round(8 * min(value / limit, 1.0)))
        cells.append(BLOCKS[level])
    return "".join(cells).rjust(max(width, 0))


def columns(values: Sequence[float], width: int) -> list[float]:
    """Return values over time as ``width`` means, oldest first; fewer values than columns stay as
    they are, at the right end."""
    if width <= 0:
        return []
    if len(values) <= width:
        return [*([0.0] * (width - len(values))), *values]
    edges = [len(values) * index // width for index in range(width + 1)]
    return [sum(values[start:end]) / (end - start) for start, end in pairwise(edges)]


def shares(parts: Sequence[int], cells: int) -> list[int]:
    """Divide ``cells`` among parts by their size; a part above zero gets a cell at least, where
    there are enough cells. The sum is ``cells``, or 0 where all parts are 0."""
    total = sum(parts)
    if not total or cells <= 0:
        return [0] * len(parts)
    exact = [cells * part / total for part in parts]
    given = [max(1, int(share)) if part else 0 for part, share in zip(parts, exact, strict=True)]
    order = sorted(range(len(parts)), key=lambda index: exact[index] - given[index])
    while sum(given) > cells:
        # Takes from the part that has most beyond its share, and never the last cell of a part
        # while another has more.
        index = max(range(len(parts)), key=lambda i: (given[i] > 1, given[i] - exact[i]))
        given[index] -= 1
    for index in reversed(order):
        if sum(given) >= cells:
            break
        given[index] += 1
    return given
