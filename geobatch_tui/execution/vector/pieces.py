"""What is published of a chunk, in pieces: each is of one cell of the item's features.

A cell is ``plan.cell`` features of the source in turn, counted from its first, so it does not
depend on how the item is cut into chunks. A GeoParquet cell that lies wholly in a chunk is encoded
there, as a small Parquet file of its own; the row groups of these files are copied into the output.
Features of FlatGeobuf and GeoPackage are encoded there, too (see ``records``). Of a cell that
chunks share, and in other formats, pieces are Arrow streams.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from geobatch_tui.execution.vector import collect, records, spool
from geobatch_tui.execution.vector.collect import BOX_TYPE, flags, free_name
from geobatch_tui.execution.vector.options import ROW_GROUP_BYTES
from geobatch_tui.execution.vector.plan import BOX, GEOMETRY
from geobatch_tui.execution.vector.source import written_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from geobatch_tui.execution.messages import Window
    from geobatch_tui.execution.vector.plan import VectorPlan


@dataclass(frozen=True, slots=True)
class Piece:
    """``rows`` published features of ``cell``; ``parquet``: as a Parquet file, else as a stream."""

    cell: int
    rows: int
    parquet: bool
    data: pa.Buffer

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Its features."""
        if self.parquet:
            with pq.ParquetFile(pa.BufferReader(self.data)) as file:
                table = file.read(use_threads=False)
            names = [*table.column_names[:-2], GEOMETRY, BOX]
            yield from table.rename_columns(names).to_batches()
        else:
            with pa.ipc.open_stream(self.data) as reader:
                yield from reader


class Pieces:
    """Gathers the pieces of a chunk, and encodes each as soon as it is complete.

    Args:
        plan: of the item.
        window: of the chunk.
        count: features of the item.
        schema: of the batches.
    """

    def __init__(self, plan: VectorPlan, window: Window, count: int, schema: pa.Schema) -> None:
        self._plan, self._count, self._schema = plan, count, schema
        self._records = records.taken(plan)
        self._size = plan.cell or count
        self._first, self._end = window.col_off, window.col_off + window.width
        self._held: list[pa.RecordBatch] = []
        self._blocks: list[records.Records] = []
        self._cell = window.col_off // self._size
        self.data: list[bytes | memoryview | pa.Buffer] = []
        self.stats: list[list[int]] = []

    def add(self, batch: pa.RecordBatch, keep: NDArray[Any], position: int) -> None:
        """Take in the rows of ``batch`` to ``keep``; its first is feature ``position``."""
        start = 0
        while start < batch.num_rows:
            cell = (position + start) // self._size
            if cell != self._cell:
                self._close()
                self._cell = cell
            stop = min(batch.num_rows, (cell + 1) * self._size - position)
            part, chosen = batch.slice(start, stop - start), keep[start:stop]
            if chosen.any():
                kept = part if chosen.all() else part.filter(flags(chosen))
                if self._records:
                    self._blocks.append(records.of_batch(self._plan, kept))
                else:
                    self._held.append(kept)
            start = stop

    def finish(self) -> list[bytes | memoryview | pa.Buffer]:
        """All pieces one after the other; ``stats`` says where each lies."""
        self._close()
        return self.data

    def _close(self) -> None:
        if self._blocks:
            data = [part for block in self._blocks for part in block.block()]
            rows = sum(len(block.heads) for block in self._blocks)
            self.stats.append([self._cell, rows, 0, sum(map(len, data))])
            self.data += data
            self._blocks = []
        held, self._held = self._held, []
        if not held:
            return
        low, high = self._cell * self._size, min((self._cell + 1) * self._size, self._count)
        encodes = bool(self._plan.cell) and not self._plan.options.get("sorted")
        whole = encodes and self._first <= low and high <= self._end
        rows = sum(batch.num_rows for batch in held)
        data = encoded(self._plan, held) if whole else spool.encode(held, self._schema)
        self.stats.append([self._cell, rows, int(whole), data.size])
        self.data += [data, bytes(-data.size % spool.ALIGN)]


def pieces_of(part: spool.Content) -> Iterator[Piece]:
    """The pieces of a segment, in the order of the source."""
    for (cell, rows, parquet, _), (start, end) in zip(
        part.stats["pieces"], places(part.stats), strict=True
    ):
        yield Piece(cell, rows, bool(parquet), part.good[start:end])


def places(stats: dict[str, Any]) -> Iterator[tuple[int, int]]:
    """Where each piece of a segment begins in it, and ends."""
    at = 0
    for *_, size in stats["pieces"]:
        yield at, at + size
        at += size + -size % spool.ALIGN


def good_batches(parts: Iterator[spool.Content]) -> Iterator[pa.RecordBatch]:
    """What is published, in the order of the source."""
    for part in parts:
        for piece in pieces_of(part):
            yield from piece.batches()


def encoded(plan: VectorPlan, batches: list[pa.RecordBatch]) -> pa.Buffer:
    """Features as a Parquet file without description, in as few row groups as their bytes allow.

    The bytes depend on the features alone, not on how they come in batches. Empties ``batches``, so
    that they are not in memory twice.
    """
    sink = pa.BufferOutputStream()
    schema = output_schema(plan)
    with writer(plan, sink, schema) as file:
        rows = sum(batch.num_rows for batch in batches)
        for table in collect.evenly(_taken(batches), rows, GEOMETRY, ROW_GROUP_BYTES):
            file.write_table(_named(table, schema), row_group_size=table.num_rows)
    return sink.getvalue()


def _named(table: pa.Table, schema: pa.Schema) -> pa.Table:
    if table.schema.types == schema.types:
        # A cast would load all that Arrow computes with.
        return pa.Table.from_arrays(table.columns, schema=schema)
    return table.rename_columns(schema.names).cast(schema)


def _taken(batches: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    batches.reverse()
    while batches:
        yield batches.pop()


def output_schema(plan: VectorPlan) -> pa.Schema:
    """Fields of a GeoParquet output: the attributes, the geometry, its box."""
    geometry = free_name("geometry", plan.fields)
    box = free_name("bbox", (*plan.fields, geometry))
    shape, extent = pa.field(geometry, pa.binary()), pa.field(box, BOX_TYPE)
    return written_schema(plan).append(shape).append(extent)


def writer(plan: VectorPlan, sink: Any, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of Parquet with the settings of all outputs."""
    return pq.ParquetWriter(
        sink,
        schema,
        compression=plan.options["codec"],
        compression_level=plan.options["level"],
        use_dictionary=[name for name in plan.fields if _repeats(schema.field(name).type)],
        write_statistics=True,
        version="2.6",
    )


def _repeats(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
