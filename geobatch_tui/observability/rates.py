"""Rates of the chunks that were finished lately; without a clock.

Rates are sums over a window that ends now, divided by its length: the last minute, or longer where
chunks are so slow that a minute holds too few of them to say anything.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMES = ("chunks_per_s", "units_per_s", "bytes_in_per_s", "bytes_out_per_s")
"""Rates of a run, in notes and results. ``units`` are pixels times bands, or features."""

_ENOUGH = 8  # chunks; a window holds at least as many, however far back they go


@dataclass(frozen=True, slots=True)
class Reading:
    """Rates per second; ``units`` are pixels times bands, or features."""

    chunks: float = 0.0
    units: float = 0.0
    bytes_in: float = 0.0
    bytes_out: float = 0.0

    def named(self) -> dict[str, float]:
        """Return the rates by ``NAMES``."""
        values = (self.chunks, self.units, self.bytes_in, self.bytes_out)
        return {name: round(value, 3) for name, value in zip(NAMES, values, strict=True)}


@dataclass(slots=True)
class _Bucket:
    """Sums of the chunks of one second from ``start``; ``last`` is the time of the latest."""

    start: float
    last: float
    sums: list[int]


class Rates:
    """Counts finished chunks and tells their recent rate.

    Memory is bounded: one bucket a second, and none that the window has left behind. All times
    come from one clock, in seconds: that of work, which stands still in a pause.
    """

    def __init__(self, *, window: float = 60.0) -> None:
        self._window = window
        self._started: float | None = None
        self._since = 0.0
        self._buckets: deque[_Bucket] = deque()
        self._recent = [0, 0, 0, 0]
        self._totals = [0, 0, 0, 0]

    def start(self, now: float) -> None:
        """Work begins. Without this it began with the first chunk that was finished."""
        if self._started is None:
            self._started = self._since = now

    def add(
        self, now: float, chunks: int = 1, units: int = 0, bytes_in: int = 0, bytes_out: int = 0
    ) -> None:
        sums = [chunks, units, bytes_in, bytes_out]
        _add(self._totals, sums)
        if self._started is None:
            self.start(now)  # how long this first one took is not known: no part of the rate
            return
        if not self._buckets or now - self._buckets[-1].start >= 1.0:
            self._buckets.append(_Bucket(now, now, [0, 0, 0, 0]))
        bucket = self._buckets[-1]
        bucket.last = max(bucket.last, now)
        _add(bucket.sums, sums)
        _add(self._recent, sums)
        self._drop(now)

    def at(self, now: float) -> Reading:
        """The rates at ``now``: 0 before anything was finished."""
        self._drop(now)
        span = now - self._since
        if self._started is None or span <= 0:
            return Reading()
        return Reading(*(total / span for total in self._recent))

    @property
    def totals(self) -> tuple[int, int, int, int]:
        """Chunks, units, bytes in and bytes out of everything counted, by ``NAMES``."""
        chunks, units, bytes_in, bytes_out = self._totals
        return chunks, units, bytes_in, bytes_out

    def overall(self, seconds: float) -> dict[str, float]:
        """Rates of everything counted over ``seconds``, for the result of a run."""
        return overall(self._totals, seconds)

    def _drop(self, now: float) -> None:
        """Leaves behind whole buckets that the window has passed, while enough chunks remain."""
        while self._buckets:
            oldest = self._buckets[0]
            if oldest.last > now - self._window or self._recent[0] - oldest.sums[0] < _ENOUGH:
                break
            self._buckets.popleft()
            _add(self._recent, [-part for part in oldest.sums])
            self._since = oldest.last


def overall(totals: Iterable[int], seconds: float) -> dict[str, float]:
    """Rates of so many chunks, units, bytes in and bytes out over ``seconds``, by ``NAMES``."""
    span = seconds if seconds > 0 else math.inf
    return {name: round(total / span, 3) for name, total in zip(NAMES, totals, strict=True)}


def named(units_per_s: float, unit_name: str) -> dict[str, float]:
    """The rate of units by the name of what they are: ``mpx_per_s`` (millions of pixels times
    bands) or ``features_per_s``; nothing for other units."""
    if unit_name == "px":
        return {"mpx_per_s": round(units_per_s / 1e6, 6)}
    return {"features_per_s": round(units_per_s, 3)} if unit_name == "features" else {}


def _add(sums: list[int], parts: list[int]) -> None:
    for position, part in enumerate(parts):
        sums[position] += part
