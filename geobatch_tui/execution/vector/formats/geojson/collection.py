"""Collections of GeoJSON: their members, and what each feature has, as the file itself says.

OGR gives a feature no geometry where it cannot read the one that it has, and puts the end of the
range of 64 bits for a whole number beyond, with a line on stderr at most. It passes over members of
a collection that are no features, as geometries of their own, without a word.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from io import TextIOWrapper
from json import JSONDecodeError
from typing import IO, TYPE_CHECKING

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.vector.formats.geojson.geojson_coordinates import is_whole
from geobatch_tui.execution.vector.formats.geojson.text_sequence import decoded, records, value_at
from geobatch_tui.execution.vector.formats.lost_geometries import LARGEST, LEAST, MOST_SET_ASIDE
from geobatch_tui.execution.vector.ogr import archive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO


#: Flags of a feature: it has a geometry with coordinates; a whole number beyond 64 bits; a geometry
#: that cannot be read whole.
GEOMETRY, BEYOND, BROKEN = 1, 2, 4
_PIECE = 1 << 20
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_FLAT = rb'\{(?:[^"{}]++|%b)*+\}' % _STRING
_DEEPER = rb'\{(?:[^"{}]++|%b|%b)*+\}' % (_STRING, _FLAT)
#: An object with others in it, as most features are; a string; the start of either.
_BRACE = re.compile(rb'%b|%b|["{}]' % (_DEEPER, _STRING), re.DOTALL)
#: Characters of a member that are shown.
_SHOWN = 80
#: Marks by which the end of an object is found: strings, brackets, the start of a string.
_MARK = re.compile(r'"(?:[^"\\]++|\\.)*+"|["[\]{}]', re.DOTALL)
#: Bytes that OGR takes for each list of the text, as for a place.
_EACH = 500
_BLANK = " \t\r\n,:"
#: More characters than the longest word or escape of JSON has.
_LONGEST = 16
_ENDS = frozenset(_BLANK + "]}")


def feature_marks(path: str, *, sequence: bool, lost: tuple[int, ...] = ()) -> bytes:
    """Make a byte with flags for each feature at ``path``, a collection or a text ``sequence``.

    ``lost``: numbers, from 1, of records of a sequence that are none.
    """
    if sequence:
        left_out = frozenset(lost)
        found = (decoded(one) for n, one in enumerate(records(path), 1) if n not in left_out)
        return bytes(map(_flags, found))
    with _opened(path, path) as text:
        return bytes(map(_flags, filter(_is_feature, _members(text))))


def objects(path: str, place: str) -> tuple[int, int]:
    """Count the members of a collection that are objects, and the bytes that OGR needs for the
    largest."""
    with archive.opened(path, place) as file:
        return _objects(file)


def needed(text: bytes) -> int:
    """Return the bytes that OGR needs to parse a feature."""
    return _EACH * text.count(b"[") + 2 * len(text)


def lost(path: str, place: str, features: int, count: int) -> tuple[int, ...]:
    """Number, from 1, the members of a collection of ``count`` objects that are no features; OGR
    reads so many ``features``. Raises CorruptSourceError where they are too many."""
    if count <= features:
        return ()
    try:
        with _opened(path, place) as text:
            members = enumerate(_members(text), 1)
            found = tuple(n for n, one in members if isinstance(one, dict) and not _is_feature(one))
    except ValueError:  # OGR takes more for JSON
        return ()
    if len(found) > MOST_SET_ASIDE:
        raise CorruptSourceError(
            f"{path} has {len(found)} members in its collection that are no features",
            hint="make features of them: the others are all that OGR reads",
        )
    return found


def reasons(path: str, place: str, numbers: tuple[int, ...]) -> Iterator[str]:
    """Say why each of these members is no feature."""
    wanted = frozenset(numbers)
    with _opened(path, place) as text:
        for n, value in enumerate(_members(text), 1):
            if n in wanted and isinstance(value, dict):
                start = json.dumps(value, ensure_ascii=False)[:_SHOWN]
                yield (
                    f"member {n} of the collection is no feature, but of type "
                    f"{value.get('type')!r}; it begins with {start!r}"
                )


def _objects(file: IO[bytes]) -> tuple[int, int]:
    """Do as :func:`objects`."""
    data, count, key, passed, most, lists = b"", 0, b"", 0, 0, 0
    # Offsets of the objects that are not closed yet, with the lists before each.
    unclosed: list[tuple[int, int]] = []
    while piece := file.read(max(_PIECE, len(data))):
        data += piece
        at = counted = 0
        if not unclosed:  # the outermost object is not matched as a whole
            at = data.find(b"{") + 1
            unclosed = [(at, 0)] * min(at, 1)
        for found in _BRACE.finditer(data, at):
            mark = found[0]
            if mark == b'"':  # its end is not here yet
                break
            at = found.end()
            if mark.startswith(b"{"):
                count += len(unclosed) == 1 and key == b'"features"'
                most = max(most, needed(mark))
                if mark == b"{":
                    lists, counted = lists + data.count(b"[", counted, at), at
                    unclosed.append((passed + at, lists))
            elif mark == b"}" and unclosed:
                lists, counted = lists + data.count(b"[", counted, at), at
                start, before = unclosed.pop()
                if len(unclosed) == 1:
                    most = max(most, _EACH * (lists - before) + 2 * (passed + at - start))
            elif len(unclosed) == 1:
                key = mark
        else:
            at = len(data)
        lists += data.count(b"[", counted, at)
        passed += at
        data = data[at:]
    return count, most


def _is_feature(value: object) -> bool:
    """Whether a member of a collection is a feature to OGR."""
    return isinstance(value, dict) and value.get("type") == "Feature"


@contextmanager
def _opened(path: str, place: str) -> Iterator[_Text]:
    """Open the text of what OGR opens at ``place``, which is ``path`` or lies in it."""
    with (
        archive.opened(path, place) as file,
        TextIOWrapper(file, encoding="utf-8-sig", errors="replace") as text,
    ):
        yield _Text(text)


def goes_on(path: str, place: str) -> bool:
    """Whether anything follows the first object of what OGR opens at ``place``."""
    with _opened(path, place) as text:
        return text.pass_over() and bool(text.next())


def _flags(value: object) -> int:
    if not isinstance(value, dict):
        return 0
    # An object may be a geometry, not a feature.
    alone = str(value.get("type")).casefold() != "feature" and "geometry" not in value
    shape = value if alone else value.get("geometry")
    there = _is_geometry(shape)
    broken = there and not (isinstance(shape, dict) and is_whole(shape))
    return GEOMETRY * there | BEYOND * _goes_beyond(value.get("properties")) | BROKEN * broken


def _goes_beyond(own: object) -> bool:
    if not isinstance(own, dict):
        return False
    lists = ([one] if not isinstance(one, list) else one for one in own.values())
    return any(type(one) is int and not LEAST <= one <= LARGEST for some in lists for one in some)


def _is_geometry(shape: object) -> bool:
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
        """Return the next character that is no blank or comma, and stay there; empty: there is
        none."""
        while True:
            while self._at < len(self._held) and self._held[self._at] in _BLANK:
                self._at += 1
            if self._at < len(self._held) or not self._more():
                return self._held[self._at : self._at + 1]

    def skip(self) -> None:
        """Move past that character."""
        self._at += 1

    def pass_over(self) -> bool:
        """Move past the object or list that begins there, which may be too large to be read; return
        whether it ends at all."""
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

    def value(self) -> object:
        """Read the value that begins there. Raises ValueError: it is no JSON."""
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


def _members(text: _Text) -> Iterator[object]:
    """Read the members of a collection; of another text, none."""
    if text.next() != "{":
        return
    text.skip()
    while text.next() == '"':
        if text.value() != "features" or text.next() != "[":
            text.value()
            continue
        text.skip()
        while text.next() not in {"]", ""}:
            yield text.value()
        text.skip()
