"""Geometries as GeoJSON holds them, and as OGR writes them there without a loss.

Longitudes are of one turn, latitudes between the poles. OGR moves places by full turns as it writes
GeoJSON, makes lines and polygons beyond the second turn empty without a word, and ends the file at
the first latitude beyond a pole.

It loses parts of geometries, too. An empty point among them makes null of the whole. It says
nothing, so it is left out: as OGR itself does in FlatGeobuf. In a collection, multi points are
lost, but not in text sequences; others come out as their parts, and so do these then. And what OGR
leaves of lines that change sides at a vertex on the antimeridian is one place, or nothing: see
``antimeridian.parted``.
"""

from __future__ import annotations

from dataclasses import replace
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
    from geobatch_tui.execution.vector.batch.feature_batch import Batch, Rows
    from geobatch_tui.execution.vector.batch.wkb_coordinates import Coordinates
    from geobatch_tui.execution.vector.geometry.geos import Change, Shapes
    from geobatch_tui.execution.vector.output_format import OutputFormat

    Mend = Callable[[pa.Array], pa.Array]

_HALF, _POLE = 180.0, 90.0
#: What is further west or east is no longitude: one and a half turns.
_FURTHEST = 540.0
#: Half a unit of the last decimal that GeoJSON has: so near, coordinates are on the limit.
_ROUNDED = 5e-8
#: By their numbers in WKB, which are GEOS's, too.
_LINE, _MULTIPOINT, _MULTILINE, _COLLECTION = 2, 4, 5, 7


def fitted(batch: Batch) -> Batch:
    """Bring longitudes into one turn; lines and polygons are cut at the antimeridian where they go
    on beyond it, and what has no such coordinates is set aside."""
    if not len(_beyond(batch)):
        return batch
    from geobatch_tui.execution.vector.geometry import antimeridian, geos

    batch = replace(batch, shapes=_on_limits(batch.shapes), bad=dict(batch.bad))
    rows = _beyond(batch)
    for row, box in zip(rows.tolist(), batch.shapes.boxes()[rows].tolist(), strict=True):
        lon, lat = max(box[::2], key=abs), max(box[1::2], key=abs)
        if abs(lat) > _POLE or abs(lon) > _FURTHEST:
            what = f"latitude {lat:.9g}" if abs(lat) > _POLE else f"longitude {lon:.9g}"
            batch.set_aside((row,), f"it reaches {what}; GeoJSON is in degrees on WGS 84")
    rows = batch.sound(rows)
    shapes, empty, _ = geos.touch(batch, rows, antimeridian.rolled, None)
    batch.set_aside(empty, "nothing is left, cut at the antimeridian")
    facts = batch.facts | {"longitudes_wrapped": len(batch.sound(rows))}
    return replace(batch, shapes=shapes, facts=facts)


def _beyond(batch: Batch) -> Rows:
    """Return the rows that are asked for and reach beyond the antimeridian, or a pole."""
    limits, boxes = np.array([_HALF, _POLE]), batch.shapes.boxes()
    over = ((boxes[:, :2] < -limits) | (boxes[:, 2:] > limits)).any(axis=1)
    return batch.going_on(over)


def _on_limits(shapes: Coordinates) -> Coordinates:
    """Move coordinates to a limit that are on it but for what is rounded off."""
    sides = []
    for side, limit in ((shapes.x, _HALF), (shapes.y, _POLE)):
        over = np.abs(side) - limit
        near = (over > 0) & (over <= _ROUNDED)
        sides.append(np.where(near, np.copysign(limit, side), side) if near.any() else side)
    x, y = sides
    if x is shapes.x and y is shapes.y:
        return shapes
    return replace(shapes, column=shapes.replaced(x, y), x=x, y=y)


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
