"""Draws what the benchmarks measured; needs matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def bars(
    path: Path, names: Sequence[str], values: Sequence[float], limits: Sequence[float]
) -> None:
    """Horizontal bars of ratios, with a mark at what each may be."""
    figure = Figure(figsize=(9, 1.2 + 0.35 * len(names)), layout="constrained")
    axes = figure.subplots()
    places = range(len(names))
    colours = ["#3a7d44" if v <= m else "#b3402e" for v, m in zip(values, limits, strict=True)]
    axes.barh(places, values, color=colours, height=0.6)
    axes.plot(limits, places, "k|", markersize=14, markeredgewidth=2, label="may be")
    axes.axvline(1, color="grey", linewidth=1)
    for place, value in zip(places, values, strict=True):
        axes.text(value, place, f" {value:.2f}", va="center", fontsize=8)
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, max(1.1, *values))
    axes.set_xlabel("wall time of geobatch / wall time of the peer")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)
