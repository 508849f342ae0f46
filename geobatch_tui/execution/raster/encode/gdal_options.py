"""Reads and checks creation options by GDAL's names."""

from __future__ import annotations

import math
from difflib import get_close_matches
from typing import TYPE_CHECKING

from geobatch_tui.errors import PreflightError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geobatch_tui.execution.protocol.messages import Json

#: The scales of codecs with levels.
LEVELS = {"DEFLATE": (1, 12), "ZSTD": (1, 22)}
#: The options for the level or quality of a codec: of the COG driver, of the GTiff driver.
LEVEL_KEYS = {
    "DEFLATE": ("LEVEL", "ZLEVEL"),
    "ZSTD": ("LEVEL", "ZSTD_LEVEL"),
    "JPEG": ("QUALITY", "JPEG_QUALITY"),
    "WEBP": ("QUALITY", "WEBP_LEVEL"),
}
#: The quality that GDAL's COG driver takes for lossless WEBP.
LOSSLESS = 100
YES, NO = {"YES", "TRUE", "ON", "1"}, {"NO", "FALSE", "OFF", "0"}
_COMMON = {
    "COMPRESS", "LEVEL", "PREDICTOR", "BLOCKSIZE", "BIGTIFF", "SPARSE_OK", "OVERVIEWS",
    "OVERVIEW_RESAMPLING", "INTERLEAVE", "QUALITY", "MAX_Z_ERROR", "LOSSLESS",
}  # fmt: skip
#: Options by format.
ALLOWED = {
    "COG": _COMMON | {"OVERVIEW_COUNT", "ADD_MASK"},
    "GTIFF": _COMMON | {
        "TILED", "BLOCKXSIZE", "BLOCKYSIZE", "ZLEVEL", "ZSTD_LEVEL", "JPEG_QUALITY", "WEBP_LEVEL",
        "WEBP_LOSSLESS",
    },
}  # fmt: skip


def options(form: str, creation: Json) -> dict[str, str]:
    """Return ``creation`` in capitals, for the format ``form`` (COG or GTIFF).

    Raises:
        PreflightError: there is no such format, or it has no such option.
    """
    if form not in ALLOWED:
        raise PreflightError(f"output.format {form!r} is not a raster format; known: COG, GTiff")
    chosen = {}
    for name, value in creation.items():
        key = str(name).upper()
        if key not in ALLOWED[form]:
            near = get_close_matches(key, ALLOWED[form], 1)
            known = f"did you mean {near[0].lower()!r}?" if near else "see `geobatch ops`"
            raise PreflightError(f"{form} has no creation option {name!r}; {known}")
        text = ("YES" if value else "NO") if isinstance(value, bool) else str(value)
        chosen[key] = text.upper()
    return chosen


def one_of[Word: str](
    options: Mapping[str, str], key: str, known: tuple[Word, ...], default: Word
) -> Word:
    """Return an option that is one of some words. Raises PreflightError for another."""
    value = options.get(key, default)
    for word in known:
        if word == value:
            return word
    raise PreflightError(f"{key.lower()} = {value!r}; known: {', '.join(known)}")


def flag(options: Mapping[str, str], key: str, *, default: bool) -> bool:
    """Return whether an option is YES or NO. Raises PreflightError for another word."""
    value = options.get(key)
    if value is None:
        return default
    if value not in YES | NO:
        raise PreflightError(f"{key.lower()} = {value!r}; known: YES, NO")
    return value in YES


def number(options: Mapping[str, str], key: str, default: int, limits: tuple[int, int]) -> int:
    """Return an option that is a whole number within ``limits``. Raises PreflightError."""
    text = options.get(key)
    if text is None:
        return default
    if not text.isdecimal() or not limits[0] <= int(text) <= limits[1]:
        raise PreflightError(f"{key.lower()} = {text!r}; from {limits[0]} to {limits[1]}")
    return int(text)


def distance(options: Mapping[str, str], key: str) -> float:
    """Return an option that is a number and not negative, by default 0. Raises PreflightError."""
    text = options.get(key, "0")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise PreflightError(f"{key.lower()} = {text!r}; a number that is not negative")
    return value
