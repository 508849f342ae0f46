"""JPEG as TIFF stores it: a stream a tile, whose quantisation tables stand once in the directory.

Three bands are stored as YCbCr with chroma at half the resolution, one band as grey, as by GDAL's
COG driver. Each tile has Huffman tables of its own, which makes it smaller by a tenth to a half.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import imagecodecs
import numpy as np

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.raster.encode.tile_codec import (
    check_form,
    check_likeness,
    codec_errors,
)

if TYPE_CHECKING:
    from geobatch_tui.execution.raster.types import DType, Pixels

#: Markers of JPEG, ITU-T T.81, table B.1.
_START, _END = b"\xff\xd8", b"\xff\xd9"
_SCAN, _QUANTISATION, _JFIF = 0xDA, 0xDB, 0xE0


@dataclass(frozen=True, slots=True)
class JpegCodec:
    """JPEG of ``quality`` 1 to 100 for tiles of 1 or 3 ``samples`` of uint8."""

    quality: int
    samples: int
    exact: ClassVar[bool] = False
    blurs: ClassVar[bool] = True

    @property
    def tables(self) -> bytes:
        """TIFF's tag JPEGTables: the tables that all tiles share."""
        return _tables(self.quality, self.samples)

    def store(self, tile: Pixels) -> tuple[bytes, Pixels]:
        tables, data = _split(_encode(tile, self.quality))
        if tables != self.tables:
            raise VerifyError("a JPEG tile has other quantisation tables than its quality gives")
        seen = self.decode(data, tile.shape, tile.dtype)
        check_likeness("JPEG", tile, seen)
        return data, seen

    def decode(self, data: bytes, shape: tuple[int, ...], dtype: DType) -> Pixels:
        stored, wanted = ("YCBCR", "RGB") if self.samples == 3 else (None, None)
        with codec_errors("a JPEG tile cannot be decoded"):
            tile: Pixels = imagecodecs.jpeg8_decode(
                data, tables=self.tables, colorspace=stored, outcolorspace=wanted
            )
        check_form("JPEG", tile, shape, dtype)
        return tile.reshape(shape)


@lru_cache(maxsize=8)
def _tables(quality: int, samples: int) -> bytes:
    return _split(_encode(np.zeros((16, 16, samples), np.uint8), quality))[0]


def _encode(tile: Pixels, quality: int) -> bytes:
    colours: dict[str, Any] = {}
    if tile.shape[2] == 3:
        colours = {"colorspace": "RGB", "outcolorspace": "YCBCR", "subsampling": "420"}
    image = tile if colours else tile[:, :, 0]
    with codec_errors("JPEG could not encode a tile"):
        return bytes(imagecodecs.jpeg8_encode(image, level=quality, optimize=True, **colours))


def _split(data: bytes) -> tuple[bytes, bytes]:
    """Split a stream into its quantisation tables, and the stream without them and without the
    header of a JFIF file: both as streams of their own."""
    tables, segments = [], []
    at = len(_START)
    while data[at + 1] != _SCAN:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == _QUANTISATION:
            tables.append(data[at:end])
        elif data[at + 1] != _JFIF:
            segments.append(data[at:end])
        at = end
    return b"".join([_START, *tables, _END]), b"".join([_START, *segments, data[at:]])
