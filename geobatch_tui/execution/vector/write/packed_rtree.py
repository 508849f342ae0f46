"""Packed R-trees along a curve of Hilbert: every node is full but the last of its level.

Both FlatGeobuf and GeoPackage get one. In memory is a box for each leaf.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.io.digest import crc32
from geobatch_tui.execution.io.disk import write_all, write_at
from geobatch_tui.execution.vector.formats.flatgeobuf.flatgeobuf_layout import NODE, levels
from geobatch_tui.execution.vector.kernels import feature_loops

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

#: Children of a node of FlatGeobuf.
_CHILDREN = 16


def curve(boxes: NDArray[np.floating], extent: Sequence[float]) -> NDArray[np.uint32]:
    """Return where each box (n, 4: minx, miny, maxx, maxy) lies on the curve through ``extent``."""
    keys = np.empty(len(boxes), np.uint32)
    exact = np.ascontiguousarray(boxes, np.float64)
    feature_loops.hilbert(exact, np.array(extent, np.float64), keys)
    return keys


def ranks(keys: NDArray[np.uint32], turns: Numbers) -> NDArray[np.uint64]:
    """Return keys that no two features share: the place on the curve, then 32 bits of the turn."""
    return keys.astype(np.uint64) << np.uint64(32) | turns.astype(np.uint64)


def joined[Box: np.floating](boxes: NDArray[Box], children: int) -> NDArray[Box]:
    """Return the boxes round each ``children`` boxes in turn."""
    cuts = np.arange(0, len(boxes), children)
    low = np.minimum.reduceat(boxes[:, :2], cuts)
    return np.concatenate([low, np.maximum.reduceat(boxes[:, 2:], cuts)], axis=1)


class Index:
    """The tree of FlatGeobuf, before the features; its leaves are written as these are.

    Args:
        fd: of the file.
        start: where the index begins.
        count: of features; 0: there is no index.
    """

    def __init__(self, fd: int, start: int, count: int) -> None:
        self._fd = fd
        self._levels = levels(count, _CHILDREN) if count else []
        self.leaves = start + sum(self._levels[:-1]) * NODE.itemsize
        self.end = start + sum(self._levels) * NODE.itemsize
        self._at = self.leaves
        #: Bytes of the features so far; CRC-32 of the leaves; the boxes round each 16 of them.
        self._size = self._crc = 0
        self._boxes: list[NDArray[np.float64]] = []

    def add(self, boxes: NDArray[np.float64], sizes: Numbers) -> None:
        """Write the leaves of features of these ``sizes``, which come next; 16 more of them each
        time, or a multiple of that, but for the last."""
        if not self._levels:
            return
        ends = np.cumsum(sizes)
        data = _nodes(boxes, self._size + ends - sizes)
        self._size += int(ends[-1])
        write_at(self._fd, self._at, data)
        self._crc = crc32(data, self._crc)
        self._at += len(data)
        self._boxes.append(joined(boxes, _CHILDREN))

    def finish(self, header: bytes | bytearray) -> tuple[int, ...]:
        """Write what lies before the leaves; the CRC-32 of that, and of the leaves, if any."""
        parts = [memoryview(header)]
        if self._levels:
            above = [np.concatenate(self._boxes)]
            while len(above) < len(self._levels) - 1:
                above.insert(0, joined(above[0], _CHILDREN))
            first = 0
            for upper in above:
                first += len(upper)
                parts.append(_nodes(upper, first + _CHILDREN * np.arange(len(upper))))
        os.lseek(self._fd, 0, os.SEEK_SET)
        crc = 0
        for data in parts:
            write_all(self._fd, data)
            crc = crc32(data, crc)
        return (crc, self._crc) if self._levels else (crc,)


def _nodes(boxes: NDArray[np.float64], at: Numbers) -> memoryview:
    nodes = np.empty(len(boxes), NODE)
    nodes["box"], nodes["at"] = boxes, at
    return memoryview(nodes).cast("B")
