"""LERC as TIFF stores it: values within a limit of what they were, NaN by masks.

Like libtiff: bands that are NaN at the same pixels share one mask, else each band has its own and
bands lie one after the other. The blob may be compressed as a whole.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import imagecodecs
import numpy as np

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.raster.encode.tile_codec import check_form, codec_errors

if TYPE_CHECKING:
    from collections.abc import Buffer, Callable

    from geobatch_tui.execution.raster.encode.lossless import Codec
    from geobatch_tui.execution.raster.types import DType, Number, Pixels

#: The version of LERC's own format that GDAL writes: all readers know it.
VERSION = 4
#: Decoding rounds floats once more: by so many units in the last place beyond the limit.
_ROUNDING = 4.0
_UNWRAP: dict[str, Callable[[bytes], Buffer]] = {
    "DEFLATE": zlib.decompress,
    "ZSTD": imagecodecs.zstd_decode,
}


@dataclass(frozen=True, slots=True)
class LercCodec:
    """LERC with values at most ``max_z_error`` off; ``outer`` compresses the blob, or is NONE.

    ``nodata``: pixels that have it keep it, and no others get it; tiles where the limit would
    change that are stored without loss. ``alpha``: the last band is alpha, whose zeros are kept in
    the same way. ``exact``: nothing is lost but the sign of zeros and the kinds of NaN.
    """

    max_z_error: float
    outer: Codec
    nodata: Number | None
    alpha: bool
    exact: bool
    blurs: ClassVar[bool] = False

    def store(self, tile: Pixels) -> tuple[bytes, Pixels]:
        if tile.dtype.kind == "f":
            # Without the sign of zeros: a tile gives the same bytes before and after a round trip.
            tile = tile + tile.dtype.type(0)
        limits = [0.0] if self.exact else [self.max_z_error, 0.0]
        for limit in limits:
            blob = _encode(tile, limit)
            seen = _decode(blob, tile.shape, tile.dtype)
            if self._holds(tile, seen, limit):
                if self.outer.compress != "NONE":
                    blob = self.outer.encode(np.frombuffer(blob, np.uint8).reshape(1, -1, 1))
                return blob, seen
        raise VerifyError(f"a tile encoded with LERC is more than {self.max_z_error} off")

    def decode(self, data: bytes, shape: tuple[int, ...], dtype: DType) -> Pixels:
        if self.outer.compress != "NONE":
            with codec_errors("a LERC tile cannot be decompressed"):
                data = bytes(_UNWRAP[self.outer.compress](data))
        return _decode(data, shape, dtype)

    def _holds(self, tile: Pixels, seen: Pixels, limit: float) -> bool:
        if not limit:
            return np.array_equal(seen, tile, equal_nan=tile.dtype.kind == "f")
        if not self._holds_validity(tile, seen):
            return False
        if tile.dtype.kind != "f":
            # Modulo the type's size, which is right for the larger less the smaller one.
            off = np.maximum(seen, tile) - np.minimum(seen, tile)
            return bool((off.view(f"u{tile.itemsize}") <= limit).all())
        if not np.array_equal(np.isnan(seen), np.isnan(tile)):
            return False
        same = (seen == tile) | np.isnan(tile)
        with np.errstate(invalid="ignore"):
            off = np.abs(seen - tile.astype(np.float64))
        slack = _ROUNDING * np.spacing(np.abs(tile))
        return bool((same | (off <= limit + slack)).all())

    def _holds_validity(self, tile: Pixels, seen: Pixels) -> bool:
        if self.alpha:
            return np.array_equal(seen[:, :, -1] == 0, tile[:, :, -1] == 0)
        if self.nodata is None:
            return True
        nodata = tile.dtype.type(self.nodata)
        return np.array_equal(seen == nodata, tile == nodata)


def _encode(tile: Pixels, limit: float) -> bytes:
    masks = planar = None
    image = tile[:, :, 0] if tile.shape[2] == 1 else tile
    if tile.dtype.kind == "f":
        valid = ~np.isnan(tile)
        if (valid != valid[:, :, :1]).any():
            image = np.ascontiguousarray(np.moveaxis(tile, -1, 0))
            masks = np.ascontiguousarray(np.moveaxis(valid, -1, 0))
            planar = True
    with codec_errors("LERC could not encode a tile"):
        data = imagecodecs.lerc_encode(
            image, level=limit, version=VERSION, masks=masks, planar=planar
        )
        return bytes(data)


def _decode(blob: bytes, shape: tuple[int, ...], dtype: DType) -> Pixels:
    valid: Any  # None where all are valid
    with codec_errors("a LERC tile cannot be decoded"):
        tile, valid = imagecodecs.lerc_decode(blob, masks=True)
    if valid is not None and valid.ndim == 3:
        # A mask for each band: then bands lie one after the other.
        tile, valid = np.moveaxis(tile, 0, -1), np.moveaxis(valid, 0, -1)
    check_form("LERC", tile, shape, dtype)
    tile = np.ascontiguousarray(tile).reshape(shape)
    if valid is not None and dtype.kind == "f":
        tile[~valid] = np.nan
    return tile
