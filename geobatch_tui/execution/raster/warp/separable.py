"""Warps windows of an item whose source x depends on the column alone, and y on the row alone: taps
are summed down the rows of the source once, and then along each row; see :mod:`.resample`."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.kernels import pixel_loops
from geobatch_tui.execution.raster.warp import taps
from geobatch_tui.execution.raster.warp.target import TILE, Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.raster.grid.pixel_grid import PixelGrid
    from geobatch_tui.execution.raster.warp.coordinates import Vectors
    from geobatch_tui.execution.raster.warp.resampler import Resampler
    from geobatch_tui.execution.raster.warp.source_window import Sampled
    from geobatch_tui.execution.raster.warp.taps import Axis, Kernel


@dataclass(frozen=True, slots=True)
class _Axes:
    """The taps along both axes of a ``window``."""

    window: Window
    x: Axis
    y: Axis

    @classmethod
    def of(cls, window: Window, kernel: Kernel, vectors: Vectors, source: PixelGrid) -> _Axes:
        rows, cols = window.slices
        x = kernel.axis(vectors.x[cols], source.width, 0)
        return cls(window, x, kernel.axis(vectors.y[rows], source.height, 1))


def sum_window(warper: Resampler, kernel: Kernel, vectors: Vectors, target: Target) -> None:
    """Fill ``target``; ``vectors`` are all positions of the item."""
    source, window = warper.mapper.source, target.window
    axes = short = _Axes.of(window, kernel, vectors, source)
    apart = kernel.falls_back
    if apart:
        short = _Axes.of(window, taps.BILINEAR, vectors, source)
    left, top = window.col_off, window.row_off
    for cols in _runs(axes.x, source.width, apart=apart):
        for rows in _runs(axes.y, source.height, apart=apart):
            whole = axes.x.whole[cols.start] and axes.y.whole[rows.start]
            part = Window.between(
                left + cols.start, top + rows.start, left + cols.stop, top + rows.stop
            )
            _fill(warper, axes if whole else short, target.part(part))


def _fill(warper: Resampler, axes: _Axes, target: Target) -> None:
    """Resample a rectangle of one kind."""
    for part, sampled in warper.fitting(target, partial(_needed, axes)):
        side = max(part.window.shape) if sampled.valid is None else TILE
        for tile in part.window.parts(side, side):
            if sampled.all_valid(_needed(axes, tile)):
                _sum(warper, sampled, axes, target.part(tile))
            else:
                rows, cols = tile.slices_in(axes.window)
                x, y = np.meshgrid(axes.x.positions[cols], axes.y.positions[rows])
                warper.resample(sampled, x, y, target.part(tile), masked=True)


def _sum(warper: Resampler, sampled: Sampled, axes: _Axes, target: Target) -> None:
    x, y = axes.x, axes.y
    rows, cols = target.window.slices_in(axes.window)
    filled = warper.widened(target)
    pixel_loops.separable(
        sampled.pixels,
        (x.first[cols] - sampled.off[0]).astype(np.uint32),
        np.ascontiguousarray(x.weights[:, cols]),
        (y.first[rows] - sampled.off[1]).astype(np.uint32),
        np.ascontiguousarray(y.weights[:, rows]),
        filled.whole[0],
        filled.corner,
        *warper.ends,
        np.empty(sampled.pixels.shape[2]),
        np.empty(len(y.weights)),
    )
    filled.touched[:] = 1
    warper.finish(filled, target)
    if target.alpha is None:
        return
    if sampled.alpha is None:
        target.alpha[:] = warper.opaque
    else:
        at = y.pixel[rows] - sampled.off[1], x.pixel[cols] - sampled.off[0]
        target.alpha[:] = sampled.alpha[np.ix_(*at)]


def _runs(axis: Axis, side: int, *, apart: bool) -> Iterator[slice]:
    """Yield stretches of positions on the source that do not jump over half of it, as at the
    antimeridian. ``apart``: a stretch has either no taps beyond the source, or some everywhere."""
    kind = np.where(axis.pixel < 0, 0, np.where(axis.whole | (not apart), 1, 2))
    cuts = (np.diff(kind) != 0) | (np.abs(np.diff(axis.positions)) > side / 2)
    ends = [0, *(np.flatnonzero(cuts) + 1).tolist(), len(kind)]
    for start, stop in itertools.pairwise(ends):
        if start < stop and kind[start]:
            yield slice(start, stop)


def _needed(axes: _Axes, part: Window) -> Window:
    """Return the source pixels under the taps of ``part``."""
    rows, cols = part.slices_in(axes.window)
    x, y = axes.x, axes.y
    across, down = x.first[cols], y.first[rows]
    # The pixel that a position lies in is looked at too.
    left = min(across.min(), x.pixel[cols].min())
    right = max(across.max() + len(x.weights), x.pixel[cols].max() + 1)
    top = min(down.min(), y.pixel[rows].min())
    bottom = max(down.max() + len(y.weights), y.pixel[rows].max() + 1)
    return Window.between(int(left), int(top), int(right), int(bottom))
