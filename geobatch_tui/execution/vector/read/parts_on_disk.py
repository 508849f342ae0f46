"""One sequential read of a source that cannot be read in parts, into parts on disk.

The first worker that needs a part takes the item's lock and starts a thread that reads the source
from start to end, and writes one file a chunk. Workers wait for the part that they need, so parts
are worked on while later ones are still being read. If that worker dies, its lock is free and the
next one reads again, past the parts that are there. In all the source is read once.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from geobatch_tui.errors import CorruptSourceError, VerifyError
from geobatch_tui.execution.io.digest import crc32
from geobatch_tui.execution.io.disk import disk_errors, write_all
from geobatch_tui.execution.io.part_file import removed_on_error
from geobatch_tui.execution.sources.source_files import check_identity
from geobatch_tui.execution.vector import batch_schema
from geobatch_tui.execution.vector.batch.wkb_coordinates import validity
from geobatch_tui.execution.vector.formats import (
    geojson,
    geojson_coordinates,
    geojsonseq,
    xml_checks,
)
from geobatch_tui.execution.vector.formats.lost_geometries import LEFT_OUT, NO_GEOMETRY, TOO_LARGE
from geobatch_tui.execution.vector.ogr import archive, errors
from geobatch_tui.execution.vector.plan import FID, UNREAD, WKB
from geobatch_tui.execution.vector.read import batch_reader, flatgeobuf_leaves, flatgeobuf_rest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from geobatch_tui.execution.protocol.messages import ItemContext
    from geobatch_tui.execution.vector.plan import VectorPlan

_PAUSE = 0.01
_LOCK = "drain.lock"
#: Formats in which OGR loses geometries, or whole records.
_TOLD = frozenset({"GeoJSON", "GeoJSONSeq", *xml_checks.DRIVERS})
#: Bytes of WKB of what has no parts.
_EMPTY = 9


def part_path(item: ItemContext, index: int) -> Path:
    """Where the features of a chunk are drained to."""
    return Path(item.work_dir) / f"part-{index:06d}.arrow"


def read_part(item: ItemContext, plan: VectorPlan, index: int) -> Iterator[pa.RecordBatch]:
    """The batches of a part, once it is there.

    Raises:
        GeobatchError: whatever ended the read of the source.
    """
    path = part_path(item, index)
    _await(item, plan, path)
    data = path.read_bytes()
    body, crc = data[:-4], int.from_bytes(data[-4:], "little")
    # A machine that lost its power may leave a name without bytes, whose checksum is right.
    if not body or crc32(body) != crc:
        path.unlink(missing_ok=True)
        raise VerifyError(f"{path.name} reads back other bytes than were written to it")
    with pa.ipc.open_stream(body) as reader:
        yield from reader


def _await(item: ItemContext, plan: VectorPlan, path: Path) -> None:
    drain = _Drain(item, plan)
    while not path.exists():
        running = drain.running
        drain.raise_error()
        if not running and drain.lock():
            # Between the look and the lock another worker may have written the last part.
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
        self._error: Exception | None = None
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
        threading.Thread(target=self._run, name="drain", daemon=True).start()

    def raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            check_identity(self._item.source, self._item.source_id)
            self._fill()
        except Exception as error:  # noqa: BLE001 - boundary: handed to the task that waits
            self._error = error
        finally:
            self.unlock()
            self.running = False

    def _fill(self) -> None:
        grid = self._item.plan.grid
        size, index, held, rows, seen = grid.chunk_width, 0, [], 0, 0
        for batch in _whole(self._item, self._plan):
            rest = batch
            seen += batch.num_rows
            while rows + rest.num_rows >= size:
                held.append(rest.slice(0, size - rows))
                self._write(index, held)
                rest = rest.slice(size - rows)
                index, held, rows = index + 1, [], 0
            if rest.num_rows:
                held.append(rest)
                rows += rest.num_rows
        if held:
            self._write(index, held)
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
                writer.write_batch(batch if len(batch.schema) == len(schema) else _fine(batch))
        body = sink.getvalue()
        scratch = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with disk_errors("cannot write", scratch), removed_on_error(scratch):
            fd = os.open(scratch, flags, 0o600)
            try:
                write_all(fd, body)
                write_all(fd, crc32(body).to_bytes(4, "little"))
            finally:
                os.close(fd)
            scratch.rename(path)


def _whole(item: ItemContext, plan: VectorPlan) -> Iterator[pa.RecordBatch]:
    """All features of the source, in its order; behind them, what OGR leaves out."""
    if plan.driver == "Parquet":
        with errors.ogr_errors(item.source), batch_reader.parquet_file(item.source) as file:
            groups = list(range(file.metadata.num_row_groups))
            bounds = item.params.get("bounds")
            yield from batch_reader.parquet_batches(file, plan, groups, 0, bounds)
        return
    place = plan.place or item.source
    flat = plan.driver == "FlatGeobuf" and not plan.where and not archive.is_inside(place)
    if flat and item.params.get("bounds"):
        yield from _touching(item, plan)
        return
    yield from _read(item, plan, place)


def _read(item: ItemContext, plan: VectorPlan, place: str) -> Iterator[pa.RecordBatch]:
    with archive.Plain(item.source, place, item.work_dir) as plain:
        batches = batch_reader.open_stream(place, plan, where=plan.where, plain=plain)
        if plan.driver in _TOLD:
            batches = _told(item, plan, batches, plain)
        elif plan.driver == "FlatGeobuf" and not plan.where:
            batches = _to_the_end(item, plan, batches, plain)
        yield from batches


def _fine(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch with the note that all of its features can be read."""
    return batch.append_column(UNREAD, pa.nulls(batch.num_rows, pa.string()))


