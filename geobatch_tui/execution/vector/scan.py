"""Features of a GeoPackage by ranges of ids, read from its pages past SQLite and OGR.

It takes a third of OGR's time, and memory for one batch. Only tables without anything special are
read so: others, and single batches with values that their columns do not declare, are OGR's.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from geobatch_tui.execution.vector import sqliteread
from geobatch_tui.execution.vector.collect import flags
from geobatch_tui.execution.vector.plan import FID, WKB
from geobatch_tui.execution.vector.room import Room
from geobatch_tui.execution.vector.sqliteread import REAL, TEXT, WHOLE

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from numpy.typing import NDArray

    from geobatch_tui.execution.vector.plan import VectorPlan

_KINDS = {
    pa.int16(): WHOLE,
    pa.int32(): WHOLE,
    pa.int64(): WHOLE,
    pa.float64(): REAL,
    pa.string(): TEXT,
}
_MAGIC = b"SQLite format 3\0"
_UTF8 = 1
#: Bytes of the smallest page, and the fewest of them that SQLite uses.
_SMALLEST, _LEAST = 512, 480
#: Bytes that are read at a time at most, and texts of a batch to begin with.
_WINDOW, _TEXTS = 2**18, 2**16

_local = threading.local()


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose rows are read from its pages. ``size`` and ``usable``: bytes of a page, and of
    them that are used; ``roles`` of its columns, as ``sqliteread`` has them."""

    root: int
    size: int
    usable: int
    roles: tuple[int, ...]


def table_of(path: str, plan: VectorPlan, schema: pa.Schema) -> Table | None:
    """The layer of ``plan``, if it can be read so; ``schema``: its attributes."""
    if plan.where or not plan.fid_column or any(each.type not in _KINDS for each in schema):
        return None
    for other in ("-wal", "-journal"):
        # What is in them is not in the file yet, or must be taken back from it.
        if os.path.exists(path + other) and os.path.getsize(path + other):  # noqa: PTH110, PTH202
            return None
    with Path(path).open("rb") as file:
        head = file.read(100)
    if head[:16] != _MAGIC or int.from_bytes(head[56:60], "big") != _UTF8:
        return None
    size = int.from_bytes(head[16:18], "big")
    size = 65536 if size == 1 else size
    usable = size - head[20]
    if size < _SMALLEST or usable < _LEAST:
        return None
    uri = f"{Path(path).as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
        found = db.execute(
            "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = ?", (plan.layer,)
        ).fetchone()
        columns = db.execute(
            "SELECT name, type, dflt_value, pk, hidden FROM pragma_table_xinfo(?)", (plan.layer,)
        ).fetchall()
    roles = _roles(plan, list(schema.names), columns)
    if found is None or roles is None:
        return None
    return Table(int(found[0]), size, usable, roles)


def _roles(plan: VectorPlan, names: list[str], columns: list[Any]) -> tuple[int, ...] | None:
    """What is read of each column; None where a row does not hold each as it is."""
    roles = []
    for name, kind, default, key, hidden in columns:
        if hidden or default is not None:
            return None
        if name == plan.fid_column:
            if key != 1 or kind.upper() != "INTEGER":
                return None
            roles.append(sqliteread.IDENT)
        elif name == plan.geometry_column:
            roles.append(sqliteread.SHAPE)
        else:
            roles.append(names.index(name) if name in names else sqliteread.IGNORED)
    wanted = {sqliteread.IDENT, sqliteread.SHAPE, *range(len(names))}
    keys = sum(1 for column in columns if column[3])
    return tuple(roles) if wanted <= set(roles) and keys == 1 else None


def batches(
    path: str, table: Table, schema: pa.Schema, span: tuple[int, int], most: tuple[int, int]
) -> Generator[pa.RecordBatch, None, int]:
    """Rows with ids from ``span[0]`` to below ``span[1]``, as ``source.open_stream`` gives them.

    Returns the id from which on nothing was read: ``span[1]``, or less if a row is not read so.

    Args:
        path: of the GeoPackage.
        table: as of :func:`table_of`.
        schema: of the attributes.
        span: of ids.
        most: rows of a batch, and bytes of its geometries, unless one alone has more.

    Raises:
        OSError: the file cannot be opened.
    """
    reader = _Reader(table, schema, span, most)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not reader.find(fd):
            return span[0]
        low = span[0]
        while batch := reader.next(fd):
            yield batch
            low = batch.column(FID)[-1].as_py() + 1
        return low if reader.odd else span[1]
    finally:
        os.close(fd)


def warm_up() -> None:
    """Load the compiled loops, before workers are forked."""
    table = Table(0, _SMALLEST, _LEAST, (sqliteread.IDENT, sqliteread.SHAPE))
    reader = _Reader(table, pa.schema([]), (0, 0), (1, _SMALLEST))
    reader.find(-1)
    reader.next(-1)


