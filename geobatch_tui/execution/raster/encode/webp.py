"""WEBP as TIFF stores it: three bands of colour, and perhaps alpha, of uint8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.raster.encode.gdal_options import LOSSLESS
from geobatch_tui.execution.raster.encode.tile_codec import (
    check_form,
    check_likeness,
    codec_errors,
)

if TYPE_CHECKING:
    from geobatch_tui.execution.raster.types import DType, Pixels

#: The effort of lossless WEBP. GDAL's 100 takes 2.2 times as long for files that are smaller by
#: 0.4 %.
_EFFORT = 75


@dataclass(frozen=True, slots=True)
class WebpCodec:
    """WEBP of ``quality`` 1 to 99, or without loss at 100. Alpha is never lossy."""

    quality: int

    @property
    def exact(self) -> bool:
        return self.quality == LOSSLESS

    @property
    def blurs(self) -> bool:
        return not self.exact

    def store(self, tile: Pixels) -> tuple[bytes, Pixels]:
        level = _EFFORT if self.exact else self.quality
        with codec_errors("WEBP could not encode a tile"):
            data = bytes(imagecodecs.webp_encode(tile, level=level, lossless=self.exact))
        seen = self.decode(data, tile.shape, tile.dtype)
        if self.exact:
            if not np.array_equal(seen, tile):
                raise VerifyError("a tile encoded with WEBP (lossless) decodes to other pixels")
            return data, seen
        shown = None
        if tile.shape[2] == 4:
            if not np.array_equal(seen[:, :, 3], tile[:, :, 3]):
                raise VerifyError("a tile encoded with WEBP decodes to another alpha")
            shown = tile[:, :, 3] > 0
        check_likeness("WEBP", tile, seen, shown)
        return data, seen

    def decode(self, data: bytes, shape: tuple[int, ...], dtype: DType) -> Pixels:
        with codec_errors("a WEBP tile cannot be decoded"):
            # An alpha that is opaque everywhere is not stored.
            tile: Pixels = imagecodecs.webp_decode(data, hasalpha=shape[2] == 4)
        check_form("WEBP", tile, shape, dtype)
        return tile.reshape(shape)
