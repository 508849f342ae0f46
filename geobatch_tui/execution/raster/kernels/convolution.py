"""2x2 reductions that weigh more than the 2x2 pixels: bilinear and cubic, widened to half size.

The kernels are GDAL's for overviews: a triangle and the cubic of Keys (a = -0.5), stretched by two,
so that 4 or 8 pixels along each axis count. Of those that are invalid or beyond the image the
weights go to the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.raster.kernels import pixel_loops

if TYPE_CHECKING:
    from geobatch_tui.execution.raster.types import Pixels, Valid

#: Pixels beyond the 2x2 that count, on each side.
MARGINS = {"bilinear": 1, "cubic": 3}
#: Pixels that are present beyond a region: left, top, right, bottom.
Margins = tuple[int, int, int, int]
NONE: Margins = (0, 0, 0, 0)
#: Below this weight of the valid pixels, a cubic's negative lobes would dominate.
_LIGHT = 0.25


def weights(resampling: str) -> Pixels:
    """Return the weights (taps,) along an axis, which sum to 1."""
    margin = MARGINS[resampling]
    far = np.abs(np.arange(-margin, margin + 2) - 0.5) / 2
    if resampling == "bilinear":
        values = np.maximum(1 - far, 0)
    else:
        near = (1.5 * far - 2.5) * far * far + 1
        values = np.where(far <= 1, near, ((-0.5 * far + 2.5) * far - 4) * far + 2)
    normal: Pixels = values / values.sum()
    return normal


def halve(
    band: Pixels, valid: Valid | None, resampling: str, margins: Margins
) -> tuple[Pixels, Valid]:
    """Return weighted means (h / 2, w / 2, rounded up), as float64, and where they are known.

    ``band`` (h, w) and ``valid`` include ``margins``, which are smaller than the kernel's only at
    the rim of the image.
    """
    left, top, right, bottom = margins
    height, width = band.shape[0] - top - bottom, band.shape[1] - left - right
    means, weighs = np.empty((2, (height + 1) // 2, (width + 1) // 2))
    masked = valid is not None
    pixel_loops.convolve(
        np.ascontiguousarray(band),
        np.ascontiguousarray(valid) if masked else np.ones((1, 1), bool),
        masked, left, top, weights(resampling), means, weighs, *np.empty((2, band.shape[1])),
    )  # fmt: skip
    good: Valid = weighs > _LIGHT
    return means, good
