"""Looks up CRSs by their texts, each once in a process, and names them for messages."""

from __future__ import annotations

from functools import lru_cache, wraps
from typing import TYPE_CHECKING, cast

from pyproj import CRS

from geobatch_tui.execution.proj import coordinate_operations

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyproj import Transformer


LONLAT = CRS.from_epsg(4326)


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
