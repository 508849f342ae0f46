"""Histograms of a figure of chunks."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from geobatch_tui.tui.map.picture.codes import Mode, Scale

BINS: Final = 10


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of figures between ``edges``; what lies outside is in the first or the last bin.

    Attributes:
        edges: where each bin begins; as many as ``counts``.
        summary: percentiles, for people.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    scale: Scale
    text: Callable[[float], str]
    summary: str

    def step(self, index: int) -> int:
        """Return the step of the map's scale that the middle of a bin falls into."""
        width = self.edges[1] - self.edges[0] if len(self.edges) > 1 else 0.0
        return self.scale.step(self.edges[index] + width / 2)


def histogram(mode: Mode, values: Sequence[float]) -> Histogram | None:
    """Count the figures above zero in equal bins from the 1st to the 99th percentile; None: there
    are none. Very many are sampled at equal steps, and counts scaled up."""
    stride = len(values) // 50_000 + 1
    sample = sorted(value for value in values[::stride] if value > 0)
    if not sample:
        return None
    low, high = _share(sample, 0.01), _share(sample, 0.99)
    size = (high - low) / BINS
    edges = tuple(low + index * size for index in range(BINS)) if size > 0 else (low,)
    found = Counter(max(0, bisect_right(edges, value) - 1) for value in sample)
    named = ", ".join(f"p{p} {mode.text(_share(sample, p / 100))}" for p in (50, 95, 99))
    return Histogram(
        edges,
        tuple(found[index] * stride for index in range(len(edges))),
        mode.scale(values),
        mode.text,
        named,
    )


def _share(ordered: Sequence[float], part: float) -> float:
    return ordered[round((len(ordered) - 1) * part)]
