"""Coordinates as GeoJSON holds them: longitudes of one turn, and latitudes between the poles.

OGR moves places by full turns as it writes GeoJSON, makes lines and polygons beyond the second
turn empty without a word, and ends the file at the first latitude beyond a pole.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.batch.wkb_coordinates import Coordinates
    from geobatch_tui.execution.vector.operations import Worked

_HALF, _POLE = 180.0, 90.0
#: What is further west or east is no longitude: one and a half turns.
_FURTHEST = 540.0
#: Half a unit of the last decimal that GeoJSON has: so near, coordinates are on the limit.
_NEAR = 5e-8


def fitted(worked: Worked) -> Worked:
    """``worked`` with longitudes of one turn, lines and polygons cut at the antimeridian where they
    go on beyond it; what has no such coordinates is set aside."""
    rows = _beyond(worked, worked.found)
    if not len(rows):
        return worked
    from geobatch_tui.execution.vector.geometry import antimeridian, geos

    found, bad = _on_limits(worked.found), dict(worked.bad)
    rows = _beyond(worked, found)
    for row, box in zip(rows.tolist(), found.boxes()[rows].tolist(), strict=True):
        lon, lat = max(box[::2], key=abs), max(box[1::2], key=abs)
        if abs(lat) > _POLE or abs(lon) > _FURTHEST:
            what = f"latitude {lat:.9g}" if abs(lat) > _POLE else f"longitude {lon:.9g}"
            bad[row] = ("GeometryError", f"it reaches {what}; GeoJSON is in degrees on WGS 84")
    rows = geos.without(rows, bad)
    made, empty, _ = geos.touch(found, rows, antimeridian.rolled, bad, None)
    bad |= dict.fromkeys(empty, ("GeometryError", "nothing is left, cut at the antimeridian"))
    facts = worked.facts | {"longitudes_wrapped": len(geos.without(rows, bad))}
    return replace(worked, found=made, bad=bad, facts=facts)


def _beyond(worked: Worked, found: Coordinates) -> NDArray[np.int64]:
    """Rows that are asked for and reach beyond the antimeridian, or a pole."""
    low, high = -np.array([_HALF, _POLE]), np.array([_HALF, _POLE])
    boxes = found.boxes()
    over = ((boxes[:, :2] < low) | (boxes[:, 2:] > high)).any(axis=1)
    if not over.any():
        return np.empty(0, np.int64)
    if worked.dropped is not None:
        over &= ~worked.dropped
    over[list(worked.bad)] = False
    return np.flatnonzero(over)


def _on_limits(found: Coordinates) -> Coordinates:
    """Coordinates that are on a limit but for what is rounded off."""
    sides = []
    for side, limit in ((found.x, _HALF), (found.y, _POLE)):
        over = np.abs(side) - limit
        near = (over > 0) & (over <= _NEAR)
        sides.append(np.where(near, np.copysign(limit, side), side) if near.any() else side)
    x, y = sides
    if x is found.x and y is found.y:
        return found
    return replace(found, column=found.replaced(x, y), x=x, y=y)
