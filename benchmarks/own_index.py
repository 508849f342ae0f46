"""A function of a user, by numpy: the index that the row ``own-index`` of ``steps.py`` measures."""

from __future__ import annotations

import numpy as np

from geobatch_tui import step


@step(dtype="float32", bands=1, nodata=np.nan)
def index(block: np.ndarray) -> np.ndarray:
    """(b1 - b2) / (b1 + b2)."""
    first, second = block[0].astype("float32"), block[1].astype("float32")
    with np.errstate(invalid="ignore", divide="ignore"):
        return (first - second) / (first + second)
