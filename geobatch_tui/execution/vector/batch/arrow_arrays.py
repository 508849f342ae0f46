"""Arrow arrays of features, tables of even size, and the counts of chunks summed up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

#: The box of a feature: null where it has no geometry, its sides null where that is empty.
BOX_TYPE = pa.struct([(name, pa.float64()) for name in ("xmin", "ymin", "xmax", "ymax")])
#: Values that a writer of Parquet takes at once, by default: it may end a page behind them. So it
#: does not matter to its pages whether an array ends there.
STEP = 1024
#: The first and the last id of features in turn; empty: there are none; None: they do not ascend.
type Ends = list[int] | None


def raw_bytes(data: pa.Buffer | None) -> NDArray[np.uint8]:
    """Return the bytes of a buffer of an Arrow array."""
    return np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)


def bits(values: NDArray[np.bool_]) -> pa.Buffer:
    """Make a buffer of an Arrow array that has a bit for each of ``values``."""
    return pa.py_buffer(np.packbits(values, bitorder="little"))


def validity(column: pa.Array) -> NDArray[np.bool_]:
    """Mark the values that are not null, by bits: Arrow's own conversion loads pandas."""
    nulls = column.buffers()[0]
    if nulls is None or not len(column):
        return np.ones(len(column), np.bool_)
    there = np.unpackbits(raw_bytes(nulls), bitorder="little")
    return there[column.offset : column.offset + len(column)].astype(np.bool_)


def offsets(column: pa.Array) -> NDArray[np.int32]:
    """Return where each value of a column of bytes or text begins among its bytes, and where the
    last ends."""
    return np.frombuffer(column.buffers()[1] or b"", np.int32)[column.offset :][: len(column) + 1]


def flags(values: NDArray[np.bool_]) -> pa.Array:
    """Make an Arrow array of booleans, of bits: Arrow's own conversion loads pandas."""
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, bits(values)])


def lists_with(column: pa.ListArray, marks: pa.BooleanArray) -> NDArray[np.bool_]:
    """Mark the lists of a column that have any value which is marked; no mark is null."""
    import pyarrow.compute as pc

    found = np.zeros(len(column), np.bool_)
    parents = pc.list_parent_indices(column).to_numpy()
    found[parents[marks.to_numpy(zero_copy_only=False)]] = True
    return found


def numbers(values: NDArray[np.int64]) -> pa.Array:
    """Make an Arrow array of numbers, none of them null."""
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def whole_numbers(column: pa.Array) -> NDArray[np.int64]:
    """Return the values of an Arrow array of 64 bits as whole numbers; those of nulls have no
    meaning."""
    return np.frombuffer(column.buffers()[1] or b"", np.int64)[column.offset :][: len(column)]


def texts(values: Sequence[bytes], kind: pa.DataType) -> pa.Array:
    """Make an Arrow array of bytes or text, as ``kind`` says, none of them null."""
    ends = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(value) for value in values], out=ends[1:])
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(values))]
    return pa.Array.from_buffers(kind, len(values), buffers)


def box_column(
    boxes: NDArray[np.float64], known: NDArray[np.bool_], there: NDArray[np.bool_]
) -> pa.Array:
    """Make an Arrow column of (n, 4) boxes, with null sides where one is not ``known``: NaN would
    spoil the statistics. ``there``: which features have a geometry."""
    count, nulls = len(boxes), None if known.all() else bits(known)
    values = [pa.py_buffer(np.where(known, side, 0.0)) for side in boxes.T]
    sides = [pa.Array.from_buffers(pa.float64(), count, [nulls, side]) for side in values]
    return pa.Array.from_buffers(BOX_TYPE, count, [bits(there)], children=sides)


def box_sides(column: pa.Array) -> tuple[NDArray[np.bool_], list[NDArray[np.float64]]]:
    """Mark the features that have a box; return also the sides, without meaning for the others."""
    fields = [column.field(side) for side in range(4)]
    known = validity(column) & validity(fields[0])
    return known, [whole_numbers(side).view(np.float64) for side in fields]


def merged(one: list[float] | None, other: list[float] | None) -> list[float] | None:
    """Return the box round two boxes; None is no box."""
    if one is None or other is None:
        return one or other
    return [*map(min, one[:2], other[:2]), *map(max, one[2:], other[2:])]


def following(one: Ends, other: Ends) -> Ends:
    """Join the ends of the ids of features with those of others behind them."""
    if one is None or other is None:
        return None
    if not one or not other:
        return one or other
    return [one[0], other[1]] if one[1] < other[0] else None


