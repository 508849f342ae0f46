"""Types of the arrays that pixels travel in."""

from __future__ import annotations

from typing import Any

import numpy as np

#: Pixels of one or more bands.
Pixels = np.ndarray[Any, np.dtype[Any]]
#: Which pixels are valid: neither nodata, nor masked, nor transparent.
Valid = np.ndarray[Any, np.dtype[np.bool_]]
