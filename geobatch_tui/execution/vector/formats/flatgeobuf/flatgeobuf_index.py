"""The index of a FlatGeobuf file: a leaf has the box of a feature, and where it begins, so that
features outside of a rectangle need not be read.

Whoever made the file may have made any index: it is followed only where it names all features, one
behind the other, as they lie in the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.vector.formats.flatgeobuf import flatgeobuf_layout

if TYPE_CHECKING:
    import mmap
    from collections.abc import Sequence

    from numpy.typing import NDArray

_LEAF = np.dtype([("box", "<f8", 4), ("at", "<u8")])
#: Least share of features outside for which the others are copied; else all are read, as that
#: costs less.
_SHARE = 0.75
#: Bytes of the length before a feature; most bytes of a file.
_LENGTH, _MOST = 4, 2**62
_FEWEST, _BLOCK = 2, 1 << 16


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
        minx, miny, maxx, maxy = bounds
        count, outside = len(self.there), 0
        runs: list[tuple[int, int, bool]] = []
        for start in range(0, count, size):
            left, bottom, right, top = self.there["box"][start : start + size].T
            # The feature of an inverted box is to be looked at.
            sound = (left <= right) & (bottom <= top)
            beyond = sound & ((left > maxx) | (right < minx) | (bottom > maxy) | (top < miny))
            stop, is_outside = min(start + size, count), bool(beyond.all())
            outside += (stop - start) * is_outside
            joined = runs.pop()[0] if runs and not is_outside and not runs[-1][2] else start
            runs.append((joined, stop, is_outside))
        return runs if outside >= _SHARE * count else []

    def hold(self, data: mmap.mmap, runs: list[tuple[int, int, bool]]) -> bool:
        """Whether the features that are read begin where those before them end."""
        return all(
            low + _LENGTH + int.from_bytes(data[low : low + _LENGTH], "little") == high
            for start, stop, is_outside in runs
            if not is_outside
            for low, high in pairwise(self.starts(start, stop))
        )


def of(data: mmap.mmap, count: int) -> Leaves | None:
    """Read the leaves of a file of ``count`` features; None: there is no index, or one that does
    not name these features in their order."""
    head, counted, wide = flatgeobuf_layout.layout(data)
    # An index of nodes with one child has no end.
    if counted != count or not count or wide < _FEWEST:
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


def _in_order(places: NDArray[np.uint64]) -> bool:
    """Whether each feature begins behind the length of the one before it, the first one at 0."""
    if places[0] or (places > _MOST).any():
        return False
    return all(
        (np.diff(places[start : start + _BLOCK + 1].astype(np.int64)) > _LENGTH).all()
        for start in range(0, len(places), _BLOCK)
    )
