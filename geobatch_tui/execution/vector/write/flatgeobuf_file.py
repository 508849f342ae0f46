"""FlatGeobuf, put together from the records of chunks: header, packed R-tree, features.

OGR makes the header for one feature, and it is changed to describe all. Features lie in the order
of the tree's leaves, along a curve of Hilbert (see ``packed_rtree``). Their bytes are those that
OGR would write.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.io import disk, open_files
from geobatch_tui.execution.io.disk import disk_errors, forget
from geobatch_tui.execution.io.external_sort import Ranked, evenly
from geobatch_tui.execution.io.open_files import OpenFiles
from geobatch_tui.execution.io.part_file import new_file
from geobatch_tui.execution.io.write_behind import Behind, Written
from geobatch_tui.execution.vector.batch import wkb_coordinates
from geobatch_tui.execution.vector.batch.buffers import Room
from geobatch_tui.execution.vector.batch_schema import written_schema
from geobatch_tui.execution.vector.formats.flatgeobuf.flatgeobuf_layout import Table
from geobatch_tui.execution.vector.kernels import feature_loops, flatbuffer
from geobatch_tui.execution.vector.spool import pieces, records
from geobatch_tui.execution.vector.spool.segment import passed
from geobatch_tui.execution.vector.write import ogr_file
from geobatch_tui.execution.vector.write.packed_rtree import Index, curve, ranks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.spool.segment import Finished

    Numbers = NDArray[np.int64]
    Rows = NDArray[np.void]

#: A record: number of its file, offset, length, and length of the properties. The key is its place
#: along the curve, counted from the end, then its number in the source.
_ROW = np.dtype([
    ("key", "<u8"), ("box", "<f8", 4), ("at", "<i8"), ("length", "<u4"), ("head", "<u4"),
    ("file", "<u2"),
])  # fmt: skip
#: Bytes of records that are turned into features at a time; records in a step, a multiple of the
#: children of a node; bytes of the largest buffer that is used again.
_BLOCK, _ROWS, _KEPT = 4 * 2**20, 2**14, 24 * 2**20
#: Least bytes of a record that the system need not keep in memory once it is read.
_LARGE = 2**15
_MAGIC = 8
_U32, _U64, _BOX = struct.Struct("<I"), struct.Struct("<Q"), struct.Struct("<4d")
#: Numbers of fields of the tables Header and Column.
_ENVELOPE, _COLUMNS, _COUNT, _NAME, _TYPE = 1, 7, 8, 0, 1


def write(done: Finished, path: Path, scratch: Path) -> Written:
    """Write the part file; without an index if a feature has no extent."""
    summary = done.summary
    kind, multi = ogr_file.layer_kind(done)
    indexed = not summary.facts.get("empty")
    header = _header(done, kind, indexed=indexed)
    typed, measured = kind.startswith("Unknown"), ogr_file.measured(summary.types)
    with (
        Ranked(_ROW, scratch / "records") as ranked,
        new_file(path, later=True) as fd,
        disk_errors("cannot write", path),
    ):
        names = _find(done, ranked, indexed=indexed)
        index = Index(fd, len(header), ranked.count if indexed else 0)
        os.lseek(fd, index.end, os.SEEK_SET)
        with OpenFiles(done.item.work_dir, names) as spools, Behind(fd) as behind:
            features = _Features(spools, multi=multi, typed=typed, measured=measured)
            for rows in evenly(ranked.blocks(), _ROWS):
                sizes = []
                for block, some in features.blocks(rows):
                    behind.write(block)
                    sizes.append(some)
                index.add(rows["box"], np.concatenate(sizes))
            behind.wait()
        front = index.finish(header)
    cuts = (index.leaves, index.end) if indexed else (index.end,)
    return Written(cuts, (*front, behind.crc))


def _header(done: Finished, kind: str, *, indexed: bool) -> bytearray:
    """Make the magic and header of the file. Raise SchemaError if OGR would keep a field otherwise,
    or for a mix that it cannot read back."""
    plan, summary = done.plan, done.summary
    deep = {each // 1000 % 2 == 1 for each in summary.types}
    if len(deep) > 1 or (deep == {True} and kind == "Unknown"):
        raise SchemaError(
            "FlatGeobuf with Z needs features of one type, all of them with Z; these are "
            + ", ".join(wkb_coordinates.type_name(each) for each in summary.types),
            hint="write GeoParquet or GPKG, or choose features by op.where",
        )
    # Of a layer without features the header says less.
    index = "YES" if indexed else "NO"
    data = ogr_file.template(done, has_feature=True, SPATIAL_INDEX=index)
    header = bytearray(data[: _MAGIC + 4 + _U32.unpack_from(data, _MAGIC)[0]])
    table = Table(header, _MAGIC + 4 + _U32.unpack_from(header, _MAGIC + 4)[0])
    kept = []
    columns = table.follow(_COLUMNS)
    for n in range(_U32.unpack_from(header, columns)[0]):
        at = columns + 4 + 4 * n
        column = Table(header, at + _U32.unpack_from(header, at)[0])
        name = column.follow(_NAME)
        size = _U32.unpack_from(header, name)[0]
        place = column.place(_TYPE)
        kept.append((header[name + 4 : name + 4 + size].decode(), header[place] if place else 0))
    wanted = [(each.name, records.TYPES[each.type]) for each in written_schema(plan)]
    if kept != wanted:
        raise SchemaError(f"FlatGeobuf keeps the fields as {kept}, not as {wanted}")
    _U64.pack_into(header, table.place(_COUNT), summary.out)
    if summary.bbox is not None:
        _BOX.pack_into(header, table.follow(_ENVELOPE) + 4, *summary.bbox)
    return header


def _find(done: Finished, ranked: Ranked, *, indexed: bool) -> list[str]:
    """Find the records of all segments, which are checked; the files that they are in. Without an
    index they keep the order of the source."""
    extent = done.summary.bbox if indexed else None
    files: dict[str, int] = {}
    for segment, fd, stats in passed(done.item, done.segments):
        number = files.setdefault(segment.spool, len(files))
        for start, end in pieces.places(stats):
            for at, block in records.fronts(fd, segment.offset + start, segment.offset + end):
                rows = np.empty(len(block.heads), _ROW)
                keys = np.zeros(len(rows), np.uint32)
                if extent is not None:
                    keys = ~curve(block.boxes, extent)
                rows["key"] = ranks(keys, ranked.count + np.arange(len(rows)))
                rows["box"], rows["head"] = block.boxes, block.heads
                rows["at"] = block.starts[:-1] + np.int64(at)
                rows["length"] = np.diff(block.starts)
                rows["file"] = number
                ranked.add(rows)
    return list(files)


class _Features:
    """Turns records, which lie anywhere in the spools, into features, in any order.

    Records are read one by one: with mapped spools, all pages that the kernel maps around each
    count as memory.
    """

    def __init__(self, spools: OpenFiles, *, multi: bool, typed: bool, measured: bool) -> None:
        self._spools = spools
        self._flags = multi, typed, measured
        self._room, self._turn = Room(_KEPT), False

    def blocks(self, rows: Rows) -> Iterator[tuple[memoryview, Numbers]]:
        """Make features of these records, in blocks, and give the length of each."""
        lengths = rows["length"].astype(np.int64)
        ends = np.cumsum(lengths)
        start = 0
        while start < len(rows):
            base = int(ends[start - 1]) if start else 0
            stop = max(int(np.searchsorted(ends, base + _BLOCK, "right")), start + 1)
            yield from self._block(rows[start:stop], lengths[start:stop])
            start = stop

    def _block(self, rows: Rows, lengths: Numbers) -> Iterator[tuple[memoryview, Numbers]]:
        starts = np.cumsum(lengths) - lengths
        records = self._read(rows, starts, lengths)
        heads = rows["head"].astype(np.int64)
        widest = int(lengths.max())
        room = flatbuffer.room(widest)
        # The builder fills its buffer from the end, and expects nothing in it.
        build, scratch = self._room.of("build", room), self._room.of("scratch", widest + 16)
        parts = np.empty(widest // 5 + 2, np.int64)
        sizes = np.empty(len(rows), np.int64)
        state = np.empty(flatbuffer.STATE, np.int64)
        done = 0
        while done < len(rows):
            # Two buffers in turn: the one before may still be on its way to the disk.
            self._turn = not self._turn
            out = self._room.of(f"out {self._turn}", len(records) + len(records) // 4 + room)
            where = starts[done:], lengths[done:], heads[done:]
            count, size = feature_loops.write(
                out, records, *where, *self._flags, build, scratch, parts, sizes[done:], state
            )
            yield memoryview(out)[:size], sizes[done : done + count]
            done += count

    def _read(self, rows: Rows, starts: Numbers, lengths: Numbers) -> NDArray[np.uint8]:
        """Read records, in the order in which they lie, and place them one after the other."""
        out = self._room.of("records", int(lengths.sum()))
        file, at = rows["file"].copy(), rows["at"].copy()
        order = np.lexsort((at, file))
        numbers, firsts = np.unique(file[order], return_index=True)
        bounds = [*firsts.tolist(), len(order)]
        for start in range(0, len(numbers), open_files.MOST):
            some = numbers[start : start + open_files.MOST].tolist()
            fds = self._spools.fds(some)[file]
            wanted = left = order[bounds[start] : bounds[start + len(some)]]
            while (done := feature_loops.fetch(fds, at, starts, lengths, left, out)) < len(left):
                # Python reads a record again that could not be read, and says why.
                n = left[done]
                place = memoryview(out)[starts[n] : starts[n] + lengths[n]]
                disk.fill(int(fds[n]), int(at[n]), place)
                left = left[done + 1 :]
            for n in wanted[lengths[wanted] >= _LARGE].tolist():
                forget(int(fds[n]), int(at[n]), int(lengths[n]))
        return out
