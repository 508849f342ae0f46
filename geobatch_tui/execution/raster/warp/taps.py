"""Kernels of resampling: which source pixels a position takes along an axis, and their weights.

A source position x lies in pixel floor(x); pixel i has its centre at i + 0.5. A kernel takes the
same number of neighbours (*taps*) for every position. Taps beyond the edge of the source get no
weight, the others are scaled to a sum of 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.raster.grid import kernel_scale
from geobatch_tui.execution.raster.kernels import pixel_loops

if TYPE_CHECKING:
    from geobatch_tui.execution.raster.types import Indices, Points, Valid

#: From this scale on, GDAL does not widen bilinear and cubic (bUse4SamplesFormula).
FULL = 0.95
#: Numbers of the kernels' functions in the compiled loops.
CODES = {"bilinear": 1, "cubic": 2, "cubicspline": 3, "lanczos": 4}


@dataclass(frozen=True, slots=True)
class Kernel:
    """The kernel of an item; each pair is for x and y.

    ``scale`` is 1 where the kernel is not widened. ``taps`` is the number of taps, ``lead`` how
    many of them lie before the last pixel centre that a position has passed. ``falls_back``: cubic
    as GDAL computes it from 4x4 pixels, which becomes bilinear where one of them is missing.
    """

    code: int
    scale: tuple[float, float]
    lead: tuple[int, int]
    taps: tuple[int, int]
    falls_back: bool

    @classmethod
    def of(cls, name: str, xscale: float, yscale: float) -> Kernel:
        """Return the kernel by GDAL's name, at the pinned scales; nearest and average have none."""
        full = xscale >= FULL and yscale >= FULL and name in ("bilinear", "cubic")
        scale = (1.0, 1.0) if full else (min(xscale, 1.0), min(yscale, 1.0))
        radius = [math.ceil(kernel_scale.RADIUS[name] / each) for each in scale]
        return cls(
            CODES[name],
            scale,
            (radius[0] - 1, radius[1] - 1),
            (2 * radius[0], 2 * radius[1]),
            full and name == "cubic",
        )

    def axis(self, x: Points, side: int, which: int) -> Axis:
        """Return the taps of positions ``x`` along axis ``which`` (0: x, 1: y) of a source that is
        ``side`` pixels long there, at least as many as the taps."""
        n, taps = len(x), self.taps[which]
        first, pixel = np.empty((2, n), np.int64)
        axis = Axis(x, first, np.empty((taps, n)), pixel, np.empty(n, bool))
        pixel_loops.axis(
            x, side, self.code, self.scale[which], self.lead[which],
            axis.first, axis.weights, axis.pixel, axis.whole, np.empty(taps),
        )  # fmt: skip
        return axis


#: The kernel that a cubic falls back to.
BILINEAR = Kernel.of("bilinear", 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Axis:
    """Taps of n ``positions`` along one axis.

    ``first`` (n,) is the first source pixel of each, ``weights`` (taps, n) sum to 1, ``pixel`` (n,)
    is the pixel that the position lies in, -1 outside the source; ``whole`` (n,) says that no tap
    lies beyond the source.
    """

    positions: Points
    first: Indices
    weights: Points
    pixel: Indices
    whole: Valid
