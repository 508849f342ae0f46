"""Placemarks of KML whose coordinates are not what OGR makes of them.

It takes text that is no number for 0, or leaves out the place, without a word; and it gives models,
and shapes that it does not know, as no geometry. So the file itself is asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

import numpy as np
import pyarrow as pa

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.vector.lean import pyogrio
from geobatch_tui.execution.vector.names import exact
from geobatch_tui.execution.vector.unread import NO_GEOMETRY
from geobatch_tui.execution.vector.wkb import validity

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.archive import Plain

DRIVERS = frozenset({"LIBKML", "KML"})
NO_NUMBERS = "not all of its coordinates are numbers, and OGR reads others in their place"

#: What a placemark has: no geometry, one, or one whose coordinates cannot be read.
NONE, SOME, BROKEN = range(3)
_CONTAINERS = frozenset({"Document", "Folder"})
#: Elements of a container that are features, to OGR; others lie in a layer, and are none.
_FEATURES = frozenset({"Placemark", "GroundOverlay"})
_OTHERS = frozenset({"NetworkLink", "ScreenOverlay", "PhotoOverlay", "Tour"})
_MEMBERS = _CONTAINERS | _FEATURES | _OTHERS
#: Elements with coordinates, in those that they may stand in.
_TEXTS = {
    "coordinates": frozenset({"Point", "LineString", "LinearRing"}),
    "coord": frozenset({"Track"}),
}

_NUMBER = r"[+-]?+(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][+-]?+\d++)?+"


def _tuples(comma: str) -> re.Pattern[str]:
    third = rf"(?:{comma}(?:{_NUMBER}(?:\s*+,)?+)?+)?+"
    place = rf"{_NUMBER}{comma}{_NUMBER}{third}"
    return re.compile(rf"\s*+(?:{place}(?:\s++|\Z))*+", re.ASCII)


#: LIBKML takes blanks beside a comma as they are meant; the other driver does not.
_COORDINATES = {"LIBKML": _tuples(r"\s*+,\s*+"), "KML": _tuples(",")}
_COORD = re.compile(rf"\s*+{_NUMBER}\s++{_NUMBER}(?:\s++{_NUMBER})?+\s*+", re.ASCII)
_PIECE = 1 << 20
_LISTED = 20


@dataclass(slots=True)
class _Container:
    """A folder of the file: its features, and whether it has anything but folders."""

    marks: bytearray = field(default_factory=bytearray)
    filled: bool = False


class _Reader:
    """Reads a file from start to end; of it, a placemark at a time is in memory."""

    def __init__(self, driver: str) -> None:
        self._pattern = _COORDINATES[driver]
        self._path: list[str] = []
        self._open: list[_Container] = []
        self._within = 0  # depth of the placemark, if in one
        self._mark = NONE
        self._text: list[str] = []
        self.containers: list[_Container] = []
        self.lines: list[int] = []
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def read(self, path: str) -> None:
        with open(path, "rb") as file:  # noqa: PTH123 - odd bytes in names
            while piece := file.read(_PIECE):
                self._parser.Parse(piece)
            self._parser.Parse(b"", True)

    def _start(self, name: str, _: object) -> None:
        name = name.rpartition(":")[2]
        path = self._path
        if self._within:
            if name in _TEXTS and path[-1] in _TEXTS[name]:
                self._parser.CharacterDataHandler = self._text.append
            elif name == "Model" and self._mark == NONE:
                self._mark = SOME
        elif name in _MEMBERS and self._is_home():
            if not self._open:
                self.containers.clear()  # of several in the root, OGR takes the last
            if name in _CONTAINERS:
                self._open.append(_Container())
                self.containers.append(self._open[-1])
            else:
                self._place(name)
        path.append(name)

    def _is_home(self, ended: int = 0) -> bool:
        """Whether there are but containers above; ``ended``: of those that are open."""
        return len(self._path) == len(self._open) - ended + (self._path[:1] == ["kml"])

    def _place(self, name: str) -> None:
        if not self._open:
            self.containers.append(_Container())
        self._into.filled = True
        if name in _FEATURES:
            self._within, self._mark = len(self._path) + 1, NONE

    @property
    def _into(self) -> _Container:
        return self._open[-1] if self._open else self.containers[0]

    def _end(self, _: str) -> None:
        depth, name = len(self._path), self._path.pop()
        if self._within:
            if name in _TEXTS and self._parser.CharacterDataHandler is not None:
                self._parser.CharacterDataHandler = None
                self._look(name, "".join(self._text))
                self._text.clear()
            elif depth == self._within:
                self._within = 0
                self._into.marks.append(self._mark)
        elif name in _CONTAINERS and self._is_home(ended=1):
            self._open.pop()

    def _look(self, name: str, text: str) -> None:
        pattern = _COORD if name == "coord" else self._pattern
        if pattern.fullmatch(text) is None:
            if self._mark != BROKEN and len(self.lines) <= _LISTED:
                self.lines.append(self._parser.CurrentLineNumber)
            self._mark = BROKEN
        elif self._mark == NONE and text.strip():
            self._mark = SOME


class Placemarks:
    """Tells which features of a layer are broken."""

    def __init__(
        self, plain: Plain, driver: str, layer: str, ids: Callable[[], NDArray[np.int64]]
    ) -> None:
        """Read the file; ``ids`` gives those of all features of the layer, in order.

        Raises:
            CorruptSourceError: it is no XML.
        """
        self._plain, self._driver, self._layer, self._ids = plain, driver, layer, ids
        self._reader = _Reader(driver)
        self._known: tuple[NDArray[np.int64], NDArray[np.uint8]] | None = None
        try:
            self._reader.read(plain.name())
        except (expat.ExpatError, ValueError, LookupError) as error:
            raise CorruptSourceError(f"{plain.path} cannot be read to its end: {error}") from error

    def reasons(self, shapes: pa.Array, ids: Any) -> pa.Array:
        """For each of some features, what is wrong with it; null: nothing. ``shapes``: as OGR reads
        them.

        Raises:
            CorruptSourceError: some are broken, and it is not known which of OGR's features.
        """
        if not shapes.null_count and not self._reader.lines:
            return pa.nulls(len(shapes), pa.string())
        if self._known is None:
            self._known = self._by_id()
        known, marks = self._known
        mark = marks[np.searchsorted(known, ids)]
        broken, unread = mark == BROKEN, (mark == SOME) & ~validity(shapes)
        told = [
            NO_NUMBERS if one else NO_GEOMETRY if other else None
            for one, other in zip(broken.tolist(), unread.tolist(), strict=True)
        ]
        return pa.array(told, pa.string())

    def _by_id(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """The ids of all features, and what each has; where features share one, the worst."""
        every = self._ids()
        ids, places = np.unique(every, return_inverse=True)
        marks = np.zeros(len(ids), np.uint8)
        np.maximum.at(marks, places, self._in_order(len(every)))
        return ids, marks

    def _in_order(self, count: int) -> NDArray[np.uint8]:
        reader, path = self._reader, self._plain.path
        names = [str(name) for name, _ in pyogrio.list_layers(exact(self._plain.place))]
        layers = [each for n, each in enumerate(reader.containers) if n or each.filled]
        if self._driver == "LIBKML" and len(names) == len(layers):
            marks = layers[names.index(self._layer)].marks
            if len(marks) == count:
                return np.frombuffer(bytes(marks), np.uint8)
        if reader.lines:
            shown = ", ".join(map(str, reader.lines[:_LISTED]))
            more = ", ..." if len(reader.lines) > _LISTED else ""
            raise CorruptSourceError(
                f"{path} has placemarks whose coordinates are no numbers, in lines {shown}{more}",
                hint="repair or remove these: which of its features they are is not known",
            )
        return np.zeros(count, np.uint8)
