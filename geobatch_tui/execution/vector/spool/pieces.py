"""Pieces of a chunk: published features, each piece of one cell of the item's features.

A cell is ``plan.cell`` features of the source in turn, counted from its first, so it does not
depend on how the item is cut into chunks. A GeoParquet cell that lies wholly in a chunk is encoded
there, as a small Parquet file of its own; the row groups of these files are copied into the output.
Features of FlatGeobuf and GeoPackage are encoded there, too (see ``records``). Of a cell that
chunks share, and in other formats, pieces are Arrow streams.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from geobatch_tui.execution.vector.batch import arrow_arrays
from geobatch_tui.execution.vector.batch.arrow_arrays import BOX_TYPE, flags, free_name
from geobatch_tui.execution.vector.batch_schema import written_schema
from geobatch_tui.execution.vector.plan import BOX, GEOMETRY
from geobatch_tui.execution.vector.spool import records, segment
from geobatch_tui.execution.vector.spool.writer_options import ROW_GROUP_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from geobatch_tui.execution.protocol.window import Window
    from geobatch_tui.execution.vector.batch.arrow_arrays import ChunkStats
    from geobatch_tui.execution.vector.plan import VectorPlan
    from geobatch_tui.execution.vector.spool.segment import OpenSegment


@dataclass(frozen=True, slots=True)
class Piece:
    """Published features of ``cell``; ``parquet``: as a Parquet file, else as a stream."""

    cell: int
    parquet: bool
    data: pa.Buffer

    def batches(self, *, is_table: bool = False) -> Iterator[pa.RecordBatch]:
        """Read its features; ``is_table``: as in the plan."""
        if self.parquet:
            with pq.ParquetFile(pa.BufferReader(self.data)) as file:
                table = file.read(use_threads=False)
            if is_table:
                for kind in (pa.binary(), BOX_TYPE):
                    table = table.append_column("", pa.nulls(table.num_rows, kind))
            names = [*table.column_names[:-2], GEOMETRY, BOX]
            yield from table.rename_columns(names).to_batches()
        else:
            with pa.ipc.open_stream(self.data) as reader:
                yield from reader


class Pieces:
    """Gathers the pieces of a chunk, and spools of each what is complete.

    Args:
        plan: of the item.
        window: of the chunk.
        count: features of the item.
        schema: of the batches.
        spooled: the segment of the chunk.
    """

    def __init__(
        self, plan: VectorPlan, window: Window, count: int, schema: pa.Schema, spooled: OpenSegment
    ) -> None:
        self._plan, self._count, self._schema = plan, count, schema
        self._spooled = spooled
        self._records = records.taken(plan)
        self._size = plan.cell or count
        self._first, self._end = window.col_off, window.col_off + window.width
        self._batches: list[pa.RecordBatch] = []
        self._rows, self._begin = 0, 0
        self._cell = window.col_off // self._size
        self._stats: list[list[int]] = []

    def add(
        self, batch: pa.RecordBatch, keep: NDArray[np.bool_], positions: NDArray[np.int64]
    ) -> None:
        """Take in the rows of ``batch`` to ``keep``; ``positions``, which ascend: the feature of
        the source that each comes from."""
        start = 0
        while start < batch.num_rows:
            cell = int(positions[start]) // self._size
            if cell != self._cell:
                self._close()
                self._cell = cell
            stop = int(np.searchsorted(positions, (cell + 1) * self._size))
            part, chosen = batch.slice(start, stop - start), keep[start:stop]
            if chosen.any():
                kept = part if chosen.all() else part.filter(flags(chosen))
                self._rows += kept.num_rows
                if self._records:
                    for data in records.of_batch(self._plan, kept).block():
                        self._spooled.write(data)
                else:
                    self._batches.append(kept)
            start = stop

    def finish(self) -> list[list[int]]:
        """Spool the last features; return the stats of the pieces."""
        self._close()
        return self._stats

    def _close(self) -> None:
        batches, self._batches = self._batches, []
        low, high = self._cell * self._size, min((self._cell + 1) * self._size, self._count)
        # A row group, or more, that lies in this chunk alone.
        alone = self._plan.cell > 0 and self._first <= low and high <= self._end
        whole = bool(batches) and alone and not self._plan.options.get("sorted")
        if whole:
            encode(self._plan, batches, Sink(self._spooled.write))
        elif batches:
            self._spooled.write(segment.encode(batches, self._schema))
        if self._rows:
            size = self._spooled.length - self._begin
            self._stats.append([self._cell, self._rows, int(whole), size])
            self._spooled.write(bytes(-size % segment.ALIGN))
        self._rows, self._begin = 0, self._spooled.length


def pieces_of(parts: Iterator[segment.Content]) -> Iterator[Piece]:
    """Give the pieces of segments, in the order of the source."""
    for part in parts:
        listed = zip(part.stats["pieces"], places(part.stats), strict=True)
        for (cell, _, parquet, _), (start, end) in listed:
            yield Piece(cell, bool(parquet), part.good[start:end])


def places(stats: ChunkStats) -> Iterator[tuple[int, int]]:
    """List the start and end of each piece in its segment."""
    at = 0
    for *_, size in stats["pieces"]:
        yield at, at + size
        at += size + -size % segment.ALIGN


def good_batches(parts: Iterator[segment.Content]) -> Iterator[pa.RecordBatch]:
    """Read the published features, in the order of the source."""
    for piece in pieces_of(parts):
        yield from piece.batches()


class Sink(io.RawIOBase):
    """A file for Arrow to write to; ``write`` takes what it gives."""

    def __init__(self, write: Callable[[bytes | memoryview | pa.Buffer], object]) -> None:
        self._write = write

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | memoryview | pa.Buffer) -> int:
        self._write(data)
        return len(data)


def encoded(plan: VectorPlan, batches: list[pa.RecordBatch]) -> pa.Buffer:
    """Do as :func:`encode`, in memory."""
    sink = pa.BufferOutputStream()
    encode(plan, batches, sink)
    return sink.getvalue()


def encode(
    plan: VectorPlan, batches: list[pa.RecordBatch], sink: Sink | pa.BufferOutputStream
) -> None:
    """Write features as a Parquet file without description, in as few row groups as their bytes
    allow.

    The bytes depend on the features alone, not on how they come in batches. Empties ``batches``, so
    that they are not in memory twice.
    """
    schema = output_schema(plan)
    with writer(plan, sink, schema) as file:
        rows = sum(batch.num_rows for batch in batches)
        for table in arrow_arrays.evenly(_taken(batches), rows, GEOMETRY, ROW_GROUP_BYTES):
            file.write_table(_named(table, schema), row_group_size=table.num_rows)


def _named(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = table.columns[: len(schema)]  # all, or the attributes of a table
    if [column.type for column in columns] == schema.types:
        # A cast would load the compute functions of Arrow.
        return pa.Table.from_arrays(columns, schema=schema)
    return table.select(list(range(len(schema)))).rename_columns(schema.names).cast(schema)


def _taken(batches: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    batches.reverse()
    while batches:
        yield batches.pop()


def geometry_name(plan: VectorPlan) -> str:
    """Name the column of geometries in the output."""
    return free_name(plan.output.geometry_name, plan.fields)


def output_schema(plan: VectorPlan) -> pa.Schema:
    """Return the fields of a GeoParquet output: the attributes, the geometry, its box; the
    attributes alone of a table without geometry."""
    if plan.is_table:
        return written_schema(plan)
    geometry = geometry_name(plan)
    box = free_name("bbox", (*plan.fields, geometry))
    shape, extent = pa.field(geometry, pa.binary()), pa.field(box, BOX_TYPE)
    return written_schema(plan).append(shape).append(extent)


def writer(
    plan: VectorPlan, sink: Sink | pa.BufferOutputStream, schema: pa.Schema
) -> pq.ParquetWriter:
    """Open a writer of Parquet with the settings of all outputs."""
    texts = (pa.string(), pa.large_string())
    return pq.ParquetWriter(
        sink,
        schema,
        compression=plan.options["codec"],
        compression_level=plan.options["level"],
        use_dictionary=[name for name in plan.fields if schema.field(name).type in texts],
        write_statistics=columns_with_statistics(schema, is_table=plan.is_table),
        write_page_index=False,  # it says where pages lie, and these move
        version="2.6",
    )


def columns_with_statistics(schema: pa.Schema, *, is_table: bool) -> list[str]:
    """List the columns with statistics: all but the geometry. The least and the largest WKB say
    nothing, and to look for them is to hold the largest features more than once."""
    fields = list(schema)
    if not is_table:
        del fields[-2]
    return [path for field in fields for path in _leaves(field.type, field.name)]


def _leaves(kind: pa.DataType, path: str) -> Iterator[str]:
    """List the leaves of a column by their paths, as Parquet names them."""
    if pa.types.is_struct(kind):
        for inner in kind:
            yield from _leaves(inner.type, f"{path}.{inner.name}")
    elif isinstance(kind, pa.ListType | pa.LargeListType | pa.FixedSizeListType):
        yield from _leaves(kind.value_type, f"{path}.list.element")
    else:
        yield path
