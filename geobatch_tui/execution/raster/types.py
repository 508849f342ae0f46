"""Types that the rooms of rasters share: arrays of pixels and of places, and the words of a plan.

Importing this module does not load numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# --- arrays ------------------------------------------------------------------------------------

#: A type of pixels, known at run time only.
type DType = np.dtype
#: Pixels of one or more bands, of the item's type.
type Pixels = np.ndarray
#: Which pixels are valid: neither nodata, nor masked, nor transparent.
type Valid = NDArray[np.bool_]
#: Truth values as the compiled loops write them.
type Flags = NDArray[np.uint8]
#: Coordinates along one axis: of pixels, of a CRS, or in degrees.
type Points = NDArray[np.float64]
#: X and y of the same points.
type Pair = tuple[Points, Points]
#: Places in an array, and numbers of tiles.
type Indices = NDArray[np.int64]
#: Rows of a table with named columns.
type Records = NDArray[np.void]

# --- numbers -----------------------------------------------------------------------------------

#: A pixel's value: whole for types of whole numbers.
type Number = int | float
#: (a, b, c, d, e, f) of x = a*col + b*row + c, y = d*col + e*row + f.
type Transform = tuple[float, float, float, float, float, float]

# --- words of a plan ---------------------------------------------------------------------------

#: How an output tells valid pixels from others: every pixel is valid by construction, by a nodata
#: value, by the last band, or by an internal mask, which is written if any pixel is invalid.
type Validity = Literal["none", "nodata", "alpha", "mask"]
#: Where source coordinates come from: GDAL's warper with PROJ for every pixel; our kernels with
#: PROJ for every column and row; our kernels with coordinates interpolated in a lattice.
type Method = Literal["exact", "separable", "lattice"]
type Format = Literal["COG", "GTiff"]
type Compress = Literal[
    "NONE", "LZW", "DEFLATE", "ZSTD", "JPEG", "WEBP", "LERC", "LERC_DEFLATE", "LERC_ZSTD"
]
type Interleave = Literal["pixel", "band"]
#: BigTIFF only where a classic TIFF is too small; always; never.
type BigTiff = Literal["IF_NEEDED", "YES", "NO"]
