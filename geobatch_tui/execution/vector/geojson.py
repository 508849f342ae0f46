"""Which features of a GeoJSON file have a geometry, or numbers that OGR reads as others, as the
file itself says.

OGR gives a feature no geometry where it cannot read the one that it has, and puts the end of the
range of 64 bits for a whole number beyond, with a line on stderr at most.
"""

from __future__ import annotations

import re
from io import TextIOWrapper
from json import JSONDecodeError
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geobatch_tui.execution.vector import archive
from geobatch_tui.execution.vector.sequence import decoded, records, value_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

#: What a feature has: a geometry with coordinates; a whole number beyond 64 bits.
GEOMETRY, BEYOND = 1, 2
#: The ends of their range.
LEAST, LARGEST = -(2**63), 2**63 - 1
_PIECE = 1 << 20
#: What says where an object ends: whole texts, brackets, and the start of a text that is cut.
_MARK = re.compile(r'"(?:[^"\\]++|\\.)*+"|["[\]{}]', re.DOTALL)
_BLANK = " \t\r\n,:"
#: Characters of the longest word, or escape, that JSON of Python's knows, and a few more.
_LONGEST = 16
_ENDS = frozenset(_BLANK + "]}")


def told(path: str, *, sequence: bool, lost: tuple[int, ...] = ()) -> bytes:
    """A byte for each feature at ``path``: ``GEOMETRY`` and ``BEYOND``, as far as it has them.

    Args:
        path: a file with a collection, or a text ``sequence``.
        sequence: which of these.
        lost: numbers, from 1, of records of a sequence that are none.
    """
    if sequence:
        left_out = frozenset(lost)
        found = (decoded(one) for n, one in enumerate(records(path), 1) if n not in left_out)
        return bytes(map(_flags, found))
    with Path(path).open(encoding="utf-8-sig", errors="replace") as file:
        return bytes(map(_flags, _collected(_Text(file))))


def goes_on(path: str, place: str) -> bool:
    """Whether anything follows the first object of what OGR opens at ``place``, which is ``path``
    or lies in it."""
    with (
        archive.opened(path, place) as file,
        TextIOWrapper(file, encoding="utf-8-sig", errors="replace") as decoded_file,
    ):
        text = _Text(decoded_file)
        return text.pass_over() and bool(text.next())


def _flags(value: Any) -> int:
    return GEOMETRY * _has_geometry(value) | BEYOND * _goes_beyond(value)


def _goes_beyond(value: Any) -> bool:
    own = value.get("properties") if isinstance(value, dict) else None
    if not isinstance(own, dict):
        return False
    lists = ([one] if not isinstance(one, list) else one for one in own.values())
    return any(type(one) is int and not LEAST <= one <= LARGEST for some in lists for one in some)


def _has_geometry(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    alone = str(value.get("type")).casefold() != "feature" and "geometry" not in value
    shape = value if alone else value.get("geometry")
    if not isinstance(shape, dict):
        return shape is not None
    # One without coordinates may be taken for none (RFC 7946, 3.1).
    return bool(shape.get("coordinates", shape.get("geometries", "there")))


class _Text:
    """A text, of which little more than one value is in memory."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._held, self._at = "", 0

    def _more(self) -> bool:
        piece = self._file.read(max(_PIECE, len(self._held) - self._at))
        self._held, self._at = self._held[self._at :] + piece, 0
        return bool(piece)

    def next(self) -> str:
        """The next character that is no blank or comma; it stays. Empty: there is none."""
        while True:
            while self._at < len(self._held) and self._held[self._at] in _BLANK:
                self._at += 1
            if self._at < len(self._held) or not self._more():
                return self._held[self._at : self._at + 1]

    def skip(self) -> None:
        """Past that character."""
        self._at += 1

    def pass_over(self) -> bool:
        """Past the object or list that begins there, which may be too large to be read; whether it
        ends at all."""
        self.next()
        depth = 0
        while True:
            for found in _MARK.finditer(self._held, self._at):
                mark = found[0]
                if mark == '"':  # its end is not here yet
                    break
                self._at = found.end()
                depth += mark in "[{"
                depth -= mark in "]}"
                if depth <= 0:
                    return True
            else:
                self._at = len(self._held)
            if not self._more():
                return False

    def value(self) -> Any:
        """The value that begins there.

        Raises:
            ValueError: it is no JSON.
        """
        self.next()
        while True:
            try:
                value, end = value_at(self._held, self._at)
            except ValueError as error:
                if not _may_be_cut(error, len(self._held)) or not self._more():
                    raise
                continue
            if self._held[end : end + 1] in _ENDS:
                self._at = end
                return value
            size = end - self._at
            if not self._more():  # else a number may go on
                self._at = size
                return value


def _may_be_cut(error: ValueError, length: int) -> bool:
    """Whether a text of this ``length`` may be no JSON only since more of it follows."""
    if not isinstance(error, JSONDecodeError):  # nested too deep
        return False
    return error.pos > length - _LONGEST or error.msg.startswith("Unterminated string")


def _collected(text: _Text) -> Iterator[Any]:
    """The features of a collection, as OGR counts them; of another text, none."""
    if text.next() != "{":
        return
    text.skip()
    while text.next() == '"':
        if text.value() != "features" or text.next() != "[":
            text.value()
            continue
        text.skip()
        while text.next() not in {"]", ""}:
            value = text.value()
            if isinstance(value, dict) and value.get("type") == "Feature":
                yield value
        text.skip()
