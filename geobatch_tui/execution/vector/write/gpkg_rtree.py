"""The R-tree of a GeoPackage: full nodes along a curve of Hilbert, in tables of SQLite.

Boxes are sorted on disk, where they are many; in memory are four bytes for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.io.external_sort import Ranked, evenly
from geobatch_tui.execution.vector.kernels import feature_loops
from geobatch_tui.execution.vector.write.gpkg_tables import Appended, Table

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.batch.row_ids import RowIds

#: Entries of a node, with pages of 4096 bytes; bytes of a node, and an entry of it, big-endian.
_ENTRIES, _NODE = 51, 1228
_ENTRY = np.dtype([("id", ">i8"), ("sides", ">f4", 4)])
#: A box while it is sorted: the key is its place along the curve and, in 32 bits, the number of its
#: feature.
_ROW = np.dtype([("key", "<u8"), ("sides", "<f4", 4)])
_TURN = np.uint64(2**32 - 1)
#: Nodes that are made at a time, and features.
_NODES, _IDS = 2048, 2**17


class Boxes:
    """Boxes of the features that have one: minx, maxx, miny, maxy, rounded outwards.

    Args:
        count: of features.
        extent: minx, miny, maxx, maxy of all of them; None: none has a box.
        path: of a file for a while, if one is needed.
    """

    def __init__(self, count: int, extent: list[float] | None, path: Path) -> None:
        self.rows = Ranked(_ROW, path)
        self.features = count
        self._turn = 0
        self._extent = np.array(extent or [0.0] * 4, np.float64)

    def add(self, boxes: NDArray[np.float64]) -> None:
        """Take in boxes of the next features (n, 4: minx, miny, maxx, maxy; NaN where there is
        none)."""
        turns = np.arange(self._turn + 1, self._turn + len(boxes) + 1)
        self._turn += len(boxes)
        known = ~np.isnan(boxes[:, 0])
        low, high = boxes[known][:, [0, 1]], boxes[known][:, [2, 3]]
        small, large = low.astype(np.float32), high.astype(np.float32)
        small = np.where(small > low, np.nextafter(small, np.float32(-np.inf)), small)
        large = np.where(large < high, np.nextafter(large, np.float32(np.inf)), large)
        keys = np.empty(len(small), np.uint32)
        rounded = np.ascontiguousarray(np.concatenate([small, large], axis=1), np.float64)
        feature_loops.hilbert(rounded, self._extent, keys)
        rows = np.empty(len(small), _ROW)
        rows["key"] = keys.astype(np.uint64) << np.uint64(32) | turns[known].astype(np.uint64)
        rows["sides"] = np.stack([small[:, 0], large[:, 0], small[:, 1], large[:, 1]], axis=1)
        self.rows.add(rows)


def write(pages: Appended, boxes: Boxes, ids: RowIds, roots: dict[str, int]) -> dict[int, bytes]:
    """Write the tables ``node``, ``rowid`` and ``parent``, for features with these ``ids``; the
    pages that they begin with, by the number that ``roots`` gives it."""
    count = boxes.rows.count
    if not count:
        return {}
    levels = [count]
    while levels[-1] > 1 or len(levels) == 1:
        levels.append(-(-levels[-1] // _ENTRIES))
    nodes, parents, entries = Table(pages), Table(pages), Table(pages)
    # Nodes are numbered from the root down, so that those of a level follow one another.
    first = np.concatenate([[0], np.cumsum(levels[:0:-1])]) + 1
    leaves = int(first[len(levels) - 2])
    sides, leads = _leaves(boxes, leaves)
    number = 1
    for level in reversed(_above(sides, levels, first)):
        nodes.add(feature_loops.blobs, _NODE + 8, (number + np.arange(len(level)), level))
        number += len(level)
    for block in evenly(boxes.rows.blocks(), _ENTRIES * _NODES):
        level = _nodes(ids.of((block["key"] & _TURN).astype(np.int64)), block["sides"], 0)
        nodes.add(feature_loops.blobs, _NODE + 8, (number + np.arange(len(level)), level))
        number += len(level)
    for start in range(0, len(leads), _IDS):
        turns = np.flatnonzero(leads[start : start + _IDS]) + start
        entries.add(feature_loops.pairs, 8, (ids.of(turns), leads[turns].astype(np.int64)))
    above = [
        first[depth] + np.arange(levels[len(levels) - 2 - depth]) // _ENTRIES
        for depth in range(len(levels) - 2)
    ]
    if above:
        upper = np.concatenate(above)
        parents.add(feature_loops.pairs, 8, (np.arange(2, 2 + len(upper)), upper))
    return {
        roots["node"]: nodes.finish(),
        roots["rowid"]: entries.finish(),
        roots["parent"]: parents.finish(),
    }


def _leaves(boxes: Boxes, first: int) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Return the sides of each leaf, and the number of the leaf that each turn is in, 0 where in
    none. ``first``: number of the first leaf."""
    leads = np.zeros(boxes.features + 1, np.uint32)
    sides, done = [], 0
    for block in evenly(boxes.rows.blocks(), _ENTRIES * _NODES):
        places = done + np.arange(len(block))
        leads[(block["key"] & _TURN).astype(np.int64)] = first + places // _ENTRIES
        sides.append(_joined(block["sides"]))
        done += len(block)
    return np.concatenate(sides), leads


def _joined(sides: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the sides of the nodes that these entries fill."""
    cuts = np.arange(0, len(sides), _ENTRIES)
    low = np.minimum.reduceat(sides[:, [0, 2]], cuts)
    high = np.maximum.reduceat(sides[:, [1, 3]], cuts)
    return np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=1)


def _above(
    sides: NDArray[np.float32], levels: list[int], first: NDArray[np.int64]
) -> list[NDArray[np.uint8]]:
    """Make the nodes of all levels above the leaves, which have these ``sides``; the root last."""
    made = []
    for height, count in enumerate(levels[2:], 1):
        below = int(first[len(levels) - 1 - height]) + np.arange(len(sides))
        made.append(_nodes(below, sides, height if count == 1 else 0))
        sides = _joined(sides)
    return made


def _nodes(ids: NDArray[np.int64], sides: NDArray[np.float32], depth: int) -> NDArray[np.uint8]:
    """Make full nodes of these entries, the last with the remaining ones; the root says its
    ``depth``."""
    count = -(-len(ids) // _ENTRIES)
    nodes = np.zeros((count, _NODE), np.uint8)
    filled = np.full(count, _ENTRIES, ">u2")
    filled[-1] = len(ids) - (count - 1) * _ENTRIES
    nodes[:, 1] = depth
    nodes[:, 2:4] = filled.view(np.uint8).reshape(count, 2)
    entries = np.zeros(count * _ENTRIES, _ENTRY)
    entries["id"][: len(ids)] = ids
    entries["sides"][: len(ids)] = sides
    nodes[:, 4 : 4 + _ENTRIES * _ENTRY.itemsize] = entries.view(np.uint8).reshape(count, -1)
    return nodes
