"""Plans the encoding of an item from GDAL's creation options, and refuses the impossible.

Defaults, where they are ours and not GDAL's: COMPRESS=DEFLATE (GDAL: LZW for COG, none for GTiff),
PREDICTOR=YES unless the image is a palette (GDAL: NO), tiles of 512, or smaller where a smaller one
holds the whole image (GDAL: 512 for COG, strips for GTiff), overviews by averaging (GDAL: cubic),
by nearest for palettes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from geobatch_tui.errors import PreflightError, SchemaError
from geobatch_tui.execution.raster.encode import codec_options, gdal_options
from geobatch_tui.execution.raster.kernels import convolution
from geobatch_tui.execution.raster.plan import Encoding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.raster.encode.codec_options import Image
    from geobatch_tui.execution.raster.types import BigTiff

_OVERVIEWS = ("average", "nearest", "mode", "bilinear", "cubic")
#: Resamplings of overviews that compute no new values, as the numbers of a palette need.
_PICKING = ("nearest", "mode")


def plan_encoding(output: Json, image: Image) -> Encoding:
    """Plan the encoding for ``output`` (its keys ``format`` and ``creation``).

    Raises:
        PreflightError: an option is unknown, has no such value, or never fits this format.
        SchemaError: codec, data type and bands of this image do not go together.
    """
    form = str(output.get("format", "COG")).upper()
    options = gdal_options.options(form, output.get("creation") or {})
    codec = codec_options.choose(options, image)
    width, height = _block(form, options, image)
    return Encoding(
        format="COG" if form == "COG" else "GTiff",
        block_width=width,
        block_height=height,
        compress=codec.compress,
        level=codec.level,
        predictor=codec.predictor,
        interleave=codec.interleave,
        overviews=_overviews(form, options, image, max(width, height)),
        overview_resampling=_overview_resampling(options, image),
        bigtiff=_bigtiff(options),
        sparse=gdal_options.flag(options, "SPARSE_OK", default=False),
        max_z_error=codec.max_z_error,
        alpha_as_mask=codec.compress == "JPEG" and image.validity == "alpha",
    )


def _block(form: str, options: Mapping[str, str], image: Image) -> tuple[int, int]:
    if not gdal_options.flag(options, "TILED", default=True):
        raise PreflightError("tiled = no is not supported: chunks are written as tiles")
    # A tile is padded to its full size: thousands of small images would be mostly padding.
    fitting = [min(-(-side // 16) * 16, 512) for side in (image.width, image.height)]
    square = gdal_options.number(options, "BLOCKSIZE", max(fitting), (16, 8192))
    if form != "GTIFF":
        width = height = square
    else:
        own = [square, square] if "BLOCKSIZE" in options else fitting
        width = gdal_options.number(options, "BLOCKXSIZE", own[0], (16, 8192))
        height = gdal_options.number(options, "BLOCKYSIZE", own[1], (16, 8192))
    if width % 16 or height % 16:
        raise PreflightError(f"blocks of {width}x{height} pixels; TIFF wants multiples of 16")
    return width, height


def _overviews(
    form: str, options: Mapping[str, str], image: Image, block: int
) -> tuple[tuple[int, int], ...]:
    asked = options.get("OVERVIEWS", "AUTO" if form == "COG" else "NO")
    if asked in {"NONE", *gdal_options.NO}:
        return ()
    if asked not in {"AUTO", "IGNORE_EXISTING", *gdal_options.YES}:
        raise PreflightError(f"overviews = {asked!r}; known: AUTO, NONE")
    count = gdal_options.number(options, "OVERVIEW_COUNT", -1, (0, 30))
    sizes: list[tuple[int, int]] = []
    width, height = image.width, image.height
    while max(width, height) > (block if count < 0 else 1) and len(sizes) != count:
        width, height = -(-width // 2), -(-height // 2)
        sizes.append((width, height))
    return tuple(sizes)


def _overview_resampling(options: Mapping[str, str], image: Image) -> str:
    default = "NEAREST" if image.palette else "AVERAGE"
    known = tuple(name.upper() for name in _OVERVIEWS)
    value = gdal_options.one_of(options, "OVERVIEW_RESAMPLING", known, default).lower()
    if image.palette and value not in _PICKING:
        raise SchemaError("the overviews of a palette cannot be means of its numbers")
    if value in convolution.MARGINS and image.dtype in {"int64", "uint64"}:
        raise SchemaError(
            f"overviews by {value} are computed as float64, which cannot hold all {image.dtype}",
            hint="overview_resampling = average is exact",
        )
    return value


def _bigtiff(options: Mapping[str, str]) -> BigTiff:
    known: tuple[BigTiff | Literal["IF_SAFER"], ...] = ("YES", "NO", "IF_NEEDED", "IF_SAFER")
    value = gdal_options.one_of(options, "BIGTIFF", known, "IF_NEEDED")
    # The size is known before the header is written, so there is nothing to guess.
    return "IF_NEEDED" if value == "IF_SAFER" else value
