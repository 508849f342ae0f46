"""Elements of GML: features with coordinates that are no numbers, or values that OGR changes."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from geobatch_tui.execution.vector.formats.xml import xml_values
from geobatch_tui.execution.vector.formats.xml.xml_reader import (
    BROKEN,
    MORE,
    NONE,
    NUMBER,
    VALUE,
    XmlReader,
    tuples,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from geobatch_tui.execution.vector.formats.xml.xml_reader import Check

#: Elements whose children are features.
_MEMBERS = frozenset({"featureMember", "featureMembers", "member"})
_ARCS = {"Arc", "ArcString", "Circle", "Geodesic", "GeodesicString"}
_LINES = {"LineString", "LinearRing", "LineStringSegment", "Curve", *_ARCS}
_LIST = re.compile(rf"[\s,]*+(?:{NUMBER}(?:[\s,]++|\Z))*+", re.ASCII)
_ONE = re.compile(rf"\s*+(?:{NUMBER}\s*+)?+", re.ASCII)
#: Elements with coordinates, those that they may stand in, and what their text is.
_TEXTS = {
    "pos": (frozenset({"Point", *_LINES}), _LIST),
    "posList": (frozenset(_LINES), _LIST),
    "coordinates": (frozenset({"Point", *_LINES}), tuples(r"\s*+,\s*+")),
    **{name: (frozenset({"coord"}), _ONE) for name in "XYZ"},
}
#: Attributes of ``coordinates`` that say what is between numbers; such texts are not looked at.
_SIGNS = {"decimal": ".", "cs": ",", "ts": " "}


class Features(XmlReader):
    """The features of a file: the children of its members, in layers by their names."""

    shapes = frozenset({"LinearRing", "Ring"})
    holders = frozenset({"exterior", "interior", "outerBoundaryIs", "innerBoundaryIs"})

    def __init__(self, schema: pa.Schema) -> None:
        """Check the attributes of ``schema``, too."""
        super().__init__()
        self._values = xml_values.checks(schema)
        self._layers: defaultdict[str, bytearray] = defaultdict(bytearray)
        self._within = -1  # depth of the feature, if in one

    def begin(self, name: str, attributes: Mapping[str, str]) -> Check | None:
        parent = self.path[-1] if self.path else ""
        if self._within < 0 and parent in _MEMBERS:
            self._within, self.mark = len(self.path), NONE
        self.fault = BROKEN
        if self._within == len(self.path) - 1 and name in self._values:
            self.fault = VALUE
            return self._values[name]
        parents, pattern = _TEXTS.get(name, ((), _LIST))
        usual = all(attributes.get(key, sign) == sign for key, sign in _SIGNS.items())
        if parent in parents and usual and "boundedBy" not in self.path:
            return pattern.fullmatch
        return None

    def end(self, name: str) -> None:
        if len(self.path) == self._within:
            self._within = -1
            # A feature may have several geometries, of which OGR reads one: null need not be wrong.
            self._layers[name].append(self.mark if self.mark >= MORE else NONE)

    def marks(self, layer: str, place: str) -> bytearray | None:
        del place
        return self._layers.get(layer)
