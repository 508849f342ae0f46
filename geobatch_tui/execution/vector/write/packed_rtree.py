"""The index of a FlatGeobuf file: a packed R-tree, of which each node has 16 children.

In memory is a box for each 16 features.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.io.digest import crc32
from geobatch_tui.execution.io.disk import write_all, write_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

#: Children of a node; a node is its box and an offset.
_CHILDREN = 16
_NODE = np.dtype([("box", "<f8", 4), ("at", "<u8")])


def _levels(count: int) -> list[int]:
    """Count the nodes of each level of the tree, from the root to the leaves."""
    levels = [count]
    while len(levels) == 1 or levels[0] > 1:
        levels.insert(0, -(-levels[0] // _CHILDREN))
    return levels


class Index:
    """The packed R-tree, between the header and the features; its leaves are written as these are.

    Args:
        fd: of the file.
        start: where the index begins.
        count: of features; 0: there is no index.
    """

    def __init__(self, fd: int, start: int, count: int) -> None:
        levels = _levels(count) if count else []
        self._fd, self._levels = fd, levels
        self.leaves = start + sum(levels[:-1]) * _NODE.itemsize
        self.end = start + sum(levels) * _NODE.itemsize
        self._at = self.leaves
        #: Bytes of the features so far; CRC-32 of the leaves; the boxes round each 16 of them.
        self._size = self._crc = 0
        self._boxes: list[NDArray[np.float64]] = []

    def add(self, boxes: NDArray[np.float64], sizes: Numbers) -> None:
        """Write the leaves of features of these ``sizes``, which come next; 16 more of them each
        time, or a multiple of that, but for the last."""
        if not self._levels:
            return
        nodes = np.empty(len(boxes), _NODE)
        ends = np.cumsum(sizes)
        nodes["box"] = boxes
        nodes["at"] = self._size + ends - sizes
        self._size += int(ends[-1])
        data = memoryview(nodes).cast("B")
        write_at(self._fd, self._at, data)
        self._crc = crc32(data, self._crc)
        self._at += len(data)
        self._boxes.append(_joined(boxes))

    def finish(self, header: bytes | bytearray) -> tuple[int, ...]:
        """Write what lies before the leaves; the CRC-32 of that, and of the leaves, if any."""
        os.lseek(self._fd, 0, os.SEEK_SET)
        write_all(self._fd, header)
        crc = crc32(header)
        if not self._levels:
            return (crc,)
        above = [np.concatenate(self._boxes)]
        while len(above) < len(self._levels) - 1:
            above.insert(0, _joined(above[0]))
        first = 0
        for upper, size in zip(above, self._levels, strict=False):
            nodes = np.empty(size, _NODE)
            nodes["box"] = upper
            nodes["at"] = first + size + _CHILDREN * np.arange(size)
            first += size
            data = memoryview(nodes).cast("B")
            write_all(self._fd, data)
            crc = crc32(data, crc)
        return crc, self._crc


def _joined(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the boxes round each 16 boxes in turn."""
    cuts = np.arange(0, len(boxes), _CHILDREN)
    low = np.minimum.reduceat(boxes[:, :2], cuts)
    return np.concatenate([low, np.maximum.reduceat(boxes[:, 2:], cuts)], axis=1)
