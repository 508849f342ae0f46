"""The index of a FlatGeobuf, walked from its root: the features whose boxes touch a rectangle.

For files that are far away: only those nodes are read whose parents touch. The tree is packed, so
that where the children of a node lie follows from its number, and no walk goes in circles or out of
the index, whatever the nodes say. One that names other children, or a feature that does not lie
behind the one before it, is refused. Nodes that nobody reads cannot be judged: as with OGR, whose
spatial filter walks the same way, a feature whose box is not that of its geometry may be missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.vector.formats.flatgeobuf.flatgeobuf_layout import (
    NODE,
    index_size,
    levels,
    outside,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    type Numbers = NDArray[np.int64]
    #: Gives the bytes of these places, (start, end) each, in order.
    type ReadPlaces = Callable[[list[tuple[int, int]]], Sequence[bytes]]

#: Bytes of the length before a feature; as many nodes of a level as there are.
_LENGTH, _ALL = 4, 2**62
#: What to do about an index that cannot be followed.
NOT_FOLLOWED = (
    "write the file again, as with ogr2ogr, or give a local copy, which is read without its index"
)


@dataclass(frozen=True, slots=True)
class FoundFeatures:
    """Features by their ``numbers`` in the file, and where each begins and ends, in bytes."""

    numbers: Numbers
    starts: Numbers
    ends: Numbers


@dataclass(frozen=True, slots=True)
class PackedIndex:
    """The index of the file ``name``.

    Attributes:
        base: where it begins, in bytes.
        count: features of the file.
        wide: children of a node, 2 or more.
        size: bytes of the file.
        name: for messages.
    """

    base: int
    count: int
    wide: int
    size: int
    name: str

    @property
    def end(self) -> int:
        """Where the first feature begins."""
        return self.base + index_size(self.count, self.wide)

    def runs(
        self, read: ReadPlaces, bounds: Sequence[float], most: int
    ) -> tuple[tuple[int, int], ...]:
        """Return the features that may touch ``bounds``, as runs of numbers (start, stop).

        No leaf is read, nor anything below a level where that would be more than ``most`` nodes.
        Raises as :meth:`found`.
        """
        span, nodes = self._walk(read, bounds, (0, self.count), most)
        return tuple(
            (low * span, min(high * span, self.count)) for low, high in _consecutive(nodes)
        )

    def found(
        self, read: ReadPlaces, bounds: Sequence[float], start: int, stop: int
    ) -> FoundFeatures:
        """Return the features from ``start`` to ``stop`` whose boxes touch ``bounds``. Raises
        CorruptSourceError where a node is damaged, and what ``read`` raises."""
        _, parents = self._walk(read, bounds, (start, stop), _ALL)
        numbers = self._children(parents, self.count)
        return self._features(read, numbers[(numbers >= start) & (numbers < stop)], bounds)

    def first(self, read: ReadPlaces, count: int) -> FoundFeatures:
        """Return the first ``count`` features, wherever they are. Raises as :meth:`found`."""
        return self._features(read, np.arange(min(count, self.count)), None)

    def _walk(
        self, read: ReadPlaces, bounds: Sequence[float], window: tuple[int, int], most: int
    ) -> tuple[int, Numbers]:
        """Find the nodes that touch ``bounds``, and have features of ``window``, on the level above
        the leaves or, if more than ``most`` would be read, further up; and how many features each
        of them stands for."""
        sizes = levels(self.count, self.wide)
        span = self.wide ** (len(sizes) - 1)
        nodes, first = np.zeros(1, np.int64), 0
        for size, below in pairwise(sizes):
            there = self._nodes(read, first, nodes)
            first += size
            self._check_children(there["at"], first + nodes * self.wide, first - size + nodes)
            nodes = nodes[~outside(there["box"], bounds)]
            if below == self.count or len(nodes) * self.wide > most:
                break
            span //= self.wide
            nodes = self._children(nodes, below)
            nodes = nodes[(nodes >= window[0] // span) & (nodes < -(-window[1] // span))]
        return span, nodes

    def _children(self, nodes: Numbers, below: int) -> Numbers:
        """Number the children of nodes on the next level, which has ``below``."""
        numbers = (nodes[:, None] * self.wide + np.arange(self.wide)).ravel()
        return numbers[numbers < below]

    def _nodes(self, read: ReadPlaces, first: int, numbers: Numbers) -> NDArray[np.void]:
        """Read nodes of a level that begins with the node ``first`` of the index."""
        base = self.base + first * NODE.itemsize
        places = [
            (base + low * NODE.itemsize, base + high * NODE.itemsize)
            for low, high in _consecutive(numbers)
        ]
        return np.frombuffer(b"".join(read(places)), NODE, len(numbers))

    def _check_children(self, named: NDArray[np.uint64], expected: Numbers, nodes: Numbers) -> None:
        wrong = np.flatnonzero(named != expected.astype(np.uint64))
        if len(wrong):
            node = wrong[0]
            raise self._damaged(
                int(nodes[node]), f"names {named[node]} as its first child, not {expected[node]}"
            )

    def _damaged(self, node: int, told: str) -> CorruptSourceError:
        place = self.base + node * NODE.itemsize
        return CorruptSourceError(
            f"{self.name}: its index is damaged: node {node}, at byte {place}, {told}",
            hint=NOT_FOLLOWED,
        )

    def _features(
        self, read: ReadPlaces, numbers: Numbers, bounds: Sequence[float] | None
    ) -> FoundFeatures:
        """Find the features of leaves by their numbers; with ``bounds`` those that touch them."""
        if not len(numbers):
            return FoundFeatures(numbers, numbers, numbers)
        # A feature ends where the next one begins.
        wanted = np.union1d(numbers, numbers + 1)
        wanted = wanted[wanted < self.count]
        first = sum(levels(self.count, self.wide)[:-1])
        there = self._nodes(read, first, wanted)
        self._check_places(there["at"], wanted, first + wanted)
        starts = self.end + there["at"].astype(np.int64)
        at = np.searchsorted(wanted, numbers)
        if bounds is not None:
            touches = ~outside(there["box"][at], bounds)
            numbers, at = numbers[touches], at[touches]
        ends = np.append(starts, 0)[at + 1]
        if len(numbers) and numbers[-1] == self.count - 1:
            ends[-1] = self._end_of_last(read, int(starts[-1]))
        return FoundFeatures(numbers, starts[at], ends)

    def _check_places(self, at: NDArray[np.uint64], numbers: Numbers, nodes: Numbers) -> None:
        """Raise CorruptSourceError for features outside of the file, or not in their order."""
        room = self.size - self.end - _LENGTH
        beyond = np.flatnonzero(at > np.uint64(max(room, 0)))
        if len(beyond):
            node = beyond[0]
            raise self._damaged(
                int(nodes[node]), f"puts feature {numbers[node]} beyond the end of the file"
            )
        steps = np.diff(at.astype(np.int64))
        early = np.flatnonzero(steps <= _LENGTH * np.diff(numbers)) + 1
        if numbers[0] == 0 and at[0] != 0:
            early = np.zeros(1, np.int64)
        if len(early):
            node = early[0]
            raise self._damaged(
                int(nodes[node]),
                f"puts feature {numbers[node]} where it cannot begin, at byte "
                f"{self.end + int(at[node])}",
            )

    def _end_of_last(self, read: ReadPlaces, start: int) -> int:
        """Return where the last feature ends, which no leaf says. It says how long it is."""
        (length,) = read([(start, start + _LENGTH)])
        end = start + _LENGTH + int.from_bytes(length, "little")
        if end > self.size:
            raise CorruptSourceError(
                f"{self.name} is cut off at {self.size} bytes: its last feature, at byte {start}, "
                f"would end at byte {end}"
            )
        return end


def _consecutive(numbers: Numbers) -> list[tuple[int, int]]:
    """Join rising numbers to runs, (start, stop) each."""
    if not len(numbers):
        return []
    cuts = np.flatnonzero(np.diff(numbers) != 1)
    lows, highs = numbers[np.append(0, cuts + 1)], numbers[np.append(cuts, -1)] + 1
    return list(zip(lows.tolist(), highs.tolist(), strict=True))
