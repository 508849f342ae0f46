"""Numbers, times and sizes as text of a fixed width. Digits have one width in a terminal, so a
column that is right-aligned to a constant width never jumps."""

from __future__ import annotations

import math
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len, set_cell_size

if TYPE_CHECKING:
    from collections.abc import Sequence

_SIZES: Final = ("B", "KB", "MB", "GB", "TB", "PB")
_LARGE: Final = ("", "k", "M", "G", "T")
_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_FAR: Final = 100 * 86_400.0


def count(value: int) -> str:
    """A whole number with its thousands apart: ``15 000``."""
    return f"{value:,}".replace(",", " ")


def plural(value: int, noun: str) -> str:
    """``1 chunk``, ``2 chunks``, ``15 000 chunks``."""
    return f"{count(value)} {noun}" if value == 1 else f"{count(value)} {noun}s"


def size(value: float) -> str:
    """Bytes in decimal units with two or three digits: ``1.4 GB``, ``310 MB``."""
    return _scaled(value, _SIZES, 1000.0)


def amount(value: float) -> str:
    """A number with a decimal prefix, at most four digits: ``212``, ``1.4k``, ``12M``."""
    text = _scaled(value, _LARGE, 1000.0)
    return text.replace(" ", "")


def _scaled(value: float, units: Sequence[str], base: float) -> str:
    if not math.isfinite(value):
        return "-"
    step = 0
    while step < len(units) - 1 and abs(value) >= base - 0.5:
        value /= base
        step += 1
    digits = 1 if step and abs(value) < 9.95 else 0
    if not step and value != round(value) and abs(value) < 99.5:
        digits = 1
    return f"{value:.{digits}f} {units[step]}".rstrip()


def duration(seconds: float | None) -> str:
    """A span as ``HH:MM:SS``, from a day on as ``3d 04:05``; unknown: ``--:--:--``."""
    if seconds is None or not math.isfinite(seconds) or seconds > _FAR:
        return "--:--:--"
    whole = max(0, round(seconds))
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, secs = divmod(rest, 60)
    if days:
        return f"{days}d {hours:02d}:{minutes:02d}"
    return f"{hours:02d}:{minutes:02d}:{secs:02d}"


def span(seconds: float) -> str:
    """A short span in at most five characters: ``0.4s``, ``97s``, ``12m``, ``3.5h``, ``9d``."""
    if seconds < 99.95:
        return f"{seconds:.1f}s" if seconds < 9.95 else f"{seconds:.0f}s"
    if seconds < 5970:
        return f"{seconds / 60:.0f}m"
    if seconds < 35_820:
        return f"{seconds / 3600:.1f}h"
    return f"{seconds / 3600:.0f}h" if seconds < 86_400 * 4 else f"{seconds / 86_400:.0f}d"


def fine_span(seconds: float) -> str:
    """As :func:`span`, in milliseconds below a second: ``15ms``, ``0.3ms``."""
    if seconds >= 0.95 or not seconds:
        return span(seconds)
    return f"{seconds * 1000:.0f}ms" if seconds > 0.0095 else f"{seconds * 1000:.2g}ms"


def clock(t: float) -> str:
    """UNIX time as local ``HH:MM:SS``."""
    return time.strftime("%H:%M:%S", time.localtime(t))


def percent(part: int, whole: int) -> str:
    """A share with one decimal. Only all is ``100.0%``, and only nothing is ``0.0%``."""
    if not whole:
        return "-"
    tenths = 1000 * part // whole
    if part and not tenths:
        tenths = 1
    return f"{tenths // 10}.{tenths % 10}%"


def fit(text: str, width: int) -> str:
    """``text`` in exactly ``width`` cells: cut with an ellipsis, or padded on the right."""
    if width <= 0:
        return ""
    if cell_len(text) > width:
        text = set_cell_size(text, width - 1).rstrip(" ") + "…"
    return set_cell_size(text, width)


def fit_middle(text: str, width: int) -> str:
    """Like :func:`fit`, but cut in the middle: both ends of a path or a chunk's key tell most."""
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
    """``text`` at the right end of ``width`` cells; one that is too long is cut."""
    length = cell_len(text)
    return " " * (width - length) + text if length <= width else fit(text, width)


def sparkline(values: Sequence[float], width: int, top: float | None = None) -> str:
    """The last ``width`` values as blocks, right-aligned; zero is a blank, above zero at least
    the lowest block.

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
        cells.append(_BLOCKS[level])
    return "".join(cells).rjust(max(width, 0))


def columns(values: Sequence[float], width: int) -> list[float]:
    """Values over time as ``width`` means, oldest first; fewer values than columns stay as they
    are, at the right end."""
    if width <= 0:
        return []
    if len(values) <= width:
        return [*([0.0] * (width - len(values))), *values]
    edges = [len(values) * index // width for index in range(width + 1)]
    return [sum(values[start:end]) / (end - start) for start, end in pairwise(edges)]


def shares(parts: Sequence[int], cells: int) -> list[int]:
    """``cells`` divided among parts by their size; a part above zero has a cell at least, where
    there are enough cells. The sum is ``cells``, or 0 where all parts are."""
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