def _touching(item: ItemContext, plan: VectorPlan) -> Iterator[pa.RecordBatch]:
    """Features of FlatGeobuf; those of chunks that its index shows outside come without
    anything."""
    data, bounds = flatgeobuf_rest.mapped(item.source), item.params["bounds"]
    leaves = flatgeobuf_leaves.of(data, plan.count)
    runs = leaves.runs(item.plan.grid.chunk_width, bounds) if leaves else []
    if leaves is None or not runs or not leaves.hold(data, runs):
        yield from _read(item, plan, plan.place or item.source)
        return
    for start, stop, is_outside in runs:
        if is_outside:
            yield batch_reader.nothing(plan, start, stop - start)
        else:
            starts = leaves.starts(start, stop)
            yield from flatgeobuf_rest.between(
                item.source, data, plan, item.work_dir, start, starts, wide=leaves.wide
            )


def _to_the_end(
    item: ItemContext, plan: VectorPlan, batches: Iterator[pa.RecordBatch], plain: archive.Plain
) -> Iterator[pa.RecordBatch]:
    """Features of FlatGeobuf, also those behind one that OGR cannot read."""
    seen = 0
    try:
        for batch in batches:
            seen += batch.num_rows
            yield batch
    except CorruptSourceError:
        if archive.is_inside(plain.place):
            raise
    if seen < plan.count and not archive.is_inside(plain.place):
        yield from flatgeobuf_rest.rest(plain.name(), plan, item.work_dir, seen)


def _told(
    item: ItemContext, plan: VectorPlan, batches: Iterator[pa.RecordBatch], plain: archive.Plain
) -> Iterator[pa.RecordBatch]:
    schema = batch_schema.full_schema(plan).append(pa.field(UNREAD, pa.string()))
    missing: _Missing | _Placed = _Missing(plan, plain)
    if plan.driver in xml_checks.DRIVERS:
        missing = _Placed(plan, plain)
    for batch in batches:
        reasons = missing.reasons(batch)
        yield pa.RecordBatch.from_arrays([*batch.columns, reasons], schema=schema)
    if plan.aside:
        reasons = pa.array(_reasons_aside(item.source, plan), pa.string())
        columns = [pa.nulls(len(reasons), each.type) for each in schema][:-1]
        yield pa.RecordBatch.from_arrays([*columns, reasons], schema=schema)


def _reasons_aside(path: str, plan: VectorPlan) -> Iterator[str]:
    if plan.driver == "GeoJSON":
        return geojson.reasons(path, plan.place or path, plan.lost)
    if plan.driver == "GML":
        return (f"OGR cannot read the geometry of feature {number}" for number in plan.lost)
    return chain.from_iterable(geojsonseq.reasons(path, some) for some in (plan.lost, plan.shared))


