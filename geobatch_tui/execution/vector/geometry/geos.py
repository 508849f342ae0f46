"""Work that needs geometry objects of GEOS: only of the features that it touches.

A feature may take GEOS for ever, or kill the process. So each one is named in the chunk's trail
before it is touched (see ``trail``), and what an earlier try died of is set aside untried.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import shapely

from geobatch_tui.execution.vector.batch import wkb_coordinates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray
    from shapely import Geometry

    from geobatch_tui.execution.vector.batch.feature_batch import Bad, Batch, Rows
    from geobatch_tui.execution.vector.geometry.trail import Trail

    type Shapes = NDArray[np.object_]
    #: Says something of each of an array of geometries.
    type Test = Callable[[Shapes], NDArray[np.bool_]]
    type Change = Callable[[Geometry], Geometry]
    #: Makes as many geometries of an array of them.
    type Remake = Callable[[Shapes], Shapes]

#: A geometry of more coordinates than this is tested by itself.
LARGE = 20_000
#: Dimension of the parts that a geometry of a type is made of; -1: of any.
_DIMENSION = {1: 0, 4: 0, 2: 1, 5: 1, 3: 2, 6: 2}


def untried(batch: Batch, trail: Trail | None) -> Rows:
    """Return the usable rows; those that an earlier try of the chunk died of are set aside."""
    rows = batch.usable()
    if trail is None or not trail.condemned:
        return rows
    died = [row for row in rows.tolist() if trail.is_condemned(row)]
    reason = "its worker crashed, or ran into engine.chunk_timeout, while it worked on this one"
    batch.set_aside(died, reason, "PoisonError")
    return np.setdiff1d(rows, np.array(died, np.int64))


def read(column: pa.Array, rows: Rows, bad: Bad) -> Shapes:
    """Read geometry objects of ``rows``; None for those that GEOS cannot read, as of a ring that is
    not closed: they go to ``bad``."""
    values = column.take(pa.array(rows)).to_pylist()
    shapes: Shapes = shapely.from_wkb(np.array(values, dtype=object), on_invalid="ignore")
    for n in np.flatnonzero(shapely.is_missing(shapes)).tolist():
        try:
            shapely.from_wkb(values[n])
        except shapely.errors.GEOSException as error:
            bad[int(rows[n])] = ("GeometryError", f"GEOS: {error}")
    return shapes


def tested(batch: Batch, rows: Rows, test: Test, trail: Trail | None) -> NDArray[np.bool_]:
    """Test the geometries of ``rows``, all at once that are not large.

    They are tested one by one where that raises, and those that raise are set aside; and where an
    earlier try of the chunk ended its worker, so that the next knows at which. Large ones may take
    so long that their time is to be known, too.
    """
    shapes = read(batch.shapes.column, rows, batch.bad)
    answers = np.zeros(len(rows), np.bool_)
    alone = there = ~shapely.is_missing(shapes)
    if trail is None or not trail.careful:
        is_large = np.diff(batch.shapes.first)[rows] > LARGE
        try:
            at_once = there & ~is_large
            answers[at_once] = test(shapes[at_once])
            alone = there & is_large
        except shapely.errors.GEOSException:
            pass
    for n in np.flatnonzero(alone).tolist():
        row = int(rows[n])
        try:
            with _place(trail, row):
                answers[n] = test(shapes[n : n + 1])[0]
        except shapely.errors.GEOSException as error:
            batch.set_aside((row,), f"GEOS: {error}")
    return answers


def failing(batch: Batch, rows: Rows, test: Test, trail: Trail | None) -> Rows:
    """Return those of ``rows`` that fail a test, but for those that it sets aside (see
    :func:`tested`)."""
    return batch.sound(rows[~tested(batch, rows, test, trail)])


def valid(shapes: Shapes) -> NDArray[np.bool_]:
    """Mark geometries that are valid by GEOS."""
    checked: NDArray[np.bool_] = shapely.is_valid(shapes)
    return checked


def repaired(shape: Geometry, method: str) -> Geometry:
    """Make ``shape`` valid, by GEOS's method ``linework`` or ``structure``."""
    return shapely.make_valid(shape, method=method)


def cutter(minx: float, miny: float, maxx: float, maxy: float) -> Change:
    """Make a function that keeps what of a geometry lies in a rectangle."""
    box = shapely.box(minx, miny, maxx, maxy)
    shapely.prepare(box)
    return sound(lambda shape: shapely.intersection(shape, box))


class InvalidShapeError(Exception):
    """A geometry is not valid, so what GEOS makes of it may be anything."""


def sound(change: Change) -> Change:
    """Let ``change`` have valid geometries alone; of others it raises InvalidShapeError."""

    def checked(shape: Geometry) -> Geometry:
        if not shapely.is_valid(shape):
            why = shapely.is_valid_reason(shape)
            raise InvalidShapeError(f"is not valid ({why}); repair it with vector.make-valid first")
        return change(shape)

    return checked


class Touched(NamedTuple):
    """Geometries of which some are new, the rows of which nothing is left, and those of which parts
    of another dimension are left out."""

    shapes: wkb_coordinates.Coordinates
    empty: list[int]
    lessened: list[int]


