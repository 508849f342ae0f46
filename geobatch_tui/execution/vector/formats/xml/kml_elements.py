"""Elements of KML: placemarks with a geometry, and with coordinates that are no numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from geobatch_tui.execution.vector.formats.xml.xml_reader import (
    NONE,
    NUMBER,
    SOME,
    XmlReader,
    tuples,
)
from geobatch_tui.execution.vector.ogr.layer_info import layer_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geobatch_tui.execution.vector.formats.xml.xml_reader import Check

_CONTAINERS = frozenset({"Document", "Folder"})
#: Elements of a container that are features, to OGR; others lie in a layer, and are none.
FEATURES = frozenset({"Placemark", "GroundOverlay"})
_OTHERS = frozenset({"NetworkLink", "ScreenOverlay", "PhotoOverlay", "Tour"})
_MEMBERS = _CONTAINERS | FEATURES | _OTHERS
_COORD = re.compile(rf"\s*+{NUMBER}\s++{NUMBER}(?:\s++{NUMBER})?+\s*+", re.ASCII)
_ONE = re.compile(rf"\s*+{NUMBER}\s*+", re.ASCII)
#: Elements with coordinates, those that they may stand in, and what their text is.
_SIDES, _PLACE = ("north", "south", "east", "west", "rotation"), ("longitude", "latitude")
_TEXTS = {
    "coordinates": (frozenset({"Point", "LineString", "LinearRing"}), tuples(",")),
    "coord": (frozenset({"Track"}), _COORD),
}
#: LIBKML ignores blanks beside a comma, and makes geometries of the place of a picture and of a
#: camera. The other driver does not.
_TEXTS_OF_LIBKML = _TEXTS | {
    "coordinates": (_TEXTS["coordinates"][0] | {"LatLonQuad"}, tuples(r"\s*+,\s*+")),
    **{name: (frozenset({"LatLonBox"}), _ONE) for name in _SIDES},
    **{name: (frozenset({"Camera"}), _ONE) for name in _PLACE},
}
_SHAPES = frozenset(
    ("Point", "LineString", "LinearRing", "Polygon", "MultiGeometry", "Track", "MultiTrack")
)


@dataclass(slots=True)
class _Container:
    """A folder of the file: its features, and whether it has anything but folders."""

    marks: bytearray = field(default_factory=bytearray)
    filled: bool = False


class Placemarks(XmlReader):
    """The placemarks of a file that one of OGR's two drivers opens."""

    shapes = _SHAPES
    holders = frozenset({"Placemark", "outerBoundaryIs", "innerBoundaryIs"})

    def __init__(self, *, is_libkml: bool) -> None:
        super().__init__()
        self._knows_layers = is_libkml
        self._texts = _TEXTS_OF_LIBKML if self._knows_layers else _TEXTS
        self._open: list[_Container] = []
        self._containers: list[_Container] = []
        self._within = -1  # depth of the placemark, if in one

    def begin(self, name: str, attributes: Mapping[str, str]) -> Check | None:
        del attributes
        if self._within >= 0:
            if name in self._texts and self.path[-1] in self._texts[name][0]:
                return self._texts[name][1].fullmatch
            if name == "Model" and self.mark == NONE:
                self.mark = SOME
        elif name in _MEMBERS and self._is_home():
            if not self._open:
                self._containers.clear()  # of several in the root, OGR takes the last
            if name in _CONTAINERS:
                self._open.append(_Container())
                self._containers.append(self._open[-1])
            else:
                self._place(name)
        return None

    def _is_home(self, ended: int = 0) -> bool:
        """Whether there are but containers above; ``ended``: of those that are open."""
        return len(self.path) == len(self._open) - ended + (self.path[:1] == ["kml"])

    def _place(self, name: str) -> None:
        if not self._open:
            self._containers.append(_Container())
        self._into.filled = True
        if name in FEATURES:
            self._within, self.mark = len(self.path), NONE

    @property
    def _into(self) -> _Container:
        return self._open[-1] if self._open else self._containers[0]

    def end(self, name: str) -> None:
        if self._within >= 0:
            if len(self.path) == self._within:
                self._within = -1
                self._into.marks.append(self.mark)
        elif name in _CONTAINERS and self._is_home(ended=1):
            self._open.pop()

    def marks(self, layer: str, place: str) -> bytearray | None:
        """See the base. LIBKML makes layers of all folders, and of the root if it has more than
        these."""
        names = layer_names(place)
        layers = [each for n, each in enumerate(self._containers) if n or each.filled]
        if not self._knows_layers or len(names) != len(layers):
            return None
        return layers[names.index(layer)].marks
