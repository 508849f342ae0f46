"""Reads XML from start to end for the texts of coordinates in it, of which one is in memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.parsers import expat

from geobatch_tui.execution.vector.formats.lost_geometries import LISTED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Check = Callable[[str], object]

#: Marks of a feature, the worst last: it has no geometry, one, several of which OGR reads one, one
#: whose coordinates are not all numbers, or a value that OGR reads as another.
NONE, SOME, MORE, BROKEN, VALUE = range(5)
NUMBER = r"[+-]?+(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][+-]?+\d++)?+"
_PIECE = 1 << 20


def tuples(comma: str) -> re.Pattern[str]:
    """Compile the pattern of places of two or three numbers apart by ``comma``, a pattern, and
    blanks between them."""
    third = rf"(?:{comma}(?:{NUMBER}(?:\s*+,)?+)?+)?+"
    place = rf"{NUMBER}{comma}{NUMBER}{third}"
    return re.compile(rf"\s*+(?:{place}(?:\s++|\Z))*+", re.ASCII)


class XmlReader:
    """A reader of the elements of a format. Names are without their prefixes."""

    #: Names of geometries, and of elements in which OGR reads one geometry.
    shapes: frozenset[str]
    holders: frozenset[str]

    def __init__(self) -> None:
        #: Names of the elements that are open.
        self.path: list[str] = []
        self.mark = NONE
        #: Lines of the first faults.
        self.lines: list[int] = []
        #: The mark of a feature whose text is wrong.
        self.fault = BROKEN
        self._check: Check | None = None
        self._text: list[str] = []
        #: Depth of open elements in the text of coordinates, with its own.
        self._inside = 0
        #: Depths of the holders that have their geometry.
        self._filled: set[int] = set()
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def begin(self, name: str, attributes: Mapping[str, str]) -> Check | None:
        """Take the start of an element; return the check of its text, if that is looked at."""
        raise NotImplementedError

    def end(self, name: str) -> None:
        """Take the end of an element whose text is not looked at; ``path`` has those around it."""
        raise NotImplementedError

    def marks(self, layer: str, place: str) -> bytearray | None:
        """Mark each feature of a layer, in order; ``place``: what OGR opens. None: it is not known
        which layer that is."""
        raise NotImplementedError

    def read(self, path: str) -> None:
        """Read a file. Raises ExpatError and its kin where it is no XML."""
        with open(path, "rb") as file:  # noqa: PTH123 - odd bytes in names
            while piece := file.read(_PIECE):
                self._parser.Parse(piece)
            self._parser.Parse(b"", True)

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        name = name.rpartition(":")[2]
        if self._inside:
            self._inside += 1
            self._text.append("<")  # OGR passes over what stands in it
        else:
            self._note_shape(name)
            self._check = self.begin(name, attributes)
            self._inside = int(self._check is not None)
            self._parser.CharacterDataHandler = self._text.append if self._inside else None
        self.path.append(name)

    def _note_shape(self, name: str) -> None:
        depth = len(self.path)
        if name in self.holders:
            self._filled.discard(depth)
        if name in self.shapes and self.path and self.path[-1] in self.holders:
            if depth - 1 in self._filled:
                self._worsen(MORE)
            self._filled.add(depth - 1)

    def _worsen(self, mark: int) -> None:
        if self.mark < MORE and len(self.lines) <= LISTED:
            self.lines.append(self._parser.CurrentLineNumber)
        self.mark = max(self.mark, mark)

    def _end(self, _: str) -> None:
        name = self.path.pop()
        if not self._inside:
            self.end(name)
            return
        self._inside -= 1
        if self._inside:
            return
        self._parser.CharacterDataHandler = None
        text = "".join(self._text)
        self._text.clear()
        if self._check is not None and not self._check(text):
            self._worsen(self.fault)
        elif self.mark == NONE and self.fault == BROKEN and text.strip():
            self.mark = SOME
