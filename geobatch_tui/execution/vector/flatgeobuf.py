"""FlatGeobuf, put together from the records of chunks: header, packed R-tree, features.

Features lie in the order of the tree's leaves, along a curve of Hilbert. Their bytes are those that
OGR would write. See ``flatheader`` for the header.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.execution.crc import crc32
from geobatch_tui.execution.raster import disk
from geobatch_tui.execution.raster.disk import disk_errors, write_all
from geobatch_tui.execution.raster.part import new_file
from geobatch_tui.execution.vector import (
    flatbuffer,
    flatheader,
    loops,
    ogr,
    pieces,
    records,
    spool,
)
from geobatch_tui.execution.vector.behind import Behind
from geobatch_tui.execution.vector.room import Room

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from numpy.typing import NDArray

    from geobatch_tui.execution.messages import ItemContext, Segment
    from geobatch_tui.execution.vector.collect import Summary
    from geobatch_tui.execution.vector.plan import VectorPlan

    Numbers = NDArray[np.int64]

#: Children of a node; a node is its box and where it leads.
_CHILDREN = 16
_NODE = np.dtype([("box", "<f8", 4), ("at", "<u8")])
#: Bytes of records that are turned into features at a time, and nodes that are written at a time.
_BLOCK, _NODES = 8 * 2**20, 2**16


@dataclass(slots=True)
class _Records:
    """Where the records of an item lie: by file, place, length, and length of the properties."""

    files: list[str] = field(default_factory=list)
    file: list[NDArray[np.uint16]] = field(default_factory=list)
    at: list[Numbers] = field(default_factory=list)
    length: list[NDArray[np.uint32]] = field(default_factory=list)
    head: list[NDArray[np.uint32]] = field(default_factory=list)
    box: list[NDArray[np.float64]] = field(default_factory=list)

    def add(self, segment: Segment, fd: int, stats: dict[str, Any]) -> None:
        """Take in the records of a segment, which was checked."""
        if segment.spool not in self.files:
            self.files.append(segment.spool)
        number = self.files.index(segment.spool)
        for start, end in pieces.places(stats):
            for at, block in records.fronts(fd, segment.offset + start, segment.offset + end):
                self.file.append(np.full(len(block.heads), number, np.uint16))
                self.at.append(block.starts[:-1] + np.int64(at))
                self.length.append(np.diff(block.starts).astype(np.uint32))
                self.head.append(block.heads)
                self.box.append(block.boxes)


def write(
    item: ItemContext,
    plan: VectorPlan,
    segments: Sequence[Segment],
    summary: Summary,
    path: Path,
    scratch: Path,
) -> tuple[int, int, int]:
    """Write the part file: where its features begin, CRC-32 of what lies before, and of them.

    ``scratch`` is a directory for a while. Without an index if a feature has no extent.
    """
    found = _Records()
    for segment, fd, stats in spool.passed(item, segments):
        found.add(segment, fd, stats)
    boxes = np.concatenate(found.box)
    found.box.clear()
    indexed = not summary.facts.get("empty")
    header = flatheader.header(item, plan, summary, scratch / "template.fgb", indexed=indexed)
    order = np.arange(len(boxes), dtype=np.uint32)
    if indexed:
        keys = np.empty(len(boxes), np.uint32)
        loops.hilbert(boxes, np.array(summary.bbox, np.float64), keys)
        order = np.argsort(~keys, kind="stable").astype(np.uint32)
    with new_file(path, later=True) as fd, disk_errors("cannot write", path):
        levels = _levels(len(boxes)) if indexed else []
        start = len(header) + sum(levels) * _NODE.itemsize
        os.lseek(fd, start, os.SEEK_SET)
        ends = np.empty(len(boxes), np.uint64)
        kind, multi = ogr.layer_type(summary.types)
        typed = kind.startswith("Unknown")
        at = 0
        with (
            _Features(item, found, multi=multi, typed=typed) as features,
            Behind(fd) as behind,
        ):
            for block, sizes in features.blocks(order):
                behind.write(block)
                ends[at : at + len(sizes)] = sizes
                at += len(sizes)
            behind.wait()
        np.cumsum(ends, out=ends)
        os.lseek(fd, 0, os.SEEK_SET)
        write_all(fd, header)
        front = crc32(header)
        for nodes in _tree(boxes, order, ends, levels):
            write_all(fd, nodes)
            front = crc32(nodes, front)
    return start, front, behind.crc


# --- the index ---------------------------------------------------------------------------------


def _levels(count: int) -> list[int]:
    """Nodes of each level of the tree, from the root to the leaves."""
    levels = [count]
    while len(levels) == 1 or levels[0] > 1:
        levels.insert(0, -(-levels[0] // _CHILDREN))
    return levels


def _tree(
    boxes: NDArray[np.float64],
    order: NDArray[np.uint32],
    ends: NDArray[np.uint64],
    levels: list[int],
) -> Iterator[memoryview]:
    """The nodes in the order of the file, in pieces. ``ends``: where each feature ends."""
    above: list[NDArray[np.float64]] = []
    for _ in levels[1:]:
        below = boxes if not above else above[0]
        picked = order if not above else None
        above.insert(0, _joined(below, picked))
    first = 0
    for upper, size in zip(above, levels, strict=False):
        nodes = np.empty(size, _NODE)
        nodes["box"] = upper
        nodes["at"] = first + size + _CHILDREN * np.arange(size)
        first += size
        yield memoryview(nodes).cast("B")
    for start in range(0, len(order) if levels else 0, _NODES):
        chosen = order[start : start + _NODES]
        nodes = np.empty(len(chosen), _NODE)
        nodes["box"] = boxes[chosen]
        nodes["at"][1:] = ends[start : start + len(chosen) - 1]
        nodes["at"][0] = ends[start - 1] if start else 0
        yield memoryview(nodes).cast("B")


def _joined(boxes: NDArray[np.float64], order: NDArray[np.uint32] | None) -> NDArray[np.float64]:
    """Boxes round each 16 boxes in turn, in ``order``."""
    count = len(boxes)
    out = np.empty((-(-count // _CHILDREN), 4))
    for start in range(0, count, _NODES):
        piece = boxes[start : start + _NODES] if order is None else boxes[order[start:][:_NODES]]
        cuts = np.arange(0, len(piece), _CHILDREN)
        place = slice(start // _CHILDREN, start // _CHILDREN + len(cuts))
        out[place, :2] = np.minimum.reduceat(piece[:, :2], cuts)
        out[place, 2:] = np.maximum.reduceat(piece[:, 2:], cuts)
    return out


# --- features ----------------------------------------------------------------------------------


class _Features:
    """Turns records, which lie anywhere in the spools, into features, in any order.

    Records are read one by one: with mapped spools, all pages that the kernel maps around each
    count as memory.
    """

    def __init__(self, item: ItemContext, found: _Records, *, multi: bool, typed: bool) -> None:
        self._directory = Path(item.work_dir)
        self._multi, self._typed = multi, typed
        self._names = found.files
        self._file, self._at = np.concatenate(found.file), np.concatenate(found.at)
        self._length, self._head = np.concatenate(found.length), np.concatenate(found.head)
        for held in (found.file, found.at, found.length, found.head):
            held.clear()
        self._fds: list[int] = []
        self._room, self._turn = Room(), False

    def __enter__(self) -> Self:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            for name in self._names:
                self._fds.append(os.open(self._directory / name, flags))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        while self._fds:
            os.close(self._fds.pop())

    def blocks(self, order: NDArray[np.uint32]) -> Iterator[tuple[memoryview, Numbers]]:
        """Features in ``order``, in blocks, and how long each is."""
        lengths = self._length[order].astype(np.int64)
        ends = np.cumsum(lengths)
        start = 0
        while start < len(order):
            base = int(ends[start - 1]) if start else 0
            stop = max(int(np.searchsorted(ends, base + _BLOCK, "right")), start + 1)
            yield from self._block(order[start:stop], lengths[start:stop])
            start = stop

    def _block(
        self, chosen: NDArray[np.uint32], lengths: Numbers
    ) -> Iterator[tuple[memoryview, Numbers]]:
        starts = np.cumsum(lengths) - lengths
        records = self._read(chosen, starts, lengths)
        heads = self._head[chosen].astype(np.int64)
        widest = int(lengths.max())
        room = flatbuffer.room(widest)
        # The builder works from the end of its room, and clears nothing before.
        build, scratch = self._room.of("build", room), self._room.of("scratch", widest + 16)
        parts = np.empty(widest // 5 + 2, np.int64)
        sizes = np.empty(len(chosen), np.int64)
        state = np.empty(flatbuffer.STATE, np.int64)
        done = 0
        while done < len(chosen):
            # In turn: what was given away last may still be on its way to the disk.
            self._turn = not self._turn
            out = self._room.of(f"out {self._turn}", len(records) + len(records) // 4 + room)
            count, size = loops.write(
                out,
                records,
                starts[done:],
                lengths[done:],
                heads[done:],
                self._multi,
                self._typed,
                build,
                scratch,
                parts,
                sizes[done:],
                state,
            )
            yield memoryview(out)[:size], sizes[done : done + count]
            done += count

    def _read(
        self, chosen: NDArray[np.uint32], starts: Numbers, lengths: Numbers
    ) -> NDArray[np.uint8]:
        """Records one after the other, read in the order in which they lie."""
        out = self._room.of("records", int(lengths.sum()))
        file, at = self._file[chosen], self._at[chosen]
        order = np.lexsort((at, file))
        fds = np.array(self._fds, np.int32)[file]
        while (done := loops.fetch(fds, at, starts, lengths, order, out)) < len(order):
            # What cannot be read is read again by Python, which says why; or it can by now.
            n = order[done]
            disk.fill(int(fds[n]), int(at[n]), memoryview(out)[starts[n] : starts[n] + lengths[n]])
            order = order[done + 1 :]
        return out
