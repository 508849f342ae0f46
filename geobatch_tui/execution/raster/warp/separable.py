"""Warps windows of an item whose columns and rows have their source positions apart: taps are
summed down the rows of the source once, and then along each row; see :mod:`.resample`."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.execution.raster.kernels import pixel_loops
from geobatch_tui.execution.raster.warp import taps
from geobatch_tui.execution.raster.warp.target import TILE, Target, halves, slices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.protocol.messages import Window
    from geobatch_tui.execution.raster.warp.coordinates import Vectors
    from geobatch_tui.execution.raster.warp.resampler import Resampler
    from geobatch_tui.execution.raster.warp.source_window import Sampled
    from geobatch_tui.execution.raster.warp.taps import Axis, Kernel


@dataclass(frozen=True, slots=True)
class _Along:
    """Positions along one axis of the destination, and their taps."""

    positions: Any
    axis: Axis


def read(
    warper: Resampler, kernel: Kernel, vectors: Vectors, window: Window, target: Target
) -> None:
    """Fill ``target``, which is ``window`` of the item; ``vectors`` are all of its positions."""
    source = warper.mapper.source
    x = vectors.x[window.col_off : window.col_off + window.width]
    y = vectors.y[window.row_off : window.row_off + window.height]
    along = [
        _Along(x, kernel.axis(x, source.width, 0)),
        _Along(y, kernel.axis(y, source.height, 1)),
    ]
    short = along
    if kernel.falls_back:
        short = [
            _Along(x, taps.BILINEAR.axis(x, source.width, 0)),
            _Along(y, taps.BILINEAR.axis(y, source.height, 1)),
        ]
    apart = kernel.falls_back
    for cols in _runs(along[0], source.width, apart=apart):
        for rows in _runs(along[1], source.height, apart=apart):
            whole = along[0].axis.whole[cols.start] and along[1].axis.whole[rows.start]
            _rectangle(warper, along if whole else short, rows, cols, target)


def _rectangle(warper: Resampler, along: Any, rows: slice, cols: slice, target: Target) -> None:
    """Resample rows and columns that are alike, cut until their source fits."""
    needed = _bounds(along, rows, cols)
    height, width = rows.stop - rows.start, cols.stop - cols.start
    if not warper.sampler.fits(*needed) and max(height, width) > 1:
        for inner in halves(height, width):
            _rectangle(warper, along, _shifted(inner[0], rows), _shifted(inner[1], cols), target)
        return
    sampled = warper.sampler.read(*needed)
    side = max(height, width) if sampled.valid is None else TILE
    for inner in slices(height, width, side):
        tile = _shifted(inner[0], rows), _shifted(inner[1], cols)
        if sampled.all_valid(*_bounds(along, *tile)):
            _sum(warper, sampled, along, *tile, target.part(*tile))
        else:
            x, y = np.meshgrid(along[0].positions[tile[1]], along[1].positions[tile[0]])
            warper.resample(sampled, x, y, target.part(*tile), masked=True)


def _sum(
    warper: Resampler, sampled: Sampled, along: Any, rows: slice, cols: slice, target: Target
) -> None:
    x, y = along[0].axis, along[1].axis
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


def _runs(along: _Along, side: int, *, apart: bool) -> Iterator[slice]:
    """Stretches of positions on the source that do not jump over half of it, as at the
    antimeridian; ``apart``: and are alike, without a tap beyond it, or with some."""
    axis = along.axis
    kind = np.where(axis.pixel < 0, 0, np.where(axis.whole | (not apart), 1, 2))
    cuts = (np.diff(kind) != 0) | (np.abs(np.diff(along.positions)) > side / 2)
    ends = [0, *(np.flatnonzero(cuts) + 1).tolist(), len(kind)]
    for start, stop in itertools.pairwise(ends):
        if start < stop and kind[start]:
            yield slice(start, stop)


def _bounds(along: Any, rows: slice, cols: slice) -> tuple[int, int, int, int]:
    """Bounds of the source pixels under the taps of ``rows`` and ``cols``."""
    x, y = along[0].axis, along[1].axis
    across, down = x.first[cols], y.first[rows]
    # The pixel that a position lies in is looked at too.
    left = min(across.min(), x.pixel[cols].min())
    right = max(across.max() + len(x.weights), x.pixel[cols].max() + 1)
    top = min(down.min(), y.pixel[rows].min())
    bottom = max(down.max() + len(y.weights), y.pixel[rows].max() + 1)
    return int(left), int(top), int(right), int(bottom)


def _shifted(part: slice, by: slice) -> slice:
    return slice(by.start + part.start, by.start + part.stop)
