"""Reads a source that cannot be read in parts once, from start to end, into parts on disk.

The first worker that needs a part takes the item's lock and starts a thread that reads the source
from start to end, and writes one file a chunk. Workers wait for the part that they need, so parts
are worked on while later ones are still being read. If that worker dies, its lock is free and the
next one reads again, past the parts that are there. In all the source is read once.
"""

from __future__ import annotations

import contextvars
import fcntl
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from geobatch_tui.errors import CorruptSourceError, VerifyError
from geobatch_tui.execution.io.digest import crc32
from geobatch_tui.execution.io.disk import disk_errors, write_all
from geobatch_tui.execution.io.part_file import removed_on_error
from geobatch_tui.execution.io.run_node import writer_name
from geobatch_tui.execution.sources.source_files import check_identity
from geobatch_tui.execution.vector import batch_schema
from geobatch_tui.execution.vector.formats.source_format import format_of
from geobatch_tui.execution.vector.ogr import archive
from geobatch_tui.execution.vector.plan import UNREAD
from geobatch_tui.execution.vector.read import batch_reader, parquet_layer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.protocol.messages import ItemContext
    from geobatch_tui.execution.vector.plan import VectorPlan

_PAUSE = 0.01
_LOCK = "drain.lock"


def part_path(item: ItemContext, index: int) -> Path:
    """Return the file to which the features of a chunk are drained."""
    return Path(item.work_dir) / f"part-{index:06d}.arrow"


def read_part(item: ItemContext, plan: VectorPlan, index: int) -> Iterator[pa.RecordBatch]:
    """Read the batches of a part, once it is there. Raises what ended the read of the source."""
    path = part_path(item, index)
    _await(item, plan, path)
    data = path.read_bytes()
    body, crc = data[:-4], int.from_bytes(data[-4:], "little")
    # A power cut may leave a name without bytes, whose checksum is right.
    if not body or crc32(body) != crc:
        path.unlink(missing_ok=True)
        raise VerifyError(f"{path.name} reads back other bytes than were written to it")
    with pa.ipc.open_stream(body) as reader:
        yield from reader


def _await(item: ItemContext, plan: VectorPlan, path: Path) -> None:
    drain = _Drain(item, plan)
    while not path.exists():
        running = drain.running
        if drain.error is not None:
            raise drain.error
        if not running and drain.lock():
            # Another worker may have written the last part before this one got the lock.
            if path.exists():
                drain.unlock()
                return
            drain.start()
        time.sleep(_PAUSE)


class _Drain:
    """A thread that drains one item; it goes on after the task that started it."""

    def __init__(self, item: ItemContext, plan: VectorPlan) -> None:
        self._item, self._plan = item, plan
        self._fd = -1
        self.error: Exception | None = None
        self.running = False

    def lock(self) -> bool:
        """Whether this worker may drain the item now."""
        path = Path(self._item.work_dir) / _LOCK
        with disk_errors("cannot lock", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._fd = fd
        return True

    def unlock(self) -> None:
        os.close(self._fd)

    def start(self) -> None:
        self.running = True
        here = contextvars.copy_context()  # with the settings of stores
        threading.Thread(target=here.run, args=(self._run,), name="drain", daemon=True).start()

    def _run(self) -> None:
        try:
            check_identity(self._item.source, self._item.source_id)
            self._fill()
        except Exception as error:  # noqa: BLE001 - boundary: handed to the task that waits
            self.error = error
        finally:
            self.unlock()
            self.running = False

    def _fill(self) -> None:
        grid = self._item.plan.grid
        size, index, part, rows, seen = grid.chunk_width, 0, [], 0, 0
        for batch in all_features(self._item, self._plan):
            seen += batch.num_rows
            remaining = batch
            while rows + remaining.num_rows >= size:
                part.append(remaining.slice(0, size - rows))
                self._write(index, part)
                remaining = remaining.slice(size - rows)
                index, part, rows = index + 1, [], 0
            if remaining.num_rows:
                part.append(remaining)
                rows += remaining.num_rows
        if part:
            self._write(index, part)
            index += 1
        if index < len(grid):
            raise CorruptSourceError(
                f"{self._item.source} ends after {seen} features; "
                f"{grid.width} were counted when the run was planned"
            )

    def _write(self, index: int, batches: list[pa.RecordBatch]) -> None:
        path = part_path(self._item, index)
        if path.exists():
            return
        sink = pa.BufferOutputStream()
        schema = max((batch.schema for batch in batches), key=len)
        with pa.ipc.new_stream(sink, schema) as writer:
            for batch in batches:
                if len(batch.schema) < len(schema):  # all of its features can be read
                    readable = pa.nulls(batch.num_rows, pa.string())
                    batch = batch.append_column(UNREAD, readable)  # noqa: PLW2901
                writer.write_batch(batch)
        body = sink.getvalue()
        scratch = path.with_suffix(f".{writer_name()}.new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with disk_errors("cannot write", scratch), removed_on_error(scratch):
            fd = os.open(scratch, flags, 0o600)
            try:
                write_all(fd, body)
                write_all(fd, crc32(body).to_bytes(4, "little"))
            finally:
                os.close(fd)
            scratch.rename(path)


def all_features(item: ItemContext, plan: VectorPlan) -> Iterator[pa.RecordBatch]:
    """Read all features of the source, in its order, and behind them, what OGR leaves out."""
    form = format_of(plan.driver)
    if form.is_arrow:
        bounds, version = item.params.get("bounds"), parquet_layer.version_of(item)
        yield from parquet_layer.whole_file(item.source, plan, bounds, version)
        return
    place = plan.place or item.source
    with archive.Plain(item.source, place, item.work_dir) as plain:
        batches = form.drain(item, plan, plain, batch_reader.open_stream)
        if (check := form.source_check(plain, plan)) is None:
            yield from batches
            return
        schema = batch_schema.checked_schema(plan)
        for batch in batches:
            columns = [*batch.columns, check(batch)]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)
        if plan.aside:
            reasons = pa.array(form.lost_reasons(item.source, plan), pa.string())
            nulls = [pa.nulls(len(reasons), each.type) for each in schema][:-1]
            yield pa.RecordBatch.from_arrays([*nulls, reasons], schema=schema)
