"""The R-tree of a GeoPackage: full nodes along a curve of Hilbert, in tables of SQLite.

Boxes are sorted on disk, where they are many; in memory are four bytes for each.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.io.external_sort import Ranked, evenly
from geobatch_tui.execution.vector.formats.flatgeobuf.flatgeobuf_layout import levels
from geobatch_tui.execution.vector.kernels import feature_loops
from geobatch_tui.execution.vector.write.gpkg_tables import Appended, Table
from geobatch_tui.execution.vector.write.packed_rtree import curve, joined, ranks

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.write.gpkg_tables import RowIds

    Numbers = NDArray[np.int64]

#: Entries of a node, with pages of 4096 bytes; bytes of a node, and an entry of it, big-endian.
_ENTRIES, _NODE = 51, 1228
_ENTRY = np.dtype([("id", ">i8"), ("sides", ">f4", 4)])
#: A box while it is sorted: the key ends in the number of its feature.
_ROW = np.dtype([("key", "<u8"), ("box", "<f4", 4)])
_TURN = np.uint64(2**32 - 1)
#: Nodes that are made at a time, and features.
_NODES, _IDS = 2048, 2**17


class Boxes:
    """Boxes of the features that have one: minx, miny, maxx, maxy, rounded outwards. ``extent``: of
    all of them, if any has a box; ``path``: of a file for a while, if one is needed."""

    def __init__(self, extent: list[float] | None, path: Path) -> None:
        self.rows = Ranked(_ROW, path)
        self.features = 0
        self._extent = extent or [0.0] * 4

    def add(self, boxes: NDArray[np.float64]) -> None:
        """Take in boxes of the next features (n, 4; NaN where there is none)."""
        known = np.flatnonzero(~np.isnan(boxes[:, 0]))
        exact = boxes[known]
        box = exact.astype(np.float32)
        low, high = box[:, :2], box[:, 2:]
        np.nextafter(low, np.float32(-np.inf), out=low, where=low > exact[:, :2])
        np.nextafter(high, np.float32(np.inf), out=high, where=high < exact[:, 2:])
        rows = np.empty(len(known), _ROW)
        rows["key"] = ranks(curve(box, self._extent), self.features + 1 + known)
        rows["box"] = box
        self.rows.add(rows)
        self.features += len(boxes)


def write(pages: Appended, boxes: Boxes, ids: RowIds, roots: dict[str, int]) -> dict[int, bytes]:
    """Write the tables ``node``, ``rowid`` and ``parent``, for features with these ``ids``; the
    pages that they begin with, by the number that ``roots`` gives it."""
    if not boxes.rows.count:
        return {}
    counts = levels(boxes.rows.count, _ENTRIES)[:-1]
    # Nodes are numbered from the root down, so that those of a level follow one another.
    first = np.cumsum([1, *counts])
    nodes, parents, entries = Table(pages), Table(pages), Table(pages)
    sides, leads = _leaves(boxes, int(first[-2]))
    leaves = (
        _nodes(ids.of((block["key"] & _TURN).astype(np.int64)), block["box"], 0)
        for block in evenly(boxes.rows.blocks(), _ENTRIES * _NODES)
    )
    number = 1
    for level in chain(_above(sides, first), leaves):
        nodes.add(feature_loops.blobs, _NODE + 8, (number + np.arange(len(level)), level))
        number += len(level)
    for start in range(0, len(leads), _IDS):
        turns = np.flatnonzero(leads[start : start + _IDS]) + start
        entries.add(feature_loops.pairs, 8, (ids.of(turns), leads[turns].astype(np.int64)))
    for above, below, count in zip(first, first[1:], counts[1:], strict=False):
        places = np.arange(count)
        parents.add(feature_loops.pairs, 8, (below + places, above + places // _ENTRIES))
    return {
        roots["node"]: nodes.finish(),
        roots["rowid"]: entries.finish(),
        roots["parent"]: parents.finish(),
    }


def _leaves(boxes: Boxes, first: int) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Return the box of each leaf, and the number of the leaf that each turn is in, or 0."""
    leads = np.zeros(boxes.features + 1, np.uint32)
    sides, done = [], 0
    for block in evenly(boxes.rows.blocks(), _ENTRIES * _NODES):
        places = done + np.arange(len(block))
        leads[(block["key"] & _TURN).astype(np.int64)] = first + places // _ENTRIES
        sides.append(joined(block["box"], _ENTRIES))
        done += len(block)
    return np.concatenate(sides), leads


def _above(sides: NDArray[np.float32], first: Numbers) -> list[NDArray[np.uint8]]:
    """Make the nodes of all levels above the leaves, which have these boxes; the root first.
    ``first``: number of the first node of each level."""
    made: list[NDArray[np.uint8]] = []
    depth = len(first) - 2
    for level in range(depth, 0, -1):
        made.insert(
            0, _nodes(first[level] + np.arange(len(sides)), sides, depth if level == 1 else 0)
        )
        sides = joined(sides, _ENTRIES)
    return made


def _nodes(ids: Numbers, boxes: NDArray[np.float32], depth: int) -> NDArray[np.uint8]:
    """Make full nodes of these entries, but for the last; the root says its ``depth``."""
    count = -(-len(ids) // _ENTRIES)
    nodes = np.zeros((count, _NODE), np.uint8)
    filled = np.full(count, _ENTRIES, ">u2")
    filled[-1] = len(ids) - (count - 1) * _ENTRIES
    nodes[:, 1] = depth
    nodes[:, 2:4] = filled.view(np.uint8).reshape(count, 2)
    entries = np.zeros(count * _ENTRIES, _ENTRY)
    entries["id"][: len(ids)] = ids
    entries["sides"][: len(ids)] = boxes[:, [0, 2, 1, 3]]  # minx, maxx, miny, maxy
    nodes[:, 4 : 4 + _ENTRIES * _ENTRY.itemsize] = entries.view(np.uint8).reshape(count, -1)
    return nodes
