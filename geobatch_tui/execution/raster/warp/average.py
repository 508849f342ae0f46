"""Warps windows of an item by the resampling *average*; see :mod:`.resample`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.execution.protocol.messages import Window
from geobatch_tui.execution.raster.kernels import pixel_loops
from geobatch_tui.execution.raster.warp.target import Target, halves, slices

if TYPE_CHECKING:
    from geobatch_tui.execution.raster.warp.resampler import Resampler
    from geobatch_tui.execution.raster.warp.source_window import Sampled

#: Positions of two opposite corners of each pixel: x1, y1, x2, y2 (h, w).
Corners = tuple[Any, Any, Any, Any]


def read(warper: Resampler, window: Window, target: Target, part: int) -> None:
    """Fill ``target``, which is ``window`` of the item; ``part`` is the side of what is computed
    at once."""
    for rows, cols in slices(window.height, window.width, part):
        inner = Window(
            window.col_off + cols.start,
            window.row_off + rows.start,
            cols.stop - cols.start,
            rows.stop - rows.start,
        )
        _place(warper, _corners(warper, inner), target.part(rows, cols))


def _corners(warper: Resampler, window: Window) -> Corners:
    vectors = warper.vectors
    if vectors is None:
        (x1, y1), (x2, y2) = warper.lattice.corners(window)
        return x1, y1, x2, y2
    x = vectors.x[window.col_off : window.col_off + window.width + 1]
    y = vectors.y[window.row_off : window.row_off + window.height + 1]
    return (*np.meshgrid(x[:-1], y[:-1]), *np.meshgrid(x[1:], y[1:]))


def _place(warper: Resampler, corners: Corners, target: Target) -> None:
    """Average over ``corners``, cut until each part's source fits."""
    on = _near_source(warper, corners)
    if not on.any():
        return
    needed = _needed(warper, corners, on)
    height, width = on.shape
    if not warper.sampler.fits(*needed) and max(height, width) > 1:
        for rows, cols in halves(height, width):
            x1, y1, x2, y2 = (each[rows, cols] for each in corners)
            _place(warper, (x1, y1, x2, y2), target.part(rows, cols))
        return
    _average(
        warper,
        warper.sampler.read(*needed),
        (np.where(on, corners[0], np.nan), *corners[1:]),
        target,
    )


def _near_source(warper: Resampler, corners: Corners) -> Any:
    """Where both corners lie within two output pixels of the source; farther off they are
    nonsense (GWKAverageOrMode)."""
    source, warp = warper.mapper.source, warper.plan.warp
    scales = (1.0, 1.0) if warp is None else (warp.xscale, warp.yscale)
    x1, y1, x2, y2 = corners
    on = np.ones(x1.shape, bool)
    with np.errstate(invalid="ignore"):
        for values, side, scale in (
            (x1, source.width, scales[0]), (x2, source.width, scales[0]),
            (y1, source.height, scales[1]), (y2, source.height, scales[1]),
        ):  # fmt: skip
            margin = 2 * max(1, math.ceil(1 / scale))
            on &= (values >= -margin) & (values <= side + margin)
    return on


def _needed(warper: Resampler, corners: Corners, on: Any) -> tuple[int, int, int, int]:
    """Bounds of the source pixels under the extents; all columns if one goes round the back."""
    source, warp = warper.mapper.source, warper.plan.warp
    x1, y1, x2, y2 = (each[on] for each in corners)
    low, high = np.minimum(x1, x2), np.maximum(x1, x2)
    scale = 1.0 if warp is None else warp.xscale
    edge = min(2, source.width // 10)
    wrapped = (low * scale < edge) & ((source.width - high) * scale < edge)
    left, right = int(low.min()) - 2, int(high.max()) + 3
    top, bottom = int(min(y1.min(), y2.min())) - 2, int(max(y1.max(), y2.max())) + 3
    if wrapped.any():
        left, right = 0, source.width
    left, top = min(max(left, 0), source.width - 1), min(max(top, 0), source.height - 1)
    right, bottom = (
        max(min(right, source.width), left + 1),
        max(min(bottom, source.height), top + 1),
    )
    return left, top, right, bottom


def _average(warper: Resampler, sampled: Sampled, corners: Corners, target: Target) -> None:
    source, warp = warper.mapper.source, warper.plan.warp
    masked = sampled.valid is not None
    out = np.ascontiguousarray(target.pixels.astype(warper.sampler.dtype))
    touched = np.zeros(out.shape[1:], np.uint8)
    pixel_loops.average(
        sampled.pixels,
        sampled.valid if masked else np.ones((1, 1, 1), bool),
        masked,
        *(np.ascontiguousarray(each) for each in corners),
        sampled.off,
        (source.width, source.height),
        1.0 if warp is None else warp.xscale,
        out,
        touched,
        *warper.ends,
    )
    warper.finish(Target.of(out, touched), target)
    if target.alpha is not None:
        target.alpha[touched > 0] = warper.opaque
