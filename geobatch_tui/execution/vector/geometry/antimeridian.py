"""Features across the antimeridian, in longitude and latitude: told, or cut in two there.

A line from 179 to -179 is meant to be short, but whoever reads the file takes it for one around the
world. As GDAL does, a step is taken to be across if both its ends are within 10 degrees of it; or
if it is on its way in the projection that it comes from.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import shapely

from geobatch_tui.execution.vector.geometry import geos
from geobatch_tui.execution.vector.geometry.transform import NEAR

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from shapely import Geometry

    from geobatch_tui.execution.vector.geometry.geos import Change, Shapes

    Places = NDArray[np.float64]
    Turns = NDArray[np.int64]
    #: Makes longitudes and latitudes of coordinates.
    There = Callable[[Places, Places], tuple[Places, Places]]

_HALF, _TURN = 180.0, 360.0
#: Places on a step that are looked at, with its ends.
_PLACES = 5
#: More than any latitude.
_BEYOND = 91.0


def across(given: Shapes) -> NDArray[np.bool_]:
    """Mark geometries with a step across the antimeridian."""
    return np.array([_is_across(shape, _turns) for shape in given], np.bool_)


def _is_across(shape: Geometry, turns: Callable[[Places], Turns]) -> bool:
    """Whether a step of a line of ``shape`` takes any turns."""
    pieces = geos.pieces(shape)
    return any(turns(line).any() for piece in pieces for line in _lines(piece))


def cut(shape: Geometry) -> Geometry:
    """Cut ``shape`` at the antimeridian. Raise InvalidShapeError if it is not valid, or round a
    pole."""
    made: list[Geometry] = []
    for piece in geos.pieces(shape):
        made += _turns_of(_unrolled(piece, _unroll)) if _is_across(piece, _turns) else [piece]
    return _joined(made)


def rolled(shape: Geometry) -> Geometry:
    """Cut ``shape`` at the antimeridian, beyond which it goes on as if that were not there. Raise
    InvalidShapeError if a line or polygon of it is not valid."""
    made: list[Geometry] = []
    for piece in geos.pieces(shape):
        west, _, east, _ = shapely.bounds(piece)
        if piece.is_empty or (west >= -_HALF and east <= _HALF):
            made.append(piece)
        elif piece.geom_type == "Point":
            made.append(_turned(piece, -np.floor((west + _HALF) / _TURN)))
        else:
            made += _turns_of(piece)
    return _joined(made)


def _joined(made: list[Geometry]) -> Geometry:
    if len({shapely.get_dimensions(part) for part in made}) > 1:
        return shapely.geometrycollections(made)
    return geos.parts(shapely.geometrycollections(made), int(shapely.get_dimensions(made[0])))


def on_the_way(given: Shapes, there: There) -> tuple[NDArray[np.bool_], Change]:
    """Mark geometries with a step across the antimeridian on its way in their projection, in which
    they are ``given``; return also what cuts these, one after the other."""
    turns = partial(_turns_on_the_way, there=there)
    crossing = np.array([_is_across(shape, turns) for shape in given], np.bool_)
    coming = iter(given[crossing])
    return crossing, lambda _: _cut_on_the_way(next(coming), there)


def _cut_on_the_way(shape: Geometry, there: There) -> Geometry:
    def unroll(at: Places) -> Places:
        turns = _summed(at, _turns_on_the_way(at, there))
        made = at.copy()
        made[:, 0], made[:, 1] = there(at[:, 0], at[:, 1])
        return _moved(made, turns)

    return rolled(_joined([_unrolled(piece, unroll) for piece in geos.pieces(shape)]))


def parted(shape: Geometry) -> Geometry:
    """Part the lines of ``shape`` where they change sides at a vertex on the antimeridian.

    OGR, as it cuts lines for GeoJSON, leaves single places of these, or nothing at all.
    """
    if shape.geom_type == "LineString":
        lines = _parts_of(shapely.get_coordinates(shape, include_z=shape.has_z))
        made = [shapely.linestrings(line) for line in lines]
        return made[0] if len(made) == 1 else shapely.multilinestrings(made)
    if shape.geom_type not in {"MultiLineString", "GeometryCollection"}:
        return shape
    each = [parted(part) for part in shape.geoms]
    if shape.geom_type == "GeometryCollection":
        return shapely.geometrycollections(each)
    return shapely.multilinestrings(shapely.get_parts(each))


def _parts_of(at: Places) -> list[Places]:
    x, y = at[:, 0], at[:, 1]
    across = (np.minimum(x[1:], x[:-1]) < -NEAR) & (np.maximum(x[1:], x[:-1]) > NEAR)
    on = np.abs(x) == _HALF
    if on.all() and (y[1:] == y[:-1])[across].all():
        # Edges of a map of the whole world: with a place in their middle they look as long to OGR.
        steps = np.flatnonzero(across)
        return [np.insert(at, steps + 1, (at[steps] + at[steps + 1]) / 2, axis=0)]
    parts = [[at[0]]]
    for step, (here, there) in enumerate(pairwise(at)):
        if not across[step] or not (on[step] or on[step + 1]):
            parts[-1].append(there)
        elif on[step]:
            over = _other_side(here)
            parts.append([there] if (over == there).all() else [over, there])
        else:
            parts[-1].append(_other_side(there))
            parts.append([there])
    made = [np.array(part) for part in parts]
    return [part for part in made if len(np.unique(part[:, :2], axis=0)) > 1] or [at]


def _other_side(place: Places) -> Places:
    over = place.copy()
    over[0] = -over[0]
    return over


def _lines(piece: Geometry) -> list[Geometry]:
    """List the coordinates of a point, line or polygon, ring by ring."""
    lines = [piece.exterior, *piece.interiors] if piece.geom_type == "Polygon" else [piece]
    return [shapely.get_coordinates(line) for line in lines]


def _turns(at: Places) -> Turns:
    """Count the turns by which each coordinate but the first lies further on than it says."""
    x, before = at[1:, 0], at[:-1, 0]
    turns = ((before > NEAR) & (x < -NEAR)).astype(np.int64)
    turns -= (before < -NEAR) & (x > NEAR)
    # An edge of a map of the whole world, from one side to the other, is as long as it looks.
    edge = (np.abs(x) == _HALF) & (np.abs(before) == _HALF) & (at[1:, 1] == at[:-1, 1])
    turns[edge] = 0
    return turns


def _turns_on_the_way(at: Places, there: There) -> Turns:
    """Do as :func:`_turns` with coordinates in a projection: between two of them, places on the way
    tell on which side of the world it leads. Where it leads the long way round, a step is across if
    GDAL takes it to be so."""
    shares = np.linspace(0, 1, _PLACES)[:, None]
    x, y = (side[:-1] + shares * (side[1:] - side[:-1]) for side in (at[:, 0], at[:, 1]))
    lon, lat = (side.reshape(x.shape) for side in there(x.ravel(), y.ravel()))
    steps = (np.diff(lon, axis=0) + _HALF) % _TURN - _HALF
    far = (steps.sum(axis=0) - (lon[-1] - lon[0])) / _TURN
    turns = np.where(np.isfinite(far), np.round(far), 0).astype(np.int64)
    ends = np.column_stack([np.append(lon[0], lon[-1, -1:]), np.append(lat[0], lat[-1, -1:])])
    return np.where(turns, turns, _turns(ends))


def _turns_of(flat: Geometry) -> list[Geometry]:
    """List the parts of an unrolled line or polygon, each turn moved to the first. Raise
    InvalidShapeError if it is not valid."""
    if not shapely.is_valid(flat):
        why = shapely.is_valid_reason(flat)
        raise geos.InvalidShapeError(f"is across the antimeridian and not valid ({why})")
    west, _, east, _ = shapely.bounds(flat)
    first, last = (int(np.floor((side + _HALF) / _TURN)) for side in (west, east))
    made = []
    for turn in range(first, last + 1):
        left = turn * _TURN - _HALF
        part = shapely.intersection(flat, shapely.box(left, -_BEYOND, left + _TURN, _BEYOND))
        made += [
            one
            for one in geos.pieces(_turned(part, -turn))
            if not one.is_empty and shapely.get_dimensions(one) == shapely.get_dimensions(flat)
        ]
    return made


def _moved(at: Places, turns: Turns | float) -> Places:
    moved = at.copy()
    moved[:, 0] += turns * _TURN
    return moved


def _turned(shape: Geometry, turns: float) -> Geometry:
    return shapely.transform(shape, lambda at: _moved(at, turns), include_z=shape.has_z)


def _unrolled(piece: Geometry, unroll: Callable[[Places], Places]) -> Geometry:
    """Unroll a line or polygon to a map that goes on beyond the antimeridian; ``unroll`` makes
    the coordinates of one of its lines."""
    if piece.geom_type != "Polygon":
        return shapely.transform(piece, unroll, include_z=piece.has_z)
    shell = shapely.transform(piece.exterior, unroll, include_z=piece.has_z)
    middle = _middle(shell)
    holes = []
    for ring in piece.interiors:
        hole = shapely.transform(ring, unroll, include_z=piece.has_z)
        holes.append(_turned(hole, round((middle - _middle(hole)) / _TURN)))
    return shapely.polygons(shell, holes or None)


def _unroll(at: Places) -> Places:
    return _moved(at, _summed(at, _turns(at)))


def _summed(at: Places, steps: Turns) -> Turns:
    """Sum up the turns of each coordinate of a line, by those of its ``steps``. Raise
    InvalidShapeError if it comes back another number of turns away."""
    turns = np.concatenate([[0], np.cumsum(steps)])
    closed = len(at) > 1 and bool((at[0] == at[-1]).all())
    if closed and turns[-1]:
        raise geos.InvalidShapeError("goes round a pole: it cannot be cut at the antimeridian")
    return turns


def _middle(ring: Geometry) -> float:
    west, _, east, _ = shapely.bounds(ring)
    return float(west + east) / 2