def ends_of(ids: NDArray[np.int64]) -> Ends:
    """Return the ends of these ids."""
    if not len(ids):
        return []
    return [int(ids[0]), int(ids[-1])] if (np.diff(ids) > 0).all() else None


def free_name(wanted: str, taken: tuple[str, ...]) -> str:
    """Return ``wanted``, with underscores until no field has the name in any case."""
    folded = {name.casefold() for name in taken}
    while wanted.casefold() in folded:
        wanted += "_"
    return wanted


ChunkStats = TypedDict(
    "ChunkStats",
    {
        "in": int,
        "out": int,
        "dead": int,
        "filtered": int,
        "extra": int,
        "kinds": dict[str, int],
        "bbox": list[float] | None,
        "facts": dict[str, int],
        "ids": "Ends",
        "pieces": list[list[int]],
    },
)
"""Counts of a chunk, as they are spooled with its features: ``extra`` features more than were read
came out, in all that became of them; ``pieces`` has the cell, the rows,
whether it is Parquet, and the bytes of each piece; ``kinds`` how many geometries there are of each
type."""


@dataclass(slots=True)
class Summary:
    """Counts of the chunks of an item, summed up. ``kinds``: types in WKB's numbers, with counts;
    ``cells``: published features of each cell (see ``pieces``); ``ids``: the first and the last."""

    features_in: int = 0
    out: int = 0
    dead: int = 0
    filtered: int = 0
    kinds: Counter[int] = field(default_factory=Counter)
    bbox: list[float] | None = None
    facts: Counter[str] = field(default_factory=Counter)
    cells: Counter[int] = field(default_factory=Counter)
    ids: Ends = field(default_factory=list)

    def add(self, stats: ChunkStats) -> None:
        """Take in the counts of one chunk."""
        self.features_in += stats["in"]
        self.out += stats["out"]
        self.dead += stats["dead"]
        self.filtered += stats["filtered"]
        self.kinds.update({int(kind): count for kind, count in stats["kinds"].items()})
        self.facts.update(stats["facts"])
        self.bbox = merged(self.bbox, stats["bbox"])
        self.ids = following(self.ids, stats["ids"])
        for cell, rows, *_ in stats["pieces"]:
            self.cells[cell] += rows

    @property
    def types(self) -> list[int]:
        """Types that occur; a null geometry has none."""
        return sorted(kind for kind in self.kinds if kind)


def evenly(
    batches: Iterator[pa.RecordBatch], rows: int, column: str, limit: int
) -> Iterator[pa.Table]:
    """Give features in tables of ``rows``; one ends early where its ``column`` (binary)
    reaches ``limit`` bytes. The cuts depend on the features alone, not on the batches, and so do
    those of ``column``: it is in chunks of ``STEP`` features."""
    gathered: list[pa.RecordBatch] = []
    count = size = 0
    for batch in batches:
        ends = np.diff(offsets(batch.column(column))).astype(np.int64).cumsum()
        start = 0
        while start < batch.num_rows:
            base = int(ends[start - 1]) if start else 0
            by_size = int(np.searchsorted(ends, base + limit - size)) + 1
            stop = min(batch.num_rows, start + rows - count, by_size)
            gathered.append(batch.slice(start, stop - start))
            count += stop - start
            size += int(ends[stop - 1]) - base
            start = stop
            if count == rows or size >= limit:
                yield _joined(gathered, column)
                count = size = 0
    if gathered:
        yield _joined(gathered, column)


def _joined(gathered: list[pa.RecordBatch], column: str) -> pa.Table:
    """Join batches into one, which takes their place in memory. The ``column`` that takes most of
    it is not there twice."""
    schema = gathered[0].schema
    at = schema.get_field_index(column)
    others = pa.Table.from_batches([batch.drop_columns([column]) for batch in gathered])
    values = [batch.column(at) for batch in gathered]
    gathered.clear()
    columns = others.combine_chunks().columns
    del others
    columns.insert(at, pa.chunked_array(list(_stepwise(values)), schema.field(at).type))
    return pa.Table.from_arrays(columns, schema=schema)


def _stepwise(values: list[pa.Array]) -> Iterator[pa.Array]:
    """Give the same values in arrays of ``STEP``, and empty ``values``."""
    values.reverse()
    while values:
        parts, room = [], STEP
        while values and room:
            first = values.pop()
            parts.append(first.slice(0, room))
            if len(first) > room:
                values.append(first.slice(room))
            room -= len(parts[-1])
        yield parts[0] if len(parts) == 1 else pa.concat_arrays(parts)
