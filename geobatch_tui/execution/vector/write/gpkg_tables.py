"""Tables of a GeoPackage, written at its end page after page, in the order of their ids; and the
tables of its R-tree, whose nodes are full along a curve of Hilbert.

Boxes are sorted on disk, where they are many; in memory are four bytes for each.
"""

from __future__ import annotations

import os
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.execution.io.external_sort import Ranked, evenly
from geobatch_tui.execution.io.write_behind import Behind
from geobatch_tui.execution.vector.kernels import feature_loops, sqlite_pages
from geobatch_tui.execution.vector.kernels.sqlite_pages import LEAVES, NEXT, PAGE, ROWS, STATE
from geobatch_tui.execution.vector.write.packed_rtree import curve, joined, levels, ranks

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from geobatch_tui.execution.native.loop import Loop

    Numbers = NDArray[np.int64]

#: Bytes that are written at a time, and leaves that are noted before they are copied.
_BLOCK, _LEAVES = 4 * 2**20, 2**14
#: Bytes of the largest buffer of pages that is used again; a large row gets one of its own.
_KEPT = 3 * _BLOCK


class RowIds:
    """Ids of ``count`` features in ascending order, which are given out in turn; of many they are
    not in memory.

    Args:
        ends: the first and the last; empty: they are numbered from 1.
        count: how many there are.
        path: of a file for a while, if one is needed.
    """

    def __init__(self, ends: list[int], count: int, path: Path) -> None:
        low, high = ends or (1, count)
        self._shift = low - 1
        self._path = None if high - low + 1 == count else path
        self._turn = 0

    def next_ids(self, ids: Numbers, count: int) -> Numbers:
        """Return the ids of the next ``count`` features, which are ``ids`` unless they are
        numbered."""
        turns = np.arange(self._turn + 1, self._turn + count + 1)
        self._turn += count
        if self._path is None:
            return turns + self._shift
        with self._path.open("ab") as file:
            file.write(ids.tobytes())
        return ids

    def of(self, turns: Numbers) -> Numbers:
        """Return the ids of features by their turns, from 1. All have been given out."""
        if self._path is None:
            return turns + self._shift
        found: Numbers = np.memmap(self._path, np.int64, "r")[turns - 1]
        return found


class Appended(Behind):
    """The pages after the first ``pages`` of a file."""

    def __init__(self, fd: int, pages: int) -> None:
        super().__init__(fd)
        self.next = pages + 1
        os.lseek(fd, pages * PAGE, os.SEEK_SET)

    def number(self) -> int:
        """Return the number of the next page, which is written next."""
        if self.next == sqlite_pages.LOCKED:
            self.write(memoryview(bytes(PAGE)))
            self.next += 1
        self.next += 1
        return self.next - 1


class Table:
    """A table: rows are added in the order of their ids, then :meth:`finish` ends it."""

    def __init__(self, pages: Appended) -> None:
        self._pages = pages
        self._leaf = np.zeros(PAGE, np.uint8)
        self._state = np.zeros(STATE, np.int64)
        self._full = np.empty((_LEAVES, 2), np.int64)
        self._closed: list[Numbers] = []
        self._out = self._other = np.empty(0, np.uint8)

    def add(
        self, kernel: Loop, widest: int, columns: tuple[NDArray[Any], ...], *rest: object
    ) -> None:
        """Add rows, of ``widest`` bytes at most, by a loop of ``sqlite_pages``. It takes room for
        pages, the table's leaf, state and full leaves, ``columns`` (arrays with an element for each
        row), ``rest``, and room for a row."""
        need = _BLOCK + widest + widest // 1000 * 2 + 8 * PAGE
        row = np.empty(widest + 64, np.uint8)
        done, count = 0, len(columns[0])
        while done < count:
            # Two buffers in turn: the other may still be on its way to the disk.
            self._out, self._other = self._other, self._out
            if not need <= len(self._out) <= max(need, _KEPT):
                self._out = np.empty(need, np.uint8)
            self._state[NEXT] = self._pages.next
            part = [column[done:] for column in columns]
            more, size = kernel(self._out, self._leaf, self._state, self._full, *part, *rest, row)
            self._append(memoryview(self._out)[:size])
            done += more

    def _append(self, pages: memoryview) -> None:
        """Write pages that a kernel has made, and note the leaves that it filled."""
        self._pages.write(pages)
        self._pages.next = int(self._state[NEXT])
        if count := int(self._state[LEAVES]):
            self._closed.append(self._full[:count].copy())
            self._state[LEAVES] = 0

    def finish(self) -> bytes:
        """Write the last rows; return the page that the table begins with."""
        if not self._closed:
            feature_loops.seal(self._leaf, self._state)
            return self._leaf.tobytes()
        if self._state[ROWS]:
            self._state[NEXT] = self._pages.next
            room = np.empty(2 * PAGE, np.uint8)
            size = feature_loops.close(room, 0, self._leaf, self._state, self._full)
            self._append(memoryview(room)[:size])
        level = np.concatenate(self._closed)
        while len(level) > sqlite_pages.CHILDREN:
            level = self._above(level)
        return _inner(level)

    def _above(self, level: Numbers) -> Numbers:
        """Write the pages above those of a level (number, last id), evenly filled."""
        made = []
        for group in np.array_split(level, -(-len(level) // sqlite_pages.CHILDREN)):
            made.append((self._pages.number(), int(group[-1, 1])))
            self._pages.write(memoryview(_inner(group)))
        return np.array(made, np.int64)


def _inner(group: Numbers) -> bytes:
    page = np.zeros(PAGE, np.uint8)
    feature_loops.inner(page, *np.ascontiguousarray(group.T))
    return page.tobytes()


# --- the R-tree --------------------------------------------------------------------------------

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


def write_rtree(
    pages: Appended, boxes: Boxes, ids: RowIds, roots: dict[str, int]
) -> dict[int, bytes]:
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
