"""Functions as users write them, for the laws of chains."""

from __future__ import annotations

import numpy as np

from geobatch_tui import step


@step(halo=lambda size: size // 2, dtype="float32", bands=1, nodata=np.nan)
def local_mean(block, *, valid, size: int = 3):
    """Mean of the valid pixels around each that is valid, in a fixed order."""
    half = size // 2
    height, width = block.shape[1] - 2 * half, block.shape[2] - 2 * half
    total, count = np.zeros((height, width)), np.zeros((height, width))
    for row in range(size):
        for col in range(size):
            part = slice(row, row + height), slice(col, col + width)
            total += np.where(valid[0][part], block[0][part], 0)
            count += valid[0][part]
    centre = valid[0, half : half + height, half : half + width]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(centre, total / count, np.nan).astype("float32")


@step(halo=1, rim="reflect")
def sharpen(block, *, weight: float = 0.5):
    """Of the type of the input, whatever is invalid in it."""
    centre = block[:, 1:-1, 1:-1].astype("float64")
    values = centre + weight * (centre - block[:, :-2, 1:-1])
    if block.dtype.kind == "f":
        return values.astype(block.dtype)
    limits = np.iinfo(block.dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(block.dtype)


@step(bands=2, dtype="int16", nodata=-1)
def ramp(block, *, window, transform):
    """Column of each pixel, and its x: not of the block, but of its place."""
    cols = np.arange(window.col_off, window.right)
    x = transform.c + transform.a * (np.arange(window.width) + 0.5)
    rows = np.stack([cols, np.floor(x * 10)])
    return np.broadcast_to(rows[:, np.newaxis], (2, *window.shape)).astype("int16")