class _Missing:
    """Finds features of GeoJSON of whose geometry OGR reads nothing, or not all; or that have
    whole numbers beyond those of 64 bits."""

    def __init__(self, plan: VectorPlan, plain: archive.Plain) -> None:
        self._plan, self._plain = plan, plain
        self._there: NDArray[np.uint8] | None = None
        self._ids = self._order = np.empty(0, np.int64)
        self._seen = 0
        self._doubtful = geojson_coordinates.are_doubtful(plain.name())

    def reasons(self, batch: pa.RecordBatch) -> pa.Array:
        """For each of the next features, what is wrong with it; null: nothing."""
        start, self._seen = self._seen, self._seen + batch.num_rows
        ends = _at_ends(batch)
        if not (self._doubtful or _has_empty(batch.column(WKB)) or ends.any()):
            return pa.nulls(batch.num_rows, pa.string())
        there = self._told()
        if self._plan.where:
            places = self._order[np.searchsorted(self._ids, batch.column(FID), sorter=self._order)]
        else:
            places = np.arange(start, self._seen)
        marks = there[places]
        reasons = np.full(batch.num_rows, None, object)
        reasons[marks & geojson.BROKEN > 0] = LEFT_OUT
        reasons[(marks & geojson.GEOMETRY > 0) & ~validity(batch.column(WKB))] = NO_GEOMETRY
        reasons[(marks & geojson.BEYOND > 0) & ends] = TOO_LARGE
        return pa.array(reasons, pa.string())

    def _told(self) -> NDArray[np.uint8]:
        """What features have, as the file says; if it is not known which is which, nothing."""
        if self._there is None:
            plan = self._plan
            count = plan.count - len(plan.aside)
            if plan.where:
                # Which of all features are left is told by their ids alone.
                self._ids = batch_reader.ids(self._plain.place, plan)
                self._order, count = np.argsort(self._ids), len(self._ids)
            try:
                found = geojson.told(
                    self._plain.name(), sequence=plan.driver == "GeoJSONSeq", lost=plan.lost
                )
            except ValueError:  # OGR takes more for JSON
                found = b""
            self._there = np.frombuffer(found if len(found) == count else bytes(count), np.uint8)
        return self._there


def _has_empty(shapes: pa.Array) -> bool:
    """Whether a geometry is null, or has no parts."""
    offsets = np.frombuffer(shapes.buffers()[1], np.int32)[shapes.offset :][: len(shapes) + 1]
    return bool(shapes.null_count or (np.diff(offsets) <= _EMPTY).any())


def _at_ends(batch: pa.RecordBatch) -> NDArray[np.bool_]:
    """Which features have a whole number that is the least or the largest of 64 bits."""
    import pyarrow.compute as pc

    found = np.zeros(batch.num_rows, np.bool_)
    for column in batch.columns:
        is_list = pa.types.is_list(column.type)
        values = column.flatten() if is_list else column
        if not pa.types.is_int64(values.type):
            continue
        ends = pc.min_max(values)
        if ends["min"].as_py() == geojson.LEAST or ends["max"].as_py() == geojson.LARGEST:
            wanted = pa.array([geojson.LEAST, geojson.LARGEST], pa.int64())
            at = pc.is_in(values, value_set=wanted).to_numpy(zero_copy_only=False)
            found[pc.list_parent_indices(column).to_numpy()[at] if is_list else at] = True
    return found


class _Placed:
    """Finds features of KML and GML with other coordinates in the file than OGR reads, or any."""

    def __init__(self, plan: VectorPlan, plain: archive.Plain) -> None:
        ids = partial(batch_reader.ids, plain.place, plan) if plan.where else None
        self._count = plan.count - len(plan.aside)
        schema = batch_schema.schema_of(plan)
        self._file = xml_checks.Misread(plain, plan.driver, plan.layer, ids, plan.lost, schema)

    def reasons(self, batch: pa.RecordBatch) -> pa.Array:
        """For each of the next features, what is wrong with it; null: nothing."""
        return self._file.reasons(batch.column(WKB), batch.column(FID).to_numpy(), self._count)
