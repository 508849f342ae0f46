"""The geometry of a tiled pyramid; packs pixels into tiles, and unpacks them.

Level 0 is the full resolution; each further level halves width and height, rounded up. Tiles of a
level are numbered row-major from 0. A *plane* is what one tile holds of a pixel: all bands with
pixel interleave (one plane), a single band with band interleave (one plane a band). The mask is a
plane of its own kind, and so is what overviews are made from where the codec of the image is lossy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import as_strided

from geobatch_tui.errors import OperationError, SchemaError
from geobatch_tui.execution.protocol.messages import ChunkGrid
from geobatch_tui.execution.raster.kernels import convolution, pixel_loops

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.raster.plan import RasterPlan
    from geobatch_tui.execution.raster.types import DType, Number, Pixels, Valid

IMAGE, MASK, RAW = 0, 1, 2
#: Numbers of samples, and sizes of a value, that a compiled loop puts side by side.
_SAMPLES, _SIZES = (2, 3, 4), (1, 2, 4, 8)


def pyramid(plan: RasterPlan) -> tuple[ChunkGrid, ...]:
    """Return the tiles of each level of an item, full resolution first.

    Raises:
        OperationError: the plan's overview sizes are not successive halves, rounded up.
    """
    encoding = plan.encoding
    sizes = [(plan.width, plan.height)]
    for size in encoding.overviews:
        half = (-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2))
        if tuple(size) != half:
            raise OperationError(
                f"overview {size[0]}x{size[1]} is planned after {sizes[-1][0]}x{sizes[-1][1]}; "
                f"halves rounded up give {half[0]}x{half[1]}"
            )
        sizes.append(half)
    return tuple(ChunkGrid(*size, encoding.block_width, encoding.block_height) for size in sizes)


def owned_levels(plan: RasterPlan, grid: ChunkGrid) -> int:
    """Return how many levels, from 0 up, a chunk can make by itself.

    A chunk owns level k if its side is a multiple of 2**k tiles, or if there is but one chunk
    along that side: then no tile of the level needs a neighbour's pixels. Overviews by bilinear and
    cubic always do, and are made when the item is assembled.

    Raises:
        OperationError: the grid is not the item's, or its chunks cut tiles in two.
    """
    encoding = plan.encoding
    if (grid.width, grid.height) != (plan.width, plan.height):
        raise OperationError(
            f"the chunk grid covers {grid.width}x{grid.height} pixels, the plan "
            f"{plan.width}x{plan.height}"
        )
    levels = 0
    for number in range(len(encoding.overviews) + 1):
        fits_across = grid.columns == 1 or not grid.chunk_width % (encoding.block_width << number)
        fits_down = grid.rows == 1 or not grid.chunk_height % (encoding.block_height << number)
        if not (fits_across and fits_down):
            break
        levels += 1
        if encoding.overview_resampling in convolution.MARGINS:
            break
    if not levels:
        raise OperationError(
            f"chunks of {grid.chunk_width}x{grid.chunk_height} pixels cut tiles of "
            f"{encoding.block_width}x{encoding.block_height} in two"
        )
    return levels


def tiles_of(grid: ChunkGrid, level: int, window: Window) -> list[int]:
    """Return the numbers of the tiles under ``window`` in ``grid``, that of ``level``. The window
    is in pixels of full resolution, its offset a multiple of 2**level tiles."""
    return grid.under(window.blocks(1 << level, 1 << level))


@dataclass(frozen=True, slots=True)
class TileForm:
    """The layout of an item's pixels in a tile.

    Each place has ``planes`` tiles of ``samples`` bands. ``missing`` is the value that a reader
    sees where there is no tile; ``fill`` (one value a band) is that of pixels that were never
    computed: nodata or 0, and a transparent alpha.
    """

    width: int
    height: int
    planes: int
    samples: int
    dtype: DType
    missing: np.generic
    fill: Pixels

    @classmethod
    def of(cls, plan: RasterPlan) -> TileForm:
        """Return the form of the tiles of ``plan``. Raises SchemaError if nodata does not fit the
        dtype."""
        dtype = np.dtype(plan.dtype).newbyteorder("<")
        by_band = plan.encoding.interleave == "band"
        missing = _missing(dtype, plan.nodata)
        fill = np.full(plan.count, missing, dtype)
        if plan.validity == "alpha":
            fill[-1] = 0
        return cls(
            width=plan.encoding.block_width,
            height=plan.encoding.block_height,
            planes=plan.count if by_band else 1,
            samples=1 if by_band else plan.count,
            dtype=dtype,
            missing=missing,
            fill=fill,
        )

    def bands(self, plane: int) -> slice:
        """Return the bands in ``plane``."""
        return slice(plane * self.samples, (plane + 1) * self.samples)

    def pack(self, pixels: Pixels) -> Pixels:
        """Pack pixels (samples, h, w) into a tile (height, width, samples).

        Pixels beyond the image are ``missing``: that compresses well, and no reader shows them.
        """
        samples, height, width = pixels.shape
        tile: Pixels = np.empty((self.height, self.width, samples), self.dtype)
        if not _interleave(pixels, tile):
            for sample in range(samples):
                tile[:height, :width, sample] = pixels[sample]
        self.clear_beyond(tile, height, width)
        return tile

    def clear_beyond(self, tile: Pixels, height: int, width: int) -> None:
        """Set pixels beyond the image to ``missing``."""
        tile[height:] = self.missing
        tile[:height, width:] = self.missing

    def unpack(self, tile: Pixels, window: Window) -> Pixels:
        """Return the pixels (samples, h, w) of a tile that lie inside the image."""
        return np.moveaxis(tile[: window.height, : window.width], -1, 0)

    def is_missing(self, tile: Pixels) -> bool:
        """Whether a reader would see the same if the tile were left out.

        It compares bytes, not values: -0.0 and other NaNs than the nodata value must stay.
        """
        first = np.full(1, self.missing, self.dtype).view(np.uint8)
        raw = tile.reshape(-1, 1).view(np.uint8)
        return bool((raw[0] == first).all() and (raw == first).all())


def spread(tile: Pixels, height: int, width: int) -> None:
    """Repeat the last row and column of the image beyond it: a codec that blurs would spread a
    sharp edge into the image."""
    tile[:height, width:] = tile[:height, width - 1 : width]
    tile[height:] = tile[height - 1]


def _missing(dtype: DType, nodata: Number | None) -> np.generic:
    try:
        value: np.generic = dtype.type(0 if nodata is None else nodata)
    except (OverflowError, ValueError) as error:
        raise SchemaError(f"nodata {nodata!r} does not fit {dtype.name}") from error
    if dtype.kind in "iu" and nodata is not None and value != nodata:
        raise SchemaError(f"nodata {nodata!r} does not fit {dtype.name}")
    return value


def pack_mask(valid: Valid, width: int, height: int) -> Pixels:
    """Pack validity into a mask tile (height, width / 8), a bit a pixel, most significant first.

    Pixels beyond the image are 0, that is invalid.
    """
    padded = np.zeros((height, width), np.bool_)
    padded[: valid.shape[0], : valid.shape[1]] = valid
    return np.packbits(padded, axis=-1)


def unpack_mask(tile: Pixels, window: Window) -> Valid:
    """Return the validity in a mask tile, inside the image."""
    bits = np.unpackbits(tile[: window.height], axis=-1, count=window.width)
    return bits.astype(np.bool_)


def _interleave(pixels: Pixels, tile: Pixels) -> bool:
    """Put ``pixels`` (samples, h, w) side by side into the upper left of ``tile``, seven times as
    fast as numpy; return False if the compiled loop does not take them."""
    samples, height, width = pixels.shape
    size = pixels.itemsize
    strides = [step // size for step in pixels.strides]
    plain = strides[2] == 1 and strides[1] >= width and strides[0] >= height * width
    if not (plain and samples in _SAMPLES and size in _SIZES and pixels.dtype == tile.dtype):
        return False
    unsigned = np.dtype(f"u{size}")
    reach = (samples - 1) * strides[0] + (height - 1) * strides[1] + width
    values = as_strided(pixels.view(unsigned), (reach,), (size,))
    across = tile.view(unsigned).reshape(len(tile), -1)
    pixel_loops.interleave(values, samples, (strides[0], strides[1]), (height, width), across)
    return True
