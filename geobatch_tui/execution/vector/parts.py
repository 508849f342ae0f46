"""Parts of geometries that OGR loses as it writes GeoJSON, without a word.

An empty point among them makes null of the whole. It says nothing, so it is left out: as OGR itself
does in FlatGeobuf. And in a collection (of GeoJSON, not of text sequences) multi points are lost;
others come out as their parts, and so do these then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

#: By their numbers in WKB, which are GEOS's, too.
_MULTIPOINT, _COLLECTION = 4, 7


def may_be_lost(kinds: Iterable[int]) -> bool:
    """Whether geometries of these types, in WKB's numbers, may have such parts."""
    return any(kind % 1000 in {_MULTIPOINT, _COLLECTION} for kind in kinds)


def kept(column: pa.Array, form: str) -> pa.Array:
    """A column of WKB as OGR loses nothing of it in ``form``: GeoJSON, or GeoJSONSeq. What is empty
    as a whole stays as it is."""
    import shapely

    raw = column.to_pylist()
    kinds = [int.from_bytes(one[1:5], "little") if one else 0 for one in raw]
    rows = np.flatnonzero([may_be_lost([kind]) for kind in kinds])
    shapes = shapely.from_wkb(np.array([raw[row] for row in rows], dtype=object))
    apart = form == "GeoJSON"
    for n in _at_risk(shapes, apart=apart).tolist():
        if not shapely.is_empty(shapes[n]):
            made = _without_risk(shapes[n], apart=apart)
            raw[rows[n]] = shapely.to_wkb(made, flavor="iso", byte_order=1)
    return pa.array(raw, pa.binary())


def _at_risk(shapes: NDArray[Any], *, apart: bool) -> NDArray[np.int64]:
    import shapely

    parts, owners = shapes, np.arange(len(shapes))
    found = []
    while len(parts):
        parts, inner = shapely.get_parts(parts, return_index=True)
        owners = owners[inner]
        kinds = shapely.get_type_id(parts)
        risky = (kinds == 0) & shapely.is_empty(parts)
        found.append(owners[risky | (apart & (kinds == _MULTIPOINT))])
        nested = np.isin(kinds, (_MULTIPOINT, _COLLECTION))
        parts, owners = parts[nested], owners[nested]
    return np.unique(np.concatenate([np.empty(0, np.int64), *found]))


def _without_risk(shape: Any, *, apart: bool) -> Any:
    made: list[Any] = []
    for part in shape.geoms:
        one = _without_risk(part, apart=apart) if hasattr(part, "geoms") else part
        if not one.is_empty:
            made += one.geoms if apart and one.geom_type == "MultiPoint" else [one]
    return type(shape)(made)
