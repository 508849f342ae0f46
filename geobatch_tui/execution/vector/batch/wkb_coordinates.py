"""Coordinates of a column of WKB as arrays, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from geobatch_tui.execution.vector.batch.arrow_arrays import bits, offsets, raw_bytes, validity
from geobatch_tui.execution.vector.batch.buffers import Room
from geobatch_tui.execution.vector.kernels import feature_loops, wkb_loops

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Names of the types of simple features, by their number in WKB.
NAMES = {
    1: "Point",
    2: "LineString",
    3: "Polygon",
    4: "MultiPoint",
    5: "MultiLineString",
    6: "MultiPolygon",
    7: "GeometryCollection",
    8: "CircularString",
    9: "CompoundCurve",
    10: "CurvePolygon",
    11: "MultiCurve",
    12: "MultiSurface",
    15: "PolyhedralSurface",
    16: "TIN",
    17: "Triangle",
}

#: The least type of a geometry with M, in ISO WKB's numbers.
MEASURED = 2000

REASONS = {
    wkb_loops.BROKEN: "its WKB is cut off or damaged",
    wkb_loops.NOT_PLAIN: "its WKB cannot be read",
    wkb_loops.CURVE: "it has curves or surfaces, which no output format here holds; "
    "op.curves = 'linear' makes lines and polygons of them",
    wkb_loops.NAN: "a coordinate is not a finite number",
    wkb_loops.SHORT_RING: "a ring has fewer than 4 points",
    wkb_loops.DEEP: "collections are nested more than 32 deep",
}


def type_name(kind: int) -> str:
    """Name a type ``Polygon``, ``MultiPoint Z`` and so on, as GeoParquet and OGR call them."""
    base = NAMES.get(kind % 1000, "Unknown")
    return base + ("", " Z", " M", " ZM")[kind // 1000 % 4]


@dataclass(slots=True)
class Coordinates:
    """The coordinates of a column of n geometries.

    ``x`` and ``y`` of geometry i are at ``first[i]`` to ``first[i + 1]``; ``at``: where they lie in
    the bytes of the column's values. ``status`` and ``kinds`` (n): as ``feature_loops.gather`` has.
    """

    column: pa.Array
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    at: NDArray[np.uint32]
    first: NDArray[np.int64]
    status: NDArray[np.uint8]
    kinds: NDArray[np.int64]

    def owners_of(self, which: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the geometries that the coordinates ``which`` belong to."""
        owners: NDArray[np.int64] = np.searchsorted(self.first, which, "right") - 1
        return owners

    def boxes(self) -> NDArray[np.float64]:
        """Return (n, 4) minx, miny, maxx, maxy; NaN without coordinates, or where one is not
        finite."""
        out = np.empty((len(self.status), 4), np.float64)
        feature_loops.boxes(self.x, self.y, self.first, out)
        return out

    def let_go(self) -> None:
        """Hold no coordinates any more, only the column: of a large geometry, they are as large."""
        self.x = self.y = np.empty(0, np.float64)
        self.at = np.empty(0, np.uint32)

    def replaced(
        self, x: NDArray[np.float64], y: NDArray[np.float64], room: Room | None = None
    ) -> pa.Array:
        """Return the column with other coordinates in the same places; its bytes in ``room``, if
        given."""
        places, data = _parts(self.column)
        fresh = np.empty_like(data) if room is None else room.of("shapes", len(data))
        fresh[:] = data
        feature_loops.scatter(fresh, x.view(np.uint64), y.view(np.uint64), self.at)
        buffers = [
            None if self.column.null_count == 0 else bits(validity(self.column)),
            pa.py_buffer(places),
            pa.py_buffer(fresh),
        ]
        return pa.Array.from_buffers(pa.binary(), len(self.column), buffers)


def _parts(column: pa.Array) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return offsets from 0, and bytes, of just the values of a column, which may be a slice."""
    if not len(column):
        return np.zeros(1, np.int32), np.empty(0, np.uint8)
    places = offsets(column)
    low, high = int(places[0]), int(places[-1])
    return places - np.int32(low), raw_bytes(column.buffers()[2])[low:high]


def coordinates(column: pa.Array, room: Room | None = None) -> Coordinates:
    """Read the coordinates of ``column`` (binary: ISO WKB, little-endian, or null); they lie in
    ``room``, if given."""
    count = len(column)
    places, data = _parts(column)
    valid = validity(column)
    room, most = room or Room(), len(data) // 16
    xs, ys = room.of("x", 8 * most).view(np.uint64), room.of("y", 8 * most).view(np.uint64)
    at, first = room.of("at", 4 * most).view(np.uint32), np.zeros(count + 1, np.int64)
    status, kinds = np.zeros(count, np.uint8), np.zeros(count, np.int64)
    scratch = np.empty(wkb_loops.SCRATCH, np.int64)
    total = feature_loops.gather(data, places, valid, xs, ys, at, first, status, kinds, scratch)
    return Coordinates(
        column,
        xs[:total].view(np.float64),
        ys[:total].view(np.float64),
        at[:total],
        first,
        status,
        kinds,
    )


def read(
    column: pa.Array, room: Room | None = None, *, keeps_m: bool = False
) -> tuple[Coordinates, int]:
    """Read the coordinates of ``column``, with every geometry as little-endian ISO WKB; they lie in
    ``room``, if given.

    Geometries in another byte order, with SRID, or with M unless ``keeps_m`` are written anew by
    GEOS; those that it cannot read keep their status. Returns also how many lost their M.
    """
    if column.type != pa.binary():
        column = column.cast(pa.binary())
    shapes = coordinates(column, room)
    measured = shapes.kinds >= MEASURED if not keeps_m else np.zeros(len(column), np.bool_)
    odd = (shapes.status == wkb_loops.NOT_PLAIN) | (measured & (shapes.status == wkb_loops.OK))
    if not odd.any():
        return shapes, 0
    values = column.to_pylist()
    for row in np.flatnonzero(odd).tolist():
        values[row] = _rewritten(values[row], keeps_m=keeps_m)
    return coordinates(pa.array(values, pa.binary()), room), int(np.count_nonzero(measured))


def _rewritten(value: bytes, *, keeps_m: bool) -> bytes:
    import shapely

    shape = shapely.from_wkb(value, on_invalid="ignore")
    if shape is None:
        return value
    dimensions = 4 if keeps_m else 3 if shape.has_z else 2
    written: bytes = shapely.to_wkb(shape, output_dimension=dimensions, byte_order=1, flavor="iso")
    return written
