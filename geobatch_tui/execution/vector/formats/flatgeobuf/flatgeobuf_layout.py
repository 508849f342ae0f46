"""The layout of a FlatGeobuf file: its header, its index, where its features begin.

A leaf of the index has the box of a feature, and where it begins, so that features outside of a
rectangle need not be read. Whoever made the file may have made any index: it is followed only where
it names all features, one behind the other, as they lie in the file.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import CorruptSourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    type Bytes = mmap.mmap | bytes

#: How a file begins.
MAGIC = b"fgb\x03fgb"
#: Offset of the header, whose length stands before it; numbers of its fields; children of a node of
#: the index where it does not say how many; bytes of a node.
_AT, _COLUMNS, _COUNT, _CHILDREN, _USUAL, _NODE = 12, 7, 8, 9, 16, 40
#: Numbers of the fields of a column; the type of moments.
_NAME, _TYPE, _MOMENT = 0, 1, 13
_U16, _U32, _U64 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<Q")
NODE = np.dtype([("box", "<f8", 4), ("at", "<u8")])
#: Least share of features outside for which the others are copied; else all are read, as that
#: costs less.
_SHARE = 0.75
#: Bytes of the length before a feature; most bytes of a file.
_LENGTH, _MOST = 4, 2**62
FEWEST, _BLOCK = 2, 1 << 16


class Table:
    """A table of a flatbuffer, read and changed where it lies; ``at``: its offset to its vtable."""

    def __init__(self, data: bytearray, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - struct.unpack_from("<i", data, at)[0]

    def place(self, number: int) -> int:
        """Return the offset of a field; 0: it is not there."""
        if 4 + 2 * number >= struct.unpack_from("<H", self._data, self._fields)[0]:
            return 0
        offset: int = struct.unpack_from("<H", self._data, self._fields + 4 + 2 * number)[0]
        return self._at + offset if offset else 0

    def put(self, number: int, at: int) -> bool:
        """Enter the offset ``at`` of a field that is not there; return whether there is room."""
        entry = 4 + 2 * number
        has_room: bool = entry < struct.unpack_from("<H", self._data, self._fields)[0]
        if has_room:
            struct.pack_into("<H", self._data, self._fields + entry, at - self._at)
        return has_room

    def follow(self, number: int) -> int:
        """Return the offset of what a field refers to."""
        at = self.place(number)
        offset: int = _U32.unpack_from(self._data, at)[0]
        return at + offset


def mapped(path: str) -> mmap.mmap:
    """Map the bytes of a file."""
    with Path(path).open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _head(data: Bytes) -> tuple[bytearray, Table]:
    """Copy the magic and header of a file; return also the table in it."""
    head = bytearray(data[: _AT + _U32.unpack_from(data, _AT - 4)[0]])
    return head, Table(head, _AT + _U32.unpack_from(head, _AT)[0])


def header(data: Bytes, count: int, wide: int) -> bytearray:
    """Make the magic and header of a file of ``count`` features without an index.

    ``wide``: with the room of an index with so many children to a node, which OGR does not read.
    """
    head, table = _head(data)
    counted, children = table.place(_COUNT), table.place(_CHILDREN)
    _U64.pack_into(head, counted, count)
    if wide:
        return head + bytes(index_size(count, wide))
    if children:
        _U16.pack_into(head, children, 0)
    elif not table.put(_CHILDREN, counted + 6):  # the last bytes of a count are 0
        raise CorruptSourceError("its header has no room to say that there is no index")
    return head


def feature_starts(data: Bytes, path: str) -> list[int]:
    """List the offset of each feature, and the end of the last."""
    size, count, wide = layout(data)
    if not count:
        raise CorruptSourceError(f"{path} does not say how many features it has")
    starts = [size + index_size(count, wide)]
    while starts[-1] + _LENGTH <= len(data) and len(starts) <= count:
        starts.append(_end(data, starts[-1]))
    if starts[-1] > len(data) or len(starts) <= count:
        raise CorruptSourceError(
            f"{path}: the features behind number {len(starts) - 1} are not found: the file is cut "
            "off, or one says that it is longer"
        )
    return starts


def _end(data: Bytes, start: int) -> int:
    """Return where the feature at ``start`` ends, which begins with its length."""
    end: int = start + _LENGTH + _U32.unpack_from(data, start)[0]
    return end


def layout(data: Bytes) -> tuple[int, int, int]:
    """Return the end of the header, the features that it tells of, and the children of a node of
    the index: 0 where there is none."""
    head, table = _head(data)
    counted, children = table.place(_COUNT), table.place(_CHILDREN)
    count = _U64.unpack_from(head, counted)[0] if counted else 0
    return len(head), count, _U16.unpack_from(head, children)[0] if children else _USUAL


def header_size(data: bytes) -> int:
    """Return the bytes of the magic and header of a file that begins with ``data``."""
    size: int = _AT + _U32.unpack_from(data, _AT - 4)[0]
    return size


def moments(data: bytes) -> list[str]:
    """Name the columns of moments in a header. Raises struct.error and its kin where it is damaged,
    as :func:`layout`."""
    head, table = _head(data)
    if not table.place(_COLUMNS):
        return []
    at = table.follow(_COLUMNS)
    named = []
    for place in range(at + 4, at + 4 + 4 * _U32.unpack_from(head, at)[0], 4):
        column = Table(head, place + _U32.unpack_from(head, place)[0])
        if (kind := column.place(_TYPE)) and head[kind] == _MOMENT:
            start = column.follow(_NAME)
            size = _U32.unpack_from(head, start)[0]
            named.append(head[start + 4 : start + 4 + size].decode("utf-8", "replace"))
    return named


def index_size(count: int, wide: int) -> int:
    """Return the bytes of an index with so many children to a node; 0 children: there is none."""
    return sum(levels(count, wide)) * _NODE if wide else 0


def levels(count: int, wide: int) -> list[int]:
    """Count the nodes of each level of a tree with so many children to a node, from the root; the
    last level are the features."""
    made = [count]
    while len(made) == 1 or made[0] > 1:
        made.insert(0, -(-made[0] // max(wide, FEWEST)))
    return made


def outside(boxes: NDArray[np.float64], bounds: Sequence[float]) -> NDArray[np.bool_]:
    """Mark the boxes (n, 4: minx, miny, maxx, maxy) that do not touch ``bounds``. One that is
    inverted, or of no numbers, is not marked: what is behind it is to be looked at."""
    minx, miny, maxx, maxy = bounds
    left, bottom, right, top = boxes.T
    sound = (left <= right) & (bottom <= top)
    beyond = (left > maxx) | (right < minx) | (bottom > maxy) | (top < miny)
    marked: NDArray[np.bool_] = sound & beyond
    return marked


@dataclass(frozen=True, slots=True)
class Leaves:
    """The leaves of an index; ``base``: the byte from which they count; ``end``: where the last
    feature ends, of those bytes; ``wide``: children of a node."""

    there: NDArray[np.void]
    base: int
    end: int
    wide: int

    def starts(self, at: int, stop: int) -> list[int]:
        """List the offsets of the features from ``at`` to ``stop``, and the end of the last."""
        found = self.there["at"][at : stop + 1].tolist()
        ends = [] if stop < len(self.there) else [self.end]
        return [self.base + each for each in (*found, *ends)]

    def runs(self, size: int, bounds: Sequence[float]) -> list[tuple[int, int, bool]]:
        """List chunks of ``size`` features all of which lie outside of ``bounds``, and runs of
        other chunks: the start and end of each, and whether it is outside. None if too few are."""
        count, unread = len(self.there), 0
        runs: list[tuple[int, int, bool]] = []
        for start in range(0, count, size):
            is_outside = bool(outside(self.there["box"][start : start + size], bounds).all())
            stop = min(start + size, count)
            unread += (stop - start) * is_outside
            joined = runs.pop()[0] if runs and not is_outside and not runs[-1][2] else start
            runs.append((joined, stop, is_outside))
        return runs if unread >= _SHARE * count else []

    def hold(self, data: Bytes, runs: list[tuple[int, int, bool]]) -> bool:
        """Whether the features that are read begin where those before them end."""
        return all(
            _end(data, low) == high
            for start, stop, is_outside in runs
            if not is_outside
            for low, high in pairwise(self.starts(start, stop))
        )


def leaves(data: Bytes, count: int) -> Leaves | None:
    """Read the leaves of a file of ``count`` features; None: there is no index, or one that does
    not name these features in their order."""
    head, counted, wide = layout(data)
    # An index of nodes with one child has no end.
    if counted != count or not count or wide < FEWEST:
        return None
    base = head + index_size(count, wide)
    if base + _LENGTH > len(data):
        return None
    first = base - count * NODE.itemsize
    there = np.frombuffer(data, NODE, count, first)
    last = int(there["at"][-1])
    if not _in_order(there["at"]) or base + last + _LENGTH > len(data):
        return None
    end = _end(data, base + last)
    return Leaves(there, base, end - base, wide) if end <= len(data) else None


def _in_order(places: NDArray[np.uint64]) -> bool:
    """Whether each feature begins behind the length of the one before it, the first one at 0."""
    if places[0] or (places > _MOST).any():
        return False
    return all(
        (np.diff(places[start : start + _BLOCK + 1].astype(np.int64)) > _LENGTH).all()
        for start in range(0, len(places), _BLOCK)
    )
