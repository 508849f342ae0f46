"""Chooses the codec of an item's tiles, and its tags in the TIFF directory."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from geobatch_tui.execution.raster.encode import lossless
from geobatch_tui.execution.raster.encode import tiff_tag as tag
from geobatch_tui.execution.raster.encode.jpeg import JpegCodec
from geobatch_tui.execution.raster.encode.lerc import VERSION, LercCodec
from geobatch_tui.execution.raster.encode.lossless import Codec
from geobatch_tui.execution.raster.encode.tiff_tag import Tag, short
from geobatch_tui.execution.raster.encode.webp import WebpCodec

if TYPE_CHECKING:
    from geobatch_tui.execution.raster.encode.tile_codec import TileCodec
    from geobatch_tui.execution.raster.plan import RasterPlan

_JPEG, _WEBP, _LERC = 7, 50001, 34887
#: The codec that compresses the blobs of LERC, and its number in tag 50674.
LERC_OUTER = {"LERC": ("NONE", 0), "LERC_DEFLATE": ("DEFLATE", 1), "LERC_ZSTD": ("ZSTD", 2)}


def codec_of(plan: RasterPlan) -> TileCodec:
    """Return the codec of the image tiles. Raises OperationError if there is no such codec."""
    encoding = plan.encoding
    if encoding.compress == "JPEG":
        return JpegCodec(encoding.level, plan.count)
    if encoding.compress == "WEBP":
        return WebpCodec(encoding.level)
    if encoding.compress in LERC_OUTER:
        limit = encoding.max_z_error
        return LercCodec(
            max_z_error=limit,
            outer=Codec(LERC_OUTER[encoding.compress][0], encoding.level, 1),
            nodata=plan.nodata,
            alpha=plan.validity == "alpha",
            # A limit below 1 changes no whole number.
            exact=limit == 0 if plan.dtype.startswith("float") else limit < 1,
        )
    return lossless_codec_of(plan)


def lossless_codec_of(plan: RasterPlan) -> Codec:
    """Return the codec of a plan whose tiles are compressed bytes. Raises OperationError."""
    encoding = plan.encoding
    lossless.check(encoding.compress, encoding.level, encoding.predictor, plan.dtype)
    return Codec(encoding.compress, encoding.level, encoding.predictor, encoding.quick)


def compression_tags(plan: RasterPlan) -> tuple[Tag, ...]:
    """Return the tags of an image directory for the compression of its tiles."""
    encoding = plan.encoding
    compress = encoding.compress
    if compress == "JPEG":
        tables = JpegCodec(encoding.level, plan.count).tables
        shared = Tag(tag.JPEG_TABLES, tag.UNDEFINED, len(tables), tables)
        return short(tag.COMPRESSION, _JPEG), shared
    if compress == "WEBP":
        return (short(tag.COMPRESSION, _WEBP),)
    if compress in LERC_OUTER:
        parameters = struct.pack("<2I", VERSION, LERC_OUTER[compress][1])
        return short(tag.COMPRESSION, _LERC), Tag(tag.LERC_PARAMETERS, tag.LONG, 2, parameters)
    number = short(tag.COMPRESSION, tag.COMPRESSIONS[compress])
    return (number,) if compress == "NONE" else (number, short(tag.PREDICTOR, encoding.predictor))
