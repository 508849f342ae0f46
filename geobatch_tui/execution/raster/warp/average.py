"""Warps windows of an item by the resampling *average*; see :mod:`.resample`."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.kernels import pixel_loops
from geobatch_tui.execution.raster.warp.target import PART, Target

if TYPE_CHECKING:
    from geobatch_tui.execution.raster.types import Points, Valid
    from geobatch_tui.execution.raster.warp.resampler import Resampler
    from geobatch_tui.execution.raster.warp.source_window import Sampled

#: Source positions of two opposite corners of each output pixel: x1, y1, x2, y2 (h, w).
type Corners = tuple[Points, Points, Points, Points]


def average_window(warper: Resampler, target: Target) -> None:
    """Fill ``target``, part by part."""
    for part in target.window.parts(PART, PART):
        x1, y1, x2, y2 = _corners(warper, part)
        x1 = np.where(_near_source(warper, (x1, y1, x2, y2)), x1, np.nan)
        needed = partial(_needed, warper, (x1, y1, x2, y2), part)
        for fit, sampled in warper.fitting(target.part(part), needed):
            at = fit.window.slices_in(part)
            _average(warper, sampled, (x1[at], y1[at], x2[at], y2[at]), fit)


def _corners(warper: Resampler, window: Window) -> Corners:
    vectors = warper.vectors
    if vectors is None:
        (x1, y1), (x2, y2) = warper.lattice.corners(window)
        return x1, y1, x2, y2
    left, top, right, bottom = window.bounds
    x, y = vectors.x[left : right + 1], vectors.y[top : bottom + 1]
    return (*np.meshgrid(x[:-1], y[:-1]), *np.meshgrid(x[1:], y[1:]))


def _near_source(warper: Resampler, corners: Corners) -> Valid:
    """Return where both corners lie within two output pixels of the source: corners farther off
    mean nothing (GWKAverageOrMode)."""
    source, warp = warper.mapper.source, warper.warp
    x1, y1, x2, y2 = corners
    on = np.ones(x1.shape, bool)
    with np.errstate(invalid="ignore"):
        for values, side, scale in (
            (x1, source.width, warp.xscale), (x2, source.width, warp.xscale),
            (y1, source.height, warp.yscale), (y2, source.height, warp.yscale),
        ):  # fmt: skip
            margin = 2 * max(1, math.ceil(1 / scale))
            on &= (values >= -margin) & (values <= side + margin)
    return on


def _needed(warper: Resampler, corners: Corners, whole: Window, part: Window) -> Window | None:
    """Return the source pixels under the extents in ``part`` of ``whole``: all columns if one goes
    round the globe; None if there is no extent."""
    source, scale = warper.mapper.source, warper.warp.xscale
    x1, y1, x2, y2 = (each[part.slices_in(whole)] for each in corners)
    on = ~np.isnan(x1)
    if not on.any():
        return None
    x1, y1, x2, y2 = (each[on] for each in (x1, y1, x2, y2))
    low, high = np.minimum(x1, x2), np.maximum(x1, x2)
    edge = min(2, source.width // 10)
    wrapped = (low * scale < edge) & ((source.width - high) * scale < edge)
    left, right = int(low.min()) - 2, int(high.max()) + 3
    top, bottom = int(min(y1.min(), y2.min())) - 2, int(max(y1.max(), y2.max())) + 3
    if wrapped.any():
        left, right = 0, source.width
    left, top = min(max(left, 0), source.width - 1), min(max(top, 0), source.height - 1)
    right = max(min(right, source.width), left + 1)
    bottom = max(min(bottom, source.height), top + 1)
    return Window.between(left, top, right, bottom)


def _average(warper: Resampler, sampled: Sampled, corners: Corners, target: Target) -> None:
    source = warper.mapper.source
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
        warper.warp.xscale,
        out,
        touched,
        *warper.ends,
    )
    warper.finish(Target.of(target.window, out, touched), target)
    if target.alpha is not None:
        target.alpha[touched > 0] = warper.opaque
