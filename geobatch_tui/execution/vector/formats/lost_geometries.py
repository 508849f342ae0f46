"""Geometries that OGR cannot read, and leaves out with a line on stderr at most.

Such a feature has none, as one that has none in the file. Where the file itself can be asked, these
are told apart. GeoJSON is asked in ``drain``.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from geobatch_tui.execution.vector.plan import FID, WKB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.vector.ogr import archive
    from geobatch_tui.execution.vector.plan import VectorPlan

TOO_LARGE = "it has a whole number beyond the range of 64 bits, for which OGR reads another"
#: With what other reasons begin that are not of geometries.
FIELD = "its field"
LEFT_OUT = "OGR cannot read all of its geometry, and leaves out the rest"
NO_GEOMETRY = "OGR cannot read its geometry, which is not null in the file"

#: Drivers whose files are asked here.
DRIVERS = frozenset({"ESRI Shapefile", "GPKG", "SQLite", "CSV"})
#: Ids in one question to SQLite.
_ASKED = 500
#: Where a shape has the number of its points, by the remainder of its type by 10 (Z and M have the
#: same as plain ones). A point has none.
_POINTS_AT = {3: 40, 5: 40, 8: 36}
_SHAPE_HEAD = 44
#: Bytes of the head of an index of shapes, and of an entry, which begins with the place of a shape.
_INDEX_HEAD, _INDEX_ENTRY = 100, 8


def reasons(
    file: archive.Plain, plan: VectorPlan, found: pa.RecordBatch, read: pa.RecordBatch
) -> pa.Array:
    """For each feature, what is wrong with it; null: nothing.

    Args:
        file: what OGR opened.
        plan: of the item.
        found: the features as they are worked on.
        read: the same, as OGR gave them, with all attributes.
    """
    count = found.num_rows
    if not found.column(WKB).null_count:
        return pa.nulls(count, pa.string())
    rows = np.flatnonzero(found.column(WKB).is_null().to_numpy(zero_copy_only=False)).tolist()
    ids = {found.column(FID)[row].as_py(): row for row in rows}
    if plan.driver == "CSV":
        broken = {row for row in rows if _in_text(read, row, plan.geometry_column)}
    else:
        names = plan.layer, plan.fid_column, plan.geometry_column
        broken = {ids[fid] for fid in in_file(file.name(), plan.driver, names, list(ids))}
    return pa.array([NO_GEOMETRY if row in broken else None for row in range(count)], pa.string())


def is_of_geometry(reason: str | None) -> bool:
    """Whether a feature is whole by another geometry."""
    return reason != TOO_LARGE and not (reason or "").startswith(FIELD)


def in_file(path: str, driver: str, names: tuple[str, str, str], ids: list[int]) -> Iterator[int]:
    """Those of the ids that have a geometry in a database or Shapefile; ``names``: of the layer,
    its ids and geometries."""
    if driver in {"GPKG", "SQLite"}:
        yield from _in_table(path, names, ids)
    elif driver == "ESRI Shapefile":
        yield from _in_shapes(path, ids)


def _in_table(path: str, names: tuple[str, str, str], ids: list[int]) -> Iterator[int]:
    """Those of the ids whose value in a GeoPackage, or another database, holds something, and does
    not say that it is empty."""
    from geobatch_tui.execution.vector.ogr.sqlite import open_sqlite

    table, fid, shape = (name.replace('"', '""') for name in names)
    with contextlib.closing(open_sqlite(path)) as connection:
        for start in range(0, len(ids), _ASKED):
            some = ids[start : start + _ASKED]
            marks = ",".join("?" * len(some))
            for one, head in connection.execute(
                f'SELECT "{fid}", substr(CAST("{shape}" AS BLOB), 1, 4) '  # noqa: S608 - quoted
                f'FROM "{table}" WHERE "{fid}" IN ({marks}) AND length("{shape}") > 0',
                some,
            ):
                if not (head.startswith(b"GP") and len(head) == 4 and head[3] & 0x10):
                    yield int(one)


def _in_text(read: pa.RecordBatch, row: int, geometry: str) -> bool:
    """Whether a line of a CSV file has something where OGR looks for the ``geometry``: in a field
    WKT, or one after which it names the geometry."""
    wanted = geometry.removeprefix("geom_").upper() or "WKT"
    for name, column in zip(read.schema.names, read.columns, strict=True):
        if name.upper() == wanted:
            value = column[row].as_py()
            return isinstance(value, str) and bool(value.strip())
    return False


def _in_shapes(path: str, ids: list[int]) -> Iterator[int]:
    """Those of the ids, which are numbers of records, whose shape is not null in a Shapefile, and
    has points."""
    index = next(
        (one for end in (".shx", ".SHX") if (one := Path(path).with_suffix(end)).exists()), None
    )
    if index is None:
        return
    with index.open("rb") as places, Path(path).open("rb") as file:
        for number in ids:
            places.seek(_INDEX_HEAD + _INDEX_ENTRY * number)
            place = places.read(4)
            if len(place) == 4:
                file.seek(int.from_bytes(place, "big") * 2)
                head = file.read(8 + _SHAPE_HEAD)
                length = max(int.from_bytes(head[4:8], "big") * 2, 4)
                if _has_points(head[8 : 8 + length]):
                    yield number


def _has_points(head: bytes) -> bool:
    """By the first bytes of a shape; what is cut off had some, as nobody can say."""
    if len(head) < 4:
        return True
    kind = int.from_bytes(head[:4], "little")
    at = _POINTS_AT.get(kind % 10)
    if kind == 0 or at is None:
        return kind != 0
    return head[at : at + 4] != bytes(4)
