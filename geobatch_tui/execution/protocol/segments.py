"""Lists of segments, on the way from the engine to the worker that assembles an item.

A million segments must be neither a million objects in the engine nor a message of megabytes.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import batched
from pathlib import Path
from typing import overload

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.protocol.messages import Segment

#: Index, offset, length, number of the spool, CRC-32.
_SEGMENT = struct.Struct("<QQQII")
#: From so many segments on they go into a file.
MANY = 4096


@dataclass(frozen=True, slots=True)
class Segments(Sequence[Segment]):
    """Segments in 32 bytes each; ``spools`` are the file names that ``packed`` counts."""

    spools: tuple[str, ...]
    packed: bytes

    @classmethod
    def pack(cls, segments: Iterable[Segment]) -> Segments:
        """Pack segments, in their order."""
        numbers: dict[str, int] = {}
        packed = b"".join(_pack(entry, numbers) for entry in segments)
        return cls(tuple(numbers), packed)

    def __len__(self) -> int:
        return len(self.packed) // _SEGMENT.size

    @overload
    def __getitem__(self, key: int) -> Segment: ...
    @overload
    def __getitem__(self, key: slice) -> list[Segment]: ...
    def __getitem__(self, key: int | slice) -> Segment | list[Segment]:
        if isinstance(key, slice):
            return [self[at] for at in range(*key.indices(len(self)))]
        at = range(len(self))[key]
        index, offset, length, number, crc32 = _SEGMENT.unpack_from(self.packed, at * _SEGMENT.size)
        return Segment(index, self.spools[number], offset, length, crc32)


@dataclass(slots=True)
class SegmentFile(Sequence[Segment]):
    """Segments in a file, read where they are first looked at: in the worker.

    The file needs no sync: an engine that starts again writes it again.
    """

    path: str
    spools: tuple[str, ...]
    length: int
    crc32: int
    _read: Segments | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def write(cls, path: Path, segments: Iterable[Segment]) -> SegmentFile:
        """Write segments to ``path``, in their order. Raises OSError as files do."""
        numbers: dict[str, int] = {}
        count = crc = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(path, flags, 0o600), "wb") as file:  # noqa: PTH123 - of a descriptor
            for some in batched(segments, MANY):
                packed = b"".join(_pack(entry, numbers) for entry in some)
                file.write(packed)
                count, crc = count + len(some), zlib.crc32(packed, crc)
        return cls(str(path), tuple(numbers), count, crc)

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, key: int) -> Segment: ...
    @overload
    def __getitem__(self, key: slice) -> list[Segment]: ...
    def __getitem__(self, key: int | slice) -> Segment | list[Segment]:
        return self._all()[key]

    def __iter__(self) -> Iterator[Segment]:
        return iter(self._all())

    def _all(self) -> Segments:
        """Raises VerifyError if the file is not what was written."""
        if self._read is None:
            packed = Path(self.path).read_bytes()
            if zlib.crc32(packed) != self.crc32:
                raise VerifyError(
                    f"the list of chunks in {self.path!r} is damaged",
                    hint="run the job again: the list is made from the ledger",
                )
            self._read = Segments(self.spools, packed)
        return self._read


def _pack(entry: Segment, numbers: dict[str, int]) -> bytes:
    number = numbers.setdefault(entry.spool, len(numbers))
    return _SEGMENT.pack(entry.index, entry.offset, entry.length, number, entry.crc32)
