"""Histograms of a figure of chunks."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.tui.map.picture.codes import Mode, Scale

BINS: Final = 10


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of figures in bins. What is smaller is in the first one; the last one has what is
    larger than 99 of 100, up to the largest.

    Attributes:
        starts: where each bin begins, for people; as many as ``counts``.
        steps: the step of the map's scale that the middle of each falls into.
        summary: percentiles, for people.
    """

    starts: tuple[str, ...]
    counts: tuple[int, ...]
    steps: tuple[int, ...]
    summary: str


def histogram(mode: Mode, values: Sequence[float], scale: Scale | None = None) -> Histogram | None:
    """Count the figures above zero in equal bins from the 1st to the 99th percentile; None: there
    are none. Very many are sampled at equal steps, and counts scaled up.

    ``scale`` is that of the map beside it, so that both have the same colours; None: their own.
    """
    stride = len(values) // 50_000 + 1
    sample = sorted(value for value in values[::stride] if value > 0)
    if not sample:
        return None
    low, high, highest = _share(sample, 0.01), _share(sample, 0.99), max(values)
    size = (high - low) / BINS
    edges = tuple(low + index * size for index in range(BINS)) if size > 0 else (low,)
    half = (edges[1] - edges[0]) / 2 if len(edges) > 1 else 0.0
    found = Counter(max(0, bisect_right(edges, value) - 1) for value in sample if value <= high)
    counts = [found[index] * stride for index in range(len(edges))]
    scale = scale or mode.scale(values)
    steps = [scale.step(edge + half) for edge in edges]
    if highest > high:
        edges = (*edges, high)
        counts.append(sum(value > high for value in values))
        steps.append(scale.step(highest))
    shares = [("p50", _share(sample, 0.5)), ("p95", _share(sample, 0.95)), ("max", highest)]
    return Histogram(
        tuple(mode.text(edge) for edge in edges),
        tuple(counts),
        tuple(steps),
        ", ".join(f"{name} {mode.text(value)}" for name, value in shares),
    )


def _share(ordered: Sequence[float], part: float) -> float:
    return ordered[round((len(ordered) - 1) * part)]