class _Reader:
    """Reads the rows of one range; ``odd``: it came to one that is not read so."""

    def __init__(
        self, table: Table, schema: pa.Schema, span: tuple[int, int], most: tuple[int, int]
    ) -> None:
        self._table, self._schema, self._span = table, schema, span
        self._rows, self._bytes = most
        self._state = np.zeros(sqliteread.STATE, np.int64)
        self._roles = np.array(table.roles, np.int64)
        self._kinds = np.array([_KINDS[each.type] for each in schema], np.int64)
        sizes = [each.type.bit_width if _KINDS[each.type] == WHOLE else 64 for each in schema]
        self._limits = np.array([[-(2 ** (n - 1)), 2 ** (n - 1) - 1] for n in sizes], np.int64)
        self._limits = self._limits.reshape(-1, 2)
        self._leaves = np.empty(0, np.int64)
        self._texts = _TEXTS
        self.odd = self._ended = False
        rooms: Room | None = getattr(_local, "room", None)
        if rooms is None:
            rooms = _local.room = Room()
        self._room = rooms

    def find(self, fd: int) -> bool:
        """Find the leaves; whether that went well."""
        low, high = self._span
        # A leaf holds a row at least, but for those at both ends.
        out = np.empty(high - low + 2, np.int64)
        window = self._room.of("window", _WINDOW)
        table = self._table
        count = sqliteread.leaves(fd, table.root, table.size, low, high, window, self._state, out)
        self._leaves = out[: max(count, 0)]
        return bool(count >= 0)

    def next(self, fd: int) -> pa.RecordBatch | None:
        """The next batch; None at the end, or where a row is not read so."""
        if self._ended:
            return None
        width, count = len(self._schema), self._rows
        ids, ends = np.empty(count, np.int64), np.zeros(count + 1, np.int32)
        there = np.empty(count, np.bool_)
        numbers, valid = np.empty((width, count), np.int64), np.empty((width, count), np.bool_)
        bounds = np.zeros((width, count + 1), np.int32)
        shapes = np.empty(self._bytes, np.uint8)
        row = self._room.of("row", self._bytes)
        while True:
            texts = self._room.of("texts", width * self._texts).reshape(width, self._texts)
            done, how = sqliteread.rows(
                fd, self._table.size, self._table.usable, self._leaves, *self._span, self._roles,
                self._kinds, self._limits, self._room.of("leaf", self._table.size),
                self._room.of("window", _WINDOW), self._state, row, ids, shapes, ends, there,
                numbers, texts, bounds, valid,
            )  # fmt: skip
            self.odd = how == sqliteread.ODD
            self._ended = self.odd or (how == sqliteread.FULL and done < count)
            if done or self._ended:
                break
            need = int(self._state[sqliteread.NEED])
            if how == sqliteread.LONG_ROW:
                row = self._room.of("row", need)
            elif how == sqliteread.LONG_SHAPE:
                shapes = np.empty(need, np.uint8)
            else:
                self._texts = 2 * max(need, self._texts)
        if not done:
            return None
        columns = []
        for n, each in enumerate(self._schema):
            if each.type == pa.string():
                data = texts[n, : bounds[n, done]].copy()
                column = _binary(each.type, bounds[n, : done + 1].copy(), data, valid[n, :done])
                if not _is_text(column):
                    self.odd = self._ended = True
                    return None
            else:
                column = _numbers(each.type, numbers[n, :done], valid[n, :done])
            columns.append(column)
        ident = pa.Array.from_buffers(pa.int64(), done, [None, pa.py_buffer(ids[:done])])
        used = int(ends[done])
        data = shapes[:used] if used > len(shapes) // 2 else shapes[:used].copy()
        wkb = _binary(pa.binary(), ends[: done + 1], data, there[:done])
        full = self._schema.append(pa.field(FID, pa.int64())).append(pa.field(WKB, pa.binary()))
        return pa.RecordBatch.from_arrays([*columns, ident, wkb], schema=full)


def _is_text(column: pa.Array) -> bool:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _numbers(kind: pa.DataType, numbers: NDArray[np.int64], valid: NDArray[np.bool_]) -> pa.Array:
    values = numbers.view(np.float64) if kind == pa.float64() else numbers
    values = values.astype(kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, len(valid), [_bits(valid), pa.py_buffer(values)])


def _binary(
    kind: pa.DataType, ends: NDArray[np.int32], data: NDArray[np.uint8], valid: NDArray[np.bool_]
) -> pa.Array:
    buffers = [_bits(valid), pa.py_buffer(ends), pa.py_buffer(data)]
    return pa.Array.from_buffers(kind, len(valid), buffers)


def _bits(valid: NDArray[np.bool_]) -> pa.Buffer | None:
    return None if valid.all() else flags(valid).buffers()[1]
