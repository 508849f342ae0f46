"""Coordinates as GeoJSON holds them: longitudes of one turn, and latitudes between the poles.

OGR moves places by full turns as it writes GeoJSON, makes lines and polygons beyond the second
turn empty without a word, and ends the file at the first latitude beyond a pole.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from geobatch_tui.execution.vector.batch.feature_batch import Batch, Rows
    from geobatch_tui.execution.vector.batch.wkb_coordinates import Coordinates

_HALF, _POLE = 180.0, 90.0
#: What is further west or east is no longitude: one and a half turns.
_FURTHEST = 540.0
#: Half a unit of the last decimal that GeoJSON has: so near, coordinates are on the limit.
_NEAR = 5e-8


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
        near = (over > 0) & (over <= _NEAR)
        sides.append(np.where(near, np.copysign(limit, side), side) if near.any() else side)
    x, y = sides
    if x is shapes.x and y is shapes.y:
        return shapes
    return replace(shapes, column=shapes.replaced(x, y), x=x, y=y)
