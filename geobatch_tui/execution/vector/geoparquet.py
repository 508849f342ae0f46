"""GeoParquet 1.1: WKB, CRS as PROJJSON, boxes of features with statistics, even row groups."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyproj import CRS

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.raster.disk import disk_errors, write_all
from geobatch_tui.execution.raster.part import new_file
from geobatch_tui.execution.vector import wkb
from geobatch_tui.execution.vector.collect import BOX_TYPE, Summary, evenly, free_name
from geobatch_tui.execution.vector.options import ROW_GROUP, ROW_GROUP_BYTES
from geobatch_tui.execution.vector.plan import GEOMETRY
from geobatch_tui.execution.vector.source import schema_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from geobatch_tui.execution.messages import ItemContext
    from geobatch_tui.execution.vector.plan import VectorPlan

VERSION = "1.1.0"
KEY = "geobatch_fp"
_SIDES = ("xmin", "ymin", "xmax", "ymax")


class _Sink:
    """A file of Arrow's that hashes what is written to it."""

    closed = False

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.digest = hashlib.blake2b(digest_size=16)
        self._at = 0

    def write(self, data: Any) -> int:
        view = memoryview(data)
        write_all(self._fd, view)
        self.digest.update(view)
        self._at += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """The descriptor is not ours."""

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True


def write(
    item: ItemContext,
    plan: VectorPlan,
    batches: Iterator[pa.RecordBatch],
    summary: Summary,
    path: Path,
) -> str:
    """Write the part file; BLAKE2b-128 of what was written, in hex."""
    geometry = free_name("geometry", plan.fields)
    box = free_name("bbox", (*plan.fields, geometry))
    schema = (
        schema_of(plan)
        .append(pa.field(geometry, pa.binary()))
        .append(pa.field(box, BOX_TYPE))
        .with_metadata({
            "geo": json.dumps(_geo(plan, summary, geometry, box), sort_keys=True),
            KEY: item.fingerprint,
        })
    )  # fmt: skip
    with new_file(path) as fd, disk_errors("cannot write", path):
        sink = _Sink(fd)
        with pq.ParquetWriter(
            sink,
            schema,
            compression=plan.options["codec"],
            compression_level=plan.options["level"],
            use_dictionary=[name for name in plan.fields if _repeats(schema.field(name).type)],
            write_statistics=True,
            version="2.6",
        ) as writer:
            for table in evenly(batches, ROW_GROUP, GEOMETRY, ROW_GROUP_BYTES):
                renamed = table.rename_columns(schema.names).cast(schema)
                writer.write_table(renamed, row_group_size=max(renamed.num_rows, 1))
        return sink.digest.hexdigest()


def _repeats(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _geo(plan: VectorPlan, summary: Summary, geometry: str, box: str) -> dict[str, Any]:
    crs = CRS.from_wkt(plan.dst_crs).to_json_dict() if plan.dst_crs else None
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": sorted({wkb.type_name(kind) for kind in summary.types}),
        "crs": crs,
        "covering": {"bbox": {side: [box, side] for side in _SIDES}},
    }
    if summary.bbox is not None:
        column["bbox"] = summary.bbox
    return {"version": VERSION, "primary_column": geometry, "columns": {geometry: column}}


def check(path: Path, fingerprint: str, features: int) -> None:
    """Raises VerifyError if the file does not open, or holds something else."""
    try:
        with pq.ParquetFile(path) as file:
            meta = file.metadata
            found = (meta.metadata or {}).get(KEY.encode(), b"").decode()
            rows = meta.num_rows
            if meta.num_row_groups:
                file.read_row_group(meta.num_row_groups - 1, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise VerifyError(f"{path.name!r} cannot be read back: {error}") from error
    if (found, rows) != (fingerprint, features):
        raise VerifyError(f"{path.name!r} holds {rows} features, {features} were written")


def inspect(path: str) -> str:
    """Fingerprint of a published file, every column of which was decoded; empty: not ours."""
    with pq.ParquetFile(path) as file:
        for group in range(file.metadata.num_row_groups):
            file.read_row_group(group, use_threads=False)
        found: bytes = (file.metadata.metadata or {}).get(KEY.encode(), b"")
        return found.decode("utf-8", "replace")
