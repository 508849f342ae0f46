"""How chunks reach their features: by ids, by numbers of records, by row groups, or not at all."""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.vector.ogr import errors
from geobatch_tui.execution.vector.ogr.exact_names import exact
from geobatch_tui.execution.vector.ogr.pyogrio_import import pyogrio
from geobatch_tui.execution.vector.ogr.sqlite import open_sqlite
from geobatch_tui.execution.vector.read import batch_reader

if TYPE_CHECKING:
    import sqlite3

    from geobatch_tui.execution.vector.plan import Access, VectorPlan

#: A column of that name is meant for OGR's id.
_OGRS = "OGC_FID"
#: Whether a table of features has a key of that name.
_IDS = (
    "SELECT 1 FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' "
    "AND m.name NOT LIKE 'gpkg%' AND c.pk AND lower(c.name) = lower(?)"
)
#: Row groups of more raw bytes than this are not read by chunks that want a part of one.
_LARGE_GROUP = 256 * 2**20


def access(
    path: str, plan: VectorPlan, features: int, *, jumps: bool
) -> tuple[Access, tuple[int, ...]]:
    """How chunks of ``features`` are read; ``jumps``: OGR goes to a record by its number."""
    if plan.driver in {"GPKG", "SQLite"} and plan.fid_column:
        edges = _fid_edges(path, plan, features)
        return ("fid", edges) if edges else ("drain", ())
    if plan.driver == "ESRI Shapefile" and not plan.where and not has_deleted(path):
        return "window", ()
    if plan.driver == "OpenFileGDB" and not plan.where and jumps:
        return "window", ()
    if plan.driver == "Parquet" and not plan.where:
        with batch_reader.parquet_file(path) as file:
            return ("rows" if uniform_groups(file.metadata) else "drain"), ()
    return "drain", ()


def _fid_edges(path: str, plan: VectorPlan, features: int) -> tuple[int, ...]:
    """First id of each chunk, and one beyond the last; empty if ids come in no order."""
    if plan.where:
        return _edges_as_read(path, plan, features)
    fid, table = (name.replace('"', '""') for name in (plan.fid_column, plan.layer))
    edges: list[int] = []
    with (
        errors.ogr_errors(path, plan.layer),
        contextlib.closing(open_sqlite(path)) as connection,
    ):
        low, high, count = connection.execute(
            f'SELECT min("{fid}"), max("{fid}"), count(*) FROM "{table}"'  # noqa: S608 - quoted
        ).fetchone()
        if count != plan.count:
            raise SchemaError(
                f"layer {plan.layer!r} of {path} has {count} rows, but says {plan.count}",
                hint="copy the layer with ogr2ogr: that counts it anew",
            )
        if not _is_table(connection, plan.layer):  # ids of a view may be repeated
            return _edges_as_read(path, plan, features)
        if high - low + 1 == count:
            edges = list(range(low, high + 1, features))
        else:
            edges = [
                int(row[0])
                for row in connection.execute(
                    f'SELECT f FROM (SELECT "{fid}" AS f, '  # noqa: S608 - names are quoted
                    f'row_number() OVER (ORDER BY "{fid}") - 1 AS n FROM "{table}") '
                    "WHERE n % ? = 0",
                    (features,),
                )
            ]
    return (*edges, int(high) + 1)


def is_field_of_view(path: str, layer: str, fid: str) -> bool:
    """Whether a layer of a GeoPackage is a view whose first column, which OGR takes for the id,
    has not the name of the id of any table.

    Raises:
        SchemaError: it has values that are no whole numbers, of which OGR makes some.
    """
    view, name = (one.replace('"', '""') for one in (layer, fid))
    with contextlib.closing(open_sqlite(path)) as connection:
        is_id = fid.upper() == _OGRS or connection.execute(_IDS, (fid,)).fetchone()
        if is_id or _is_table(connection, layer):
            return False
        asked = f'SELECT 1 FROM "{view}" WHERE typeof("{name}") <> \'integer\' LIMIT 1'  # noqa: S608
        if connection.execute(asked).fetchone():
            raise SchemaError(
                f"{path}: OGR takes {fid!r}, the first column of the view {layer!r}, for the ids "
                "of its features, but it has values that are no whole numbers",
                hint="make the id of a table the first column of the view",
            )
    return True


