"""Elements of GML: features with coordinates that are no numbers, or values that OGR changes.

For a whole number beyond the range of 64 bits OGR takes the end of it, and for a day or time that
there is none of another one, or null.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from typing import TYPE_CHECKING

import pyarrow as pa

from geobatch_tui.execution.vector.formats.lost_geometries import LARGEST, LEAST
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

    from geobatch_tui.execution.vector.formats.xml.xml_reader import Check

#: Elements whose children are features.
MEMBERS = frozenset({"featureMember", "featureMembers", "member"})
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

_WHOLE = re.compile(r"\s*+[+-]?\d++\s*+", re.ASCII)
_TIME = r"(\d\d):(\d\d)(?::(\d\d))?+"
_MOMENT = re.compile(rf"\s*+(\d{{4}})-(\d\d)-(\d\d)(?:[T ]{_TIME})?+", re.ASCII)
_TIME_ALONE = re.compile(rf"\s*+{_TIME}", re.ASCII)


class Features(XmlReader):
    """The features of a file: the children of its members, in layers by their names."""

    shapes = frozenset({"LinearRing", "Ring"})
    holders = frozenset({"exterior", "interior", "outerBoundaryIs", "innerBoundaryIs"})

    def __init__(self, schema: pa.Schema) -> None:
        """Check the attributes of ``schema``, too."""
        super().__init__()
        self._values = _checks(schema)
        self._layers: defaultdict[str, bytearray] = defaultdict(bytearray)
        self._within = -1  # depth of the feature, if in one

    def begin(self, name: str, attributes: Mapping[str, str]) -> Check | None:
        parent = self.path[-1] if self.path else ""
        if self._within < 0 and parent in MEMBERS:
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


def _checks(schema: pa.Schema) -> dict[str, Check]:
    """Return the check of the text of each attribute that OGR may read as another value, by
    name."""
    found: dict[str, Check] = {}
    for field in schema:
        if pa.types.is_int64(field.type):
            found[field.name] = _fits
        elif pa.types.is_date(field.type) or pa.types.is_timestamp(field.type):
            found[field.name] = _is_moment
        elif pa.types.is_time(field.type):
            found[field.name] = _is_time
    return found


def _fits(text: str) -> bool:
    return not _WHOLE.fullmatch(text) or LEAST <= int(text) <= LARGEST


def _is_moment(text: str) -> bool:
    found = _MOMENT.match(text)
    if found is None:
        return True
    try:
        dt.date(*map(int, found.groups()[:3]))
    except ValueError:
        return False
    return found[4] is None or _is_of_a_day(*found.groups("0")[3:])


def _is_time(text: str) -> bool:
    found = _TIME_ALONE.match(text)
    return found is None or _is_of_a_day(*found.groups("0"))


def _is_of_a_day(hour: str, minute: str, second: str) -> bool:
    """Whether there is such a time; some minutes have 61 seconds."""
    return int(hour) < 24 and int(minute) < 60 and int(second) <= 60
