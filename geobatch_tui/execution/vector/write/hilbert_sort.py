"""Features in the order of a curve of Hilbert, sorted on disk: row groups whose boxes are small.

The places of all features along the curve are known after one pass over the boxes. A second pass
puts each feature into the part of a file that its row group is read from.
"""

from __future__ import annotations

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
    from io import FileIO
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
        start = 0
        for held in _gathered(good_batches(done.contents())):
            stop = start + sum(batch.num_rows for batch in held)
            _write_parts(file, held, ranks[start:stop], rows, groups)
            start = stop
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


def _gathered(batches: Iterator[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    held, size = [], 0
    for batch in batches:
        held.append(batch)
        size += batch.nbytes
        if size > HELD_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def _write_parts(
    file: FileIO,
    held: list[pa.RecordBatch],
    ranks: NDArray[np.int64],
    rows: int,
    groups: list[list[tuple[int, int]]],
) -> None:
    """Append features, those of a group together, and note for each group where they lie. Empties
    ``held``, or they would be in memory while the next are read."""
    whole = pa.Table.from_batches(held).append_column(_RANK, numbers(ranks))
    held.clear()
    order = np.argsort(ranks)
    cuts = np.searchsorted(ranks[order] // rows, np.arange(len(groups) + 1))
    for number in np.flatnonzero(np.diff(cuts)).tolist():
        chosen = whole.take(numbers(order[cuts[number] : cuts[number + 1]]))
        data = encode(chosen.to_batches(), chosen.schema)
        groups[number].append((file.tell(), data.size))
        write_all(file.fileno(), data)


def _read(fd: int, group: list[tuple[int, int]]) -> pa.Table:
    tables = []
    for offset, size in group:
        with pa.ipc.open_stream(read_exactly(fd, offset, size)) as reader:
            tables.append(reader.read_all())
    table = pa.concat_tables(tables)
    order = np.argsort(table.column(_RANK).to_numpy())
    return table.drop_columns([_RANK]).take(numbers(order)).combine_chunks()
