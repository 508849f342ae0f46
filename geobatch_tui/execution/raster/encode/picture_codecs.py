"""JPEG and WEBP as TIFF stores them, and the check that a lossy codec kept a picture.

JPEG is a stream a tile, whose quantisation tables stand once in the directory. Three bands are
stored as YCbCr with chroma at half the resolution, one band as grey, as by GDAL's COG driver. Each
tile has Huffman tables of its own, which makes it smaller by a tenth to a half.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import imagecodecs
import numpy as np

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.raster.encode.gdal_options import LOSSLESS
from geobatch_tui.execution.raster.encode.tile_codec import check_form, codec_errors

if TYPE_CHECKING:
    from geobatch_tui.execution.raster.types import DType, Pixels, Valid

#: Markers of JPEG, ITU-T T.81, table B.1.
_START, _END = b"\xff\xd8", b"\xff\xd9"
_SCAN, _QUANTISATION, _JFIF = 0xDA, 0xDB, 0xE0
#: The effort of lossless WEBP. GDAL's 100 takes 2.2 times as long for files that are smaller by
#: 0.4 %.
_EFFORT = 75
#: The mean of a band may move by this much of the 8-bit range. JPEG at quality 1 rounds brightness
#: and colour to steps of 32, which moves blue by up to 44; a tile that was lost is further off.
LIMIT = 64.0


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


@dataclass(frozen=True, slots=True)
class WebpCodec:
    """WEBP of ``quality`` 1 to 99, or without loss at 100, for tiles of three bands of uint8, and
    perhaps alpha, which is never lossy."""

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


def check_likeness(name: str, tile: Pixels, seen: Pixels, shown: Valid | None = None) -> None:
    """Compare the means of bands of uint8 tiles (height, width, samples).

    Args:
        name: the codec, for the message.
        tile: the tile that was encoded.
        seen: the tile that it decodes to.
        shown: (height, width), pixels that count; None: all.

    Raises:
        VerifyError: a band moved as a whole.
    """
    count = tile.shape[0] * tile.shape[1] if shown is None else int(shown.sum())
    if not count:
        return
    off = float(np.abs(_sums(tile, shown) - _sums(seen, shown)).max()) / count
    if off > LIMIT:
        raise VerifyError(
            f"a {name} tile decodes to other colours, {off:.0f} off on average",
            hint=f"{name} moves colours less than that at any quality: its encoder fails on this "
            "tile; choose compress = DEFLATE, which loses nothing",
        )


def _sums(tile: Pixels, shown: Valid | None) -> Pixels:
    """Return the sum of each band. Rows first: they lie one after the other in memory."""
    if shown is not None:
        tile = tile * shown[:, :, np.newaxis]
    height, width, samples = tile.shape
    columns: Pixels = tile.reshape(height, width * samples).sum(axis=0, dtype=np.int64)
    return columns.reshape(width, samples).sum(axis=0)
