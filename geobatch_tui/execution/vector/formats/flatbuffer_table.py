"""Tables of flatbuffers, read and changed where they lie."""

from __future__ import annotations

import struct

_U32 = struct.Struct("<I")


class Table:
    """A table of a flatbuffer, whose offset to its vtable is at ``at``."""

    def __init__(self, data: bytearray, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - struct.unpack_from("<i", data, at)[0]

    def place(self, number: int) -> int:
        """Where a field lies; 0: it is not there."""
        if 4 + 2 * number >= struct.unpack_from("<H", self._data, self._fields)[0]:
            return 0
        offset: int = struct.unpack_from("<H", self._data, self._fields + 4 + 2 * number)[0]
        return self._at + offset if offset else 0

    def put(self, number: int, at: int) -> bool:
        """Let a field that is not there lie ``at``; whether there is room to say so."""
        entry = 4 + 2 * number
        has_room: bool = entry < struct.unpack_from("<H", self._data, self._fields)[0]
        if has_room:
            struct.pack_into("<H", self._data, self._fields + entry, at - self._at)
        return has_room

    def follow(self, number: int) -> int:
        """Where that lies which a field refers to."""
        at = self.place(number)
        offset: int = _U32.unpack_from(self._data, at)[0]
        return at + offset