def _is_table(connection: sqlite3.Connection, name: str) -> bool:
    asked = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND lower(name) = lower(?)"
    return connection.execute(asked, (name,)).fetchone() is not None


def _edges_as_read(path: str, plan: VectorPlan, features: int) -> tuple[int, ...]:
    """As :func:`_fid_edges`, by one pass over the ids as OGR gives them."""
    edges: list[int] = []
    seen, last = 0, -(2**63)
    with (
        errors.ogr_errors(path, plan.layer),
        pyogrio.open_arrow(
            exact(path),
            layer=plan.layer,
            columns=[],
            read_geometry=False,
            return_fids=True,
            where=plan.where or None,
            use_pyarrow=True,
        ) as (meta, reader),
    ):
        for batch in reader:
            ids = batch.column(meta["fid_column"]).to_numpy()
            if len(ids) and (ids[0] <= last or (np.diff(ids) <= 0).any()):
                return ()
            edges += ids[-seen % features :: features].tolist()
            seen += len(ids)
            last = int(ids[-1]) if len(ids) else last
    return (*edges, last + 1)


def has_deleted(path: str) -> bool:
    """Whether records of a Shapefile are marked as deleted: windows would overlap."""
    table = Path(path).with_suffix(".dbf")
    if not table.exists():
        return True
    head = np.fromfile(table, "<u1", 32)
    if len(head) < 32:
        return True
    count, start, length = (
        int(head[4:8].view("<u4")[0]),
        int(head[8:10].view("<u2")[0]),
        int(head[10:12].view("<u2")[0]),
    )
    if not count or length < 1:
        return True
    flags = np.memmap(table, np.uint8, "r")[start::length][:count]
    return bool((flags == ord("*")).any())


def uniform_groups(meta: Any) -> int:
    """Rows of each row group, if all but the last have the same and none is large; else 0."""
    sizes = [meta.row_group(index).num_rows for index in range(meta.num_row_groups)]
    largest = max(
        (meta.row_group(index).total_byte_size for index in range(meta.num_row_groups)), default=0
    )
    if not sizes or largest > _LARGE_GROUP or len(set(sizes[:-1])) > 1 or sizes[-1] > sizes[0]:
        return 0
    return int(sizes[0])


#: Whether a layer has an index that is kept with it.
_INDEXED = (
    "SELECT 1 FROM gpkg_extensions WHERE extension_name = 'gpkg_rtree_index' "
    "AND lower(table_name) = lower(?) AND lower(column_name) = lower(?)"
)


def chunks_outside(
    path: str, plan: VectorPlan, edges: tuple[int, ...], features: int, bounds: Any
) -> tuple[int, ...]:
    """Chunks of ``features`` between these ``edges`` of ids, none of whose features touches
    ``bounds``, as the index of a GeoPackage says.

    Those with a feature that is not in the index are not among them: its geometry may be damaged.
    """
    if plan.driver != "GPKG" or plan.where or not (edges and bounds):
        return ()
    index = f"rtree_{plan.layer}_{plan.geometry_column}".replace('"', '""')
    with contextlib.closing(open_sqlite(path)) as connection:
        if not _is_indexed(connection, plan):
            return ()
        minx, miny, maxx, maxy = bounds
        asked = (
            f'SELECT id FROM "{index}" WHERE minx <= ? AND maxx >= ? AND miny <= ? AND maxy >= ?'  # noqa: S608 - quoted
        )
        found = connection.execute(asked, (maxx, minx, maxy, miny))
        touching = {bisect_right(edges, ident) - 1 for (ident,) in found}
        asked = f'SELECT count(*) FROM "{index}_rowid" WHERE rowid >= ? AND rowid < ?'  # noqa: S608 - quoted
        outside = []
        for number, (low, high) in enumerate(pairwise(edges)):
            if number in touching:
                continue
            (known,) = connection.execute(asked, (low, high)).fetchone()
            if known == min(features, plan.count - number * features):
                outside.append(number)
    return tuple(outside)


def _is_indexed(connection: sqlite3.Connection, plan: VectorPlan) -> bool:
    asked = "SELECT 1 FROM sqlite_master WHERE name = 'gpkg_extensions'"
    if connection.execute(asked).fetchone() is None:
        return False
    names = (plan.layer, plan.geometry_column)
    return connection.execute(_INDEXED, names).fetchone() is not None
