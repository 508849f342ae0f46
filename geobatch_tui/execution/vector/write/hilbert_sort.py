"""Features in the order of a curve of Hilbert, sorted on disk: row groups whose boxes are small.

The places of all features along the curve are known after one pass over the boxes. A second pass
puts each feature into the part of a file that its row group is read from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from geobatch_tui.execution.io.disk import disk_errors, read_exactly, write_all
from geobatch_tui.execution.vector.batch.arrow_arrays import box_sides, numbers
from geobatch_tui.execution.vector.plan import BOX
from geobatch_tui.execution.vector.spool.pieces import good_batches
from geobatch_tui.execution.vector.spool.segment import encode
from geobatch_tui.execution.vector.write.packed_rtree import curve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.spool.segment import Finished

_RANK = "__rank"
#: Bytes of features that are held before they are put into their parts.
HELD_BYTES = 64 * 2**20


def sorted_groups(done: Finished, path: Path) -> Iterator[pa.Table]:
    """Give the features in tables of ``plan.cell`` rows, along the curve; those without a box come
    last, and the last table has what is left. ``path``: of a file for a while."""
    rows = done.plan.cell
    ranks = _ranks(done)
    groups: list[list[tuple[int, int]]] = [[] for _ in range(-(-len(ranks) // rows))]
    with disk_errors("cannot write", path), path.open("w+b", buffering=0) as file:
        parts = _Parts(file.fileno(), rows, groups)
        start = 0
        for batch in good_batches(done.contents()):
            parts.add(batch, ranks[start : start + batch.num_rows])
            start += batch.num_rows
        parts.flush()
        for group in groups:
            yield _read(file.fileno(), group)


def _ranks(done: Finished) -> NDArray[np.int64]:
    """Return the place of each feature along the curve."""
    extent = done.summary.bbox
    keys = [np.empty(0, np.uint64)]
    for batch in good_batches(done.contents()):
        known, sides = box_sides(batch.column(BOX))
        found = np.full(len(known), 2**32, np.uint64)  # beyond the curve
        if extent is not None:
            found[known] = curve(np.stack(sides, axis=1)[known], extent)
        keys.append(found)
    order = np.argsort(np.concatenate(keys), kind="stable")
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


@dataclass(slots=True)
class _Parts:
    """Appends features to a file, and notes for each group where those of it lie."""

    fd: int
    rows: int
    groups: list[list[tuple[int, int]]]
    batches: list[pa.RecordBatch] = field(default_factory=list)
    ranks: list[NDArray[np.int64]] = field(default_factory=list)
    size: int = 0
    at: int = 0

    def add(self, batch: pa.RecordBatch, ranks: NDArray[np.int64]) -> None:
        self.batches.append(batch)
        self.ranks.append(ranks)
        self.size += batch.nbytes
        if self.size > HELD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the batches, a piece for each group."""
        if not self.batches:
            return
        ranks = np.concatenate(self.ranks)
        whole = pa.Table.from_batches(self.batches).append_column(_RANK, numbers(ranks))
        order = np.argsort(ranks)
        cuts = np.searchsorted(ranks[order] // self.rows, np.arange(len(self.groups) + 1))
        for number in np.flatnonzero(np.diff(cuts)).tolist():
            chosen = whole.take(numbers(order[cuts[number] : cuts[number + 1]]))
            data = encode(chosen.to_batches(), chosen.schema)
            write_all(self.fd, data)
            self.groups[number].append((self.at, data.size))
            self.at += data.size
        self.batches.clear()
        self.ranks.clear()
        self.size = 0


def _read(fd: int, group: list[tuple[int, int]]) -> pa.Table:
    tables = []
    for offset, size in group:
        with pa.ipc.open_stream(read_exactly(fd, offset, size)) as reader:
            tables.append(reader.read_all())
    table = pa.concat_tables(tables)
    order = np.argsort(table.column(_RANK).to_numpy())
    return table.drop_columns([_RANK]).take(numbers(order)).combine_chunks()