def touch(
    batch: Batch, rows: Rows, change: Change, trail: Trail | None, *, collapsed: bool = False
) -> Touched:
    """Replace the geometries of ``rows`` by what ``change`` makes of each.

    A result keeps to the dimension of what it came from: of a polygon, only polygons are kept;
    where there are none and ``collapsed``, the parts of the largest dimension below.
    Rows whose ``change`` raises are set aside.
    """
    shapes = batch.shapes
    values = shapes.column.take(pa.array(rows)).to_pylist()
    made: dict[int, bytes] = {}
    empty: list[int] = []
    lessened: list[int] = []
    for row, value in zip(rows.tolist(), values, strict=True):
        dimension = _DIMENSION.get(int(shapes.kinds[row]) % 1000, -1)
        dimensions = range(dimension, -1, -1) if collapsed and dimension > 0 else (dimension,)
        try:
            changed, whole = _changed(value, change, dimensions, row, trail)
        except (shapely.errors.GEOSException, InvalidShapeError) as error:
            own = isinstance(error, InvalidShapeError)
            batch.set_aside((row,), str(error) if own else f"GEOS: {error}")
            continue
        if changed:
            made[row] = changed
            lessened += [] if whole else [row]
        else:
            empty.append(row)
    if made:
        column = shapes.column.to_pylist()
        for row, value in made.items():
            column[row] = value
        shapes = wkb_coordinates.coordinates(pa.array(column, pa.binary()))
    return Touched(shapes, empty, lessened)


#: Behind the WKB of a geometry in a trail: whether parts of it are left out.
_WHOLE, _LESSENED = b"\0", b"\1"


def _changed(
    value: bytes,
    change: Change,
    dimensions: Iterable[int],
    row: int,
    trail: Trail | None,
) -> tuple[bytes, bool]:
    """Return the WKB of what ``change`` makes of a geometry: its parts of the first of
    ``dimensions`` that has any, empty where none has; and whether these are all of its parts."""
    kept = trail.made(row) if trail is not None else None
    if kept is None:
        with _place(trail, row) as given:
            kept = _kept(change(shapely.from_wkb(value)), dimensions)
            given.append(kept)
    return kept[:-1], kept.endswith(_WHOLE)


def _kept(changed: Geometry | None, dimensions: Iterable[int]) -> bytes:
    of_each = ((dimension, parts(changed, dimension)) for dimension in dimensions)
    dimension, kept = next(((d, one) for d, one in of_each if one is not None), (-1, None))
    if kept is None:
        return _WHOLE
    others = dimension >= 0 and any(
        shapely.get_dimensions(piece) != dimension and not piece.is_empty
        for piece in pieces(changed)
    )
    written: bytes = shapely.to_wkb(kept, byte_order=1, flavor="iso")
    return written + (_LESSENED if others else _WHOLE)


def remade(batch: Batch, rows: Rows, change: Remake, trail: Trail | None) -> pa.Array:
    """Return the column with what ``change`` makes of the geometries of ``rows``, all at once that
    are not large.

    They are taken one by one where that raises, and those that raise are set aside; and where an
    earlier try of the chunk ended its worker.
    """
    shapes = read(batch.shapes.column, rows, batch.bad)
    made: dict[int, bytes] = {}
    alone = there = ~shapely.is_missing(shapes)
    if trail is None or not trail.careful:
        is_large = np.diff(batch.shapes.first)[rows] > LARGE
        try:
            at_once = there & ~is_large
            values = _written(change(shapes[at_once]))
            made = dict(zip(rows[at_once].tolist(), values, strict=True))
            alone = there & is_large
        except shapely.errors.GEOSException:
            pass
    for n in np.flatnonzero(alone).tolist():
        row = int(rows[n])
        kept = trail.made(row) if trail is not None else None
        try:
            if kept is None:
                with _place(trail, row) as given:
                    kept = _written(change(shapes[n : n + 1]))[0]
                    given.append(kept)
            made[row] = kept
        except shapely.errors.GEOSException as error:
            batch.set_aside((row,), f"GEOS: {error}")
    return with_values(batch.shapes.column, made)


def with_values(column: pa.Array, made: dict[int, bytes]) -> pa.Array:
    """Return a column of WKB with these values in their rows."""
    if not made:
        return column
    values = column.to_pylist()
    for row, value in made.items():
        values[row] = value
    return pa.array(values, pa.binary())


def _written(shapes: Shapes) -> list[bytes]:
    values: list[bytes] = shapely.to_wkb(shapes, byte_order=1, flavor="iso").tolist()
    return values


def _place(trail: Trail | None, row: int) -> AbstractContextManager[list[bytes]]:
    """Enter ``row`` in the trail, if there is one, while it is worked on."""
    return nullcontext([]) if trail is None else trail.at(row)


def parts(shape: Geometry | None, dimension: int) -> Geometry | None:
    """Return the parts of ``shape`` that have ``dimension`` (0 points, 1 lines, 2 areas, -1 any),
    as one geometry; None if there are none."""
    if shape is None or shape.is_empty:
        return None
    if dimension < 0:
        return shape
    kept = [
        piece
        for piece in pieces(shape)
        if shapely.get_dimensions(piece) == dimension and not piece.is_empty
    ]
    if not kept:
        return None
    if len(kept) == 1:
        return kept[0]
    join = (shapely.multipoints, shapely.multilinestrings, shapely.multipolygons)[dimension]
    return join(kept)


def pieces(shape: Geometry) -> list[Geometry]:
    """List the points, lines and polygons of which a geometry consists, however deep."""
    if not hasattr(shape, "geoms"):
        return [shape]
    return [piece for part in shape.geoms for piece in pieces(part)]
