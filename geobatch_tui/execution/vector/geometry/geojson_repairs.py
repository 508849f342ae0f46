"""Parts of geometries that OGR loses as it writes GeoJSON, without a word.

An empty point among them makes null of the whole. It says nothing, so it is left out: as OGR itself
does in FlatGeobuf. In a collection, multi points are lost, but not in text sequences; others come
out as their parts, and so do these then. And what OGR leaves of lines that change sides at a vertex
on the antimeridian is one place, or nothing: see ``antimeridian.parted``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from geobatch_tui.execution.vector.geometry.transform import NEAR

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from shapely import Geometry

    from geobatch_tui.execution.vector.batch.arrow_arrays import Summary
    from geobatch_tui.execution.vector.geometry.geos import Change, Shapes
    from geobatch_tui.execution.vector.output_format import OutputFormat

    Mend = Callable[[pa.Array], pa.Array]

#: By their numbers in WKB, which are GEOS's, too.
_LINE, _MULTIPOINT, _MULTILINE, _COLLECTION = 2, 4, 5, 7
_HALF = 180.0


def mends(output: OutputFormat, summary: Summary) -> list[Mend]:
    """List functions that make of a column of WKB one of which OGR loses nothing in this format. A
    geometry that is empty as a whole stays as it is."""
    apart, bases = output.is_rfc7946, {kind % 1000 for kind in summary.types}
    made: list[Mend] = []
    if output.is_json and bases & {_MULTIPOINT, _COLLECTION}:
        points = partial(_at_risk, apart=apart), partial(_without_risk, apart=apart)
        made.append(partial(_mended, {_MULTIPOINT, _COLLECTION}, *points))
    box, lines = summary.bbox or (0, 0, 0, 0), {_LINE, _MULTILINE, _COLLECTION}
    if apart and box[0] < -NEAR and box[2] > NEAR and bases & lines:
        from geobatch_tui.execution.vector.geometry import antimeridian

        made.append(partial(_mended, lines, _at_the_antimeridian, antimeridian.parted))
    return made


def _mended(
    bases: set[int],
    at_risk: Callable[[Shapes], NDArray[np.int64]],
    mend: Change,
    column: pa.Array,
) -> pa.Array:
    import shapely

    raw = column.to_pylist()
    kinds = [int.from_bytes(one[1:5], "little") % 1000 if one else 0 for one in raw]
    rows = [n for n, kind in enumerate(kinds) if kind in bases]
    shapes = shapely.from_wkb(np.array([raw[row] for row in rows], dtype=object))
    for n in at_risk(shapes).tolist():
        if not shapely.is_empty(shapes[n]):
            raw[rows[n]] = shapely.to_wkb(mend(shapes[n]), flavor="iso", byte_order=1)
    return pa.array(raw, pa.binary())


def _at_the_antimeridian(shapes: Shapes) -> NDArray[np.int64]:
    import shapely

    west, _, east, _ = shapely.bounds(shapes).T
    wide = (west < -NEAR) & (east > NEAR)
    return np.flatnonzero(wide & ((west == -_HALF) | (east == _HALF)))


def _at_risk(shapes: Shapes, *, apart: bool) -> NDArray[np.int64]:
    import shapely

    parts, owners = shapes, np.arange(len(shapes))
    found = [np.empty(0, np.int64)]
    while len(parts):
        parts, inner = shapely.get_parts(parts, return_index=True)
        owners = owners[inner]
        kinds = shapely.get_type_id(parts)
        risky = (kinds == 0) & shapely.is_empty(parts)
        found.append(owners[risky | (apart & (kinds == _MULTIPOINT))])
        nested = np.isin(kinds, (_MULTIPOINT, _COLLECTION))
        parts, owners = parts[nested], owners[nested]
    return np.unique(np.concatenate(found))


def _without_risk(shape: Geometry, *, apart: bool) -> Geometry:
    made: list[Geometry] = []
    for part in shape.geoms:
        one = _without_risk(part, apart=apart) if hasattr(part, "geoms") else part
        if not one.is_empty:
            made += one.geoms if apart and one.geom_type == "MultiPoint" else [one]
    return type(shape)(made)
