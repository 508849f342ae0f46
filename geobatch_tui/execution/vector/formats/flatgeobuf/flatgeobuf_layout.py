"""The layout of a FlatGeobuf file: its header, the size of its index, where its features begin."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from geobatch_tui.errors import CorruptSourceError

#: Offset of the header, whose length stands before it; numbers of its fields; children of a node of
#: the index where it does not say how many; bytes of a node.
_AT, _COUNT, _CHILDREN, _USUAL, _NODE = 12, 8, 9, 16, 40
_U16, _U32, _U64 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<Q")


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


def header(data: mmap.mmap, count: int, wide: int) -> bytearray:
    """Make the magic and header of a file of ``count`` features without an index.

    ``wide``: with the room of an index with so many children to a node, which OGR does not read.
    """
    head = bytearray(data[: _AT + _U32.unpack_from(data, _AT - 4)[0]])
    table = Table(head, _AT + _U32.unpack_from(head, _AT)[0])
    counted, children = table.place(_COUNT), table.place(_CHILDREN)
    _U64.pack_into(head, counted, count)
    if wide:
        return head + bytes(index_size(count, wide))
    if children:
        _U16.pack_into(head, children, 0)
    elif not table.put(_CHILDREN, counted + 6):  # the last bytes of a count are 0
        raise CorruptSourceError("its header has no room to say that there is no index")
    return head


def feature_starts(data: mmap.mmap, path: str) -> list[int]:
    """List the offset of each feature, and the end of the last."""
    size, count, wide = layout(data)
    if not count:
        raise CorruptSourceError(f"{path} does not say how many features it has")
    starts = [size + index_size(count, wide)]
    while starts[-1] + 4 <= len(data) and len(starts) <= count:
        starts.append(starts[-1] + 4 + _U32.unpack_from(data, starts[-1])[0])
    if starts[-1] > len(data) or len(starts) <= count:
        raise CorruptSourceError(
            f"{path}: the features behind number {len(starts) - 1} are not found: the file is cut "
            "off, or one says that it is longer"
        )
    return starts


def layout(data: mmap.mmap) -> tuple[int, int, int]:
    """Return the end of the header, the features that it tells of, and the children of a node of
    the index: 0 where there is none."""
    size = _AT + _U32.unpack_from(data, _AT - 4)[0]
    head = bytearray(data[:size])
    table = Table(head, _AT + _U32.unpack_from(head, _AT)[0])
    counted, children = table.place(_COUNT), table.place(_CHILDREN)
    count = _U64.unpack_from(head, counted)[0] if counted else 0
    return size, count, _U16.unpack_from(head, children)[0] if children else _USUAL


def index_size(count: int, wide: int) -> int:
    """Return the bytes of an index with so many children to a node; 0 children: there is none."""
    if not wide:
        return 0
    nodes = level = count
    while True:
        level = -(-level // wide)
        nodes += level
        if level <= 1:
            return nodes * _NODE
