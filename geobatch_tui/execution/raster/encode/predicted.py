"""Undoes the predictors of decompressed blocks and tiles.

TIFF 6.0, section 14 (horizontal differencing), and Adobe Photoshop TIFF Technical Note 3 (floating
point).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.raster.kernels import pixel_loops

if TYPE_CHECKING:
    from geobatch_tui.execution.raster.types import DType, Pixels

HORIZONTAL, FLOATING = 2, 3
#: Bytes that are summed at a time.
_WORD = 8


def by_band(raw: Pixels, shape: tuple[int, ...], dtype: DType, predictor: int) -> Pixels:
    """Return a block of ``shape`` (h, w, samples) as (samples, h, w); ``raw``, its bytes as they
    were decompressed, may be overwritten, and be what is returned."""
    height, width, samples = shape
    unsigned = np.dtype(f"u{dtype.itemsize}")
    rows = raw.view(unsigned).reshape(height, -1)
    out: Pixels
    if predictor == FLOATING:
        out = np.empty((samples, height, width), unsigned)
        summed = samples == 1 and not rows.nbytes // height % _WORD
        if summed:
            _sum_bytes(raw, height)
        pixel_loops.join_bytes(raw.reshape(height, -1), summed, out)
    elif predictor == HORIZONTAL and (dtype.itemsize > 1 or width % _WORD):
        out = np.empty((samples, height, width), unsigned)
        pixel_loops.sum_differences(rows.reshape(shape), out)
    else:
        if samples == 1:
            out = rows.reshape(1, height, width)
        else:
            out = np.empty((samples, height, width), unsigned)
            pixel_loops.apart(rows, out)
        if predictor == HORIZONTAL:
            _sum_bytes(out, samples * height)
    return out.view(dtype)


def _sum_bytes(values: Pixels, rows: int) -> None:
    """Replace each byte by the sum of those of its row up to it."""
    pixel_loops.sum_bytes(values.reshape(rows, -1).view(f"u{_WORD}"))
