"""A FlatGeobuf in a store: its header, nodes of its index, and features, by few requests."""

from __future__ import annotations

import struct
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.stores.object_url import shown
from geobatch_tui.execution.stores.reading.object_file import ObjectFile
from geobatch_tui.execution.stores.store_client import LONGEST
from geobatch_tui.execution.vector.formats.flatgeobuf import flatgeobuf_layout
from geobatch_tui.execution.vector.formats.flatgeobuf.flatgeobuf import MOST_BYTES
from geobatch_tui.execution.vector.formats.flatgeobuf.packed_index import NOT_FOLLOWED, PackedIndex

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from geobatch_tui.execution.stores.store_client import Range, Version
    from geobatch_tui.execution.vector.formats.flatgeobuf.packed_index import FoundFeatures

#: Bytes of the longest header that OGR takes, and of the longest feature.
_MOST_HEADER, _MOST_FEATURE = 10 * 2**20, 2**31 - 1
#: Bytes of the first request, in which the length of the header is; and of a length.
_FIRST, _LENGTH = 12, 4


@dataclass(frozen=True, slots=True)
class Piece:
    """Features that are copied together: ``data``, one behind the other; ``starts``: where each
    begins in it, and where the last one ends; ``at``: position of the first among those found."""

    data: bytes
    starts: list[int]
    at: int


class IndexedObject:
    """The version of an object that was planned, as a FlatGeobuf; belongs to one thread.

    Attributes:
        head: its magic and header.
        index: of its features; None: there is none.
    """

    def __init__(self, file: ObjectFile) -> None:
        self._file = file
        self._name = shown(str(file.url))
        try:
            self.head = self._read_head()
            end, count, wide = flatgeobuf_layout.layout(self.head)
        except (struct.error, IndexError) as error:
            raise CorruptSourceError(f"{self._name}: its header is damaged: {error}") from error
        self.index: PackedIndex | None = None
        if count and wide:
            self.index = self._indexed(end, count, wide)

    def _read_head(self) -> bytes:
        start = self._file.read(_FIRST)
        if not start.startswith(flatgeobuf_layout.MAGIC) or len(start) < _FIRST:
            raise CorruptSourceError(f"{self._name} does not begin as a FlatGeobuf")
        size = flatgeobuf_layout.header_size(start)
        if size > min(self._file.size, _MOST_HEADER):
            raise CorruptSourceError(
                f"{self._name}: its header would take {size} bytes, of {self._file.size}, "
                f"and at most {_MOST_HEADER} are read"
            )
        return start + self._file.read(size - _FIRST)

    def _indexed(self, base: int, count: int, wide: int) -> PackedIndex:
        """Return the index, which lies between the header and the features."""
        index = PackedIndex(base, count, wide, self._file.size, self._name)
        if wide < flatgeobuf_layout.FEWEST:
            raise CorruptSourceError(f"{self._name}: nodes of its index would have {wide} children")
        least = count * (flatgeobuf_layout.NODE.itemsize + _LENGTH)
        if base + least > self._file.size or index.end + count * _LENGTH > self._file.size:
            raise CorruptSourceError(
                f"{self._name}: its header, of {base} bytes, tells of {count} features, for which "
                f"there is no room in {self._file.size} bytes"
            )
        return index

    def moments(self) -> list[str]:
        """Name the fields of moments. Raises CorruptSourceError where the header is damaged."""
        try:
            return flatgeobuf_layout.moments(self.head)
        except (struct.error, IndexError) as error:
            raise CorruptSourceError(f"{self._name}: its header is damaged: {error}") from error

    def read(self, places: list[Range]) -> list[bytes]:
        """Read the bytes of these places by a few requests at once; errors as the client's
        ``read``."""
        self._file.expect(places)
        return [self._file.pread(end - start, start) for start, end in places]

    def pieces(self, found: FoundFeatures) -> Iterator[Piece]:
        """Read the features that were found, some at a time; requests run ahead.

        Raises:
            CorruptSourceError: one is not as long as the index has it, or longer than OGR reads.
            and as the client's ``read``.
        """
        sizes = found.ends - found.starts
        self._refuse_long(found)
        places = []
        for at, stop in pairwise(_cuts(sizes.tolist(), MOST_BYTES)):
            ranges = _joined(found.starts[at:stop].tolist(), found.ends[at:stop].tolist())
            places.append((at, stop, ranges))
        self._file.expect(one for _, _, ranges in places for one in ranges)
        for at, stop, ranges in places:
            data = b"".join(self._file.pread(end - start, start) for start, end in ranges)
            starts = [0, *np.cumsum(sizes[at:stop]).tolist()]
            for number, low in enumerate(starts[:-1], at):
                length = int.from_bytes(data[low : low + _LENGTH], "little")
                self._check_length(found, number, length)
            yield Piece(data, starts, at)

    def _refuse_long(self, found: FoundFeatures) -> None:
        """Raise CorruptSourceError for a long feature that does not say so itself, before it is
        fetched."""
        for number in np.flatnonzero(found.ends - found.starts > MOST_BYTES).tolist():
            start = int(found.starts[number])
            (length,) = self.read([(start, start + _LENGTH)])
            self._check_length(found, number, int.from_bytes(length, "little"))

    def _check_length(self, found: FoundFeatures, at: int, length: int) -> None:
        start, end = int(found.starts[at]), int(found.ends[at])
        if start + _LENGTH + length != end or length > _MOST_FEATURE:
            raise CorruptSourceError(
                f"{self._name}: feature {found.numbers[at]}, at byte {start}, says that it has "
                f"{length} bytes; by the index it ends at byte {end}",
                hint=NOT_FOLLOWED,
            )


@contextmanager
def indexed_object(source: str, wanted: Version) -> Iterator[IndexedObject]:
    """Open the ``wanted`` version of the object at the URL ``source``. Raises CorruptSourceError
    where its header is damaged, and as the client's ``read``."""
    with ObjectFile.open(source, wanted) as file:
        yield IndexedObject(file)


def _cuts(sizes: Sequence[int], most: int) -> list[int]:
    """Cut features of these sizes into pieces of at most ``most`` bytes, or of one feature; return
    where each begins, and the end."""
    cuts, size = [0], 0
    for number, each in enumerate(sizes):
        if size and size + each > most:
            cuts.append(number)
            size = 0
        size += each
    return [*cuts, len(sizes)] if sizes else []


def _joined(starts: Sequence[int], ends: Sequence[int]) -> list[Range]:
    """Join features that touch to places of at most the longest request."""
    joined: list[Range] = []
    for start, end in zip(starts, ends, strict=True):
        if joined and joined[-1][1] == start:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    return [
        (at, min(at + LONGEST, end)) for start, end in joined for at in range(start, end, LONGEST)
    ]
