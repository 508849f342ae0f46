"""From GDAL's creation options to an :class:`Encoding`, refusing what cannot be written.

Defaults, where they are ours and not GDAL's: COMPRESS=DEFLATE (GDAL: LZW for COG, none for GTiff),
PREDICTOR=YES unless the image is a palette (GDAL: NO), tiles of 512, or smaller where a smaller one
holds the whole image (GDAL: 512 for COG, strips for GTiff), overviews by averaging (GDAL: cubic),
by nearest for palettes.

The LEVEL of DEFLATE is the quickest of libdeflate whose files are as large as GDAL's with zlib at
level 6, to within 2.5 %. Differences have few matches to be found, so the search for them pays
least there: for a relief shaded in colours level 5 is 26 % quicker than 6, for floats level 2 by
33 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from geobatch_tui.errors import PreflightError, SchemaError
from geobatch_tui.execution.raster import convolution
from geobatch_tui.execution.raster.plan import Encoding

if TYPE_CHECKING:
    from collections.abc import Mapping

OWN_CODECS = ("NONE", "LZW", "DEFLATE", "ZSTD")
COPY_CODECS = ("JPEG", "WEBP", "LERC", "LERC_DEFLATE", "LERC_ZSTD")
_DEFAULT_LEVEL = {"DEFLATE": 6, "ZSTD": 9}
#: Of DEFLATE, by predictor.
_PREDICTED_LEVEL = {2: 5, 3: 2}
_LEVELS = {"DEFLATE": (1, 12), "ZSTD": (1, 22)}
_OVERVIEWS = ("average", "nearest", "mode", "bilinear", "cubic")
#: Overviews that only pick values that were there, as numbers of a palette need.
_PICKING = ("nearest", "mode")
_YES, _NO = {"YES", "TRUE", "ON", "1"}, {"NO", "FALSE", "OFF", "0"}
_COMMON = {
    "COMPRESS", "LEVEL", "PREDICTOR", "BLOCKSIZE", "BIGTIFF", "SPARSE_OK", "OVERVIEWS",
    "OVERVIEW_RESAMPLING", "INTERLEAVE",
}  # fmt: skip
_ALLOWED = {
    "COG": _COMMON | {"OVERVIEW_COUNT", "QUALITY", "MAX_Z_ERROR", "LOSSLESS", "ADD_MASK"},
    "GTIFF": _COMMON | {"TILED", "BLOCKXSIZE", "BLOCKYSIZE", "ZLEVEL", "ZSTD_LEVEL"},
}
_COPIED = ("QUALITY", "MAX_Z_ERROR", "LOSSLESS", "LEVEL")


@dataclass(frozen=True, slots=True)
class Image:
    """What is to be encoded: sizes in pixels, bands with alpha, and how validity is kept."""

    width: int
    height: int
    count: int
    dtype: str
    palette: bool
    validity: str


def plan_encoding(output: Mapping[str, Any], image: Image) -> Encoding:
    """The encoding for ``output`` (its keys ``format`` and ``creation``).

    Raises:
        PreflightError: an option is unknown, has no such value, or never fits this format.
        SchemaError: codec, data type and bands of this image do not go together.
    """
    form = str(output.get("format", "COG")).upper()
    options = _options(form, output.get("creation") or {})
    compress = options.get("COMPRESS", "DEFLATE")
    if compress in COPY_CODECS:
        return _by_driver(form, compress, options, image)
    if compress not in OWN_CODECS:
        raise PreflightError(
            f"compress {compress!r} is not supported; known: {', '.join(OWN_CODECS + COPY_CODECS)}"
        )
    width, height = _block(form, options, image)
    predictor = _predictor(compress, options, image)
    return Encoding(
        format="COG" if form == "COG" else "GTiff",
        block_width=width,
        block_height=height,
        compress=compress,
        level=_level(compress, options, predictor),
        predictor=predictor,
        interleave=_one_of(options, "INTERLEAVE", ("PIXEL", "BAND"), "PIXEL").lower(),
        overviews=_overviews(form, options, image, max(width, height)),
        overview_resampling=_overview_resampling(options, image),
        bigtiff=_bigtiff(options),
        sparse=_flag(options, "SPARSE_OK", default=False),
    )


def _options(form: str, creation: Mapping[str, Any]) -> dict[str, str]:
    if form not in _ALLOWED:
        raise PreflightError(f"output.format {form!r} is not a raster format; known: COG, GTiff")
    options = {}
    for name, value in creation.items():
        key = str(name).upper()
        if key not in _ALLOWED[form]:
            near = get_close_matches(key, _ALLOWED[form], 1)
            known = f"did you mean {near[0].lower()!r}?" if near else "see `geobatch ops`"
            raise PreflightError(f"{form} has no creation option {name!r}; {known}")
        text = ("YES" if value else "NO") if isinstance(value, bool) else str(value)
        options[key] = text.upper()
    return options


def _one_of(options: Mapping[str, str], key: str, known: tuple[str, ...], default: str) -> str:
    value = options.get(key, default)
    if value not in known:
        raise PreflightError(f"{key.lower()} = {value!r}; known: {', '.join(known)}")
    return value


def _flag(options: Mapping[str, str], key: str, *, default: bool) -> bool:
    value = options.get(key)
    if value is None:
        return default
    if value not in _YES | _NO:
        raise PreflightError(f"{key.lower()} = {value!r}; known: YES, NO")
    return value in _YES


def _number(options: Mapping[str, str], key: str, default: int, limits: tuple[int, int]) -> int:
    text = options.get(key)
    if text is None:
        return default
    if not text.isdecimal() or not limits[0] <= int(text) <= limits[1]:
        raise PreflightError(f"{key.lower()} = {text!r}; from {limits[0]} to {limits[1]}")
    return int(text)


def _block(form: str, options: Mapping[str, str], image: Image) -> tuple[int, int]:
    if not _flag(options, "TILED", default=True):
        raise PreflightError("tiled = no is not supported: chunks are written as tiles")
    # A tile is padded to its full size: thousands of small images would be mostly padding.
    fitting = [min(-(-side // 16) * 16, 512) for side in (image.width, image.height)]
    square = _number(options, "BLOCKSIZE", max(fitting), (16, 8192))
    if form != "GTIFF":
        width = height = square
    else:
        own = [square, square] if "BLOCKSIZE" in options else fitting
        width = _number(options, "BLOCKXSIZE", own[0], (16, 8192))
        height = _number(options, "BLOCKYSIZE", own[1], (16, 8192))
    if width % 16 or height % 16:
        raise PreflightError(f"blocks of {width}x{height} pixels; TIFF wants multiples of 16")
    return width, height


def _level(compress: str, options: Mapping[str, str], predictor: int) -> int:
    keys = {"DEFLATE": ("LEVEL", "ZLEVEL"), "ZSTD": ("LEVEL", "ZSTD_LEVEL")}.get(compress, ())
    for key in keys:
        if key in options:
            return _number(options, key, 0, _LEVELS[compress])
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


def _overviews(
    form: str, options: Mapping[str, str], image: Image, block: int
) -> tuple[tuple[int, int], ...]:
    asked = options.get("OVERVIEWS", "AUTO" if form == "COG" else "NO")
    if asked in {"NONE", *_NO}:
        return ()
    if asked not in {"AUTO", "IGNORE_EXISTING", *_YES}:
        raise PreflightError(f"overviews = {asked!r}; known: AUTO, NONE")
    count = _number(options, "OVERVIEW_COUNT", -1, (0, 30))
    sizes: list[tuple[int, int]] = []
    width, height = image.width, image.height
    while max(width, height) > (block if count < 0 else 1) and len(sizes) != count:
        width, height = -(-width // 2), -(-height // 2)
        sizes.append((width, height))
    return tuple(sizes)


def _overview_resampling(options: Mapping[str, str], image: Image) -> str:
    default = "NEAREST" if image.palette else "AVERAGE"
    known = tuple(name.upper() for name in _OVERVIEWS)
    value = _one_of(options, "OVERVIEW_RESAMPLING", known, default).lower()
    if image.palette and value not in _PICKING:
        raise SchemaError("the overviews of a palette cannot be means of its numbers")
    if value in convolution.MARGINS and image.dtype in {"int64", "uint64"}:
        raise SchemaError(
            f"overviews by {value} are computed as float64, which cannot hold all {image.dtype}",
            hint="overview_resampling = average is exact",
        )
    return value


def _bigtiff(options: Mapping[str, str]) -> str:
    value = _one_of(options, "BIGTIFF", ("YES", "NO", "IF_NEEDED", "IF_SAFER"), "IF_NEEDED")
    # The size is known before the header is written, so there is nothing to guess.
    return "IF_NEEDED" if value == "IF_SAFER" else value


# --- codecs that only GDAL writes --------------------------------------------------------------


def _by_driver(form: str, compress: str, options: Mapping[str, str], image: Image) -> Encoding:
    if form != "COG":
        raise PreflightError(f"compress = {compress} is written as a COG only; format = 'COG'")
    _check_matrix(compress, image)
    size, _ = _block(form, options, image)
    sizes = _overviews(form, options, image, size)
    resampling = _overview_resampling(options, image)
    copied = {
        "COMPRESS": compress,
        "BLOCKSIZE": str(size),
        "BIGTIFF": _bigtiff(options),
        "OVERVIEWS": "AUTO" if sizes else "NONE",
        "OVERVIEW_RESAMPLING": resampling.upper(),
        **{key: options[key] for key in _COPIED if key in options},
    }
    if "OVERVIEW_COUNT" in options:
        copied["OVERVIEW_COUNT"] = options["OVERVIEW_COUNT"]
    plain = Image(image.width, image.height, image.count, image.dtype, image.palette, "none")
    return Encoding(
        format="COG",
        block_width=size,
        block_height=size,
        compress="ZSTD",
        level=1,
        predictor=_predictor("ZSTD", {}, plain),
        interleave="pixel",
        overviews=(),
        overview_resampling=resampling,
        bigtiff="IF_NEEDED",
        driver_copy=copied,
    )


def _check_matrix(compress: str, image: Image) -> None:
    """Raises SchemaError where codec, data type, bands and validity do not go together."""
    if image.palette and compress in {"JPEG", "WEBP"}:
        raise SchemaError(f"{compress} would blend the numbers of a palette; compress = DEFLATE")
    allowed = {"JPEG": {1, 3}, "WEBP": {3}}.get(compress)
    colours = image.count - (image.validity == "alpha")
    if allowed is not None and (image.dtype != "uint8" or colours not in allowed):
        counts = " or ".join(str(n) for n in sorted(allowed))
        raise SchemaError(
            f"{compress} takes {counts} uint8 bands (and alpha); these are {colours} {image.dtype}",
            hint="choose compress = DEFLATE, ZSTD or LERC",
        )
    if compress in {"JPEG", "WEBP"} and image.validity == "nodata":
        raise SchemaError(
            f"{compress} is lossy: nodata would be smeared into its neighbours",
            hint="set add_alpha = true, or compress = DEFLATE",
        )
    if compress.startswith("LERC") and image.dtype in {"int64", "uint64"}:
        raise SchemaError(f"LERC has no {image.dtype} pixels; compress = DEFLATE or ZSTD")
