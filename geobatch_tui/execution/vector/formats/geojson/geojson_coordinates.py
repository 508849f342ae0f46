"""Geometries of GeoJSON of which OGR leaves out what it cannot read.

It passes over rings, lines, polygons and members of collections that are none, with a line on
stderr at most, and reads the others; a point of NaN becomes an empty one.
"""

from __future__ import annotations

import mmap
import re
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import Json

#: How deep the places of a geometry lie in lists.
_DEPTHS = {
    "point": 0,
    "multipoint": 1,
    "linestring": 1,
    "multilinestring": 2,
    "polygon": 2,
    "multipolygon": 3,
}
_COLLECTION = b'"geometries"'


def _list_of(one: bytes) -> bytes:
    return rb"\[\s*+(?:%b\s*+(?:,\s*+%b\s*+)*+)?+\]" % (one, one)


_PLACE = rb"\[[\s\d.eE+-]++,[\s\d.eE+,-]++\]"
_PLACES = _list_of(_PLACE)
_LINES = _list_of(_PLACES)
_ANY = b"|".join((_PLACE, _list_of(_LINES), _LINES, _PLACES))
#: With a group: coordinates that are lists of places, as deep everywhere.
_COORDINATES = re.compile(rb'"coordinates"\s*+(:\s*+(?:%b)\s*+[,}])?+' % _ANY)


def are_doubtful(path: str) -> bool:
    """Whether a file may have such a geometry, by a quick look that makes no objects of it. OGR
    leaves no geometry where all of its places lie deeper than they should, or less deep, or an
    empty one."""
    with Path(path).open("rb") as file:
        if not file.read(1):
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            if text.find(_COLLECTION) >= 0:
                return True
            return any(found[1] is None for found in _COORDINATES.finditer(text))


def is_whole(shape: Json) -> bool:
    """Whether all of a geometry can be read; nothing in the place of coordinates can."""
    kind = str(shape.get("type")).casefold()
    if kind == "geometrycollection":
        inner = shape.get("geometries")
        return isinstance(inner, list) and all(
            isinstance(one, dict) and is_whole(one) for one in inner
        )
    if kind not in _DEPTHS or "coordinates" not in shape:
        return False
    there = shape["coordinates"]
    return not there or _is_nested(there, _DEPTHS[kind])


def _is_nested(value: object, depth: int) -> bool:
    if not isinstance(value, list):
        return False
    if depth:
        return all(_is_nested(one, depth - 1) for one in value)
    return len(value) > 1 and all(map(_is_number, value[:3]))


def _is_number(value: object) -> bool:
    return type(value) is int or (type(value) is float and not isnan(value))
