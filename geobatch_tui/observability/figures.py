"""Figures as people read them, on the command line, in messages and in the console."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_SIZES: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_PREFIXES: Final = ("", "k", "M", "G", "T", "P")
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_FAR: Final = 100 * _DAY  #: seconds; an estimate beyond says nothing
_RATES: Final = {"chunks_per_s": "chunks/s", "mpx_per_s": "Mpx/s", "features_per_s": "features/s"}


def count(value: int) -> str:
    """Return a whole number with its thousands apart: ``15,000``."""
    return f"{value:,}"


def plural(value: int, noun: str) -> str:
    """Return a number of things: ``1 chunk``, ``2 chunks``, ``15,000 chunks``."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"


def size(value: float, room: int = 0) -> str:
    """Return bytes in binary units, one that is not finite as ``-``: 1536 is ``1.5 KiB``.

    In ``room`` cells, if there are so few, the decimal goes, then the unit is the next.
    """
    if not math.isfinite(value):
        return "-"
    step = 0
    while step < len(_SIZES) - 1 and (
        abs(value) >= 1024 or 0 < room < len(f"{value:.0f} {_SIZES[step]}")
    ):
        value /= 1024
        step += 1
    text = f"{value:.1f} {_SIZES[step]}"
    return text if step and not 0 < room < len(text) else f"{value:.0f} {_SIZES[step]}"


def amount(value: float) -> str:
    """Return a number in at most four cells, with a decimal prefix: ``212``, ``1.4k``, ``12M``."""
    if not math.isfinite(value):
        return "-"
    step = 0
    while step < len(_PREFIXES) - 1 and abs(value) >= 999.5:
        value /= 1000
        step += 1
    whole = not step and (value == round(value) or abs(value) >= 99.5)
    digits = 0 if whole or (step and abs(value) >= 9.95) else 1
    return f"{value:.{digits}f}{_PREFIXES[step]}"


def rate(value: float) -> str:
    """Return a rate with three digits: 0.42, 7.31, 85.2, 1,204."""
    if value < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def rates(values: Mapping[str, float]) -> str:
    """Return chunks, megapixels or features a second of a result's ``rates``; "" without any."""
    return ", ".join(
        f"{rate(values[key])} {unit}" for key, unit in _RATES.items() if values.get(key)
    )


def time_left(low: float | None, middle: float | None, high: float | None) -> str:
    """Return the time to the end as a range, ``2:10-4:30``, or one time where both ends read alike;
    ``-``: unknown. Seconds are those of a clock, so that no digit promises more than is known."""
    ends = [duration(seconds) for seconds in (low, high) if seconds is not None]
    if middle is None or len(ends) < 2 or ends[0] == ends[1]:
        return duration(middle)
    first, last = ends
    return f"{first[:-2]}-{last}" if first[-2:] == last[-2:] == " s" else f"{first}-{last}"


def duration(seconds: float | None, room: int = 0, *, fine: bool = False) -> str:
    """Return seconds as ``0.4 s``, ``12 s``, ``3:07``, ``2:05:09`` or ``3d 04:05``; ``-``: unknown.

    Args:
        seconds: not negative.
        room: five cells at least; where there is no room for minutes ``3.5 h``, ``30 h``, ``9 d``.
        fine: below a second in milliseconds: ``15 ms``.
    """
    if seconds is None or not math.isfinite(seconds) or seconds > _FAR:
        return "-"
    if fine and 0 < seconds < 0.95:
        return f"{seconds * 1000:.0f} ms" if seconds > 0.0095 else f"{seconds * 1000:.2g} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    minutes, rest = divmod(whole, _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    days = whole // _DAY
    if days:
        text = f"{days}d {hours % 24:02}:{minutes:02}"
    else:
        text = f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
    coarser = f"{whole / _HOUR:.1f} h", f"{whole / _HOUR:.0f} h"
    fitting = (form for form in (text, *coarser) if not room or len(form) <= room)
    return next(fitting, f"{whole / _DAY:.0f} d")


def percent(part: int, whole: int) -> str:
    """Return a share with one decimal. Only all is ``100.0%``, and only nothing is ``0.0%``."""
    if not whole:
        return "-"
    tenths = 1000 * part // whole
    if part and not tenths:
        tenths = 1
    return f"{tenths // 10}.{tenths % 10}%"
