"""Looks up CRSs by their texts, each once in a process, and names them for messages."""

from __future__ import annotations

import re
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, cast

from pyproj import CRS
from pyproj.exceptions import CRSError

from geobatch_tui.execution.proj import coordinate_operations

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyproj import Transformer


LONLAT = CRS.from_epsg(4326)
#: Names of datums that WKT 1 keeps as they are, or so that PROJ finds them again.
_KEPT = re.compile(r"[\w .,:/&()+-]*")


def transformer(src: CRS, dst: CRS) -> Transformer:
    """Return the transformer from ``src`` to ``dst``, x before y."""
    # The key is the WKT, which plans have too: so the search of a probe serves its chunks.
    return coordinate_operations.transformer(wkt_of(src), wkt_of(dst))


@lru_cache(maxsize=64)
def crs_of(text: str) -> CRS:
    """Return the CRS of a text. Raises pyproj's CRSError."""
    return CRS.from_user_input(text)


def by_text[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Keep the results of a function of CRSs by their texts: the hash of a CRS itself writes its
    WKT anew each time."""

    @lru_cache(maxsize=256)
    def find(*texts: str) -> R:
        return cast("Callable[..., R]", function)(*map(crs_of, texts))

    @wraps(function)
    def found(*given: P.args, **_: P.kwargs) -> R:
        return find(*(crs.srs for crs in cast("tuple[CRS, ...]", given)))

    return found


@by_text
def named(crs: CRS) -> str:
    """Return the name of ``crs`` and its code, if it has one, for messages."""
    code = crs.to_authority(min_confidence=100)
    return f"{crs.name!r} ({code[0]}:{code[1]})" if code else repr(crs.name)


def is_on_earth(crs: CRS) -> bool:
    """Whether PROJ knows a way from ``crs`` to longitude and latitude on WGS 84."""
    return is_degrees(crs) or bool(
        coordinate_operations.known(wkt_of(crs), wkt_of(LONLAT)).pipelines
    )


@by_text
def wkt_of(crs: CRS) -> str:
    """Return ``crs`` as WKT 2."""
    return crs.to_wkt()


@by_text
def gdal_wkt_of(crs: CRS) -> str:
    """Return ``crs`` as text for rasterio's warper, which hands it on to GDAL as WKT 1.

    There a datum with brackets or an apostrophe in its name gets another name, and PROJ finds no
    datum shift for it, unless its code stands beside it: so such a CRS goes as the one of its code.
    """
    if not _is_renamed(crs) or (known := _by_code(crs)) is None:
        return wkt_of(crs)
    return known.to_wkt("WKT1_GDAL")


@by_text
def is_lost_in_gdal(crs: CRS) -> bool:
    """Whether GDAL, as rasterio's warper calls it, cannot know the datum of ``crs``."""
    return _is_renamed(crs) and _by_code(crs) is None


def _is_renamed(crs: CRS) -> bool:
    return crs.datum is not None and not _KEPT.fullmatch(crs.datum.name)


def _by_code(crs: CRS) -> CRS | None:
    """Return the CRS of the code that stands in ``crs``; None if it has none, or another one's."""
    code = crs.to_json_dict().get("id")
    try:
        known = code and CRS.from_authority(code["authority"], code["code"])
    except CRSError:
        return None
    return known if known and same(known, crs) else None


@by_text
def same(src: CRS, dst: CRS) -> bool:
    """Whether two CRSs are the same but for their names, so that coordinates stay as they are."""
    return src.srs == dst.srs or src.equals(dst, ignore_axis_order=True)


def is_degrees(crs: CRS) -> bool:
    """Whether ``crs`` is geographic with degrees from Greenwich."""
    return bool(
        crs.is_geographic
        and crs.axis_info
        and crs.axis_info[0].unit_name == "degree"
        and (crs.prime_meridian is None or crs.prime_meridian.longitude == 0)
    )
