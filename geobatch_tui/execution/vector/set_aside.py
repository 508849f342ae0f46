"""Writes the features of an item that are set aside to a GeoPackage for QGIS.

They pass through a scratch file: how a field can be written is known once all its values were seen.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa

from geobatch_tui.execution.vector.batch.arrow_arrays import evenly, free_name
from geobatch_tui.execution.vector.fields import values
from geobatch_tui.execution.vector.plan import GEOMETRY
from geobatch_tui.execution.vector.write import ogr_file

if TYPE_CHECKING:
    from pathlib import Path

    from geobatch_tui.execution.vector.spool.segment import Finished

_RAW = "geobatch_wkb"


def write(done: Finished, path: Path) -> None:
    """Write features that are set aside to ``path``, in their own CRS and with their reasons.
    Geometries that OGR cannot read are left null, and kept in hex in the field ``geobatch_wkb``.

    Raises:
        GeobatchError: a segment is damaged, or the disk; OGR cannot write them.
    """
    gathered = path.with_suffix(".arrow")
    as_text = _gather(done, gathered)
    with gathered.open("rb") as file, pa.ipc.open_stream(file) as reader:
        schema = _shown(reader.schema.empty_table(), as_text).schema
        tables = evenly(reader, ogr_file.ROWS, GEOMETRY, ogr_file.BYTES)
        shown = (_shown(table, as_text).combine_chunks().to_batches() for table in tables)
        names = schema.names
        ogr_file.write_stream(
            path,
            pa.RecordBatchReader.from_batches(schema, chain.from_iterable(shown)),
            layer="quarantine",
            driver="GPKG",
            geometry_name=names[-1],
            geometry_type="Unknown",
            crs=done.plan.src_crs or None,
            layer_options={"FID": free_name("fid", tuple(names)), "GEOMETRY_NAME": names[-1]},
        )
    gathered.unlink()


def _gather(done: Finished, path: Path) -> frozenset[int]:
    """Write the features to an Arrow stream; return the places of fields that are to be text."""
    kinds: dict[int, set[pa.DataType]] = {}
    with path.open("wb") as file:
        writer = None
        for part in done.contents(in_turn=True):
            with pa.ipc.open_stream(part.dead) as reader:
                for batch in reader:
                    writer = writer or pa.ipc.new_stream(file, batch.schema)
                    writer.write_batch(batch)
                    for n, column in enumerate(batch.columns[:-1]):
                        kinds.setdefault(n, set()).add(values.legible(column, "").type)
        if writer is not None:
            writer.close()
    text = pa.string()
    return frozenset(n for n, some in kinds.items() if some == {text} or len(some) > 1)


def _shown(table: pa.Table, as_text: frozenset[int]) -> pa.Table:
    """Return features as they are written, their geometry last. Fields of the source with the name
    of one that is added here, as in a quarantine file, get another name."""
    raw = table.columns[-1].to_pylist()
    fine = [value if value is not None and _readable(value) else None for value in raw]
    lost = [
        value.hex() if value is not None and shape is None else None
        for value, shape in zip(raw, fine, strict=True)
    ]
    *fields, _, error, reason, _ = table.column_names
    own = ("geobatch_fid", error, reason, _RAW)
    names: list[str] = []
    for name in fields:
        names.append(free_name(name, (*names, *own)))
    names += own[:-1]
    columns = [
        values.legible(column.combine_chunks(), name, as_text=n in as_text)
        for n, (column, name) in enumerate(zip(table.columns[:-1], names, strict=True))
    ]
    geometry = free_name("geom", tuple(names))
    flat = pa.table(columns, names).append_column(_RAW, pa.array(lost, pa.string()))
    return flat.append_column(ogr_file.geometry_field(geometry), pa.array(fine, pa.binary()))


def _readable(value: bytes) -> bool:
    """Whether OGR reads this WKB: as GEOS does, and curves, too."""
    import shapely

    try:
        return shapely.from_wkb(value, on_invalid="ignore") is not None
    except NotImplementedError:  # shapely's word for curves
        return True
