"""Steps of one's own; own.toml names one."""

import numpy as np

from geobatch_tui import step


@step(halo=lambda size: size // 2, dtype="float32", bands=1, nodata=np.nan)
def local_contrast(block: np.ndarray, *, valid: np.ndarray, size: int = 5) -> np.ndarray:
    """How far the values around a pixel differ: the greatest less the least, in a square of `size`
    pixels; those that are not valid are left out."""
    half = size // 2
    height, width = block.shape[1] - 2 * half, block.shape[2] - 2 * half
    low = np.full((height, width), np.inf)
    high = np.full((height, width), -np.inf)
    for row in range(size):
        for col in range(size):
            part = slice(row, row + height), slice(col, col + width)
            values, known = block[0][part], valid[0][part]
            low = np.where(known, np.minimum(low, values), low)
            high = np.where(known, np.maximum(high, values), high)
    return np.where(high >= low, high - low, np.nan).astype("float32")
