"""Plans the encoding of an item from GDAL's creation options, and refuses the impossible.

Defaults, where they are ours and not GDAL's: COMPRESS=DEFLATE (GDAL: LZW for COG, none for GTiff),
PREDICTOR=YES unless the image is a palette (GDAL: NO), tiles of 512, or smaller where a smaller one
holds the whole image (GDAL: 512 for COG, strips for GTiff), overviews by averaging (GDAL: cubic),
by nearest for palettes.

The LEVEL of DEFLATE is the quickest of libdeflate whose files are as large as GDAL's with zlib at
level 6, to within 2.5 %. Differences contain few matches, so searching for them pays least there:
for a relief shaded in colours level 5 is 26 % quicker than 6, for floats level 2 by 33 %. Tiles of
differences that are mostly noise have hardly any, and are encoded by Huffman codes alone, or with
level 1 where that finds some (:mod:`.lossless`). The first takes half the time of level 1 for a
hillshade of noisy heights, whose file is 4 % smaller than with level 1; the second is 20 to 28 %
quicker than level 2 for its heights and slopes, whose files are 1 to 1.5 % larger.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from geobatch_tui.errors import PreflightError, SchemaError
from geobatch_tui.execution.raster.encode import gdal_options
from geobatch_tui.execution.raster.encode.gdal_options import LEVEL_KEYS, LEVELS, LOSSLESS
from geobatch_tui.execution.raster.kernels import convolution
from geobatch_tui.execution.raster.plan import Encoding
from geobatch_tui.execution.raster.types import Compress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.raster.types import BigTiff, Validity

CODECS: tuple[Compress, ...] = get_args(Compress.__value__)
#: Codecs of pictures: bands of uint8 that belong together, by the number of them.
_COLOURS = {"JPEG": {1, 3}, "WEBP": {3}}
_DEFAULT_LEVEL = {"DEFLATE": 6, "ZSTD": 9}
#: The default level of DEFLATE by predictor.
_PREDICTED_LEVEL = {2: 5, 3: 2}
_DEFAULT_QUALITY = 75
_OVERVIEWS = ("average", "nearest", "mode", "bilinear", "cubic")
#: Resamplings of overviews that compute no new values, as the numbers of a palette need.
_PICKING = ("nearest", "mode")


@dataclass(frozen=True, slots=True)
class Image:
    """The image to encode: sizes in pixels, bands including alpha, and its way to mark validity."""

    width: int
    height: int
    count: int
    dtype: str
    palette: bool
    validity: Validity


def plan_encoding(output: Json, image: Image) -> Encoding:
    """Plan the encoding for ``output`` (its keys ``format`` and ``creation``).

    Raises:
        PreflightError: an option is unknown, has no such value, or never fits this format.
        SchemaError: codec, data type and bands of this image do not go together.
    """
    form = str(output.get("format", "COG")).upper()
    options = gdal_options.options(form, output.get("creation") or {})
    asked = options.get("COMPRESS", "DEFLATE")
    compress = next((name for name in CODECS if name == asked), None)
    if compress is None:
        raise PreflightError(f"compress {asked!r} is not supported; known: {', '.join(CODECS)}")
    by_band = gdal_options.one_of(options, "INTERLEAVE", ("PIXEL", "BAND"), "PIXEL") == "BAND"
    _check_matrix(compress, image)
    predictor, limit, quick = 1, 0.0, False
    if compress in _COLOURS:
        if by_band:
            raise PreflightError(f"{compress} stores bands together: interleave = PIXEL")
        level = _quality(compress, options, image)
    elif compress.startswith("LERC"):
        limit = gdal_options.distance(options, "MAX_Z_ERROR")
        level = _level(compress.partition("_")[2], options, predictor)
    else:
        predictor = _predictor(compress, options, image)
        level = _level(compress, options, predictor)
        quick = _is_quick(compress, options, predictor)
    width, height = _block(form, options, image)
    return Encoding(
        format="COG" if form == "COG" else "GTiff",
        block_width=width,
        block_height=height,
        compress=compress,
        level=level,
        predictor=predictor,
        interleave="band" if by_band else "pixel",
        overviews=_overviews(form, options, image, max(width, height)),
        overview_resampling=_overview_resampling(options, image),
        bigtiff=_bigtiff(options),
        sparse=gdal_options.flag(options, "SPARSE_OK", default=False),
        max_z_error=limit,
        alpha_as_mask=compress == "JPEG" and image.validity == "alpha",
        quick=quick,
    )


def _quality(compress: str, options: Mapping[str, str], image: Image) -> int:
    lossless = any(
        gdal_options.flag(options, key, default=False) for key in ("LOSSLESS", "WEBP_LOSSLESS")
    )
    if lossless and compress == "JPEG":
        raise PreflightError("JPEG is never without loss; compress = WEBP is, or DEFLATE")
    quality = LOSSLESS
    if not lossless:
        key = next((key for key in LEVEL_KEYS[compress] if key in options), "QUALITY")
        quality = gdal_options.number(options, key, _DEFAULT_QUALITY, (1, 100))
    if image.validity == "nodata" and (compress, quality) != ("WEBP", LOSSLESS):
        raise SchemaError(
            f"{compress} is lossy: nodata would be smeared into its neighbours",
            hint="set add_alpha = true, or compress = DEFLATE",
        )
    return quality


def _level(compress: str, options: Mapping[str, str], predictor: int) -> int:
    for key in LEVEL_KEYS.get(compress, ()):
        if key in options:
            return gdal_options.number(options, key, 0, LEVELS[compress])
    level = _DEFAULT_LEVEL.get(compress, 0)
    return _PREDICTED_LEVEL.get(predictor, level) if compress == "DEFLATE" else level


def _is_quick(compress: str, options: Mapping[str, str], predictor: int) -> bool:
    """Whether tiles of noise get the quickest level: where nobody asked for another."""
    asked = any(key in options for key in LEVEL_KEYS.get(compress, ()))
    return compress == "DEFLATE" and predictor != 1 and not asked


def _predictor(compress: str, options: Mapping[str, str], image: Image) -> int:
    floating = image.dtype.startswith("float")
    fitting = 3 if floating else 2
    default = "NO" if image.palette or compress == "NONE" else "YES"
    asked = options.get("PREDICTOR", default)
    known = {"YES": fitting, "STANDARD": 2, "FLOATING_POINT": 3, "NO": 1, "1": 1, "2": 2, "3": 3}
    if asked not in known:
        raise PreflightError(f"predictor = {asked!r}; known: {', '.join(known)}")
    predictor = known[asked]
    if predictor == 3 and not floating:
        raise SchemaError(
            f"predictor 3 is for floating-point pixels, these are {image.dtype}",
            hint="predictor = YES chooses what fits",
        )
    if predictor != 1 and compress == "NONE":
        raise PreflightError("a predictor without compression has no effect: compress = NONE")
    return predictor


def _check_matrix(compress: str, image: Image) -> None:
    """Raise SchemaError where codec, data type, bands and validity do not go together."""
    if image.palette and compress in {"JPEG", "WEBP"}:
        raise SchemaError(f"{compress} would blend the numbers of a palette; compress = DEFLATE")
    allowed = _COLOURS.get(compress)
    colours = image.count - (image.validity == "alpha")
    if allowed is not None and (image.dtype != "uint8" or colours not in allowed):
        counts = " or ".join(str(n) for n in sorted(allowed))
        raise SchemaError(
            f"{compress} takes {counts} uint8 bands (and alpha); these are {colours} {image.dtype}",
            hint="choose compress = DEFLATE, ZSTD or LERC",
        )
    if compress.startswith("LERC") and image.dtype in {"int64", "uint64"}:
        raise SchemaError(f"LERC has no {image.dtype} pixels; compress = DEFLATE or ZSTD")


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
