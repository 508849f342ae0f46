"""Features of KML and GML whose coordinates, or values, are not what OGR makes of them.

It takes text that is no number for 0, or leaves out the place; and of several geometries in the
place of one it takes the first, or the last: all without a word. So the file itself is read (see
``kml_elements`` and ``gml_elements``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.parsers.expat import ExpatError

import numpy as np
import pyarrow as pa

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.vector.batch.wkb_coordinates import validity
from geobatch_tui.execution.vector.formats.lost_geometries import FIELD, NO_GEOMETRY
from geobatch_tui.execution.vector.formats.xml.xml_reader import (
    BROKEN,
    LISTED,
    MORE,
    SOME,
    VALUE,
    XmlReader,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.ogr.archive import Plain

OTHER_VALUE = (
    f"{FIELD}s have a whole number beyond the range of 64 bits, or a day or time that there is "
    "none of: OGR reads another value, or null"
)
NO_NUMBERS = "not all of its coordinates are numbers, and OGR reads others in their place"
TOO_MANY = "it has several geometries, or rings, in the place of one, which is all that OGR reads"
_REASONS = {BROKEN: NO_NUMBERS, MORE: TOO_MANY, VALUE: OTHER_VALUE}


class Misread:
    """Finds the broken features of a layer."""

    def __init__(
        self,
        reader: XmlReader,
        plain: Plain,
        layer: str,
        ids: Callable[[], NDArray[np.int64]] | None,
        lost: tuple[int, ...] = (),
    ) -> None:
        """Read the file.

        Args:
            reader: of its elements.
            plain: what OGR opens.
            layer: its name.
            ids: gives those of all features of the layer, in order, if not all of them are asked
                about; else they are in their order, each once.
            lost: numbers, from 1, of features that OGR leaves out.

        Raises:
            CorruptSourceError: it is no XML.
        """
        self._plain, self._layer, self._ids, self._lost = plain, layer, ids, lost
        self._seen = 0
        self._reader = reader
        self._marks: NDArray[np.uint8] | None = None
        #: Ids of the marks, in order.
        self._known = np.empty(0, np.int64)
        try:
            self._reader.read(plain.name())
        except (ExpatError, ValueError, LookupError) as error:
            raise CorruptSourceError(
                f"{plain.path} cannot be read to its end: {error}",
                hint="repair it as XML: what stands behind that place would be left out",
            ) from error

    def reasons(self, shapes: pa.Array, ids: NDArray[np.int64], count: int) -> pa.Array:
        """Give for each of the next features what is wrong with it; null: nothing.

        Args:
            shapes: of these features, as OGR reads them.
            ids: of these features.
            count: of all features that are asked about.

        Raises:
            CorruptSourceError: some are broken, and it is not known which of OGR's features.
        """
        start, self._seen = self._seen, self._seen + len(shapes)
        if not shapes.null_count and not self._reader.lines:
            return pa.nulls(len(shapes), pa.string())
        if self._marks is None:
            self._marks = self._in_order(count) if self._ids is None else self._by_id(self._ids())
        if self._ids is None:
            mark = self._marks[start : self._seen]
        else:
            mark = self._marks[np.searchsorted(self._known, ids)]
        unread = (mark == SOME) & ~validity(shapes)
        reasons = [
            NO_GEOMETRY if one else _REASONS.get(other)
            for one, other in zip(unread.tolist(), mark.tolist(), strict=True)
        ]
        return pa.array(reasons, pa.string())

    def _by_id(self, every: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Mark the features in the order of their ids; where they share one, with the worst
        mark."""
        self._known, places = np.unique(every, return_inverse=True)
        marks = np.zeros(len(self._known), np.uint8)
        np.maximum.at(marks, places, self._in_order(len(every)))
        return marks

    def _in_order(self, count: int) -> NDArray[np.uint8]:
        marks = self._reader.marks(self._layer, self._plain.place)
        if marks is not None and len(marks) == count + len(self._lost):
            return np.delete(np.frombuffer(bytes(marks), np.uint8), np.array(self._lost, int) - 1)
        lines = self._reader.lines
        if lines:
            shown = ", ".join(map(str, lines[:LISTED])) + (", ..." if len(lines) > LISTED else "")
            raise CorruptSourceError(
                f"{self._plain.path} has coordinates that are no numbers, or values or geometries "
                f"that OGR leaves out, in lines {shown}",
                hint="repair or remove these: which of its features they are is not known",
            )
        return np.zeros(count, np.uint8)
