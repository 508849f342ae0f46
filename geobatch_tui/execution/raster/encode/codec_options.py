"""Chooses the codec for GDAL's creation options, and refuses images that it cannot hold.

The LEVEL of DEFLATE is the quickest of libdeflate whose files are as large as GDAL's with zlib at
level 6, to within 2.5 %. Differences contain few matches, so searching for them pays least there:
for a relief shaded in colours level 5 is 26 % quicker than 6, for floats level 2 by 33 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from geobatch_tui.errors import PreflightError, SchemaError
from geobatch_tui.execution.raster.encode import gdal_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geobatch_tui.execution.raster.types import Compress, Interleave, Validity

CODECS: tuple[Compress, ...] = (
    "NONE", "LZW", "DEFLATE", "ZSTD", "JPEG", "WEBP", "LERC", "LERC_DEFLATE", "LERC_ZSTD",
)  # fmt: skip
#: Codecs of pictures: bands of uint8 that belong together, by the number of them.
_COLOURS = {"JPEG": {1, 3}, "WEBP": {3}}
_DEFAULT_LEVEL = {"DEFLATE": 6, "ZSTD": 9}
#: The default level of DEFLATE by predictor.
_PREDICTED_LEVEL = {2: 5, 3: 2}
LEVELS = {"DEFLATE": (1, 12), "ZSTD": (1, 22)}
_LEVEL_KEYS = {"DEFLATE": ("LEVEL", "ZLEVEL"), "ZSTD": ("LEVEL", "ZSTD_LEVEL")}
#: The default quality, and the one that GDAL's COG driver takes for lossless WEBP.
_QUALITY, LOSSLESS = 75, 100
_QUALITY_KEYS = {"JPEG": ("QUALITY", "JPEG_QUALITY"), "WEBP": ("QUALITY", "WEBP_LEVEL")}


@dataclass(frozen=True, slots=True)
class Image:
    """The image to encode: sizes in pixels, bands including alpha, and its way to mark validity."""

    width: int
    height: int
    count: int
    dtype: str
    palette: bool
    validity: Validity


@dataclass(frozen=True, slots=True)
class CodecChoice:
    """The fields of :class:`geobatch_tui.execution.raster.plan.Encoding` of these names."""

    compress: Compress
    level: int
    predictor: int
    interleave: Interleave
    max_z_error: float


def choose(options: Mapping[str, str], image: Image) -> CodecChoice:
    """Choose the codec that ``options`` ask for.

    Raises:
        PreflightError: there is no such codec, or it has no such option or value.
        SchemaError: codec, data type and bands of this image do not go together.
    """
    asked = options.get("COMPRESS", "DEFLATE")
    compress = next((name for name in CODECS if name == asked), None)
    if compress is None:
        raise PreflightError(f"compress {asked!r} is not supported; known: {', '.join(CODECS)}")
    by_band = gdal_options.one_of(options, "INTERLEAVE", ("PIXEL", "BAND"), "PIXEL") == "BAND"
    interleave: Interleave = "band" if by_band else "pixel"
    _check_matrix(compress, image)
    if compress in _COLOURS:
        if by_band:
            raise PreflightError(f"{compress} stores bands together: interleave = PIXEL")
        quality = _quality(compress, options)
        if image.validity == "nodata" and (compress, quality) != ("WEBP", LOSSLESS):
            raise SchemaError(
                f"{compress} is lossy: nodata would be smeared into its neighbours",
                hint="set add_alpha = true, or compress = DEFLATE",
            )
        return CodecChoice(compress, quality, 1, interleave, 0.0)
    if compress.startswith("LERC"):
        _, _, outer = compress.partition("_")
        limit = gdal_options.distance(options, "MAX_Z_ERROR")
        return CodecChoice(compress, _level(outer, options, 1), 1, interleave, limit)
    predictor = _predictor(compress, options, image)
    return CodecChoice(compress, _level(compress, options, predictor), predictor, interleave, 0.0)


def _quality(compress: str, options: Mapping[str, str]) -> int:
    lossless = any(
        gdal_options.flag(options, key, default=False) for key in ("LOSSLESS", "WEBP_LOSSLESS")
    )
    if lossless and compress == "JPEG":
        raise PreflightError("JPEG is never without loss; compress = WEBP is, or DEFLATE")
    if lossless:
        return LOSSLESS
    for key in _QUALITY_KEYS[compress]:
        if key in options:
            return gdal_options.number(options, key, 0, (1, 100))
    return _QUALITY


def _level(compress: str, options: Mapping[str, str], predictor: int) -> int:
    for key in _LEVEL_KEYS.get(compress, ()):
        if key in options:
            return gdal_options.number(options, key, 0, LEVELS[compress])
    level = _DEFAULT_LEVEL.get(compress, 0)
    return _PREDICTED_LEVEL.get(predictor, level) if compress == "DEFLATE" else level


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
