"""Features of FlatGeobuf that need not be read, by the leaves of its index: each has the box of a
feature, and where that begins.

Whoever made the file may have made any index: it is followed only where it names all features, one
behind the other, as they lie in the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.execution.vector.formats.flatgeobuf import flatgeobuf_layout

if TYPE_CHECKING:
    import mmap
    from collections.abc import Sequence

    from numpy.typing import NDArray

_LEAF = np.dtype([("box", "<f8", 4), ("at", "<u8")])
#: Where a smaller share of the features is outside, all are read: to copy the others costs more
#: than is spared.
_SHARE = 0.75
#: Bytes of the length before a feature; a file has no more than so many.
_LENGTH, _MOST = 4, 2**62
_FEWEST, _BLOCK = 2, 1 << 16


@dataclass(frozen=True, slots=True)
class Leaves:
    """The leaves of an index; ``base``: the byte from which they count; ``end``: where the last
    feature ends, of those bytes; ``wide``: children of a node."""

    there: NDArray[Any]
    base: int
    end: int
    wide: int

    def starts(self, at: int, stop: int) -> list[int]:
        """Where the features from ``at`` to ``stop`` begin, and the last one ends."""
        found = self.there["at"][at : stop + 1].tolist()
        ends = [] if stop < len(self.there) else [self.end]
        return [self.base + each for each in (*found, *ends)]

    def runs(self, size: int, bounds: Sequence[float]) -> list[tuple[int, int, bool]]:
        """Chunks of ``size`` features all of which lie outside of ``bounds``, and runs of others:
        where each starts and stops, and whether it is outside. None if too few are."""
        minx, miny, maxx, maxy = bounds
        count, outside = len(self.there), 0
        found: list[tuple[int, int, bool]] = []
        for start in range(0, count, size):
            left, bottom, right, top = self.there["box"][start : start + size].T
            # A box that is none is to be looked at.
            sound = (left <= right) & (bottom <= top)
            beyond = sound & ((left > maxx) | (right < minx) | (bottom > maxy) | (top < miny))
            stop, is_outside = min(start + size, count), bool(beyond.all())
            outside += (stop - start) * is_outside
            joined = found.pop()[0] if found and not is_outside and not found[-1][2] else start
            found.append((joined, stop, is_outside))
        return found if outside >= _SHARE * count else []

    def hold(self, data: mmap.mmap, runs: list[tuple[int, int, bool]]) -> bool:
        """Whether the features that are read begin where those before them end."""
        return all(
            low + _LENGTH + int.from_bytes(data[low : low + _LENGTH], "little") == high
            for start, stop, is_outside in runs
            if not is_outside
            for low, high in pairwise(self.starts(start, stop))
        )


def of(data: mmap.mmap, count: int) -> Leaves | None:
    """The leaves of a file of ``count`` features; None: there is no index, or one that does not
    name these features in their order."""
    head, told, wide = flatgeobuf_layout.layout(data)
    # An index of nodes with one child has no end.
    if told != count or not count or wide < _FEWEST:
        return None
    base = head + flatgeobuf_layout.index_size(count, wide)
    if base + _LENGTH > len(data):
        return None
    first = base - count * _LEAF.itemsize
    there = np.frombuffer(data, _LEAF, count, first)
    last = int(there["at"][-1])
    if not _in_order(there["at"]) or base + last + _LENGTH > len(data):
        return None
    end = last + _LENGTH + int.from_bytes(data[base + last : base + last + _LENGTH], "little")
    return Leaves(there, base, end, wide) if base + end <= len(data) else None


def _in_order(places: NDArray[Any]) -> bool:
    """Whether each feature begins behind the length of the one before it, the first one at 0."""
    if places[0] or (places > _MOST).any():
        return False
    return all(
        (np.diff(places[start : start + _BLOCK + 1].astype(np.int64)) > _LENGTH).all()
        for start in range(0, len(places), _BLOCK)
    )
