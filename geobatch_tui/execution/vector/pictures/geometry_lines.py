"""Takes the places of a geometry from its WKB, for a picture: also of one that no reader takes.

What a feature was set aside for is what its picture is to show: a ring that is not closed, a
coordinate that is no number, WKB that ends early. So nothing is asked of GEOS, and as much is taken
as there is.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Places = NDArray[np.float64]

#: Numbers of types in WKB: those with places, and those with rings.
_POINT, _LINE, _ARCS = 1, 2, 8
_RINGED = frozenset({3, 17})
#: Those with members.
_MEMBERS = frozenset({4, 5, 6, 7, 9, 10, 11, 12, 15, 16})
#: Flags of PostGIS's own WKB.
_Z, _M, _SRID = 0x80000000, 0x40000000, 0x20000000
#: The deepest nesting that is followed, and the most parts that are taken of one geometry.
_DEEPEST, _MOST_PARTS = 64, 100_000


@dataclass(slots=True)
class GeometryLines:
    """The places of geometries, line by line.

    Attributes:
        lines: (n, 2) x and y of each point, line and ring; arcs by the places that they go through.
        left: how many places may still be taken.
        whole: whether all that there is was taken.
    """

    left: int
    lines: list[Places] = field(default_factory=list)
    whole: bool = True

    def add(self, wkb: bytes) -> None:
        """Take the places of a geometry; of one that is damaged those before the damage."""
        try:
            _Walk(self, wkb).geometry(_DEEPEST)
        except _EndError:
            self.whole = False


class _EndError(Exception):
    """There is nothing more to be taken."""


class _Walk:
    """Goes through a geometry from its start."""

    def __init__(self, into: GeometryLines, data: bytes) -> None:
        self._into, self._data, self._at, self._parts = into, data, 0, 0

    def geometry(self, depth: int) -> None:
        """Take the geometry that begins here. Raises _EndError where it cannot go on."""
        if not depth or self._at >= len(self._data):
            raise _EndError
        order = "<" if self._data[self._at] else ">"
        self._at += 1
        code = self._count(order)
        self._at += 4 * bool(code & _SRID)
        iso = code & ~(_Z | _M | _SRID)
        size = 2 + (bool(code & _Z) or iso // 1000 in {1, 3})
        size += bool(code & _M) or iso // 1000 in {2, 3}
        base = iso % 1000
        if base == _POINT:
            self._places(1, size, order)
        elif base in {_LINE, _ARCS}:
            self._places(self._count(order), size, order)
        elif base in _RINGED:
            for _ in range(self._count(order)):
                self._places(self._count(order), size, order)
        elif base in _MEMBERS:
            for _ in range(self._count(order)):
                self.geometry(depth - 1)
        else:
            raise _EndError

    def _count(self, order: str) -> int:
        if self._at + 4 > len(self._data):
            raise _EndError
        (count,) = struct.unpack_from(f"{order}I", self._data, self._at)
        self._at += 4
        return int(count)

    def _places(self, count: int, size: int, order: str) -> None:
        """Take so many places of ``size`` numbers, or as many as there are."""
        self._parts += 1
        there = max(len(self._data) - self._at, 0) // (8 * size)
        taken = min(count, there, self._into.left)
        numbers = np.frombuffer(self._data, f"{order}f8", taken * size, self._at)
        if taken:
            self._into.lines.append(numbers.reshape(taken, size)[:, :2].astype("<f8"))
        self._into.left -= taken
        self._at += numbers.nbytes
        if taken < count or self._parts > _MOST_PARTS:
            raise _EndError
