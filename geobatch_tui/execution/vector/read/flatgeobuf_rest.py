"""Features of FlatGeobuf behind one that OGR cannot read, at which it ends.

Each says how long it is, so the next one is found. Those behind are copied to a file of their own,
some at a time, in which OGR goes on; the one that it cannot read is set aside.
"""

from __future__ import annotations

import mmap
import struct
from bisect import bisect_right
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pyarrow as pa

from geobatch_tui.errors import CorruptSourceError
from geobatch_tui.execution.vector import batch_schema
from geobatch_tui.execution.vector.formats.flatbuffer_table import Table
from geobatch_tui.execution.vector.plan import FID, UNREAD
from geobatch_tui.execution.vector.read import batch_reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from geobatch_tui.execution.vector.plan import VectorPlan

UNREADABLE = "OGR cannot read it: its bytes are damaged"
#: Features that are copied at a time; each that cannot be read has them read once more.
MOST_FEATURES = 1024
#: Bytes that are copied at a time of a file that is read the quick way.
MOST_BYTES = 8 << 20
#: Where the header begins, which says its length before that; numbers of its fields; nodes of an
#: index have so many children if it does not say how many, and so many bytes.
_AT, _COUNT, _CHILDREN, _USUAL, _NODE = 12, 8, 9, 16, 40
_U16, _U32, _U64 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<Q")


def rest(path: str, plan: VectorPlan, folder: str, seen: int) -> Iterator[pa.RecordBatch]:
    """The features of the file ``path`` but the first ``seen``, with ``UNREAD``.

    Raises:
        CorruptSourceError: it is not known where they begin.
    """
    data = mapped(path)
    yield from between(path, data, plan, folder, seen, _starts(data, path)[seen:])


def mapped(path: str) -> mmap.mmap:
    """The bytes of a file, for as long as they are held."""
    with Path(path).open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def between(
    path: str,
    data: mmap.mmap,
    plan: VectorPlan,
    folder: str,
    first: int,
    starts: Sequence[int],
    *,
    wide: int = 0,
) -> Iterator[pa.RecordBatch]:
    """The features from number ``first`` on, which begin at ``starts``; there the last one ends,
    too. With ``UNREAD``.

    ``wide``: children of a node of the index that the file has. OGR reads such files the quick way
    (see ``arrow``), which does not say which feature it cannot read.
    """
    schema = batch_schema.full_schema(plan).append(pa.field(UNREAD, pa.string()))
    at, count = 0, len(starts) - 1
    with TemporaryDirectory(prefix="rest-", dir=folder) as place:
        part = Path(place) / Path(path).name  # its layer may have the name of the file
        while at < count:
            stop = min(at + MOST_FEATURES, count)
            if wide:
                stop = max(at + 1, bisect_right(starts, starts[at] + MOST_BYTES) - 1)
            part.write_bytes(_header(data, stop - at, wide) + data[starts[at] : starts[stop]])
            for batch in _as_far_as_it_goes(part, plan):
                ids = pa.array(range(first + at, first + at + batch.num_rows), pa.int64())
                fid = batch.schema.get_field_index(FID)
                columns = [*batch.columns, pa.nulls(batch.num_rows, pa.string())]
                columns[fid] = ids
                yield pa.RecordBatch.from_arrays(columns, schema=schema)
                at += batch.num_rows
            if at < stop and wide:
                wide = 0
            elif at < stop:
                values = [None] * (len(schema) - 3) + [first + at, None, UNREADABLE]
                columns = [
                    pa.array([one], each.type) for one, each in zip(values, schema, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)
                at += 1


def _as_far_as_it_goes(path: Path, plan: VectorPlan) -> Iterator[pa.RecordBatch]:
    try:
        yield from batch_reader.open_stream(str(path), plan)
    except CorruptSourceError:
        return


def _header(data: mmap.mmap, count: int, wide: int) -> bytearray:
    """Magic and header of a file of ``count`` features without an index; or with the room for one,
    where OGR looks only for features by their place."""
    head = bytearray(data[: _AT + _U32.unpack_from(data, _AT - 4)[0]])
    table = Table(head, _AT + _U32.unpack_from(head, _AT)[0])
    counted, children = table.place(_COUNT), table.place(_CHILDREN)
    _U64.pack_into(head, counted, count)
    if wide:
        return head + bytes(index_size(count, wide))
    if children:
        _U16.pack_into(head, children, 0)
    elif not table.put(_CHILDREN, counted + 6):  # the last bytes of a count are 0
        raise CorruptSourceError("its header has no room to say that there is no index")
    return head


def _starts(data: mmap.mmap, path: str) -> list[int]:
    """Where each feature begins, and the last one ends."""
    size, count, wide = layout(data)
    if not count:
        raise CorruptSourceError(f"{path} does not say how many features it has")
    starts = [size + index_size(count, wide)]
    while starts[-1] + 4 <= len(data) and len(starts) <= count:
        starts.append(starts[-1] + 4 + _U32.unpack_from(data, starts[-1])[0])
    if starts[-1] > len(data) or len(starts) <= count:
        raise CorruptSourceError(
            f"{path}: the features behind number {len(starts) - 1} are not found: the file is cut "
            "off, or one says that it is longer"
        )
    return starts


def layout(data: mmap.mmap) -> tuple[int, int, int]:
    """Where the header ends; how many features it tells of, and children of a node of the index:
    0 where there is none."""
    size = _AT + _U32.unpack_from(data, _AT - 4)[0]
    head = bytearray(data[:size])
    table = Table(head, _AT + _U32.unpack_from(head, _AT)[0])
    counted, children = table.place(_COUNT), table.place(_CHILDREN)
    count = _U64.unpack_from(head, counted)[0] if counted else 0
    return size, count, _U16.unpack_from(head, children)[0] if children else _USUAL


def index_size(count: int, wide: int) -> int:
    """Bytes of an index; its nodes have so many children: 0, there is none."""
    if not wide:
        return 0
    nodes = level = count
    while True:
        level = -(-level // wide)
        nodes += level
        if level <= 1:
            return nodes * _NODE
