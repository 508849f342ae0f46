"""The index of two bands by numexpr in windows of rasterio, as scripts do it: a peer of chains.

Usage: ``uv run --group bench python benchmarks/numexpr_windows.py SOURCE TARGET``. The target has
no overviews.
"""

from __future__ import annotations

import sys

import numexpr
import numpy as np
import rasterio
from rasterio.windows import Window

SIDE = 2048


def main(source: str, target: str) -> None:
    """Write the index of bands 1 and 2."""
    numexpr.set_num_threads(2)
    with rasterio.open(source) as src:
        profile = src.profile | {
            "count": 1, "dtype": "float32", "nodata": np.nan, "photometric": "minisblack",
            "predictor": 3, "num_threads": 2,
        }  # fmt: skip
        with rasterio.open(target, "w", **profile) as out:
            for top in range(0, src.height, SIDE):
                for left in range(0, src.width, SIDE):
                    size = min(SIDE, src.width - left), min(SIDE, src.height - top)
                    window = Window(left, top, *size)
                    a, b = src.read([1, 2], window=window).astype("float32")
                    values = numexpr.evaluate("(a - b) / (a + b)", {"a": a, "b": b})
                    out.write(values, 1, window=window)


if __name__ == "__main__":
    main(*sys.argv[1:])
