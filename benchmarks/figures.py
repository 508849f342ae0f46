"""Draws what the benchmarks measured; needs matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


RATIO = "wall time of geobatch / wall time of the peer"


def bars(
    path: Path,
    names: Sequence[str],
    values: Sequence[float],
    limits: Sequence[float],
    *,
    label: str = RATIO,
) -> None:
    """Horizontal bars of what ``label`` says, with a mark at what each may be."""
    figure = Figure(figsize=(9, 1.2 + 0.35 * len(names)), layout="constrained")
    axes = figure.subplots()
    places = range(len(names))
    colours = ["#3a7d44" if v <= m else "#b3402e" for v, m in zip(values, limits, strict=True)]
    axes.barh(places, values, color=colours, height=0.6)
    axes.plot(limits, places, "k|", markersize=14, markeredgewidth=2, label="may be")
    if label == RATIO:
        axes.axvline(1, color="grey", linewidth=1)
    for place, value in zip(places, values, strict=True):
        axes.text(value, place, f" {value:.3g}", va="center", fontsize=8)
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1 * max(1, *values, *limits))
    axes.set_xlabel(label)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)
