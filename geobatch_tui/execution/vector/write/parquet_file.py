"""GeoParquet 1.1: WKB, CRS as PROJJSON, boxes of features with statistics, even row groups.

A table without geometry becomes plain Parquet, as GDAL and GeoPandas write and read it.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

import pyarrow as pa
from pyproj import CRS

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.io.digest import crc32
from geobatch_tui.execution.io.disk import disk_errors, write_all
from geobatch_tui.execution.io.part_file import new_file
from geobatch_tui.execution.vector.batch import wkb_coordinates
from geobatch_tui.execution.vector.formats import geoparquet
from geobatch_tui.execution.vector.spool import pieces
from geobatch_tui.execution.vector.write import hilbert_sort, parquet_footer
from geobatch_tui.execution.vector.write.parquet_footer import List, Struct

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.vector.batch.arrow_arrays import Summary
    from geobatch_tui.execution.vector.plan import VectorPlan
    from geobatch_tui.execution.vector.spool.pieces import Piece
    from geobatch_tui.execution.vector.spool.segment import Finished

VERSION = "1.1.0"
KEY = "geobatch_fp"
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_MAGIC = b"PAR1"
_TAIL = struct.Struct("<I4s")
#: Numbers of fields in parquet.thrift: of FileMetaData, RowGroup, and ColumnChunk.
_ROWS, _GROUPS = 3, 4
_COLUMNS, _ORDINAL, _META = 1, 7, 3
#: Fields that are offsets in the file: of RowGroup, ColumnChunk, and ColumnMetaData; and those of
#: ColumnChunk that are offsets of indexes with offsets in them.
_GROUP_OFFSETS, _COLUMN_OFFSETS, _META_OFFSETS = (5,), (2,), (9, 10, 11, 14)
_INDEXES = (4, 6)


def write(done: Finished, path: Path, scratch: Path) -> int:
    """Write the part file: row groups that chunks have encoded are copied. Returns its CRC-32."""
    plan = done.plan
    schema = pieces.output_schema(plan)
    metadata = {KEY: done.item.fingerprint}
    if not plan.is_table:  # a table becomes plain Parquet
        geo = _geo(plan, done.summary, *schema.names[-2:])
        metadata = {"geo": json.dumps(geo, sort_keys=True), **metadata}
    with new_file(path, later=True) as fd, disk_errors("cannot write", path):
        empty = pa.BufferOutputStream()
        pieces.writer(plan, empty, schema.with_metadata(metadata)).close()
        file = _Assembly(fd, _footer(memoryview(empty.getvalue()))[0])
        if plan.options.get("sorted"):
            for table in hilbert_sort.sorted_groups(done, scratch / "sorted"):
                file.copy(pieces.encoded(plan, table.to_batches()))
            return file.finish()
        for group in _groups(done):
            if len(group) == 1 and group[0].parquet:
                file.copy(group[0].data)
            else:
                batches = [
                    batch for piece in group for batch in piece.batches(is_table=plan.is_table)
                ]
                file.copy(pieces.encoded(plan, batches))
        return file.finish()


def _groups(done: Finished) -> Iterator[list[Piece]]:
    """Group pieces by row groups: of one cell, or of several with few features left."""
    group: list[Piece] = []
    rows, cell = 0, -1
    cells = done.summary.cells
    for piece in pieces.pieces_of(done.contents(last=True)):
        if piece.cell != cell:
            if rows + cells[piece.cell] > done.plan.cell and group:
                yield group
                group, rows = [], 0
            cell = piece.cell
            rows += cells[cell]
        group.append(piece)
    if group:
        yield group


def _footer(file: memoryview) -> tuple[Struct, int]:
    """Read the footer of a Parquet file; return also where it begins."""
    start = len(file) - _TAIL.size - _TAIL.unpack(file[-_TAIL.size :])[0]
    return parquet_footer.read(bytes(file[start : -_TAIL.size])), start


class _Assembly:
    """A Parquet file made of the row groups of others, whose bytes are copied as they are."""

    def __init__(self, fd: int, footer: Struct) -> None:
        self._fd, self._footer = fd, footer
        self._groups: list[Struct] = []
        self._at = self._rows = self._crc = 0
        self._write(_MAGIC)

    def copy(self, data: pa.Buffer) -> None:
        """Append the row groups of a Parquet file in memory."""
        view = memoryview(data)
        footer, end = _footer(view)
        shift = self._at - len(_MAGIC)
        for group in footer.get(_GROUPS).values:
            group.put(_ORDINAL, len(self._groups) & 0x7FFF, parquet_footer.I16)
            self._groups.append(_shifted(group, shift))
        self._rows += footer.get(_ROWS)
        self._write(view[len(_MAGIC) : end])

    def finish(self) -> int:
        """Write the footer; CRC-32 of the whole file."""
        self._footer.put(_ROWS, self._rows)
        self._footer.put(_GROUPS, List(parquet_footer.STRUCT, self._groups))
        text = parquet_footer.write(self._footer)
        self._write(text + _TAIL.pack(len(text), _MAGIC))
        return self._crc

    def _write(self, data: bytes | memoryview) -> None:
        write_all(self._fd, data)
        self._crc = crc32(data, self._crc)
        self._at += len(data)


def _shifted(group: Struct, shift: int) -> Struct:
    """Move the columns of a row group by ``shift`` bytes. Raise VerifyError if it has an index of
    pages, which would say where they lay before."""
    _shift(group, _GROUP_OFFSETS, shift)
    for column in group.get(_COLUMNS).values:
        if any(map(column.get, _INDEXES)):
            raise VerifyError(
                "Arrow wrote a page index, which was not asked for, and is not copied"
            )
        _shift(column, _COLUMN_OFFSETS, shift)
        _shift(column.get(_META), _META_OFFSETS, shift)
    return group


def _shift(value: Struct, numbers: tuple[int, ...], shift: int) -> None:
    for number in numbers:
        if at := value.get(number):  # 0 stands for: not known
            value.put(number, at + shift)


def _geo(plan: VectorPlan, summary: Summary, geometry: str, box: str) -> Json:
    crs = CRS.from_wkt(plan.dst_crs).to_json_dict() if plan.dst_crs else None
    column: dict[str, object] = {
        "encoding": "WKB",
        "geometry_types": sorted({wkb_coordinates.type_name(kind) for kind in summary.types}),
        "crs": crs,
        "covering": {"bbox": {side: [box, side] for side in _SIDES}},
    }
    if summary.bbox is not None:
        column["bbox"] = summary.bbox
    column |= plan.geo.get("own", {})
    if summary.facts.get("replaced"):  # the source says nothing of such geometries
        column.pop("orientation", None)
    columns = {**plan.geo.get("others", {}), geometry: column}
    return {"version": VERSION, "primary_column": geometry, "columns": columns}


def check(path: Path, fingerprint: str, features: int) -> None:
    """Raise VerifyError if the file does not open, or holds something else."""
    try:
        with geoparquet.parquet_file(path) as file:
            meta = file.metadata
            found = (meta.metadata or {}).get(KEY.encode(), b"").decode()
            rows = meta.num_rows
            if meta.num_row_groups:
                file.read_row_group(meta.num_row_groups - 1, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise VerifyError(f"{path.name!r} cannot be read back: {error}") from error
    if (found, rows) != (fingerprint, features):
        raise VerifyError(f"{path.name!r} holds {rows} features, {features} were written")


def inspect(path: str) -> tuple[str, Json]:
    """Decode every column of a published file; return its fingerprint (empty: not ours), and facts
    of it."""
    with geoparquet.parquet_file(path) as file:
        for group in range(file.metadata.num_row_groups):
            file.read_row_group(group, use_threads=False)
        kept: dict[bytes, bytes] = file.metadata.metadata or {}
        facts = {"features_out": file.metadata.num_rows, "bounds": _bounds(kept.get(b"geo", b""))}
        return kept.get(KEY.encode(), b"").decode("utf-8", "replace"), facts


def _bounds(geo: bytes) -> list[float] | None:
    """Read the box of the first geometry column from the metadata of a file of ours."""
    try:
        described = json.loads(geo)
        box = described["columns"][described["primary_column"]]["bbox"]
    except (ValueError, KeyError, TypeError):
        return None
    return [float(value) for value in box] if len(box) == 4 else None
