"""Reads XML from start to end for the texts of coordinates in it, of which one is in memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.parsers import expat

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What a feature has: no geometry, one, or one whose coordinates are not all numbers.
NONE, SOME, BROKEN = range(3)
NUMBER = r"[+-]?+(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][+-]?+\d++)?+"
LISTED = 20
_PIECE = 1 << 20


def tuples(comma: str) -> re.Pattern[str]:
    """Places of two or three numbers apart by ``comma``, a pattern, and blanks between them."""
    third = rf"(?:{comma}(?:{NUMBER}(?:\s*+,)?+)?+)?+"
    place = rf"{NUMBER}{comma}{NUMBER}{third}"
    return re.compile(rf"\s*+(?:{place}(?:\s++|\Z))*+", re.ASCII)


class XmlReader:
    """What a format of features has in common with another. Names are without their prefixes."""

    def __init__(self) -> None:
        #: Names of the elements that are open.
        self.path: list[str] = []
        self.mark = NONE
        #: Of the first texts that are broken.
        self.lines: list[int] = []
        self._text: list[str] = []
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def begin(self, name: str, attributes: Mapping[str, str]) -> re.Pattern[str] | None:
        """An element begins; the pattern of its text, if that has coordinates."""
        raise NotImplementedError

    def end(self, name: str) -> None:
        """An element without coordinates ended; ``path`` has those around it."""
        raise NotImplementedError

    def marks(self, layer: str, place: str) -> bytearray | None:
        """What each feature of a layer has, in order; ``place``: what OGR opens. None: it is not
        known which layer that is."""
        raise NotImplementedError

    def read(self, path: str) -> None:
        """Read a file. Raises ExpatError and its kin where it is no XML."""
        with open(path, "rb") as file:  # noqa: PTH123 - odd bytes in names
            while piece := file.read(_PIECE):
                self._parser.Parse(piece)
            self._parser.Parse(b"", True)

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        name = name.rpartition(":")[2]
        self._pattern = self.begin(name, attributes)
        self._parser.CharacterDataHandler = self._text.append if self._pattern else None
        self.path.append(name)

    def _end(self, _: str) -> None:
        name = self.path.pop()
        if self._parser.CharacterDataHandler is None:
            self.end(name)
            return
        self._parser.CharacterDataHandler = None
        text = "".join(self._text)
        self._text.clear()
        if self._pattern is not None and self._pattern.fullmatch(text) is None:
            if self.mark != BROKEN and len(self.lines) <= LISTED:
                self.lines.append(self._parser.CurrentLineNumber)
            self.mark = BROKEN
        elif self.mark == NONE and text.strip():
            self.mark = SOME
