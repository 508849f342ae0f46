"""The codec of an item's tiles, and what the TIFF directory says of it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Protocol

from geobatch_tui.execution.raster.encode import lossless
from geobatch_tui.execution.raster.encode.jpeg import JpegCodec
from geobatch_tui.execution.raster.encode.lerc import VERSION, LercCodec
from geobatch_tui.execution.raster.encode.lossless import Codec
from geobatch_tui.execution.raster.encode.tiff_tag import LONG, UNDEFINED, Tag, short
from geobatch_tui.execution.raster.encode.webp import WebpCodec

if TYPE_CHECKING:
    import numpy as np

    from geobatch_tui.execution.raster.pixel_types import Pixels
    from geobatch_tui.execution.raster.plan import RasterPlan

_JPEG, _WEBP, _LERC = 7, 50001, 34887
#: What compresses the blobs of LERC, and its number in tag 50674.
LERC_OUTER = {"LERC": ("NONE", 0), "LERC_DEFLATE": ("DEFLATE", 1), "LERC_ZSTD": ("ZSTD", 2)}


class TileCodec(Protocol):
    """Turns tiles (height, width, samples) into bytes and back.

    ``exact``: a tile that was decoded gives the same bytes, and the same overviews, as the one
    that was encoded. ``blurs``: what a pixel becomes depends on those around it.
    """

    @property
    def exact(self) -> bool: ...

    @property
    def blurs(self) -> bool: ...

    def store(self, tile: Pixels) -> tuple[bytes, Pixels]:
        """Encode, decode and compare a tile; its bytes, and what a reader will see. Raises
        VerifyError."""
        ...

    def decode(self, data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Pixels:
        """The tile that ``data`` holds. Raises VerifyError."""
        ...


def codec_of(plan: RasterPlan) -> TileCodec:
    """The codec of the image tiles. Raises OperationError if there is no such codec."""
    encoding = plan.encoding
    if encoding.compress == "JPEG":
        return JpegCodec(encoding.level, plan.count)
    if encoding.compress == "WEBP":
        return WebpCodec(encoding.level)
    if encoding.compress in LERC_OUTER:
        outer = Codec(LERC_OUTER[encoding.compress][0], encoding.level, 1)
        return LercCodec(
            max_z_error=encoding.max_z_error,
            outer=outer,
            nodata=plan.nodata,
            alpha=plan.validity == "alpha",
            exact=_keeps_all(plan),
        )
    return lossless_codec_of(plan)


def _keeps_all(plan: RasterPlan) -> bool:
    """Whole numbers are off by whole numbers."""
    limit = plan.encoding.max_z_error
    return limit == 0 if plan.dtype.startswith("float") else limit < 1


def lossless_codec_of(plan: RasterPlan) -> Codec:
    """The codec of a plan whose tiles are compressed bytes. Raises OperationError for others."""
    encoding = plan.encoding
    lossless.check(encoding.compress, encoding.level, encoding.predictor, plan.dtype)
    return Codec(encoding.compress, encoding.level, encoding.predictor)


def compression_tags(plan: RasterPlan) -> tuple[Tag, ...]:
    """The tags of an image directory that say how its tiles are compressed."""
    encoding = plan.encoding
    compress = encoding.compress
    if compress == "JPEG":
        tables = JpegCodec(encoding.level, plan.count).tables
        return short(259, _JPEG), Tag(347, UNDEFINED, len(tables), tables)
    if compress == "WEBP":
        return (short(259, _WEBP),)
    if compress in LERC_OUTER:
        parameters = struct.pack("<2I", VERSION, LERC_OUTER[compress][1])
        return short(259, _LERC), Tag(50674, LONG, 2, parameters)
    number = short(259, lossless.COMPRESSION_TAGS[compress])
    return (number,) if compress == "NONE" else (number, short(317, encoding.predictor))
