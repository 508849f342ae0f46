"""Curves as lines, and surfaces as polygons, if a job asks for it: no output format here has them.

Shapely reads no curves, so their WKB is taken apart here. An arc becomes steps of at most four
degrees, as OGR makes them; its own three places stay. It comes out the same in either direction, so
that neighbours share it still.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Places = NDArray[np.float64]

_STEP = np.radians(4)
#: Sine of the angle below which three places are on a line.
_STRAIGHT = 1e-12
#: Numbers of types in WKB.
_POINT, _LINE, _POLYGON, _COLLECTION, _ARCS, _COMPOUND, _TRIANGLE = 1, 2, 3, 7, 8, 9, 17
_CURVE_POLYGON = 10
#: What becomes of those that have members.
_MEMBERS = {4: 4, 5: 5, 6: 6, 7: 7, 11: 5, 12: 6, 15: 6, 16: 6}
#: Flags of PostGIS's own WKB.
_Z, _M, _SRID = 0x80000000, 0x40000000, 0x20000000


def straightened(column: pa.Array, rows: NDArray[np.int64]) -> tuple[pa.Array, dict[int, str]]:
    """Return ``column`` (WKB that is whole) with lines and polygons in place of the curves and
    surfaces in ``rows``; and why some of these are left as they are."""
    values = column.to_pylist()
    faults: dict[int, str] = {}
    for row in rows.tolist():
        try:
            values[row] = straight(values[row])
        except OddCurveError as error:
            faults[row] = str(error)
    return pa.array(values, pa.binary()), faults


class OddCurveError(Exception):
    """A curve or surface is not made as the standard says, so what it is meant to be is unknown."""


def straight(value: bytes) -> bytes:
    """Return the WKB of a geometry without curves and surfaces. Raise OddCurveError if it is not as
    it should be."""
    return _Reader(value).geometry()


class _Reader:
    """Reads a geometry from its start to its end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self._order, self._base, self._marks, self._size = "<", 0, 0, 2

    def _head(self) -> int:
        """Read the type of the geometry that begins here."""
        self._order = "<" if self._data[self._at] else ">"
        self._at += 1
        code = self._count()
        self._at += 4 * bool(code & _SRID)
        iso = code & ~(_Z | _M | _SRID)
        has_z = bool(code & _Z) or iso // 1000 in {1, 3}
        has_m = bool(code & _M) or iso // 1000 in {2, 3}
        self._marks, self._size = 1000 * has_z + 2000 * has_m, 2 + has_z + has_m
        return iso % 1000

    def _count(self) -> int:
        (count,) = struct.unpack_from(f"{self._order}I", self._data, self._at)
        self._at += 4
        return int(count)

    def _places(self, count: int) -> Places:
        found = np.frombuffer(self._data, f"{self._order}f8", count * self._size, self._at)
        self._at += found.nbytes
        return found.reshape(count, self._size).astype("<f8")

    def geometry(self) -> bytes:
        """Read the geometry that begins here, as WKB without curves."""
        base = self._head()
        marks = self._marks
        if base == _POINT:
            return _written(base, marks, self._places(1).tobytes())
        if base in {_LINE, _ARCS, _COMPOUND}:
            return _written(_LINE, marks, _listed(self._line(base)))
        if base in {_POLYGON, _TRIANGLE}:
            rings = [_listed(self._places(self._count())) for _ in range(self._count())]
        elif base == _CURVE_POLYGON:
            rings = [_listed(self._line(self._head())) for _ in range(self._count())]
        else:
            members = [self.geometry() for _ in range(self._count())]
            kinds = {int.from_bytes(one[1:5], "little") % 1000 for one in members}
            if base != _COLLECTION and not kinds <= {_MEMBERS[base] - 3}:
                raise OddCurveError("it has members of another type than its own")
            return _written(_MEMBERS[base], marks, _counted(members))
        return _written(_POLYGON, marks, _counted(rings))

    def _line(self, base: int) -> Places:
        """Read the places of a line, of arcs, or of what is made of both."""
        if base not in {_LINE, _ARCS, _COMPOUND}:
            raise OddCurveError("a part of its curves is neither a line nor an arc")
        if base != _COMPOUND:
            places = self._places(self._count())
            return places if base == _LINE else _along(places)
        parts = [self._line(self._head()) for _ in range(self._count())]
        if not parts:
            return np.empty((0, 2))
        # Each begins where the one before it ends.
        return np.concatenate([parts[0], *(part[1:] for part in parts[1:])])


def _written(base: int, marks: int, body: bytes) -> bytes:
    return struct.pack("<BI", 1, base + marks) + body


def _counted(members: list[bytes]) -> bytes:
    return struct.pack("<I", len(members)) + b"".join(members)


def _listed(places: Places) -> bytes:
    return struct.pack("<I", len(places)) + places.tobytes()


def _along(places: Places) -> Places:
    """Return places along arcs, each from one place by the next to the one after."""
    if len(places) and (len(places) == 1 or len(places) % 2 == 0):
        raise OddCurveError(f"arcs have three places, then two more each; it has {len(places)}")
    made = [places[:1]]
    for at in range(0, len(places) - 2, 2):
        start, middle, end = places[at : at + 3]
        if tuple(start[:2]) > tuple(end[:2]):
            made.append(_arc(end, middle, start)[::-1][1:])
        else:
            made.append(_arc(start, middle, end)[1:])
    return np.concatenate(made)


def _arc(start: Places, middle: Places, end: Places) -> Places:
    """Return places on an arc, with the three that it is given by."""
    one, two = middle[:2] - start[:2], end[:2] - start[:2]
    if not two.any():  # a whole circle
        centre, turned = start[:2] + one / 2, 1.0
    else:
        turned = float(one[0] * two[1] - one[1] * two[0])
        if abs(turned) <= _STRAIGHT * float(np.hypot(*one) * np.hypot(*two)):
            return np.stack([start, middle, end])
        squares = np.array([one @ one, two @ two]) / (2 * turned)
        towards = [
            two[1] * squares[0] - one[1] * squares[1],
            one[0] * squares[1] - two[0] * squares[0],
        ]
        centre = start[:2] + np.array(towards)
    radius = float(np.hypot(*(start[:2] - centre)))
    first = _between(start, middle, centre, radius, turned)
    second = _between(middle, end, centre, radius, turned)
    return np.concatenate([first, second, end[None]])


def _between(start: Places, end: Places, centre: Places, radius: float, turned: float) -> Places:
    """Return places on a circle from ``start`` up to ``end``, counter-clockwise where ``turned`` is
    above 0; what else they have is between that of both."""
    angles = [float(np.arctan2(*(place[:2] - centre)[::-1])) for place in (start, end)]
    sweep = (angles[1] - angles[0]) % (2 * np.pi)
    if turned < 0:
        sweep -= 2 * np.pi
    steps = max(int(np.ceil(abs(sweep) / _STEP - 1e-9)), 1)
    shares = np.arange(steps)[:, None] / steps
    made = start + shares * (end - start)
    at = angles[0] + shares[1:, 0] * sweep
    made[1:, 0] = centre[0] + radius * np.cos(at)
    made[1:, 1] = centre[1] + radius * np.sin(at)
    return made
