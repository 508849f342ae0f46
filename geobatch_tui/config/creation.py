"""Names of creation options, checked without an operation."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Options that some output format here understands. Whether one fits the codec, the data type
#: and the format is checked by the operation, when it probes the source.
KNOWN = frozenset(
    {
        "add_mask",
        "bigtiff",
        "blocksize",
        "blockxsize",
        "blockysize",
        "compress",
        "interleave",
        "jpeg_quality",
        "level",
        "lossless",
        "max_z_error",
        "overview_count",
        "overview_resampling",
        "overviews",
        "predictor",
        "quality",
        "sort_by_bbox",
        "sparse_ok",
        "tiled",
        "webp_level",
        "webp_lossless",
        "zlevel",
        "zstd_level",
    }
)


def check_creation(options: Mapping[object, object]) -> dict[str, object]:
    """Return ``options`` with lower-case names.

    Raises:
        ValueError: a name is unknown, or given twice in different case.
    """
    checked: dict[str, object] = {}
    for name, value in options.items():
        low = str(name).lower()
        if low not in KNOWN:
            raise ValueError(f"{name!r} is not a creation option; {nearest_option(low)}")
        if low in checked:
            raise ValueError(f"{low!r} is given twice, in upper and lower case")
        checked[low] = value
    return checked


def nearest_option(name: str) -> str:
    """Say what may be meant by ``name``: the nearest known option, else all of them."""
    near = get_close_matches(name.lower(), sorted(KNOWN), 1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(KNOWN))}"
