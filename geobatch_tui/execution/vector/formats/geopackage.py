"""GeoPackages, and other SQLite databases of features, asked by SQLite where OGR does not say."""

from __future__ import annotations

import contextlib
import sqlite3
from bisect import bisect_right
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, override

import numpy as np

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.vector.batch.where import CHECK_WHERE, fault
from geobatch_tui.execution.vector.formats import lost_geometries
from geobatch_tui.execution.vector.formats.source_format import SourceFormat
from geobatch_tui.execution.vector.ogr import archive, errors, layer_info
from geobatch_tui.execution.vector.plan import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

    from geobatch_tui.execution.vector.formats.source_format import BatchCheck, Bounds, OpenLayer
    from geobatch_tui.execution.vector.ogr.archive import Plain
    from geobatch_tui.execution.vector.plan import Access, VectorPlan

#: A column of that name is meant for OGR's id.
_OGRS = "OGC_FID"
#: Whether a table of features has a key of that name.
_IDS = (
    "SELECT 1 FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' "
    "AND m.name NOT LIKE 'gpkg%' AND c.pk AND lower(c.name) = lower(?)"
)
_EXTENDED = "SELECT 1 FROM sqlite_master WHERE name = 'gpkg_extensions'"
#: Whether a layer has an index that is kept with it.
_INDEXED = (
    "SELECT 1 FROM gpkg_extensions WHERE extension_name = 'gpkg_rtree_index' "
    "AND lower(table_name) = lower(?) AND lower(column_name) = lower(?)"
)
#: Ids in one question to SQLite.
_ASKED = 500


class Sqlite(SourceFormat):
    """A database of SQLite with tables of features, as SpatiaLite or OGR makes it."""

    holds_tables = has_key = is_counted = ends_early = True

    @override
    def refuse_where(self, layer: OpenLayer, where: str) -> None:
        """Raise SchemaError where SQLite, which OGR hands the condition to, finds fault with it."""
        info = layer.info
        own = [name for name in (info["fid_column"], info["geometry_name"]) if name]
        if said := fault(where, [*map(str, info["fields"]), *own]):
            raise SchemaError(f"where, for {layer.path}: {said}", hint=CHECK_WHERE)

    @override
    def columns(self, where: str, wanted: Iterable[str]) -> list[str]:
        # SQLite evaluates it, on all fields
        return list(wanted)

    @override
    def access(
        self, path: str, plan: VectorPlan, features: int, stride: int
    ) -> tuple[Access, tuple[int, ...]]:
        edges = _fid_edges(path, plan, features) if plan.fid_column else ()
        return ("fid", edges) if edges else ("drain", ())

    @override
    def batch_check(self, plain: Plain, plan: VectorPlan, schema: pa.Schema) -> BatchCheck | None:
        names = plan.layer, plan.fid_column, plan.geometry_column

        def check(features: pa.RecordBatch, _: pa.RecordBatch) -> pa.Array:
            return lost_geometries.reasons_by_id(
                features, lambda ids: _with_geometry(plain.name(), names, ids)
            )

        return check

    @override
    def misread(self, layer: OpenLayer, plain: Plain, features: pa.Table) -> Sequence[int]:
        names = layer.name, layer.info["fid_column"], layer.info["geometry_name"]
        null = list(lost_geometries.null_ids(features))
        return list(_with_geometry(plain.name(), names, null)) if null else []


class GeoPackage(Sqlite):
    """A GeoPackage: it says whether geometries have M, and may have an index."""

    ends_early = False

    @override
    def is_measured(self, layer: OpenLayer) -> bool:
        if archive.is_inside(layer.place):
            return layer.info["measured"]
        asked = "SELECT m FROM gpkg_geometry_columns WHERE table_name = ?"
        with _sqlite(layer.place) as connection:
            return connection.execute(asked, (layer.name,)).fetchone() not in {None, (0,)}

    @override
    def own_ids(self, layer: OpenLayer) -> list[str]:
        """Name the first column of a view, which OGR takes for the ids, if it has not the name of
        the id of any table. Raises SchemaError where not all of it are whole numbers, of which OGR
        makes some."""
        fid = layer.info["fid_column"]
        if not fid or archive.is_inside(layer.place):
            return []
        with _sqlite(layer.place) as connection:
            is_id = fid.upper() == _OGRS or connection.execute(_IDS, (fid,)).fetchone()
            if is_id or _is_table(connection, layer.name):
                return []
            asked = (
                f"SELECT 1 FROM {quoted(layer.name)} "  # noqa: S608 - quoted
                f"WHERE typeof({quoted(fid)}) <> 'integer' LIMIT 1"
            )
            if connection.execute(asked).fetchone():
                raise SchemaError(
                    f"{layer.place}: OGR takes {fid!r}, the first column of the view "
                    f"{layer.name!r}, for the ids of its features, but it has values that are no "
                    "whole numbers",
                    hint="make the id of a table the first column of the view",
                )
        return [fid]

    @override
    def chunks_outside(
        self, path: str, plan: VectorPlan, edges: tuple[int, ...], features: int, bounds: Bounds
    ) -> tuple[int, ...]:
        """Find them by the index. A chunk with a feature that is not in it is not outside: the
        geometry may be damaged."""
        if plan.where or not edges or not bounds:
            return ()
        index = f"rtree_{plan.layer}_{plan.geometry_column}"
        with _sqlite(path) as connection:
            has_extensions = connection.execute(_EXTENDED).fetchone()
            names = (plan.layer, plan.geometry_column)
            if not has_extensions or connection.execute(_INDEXED, names).fetchone() is None:
                return ()
            minx, miny, maxx, maxy = bounds
            asked = (
                f"SELECT id FROM {quoted(index)} "  # noqa: S608 - quoted
                "WHERE minx <= ? AND maxx >= ? AND miny <= ? AND maxy >= ?"
            )
            found = connection.execute(asked, (maxx, minx, maxy, miny))
            touching = {bisect_right(edges, ident) - 1 for (ident,) in found}
            rows = quoted(f"{index}_rowid")
            asked = f"SELECT count(*) FROM {rows} WHERE rowid >= ? AND rowid < ?"  # noqa: S608
            outside = []
            for number, (low, high) in enumerate(pairwise(edges)):
                if number in touching:
                    continue
                (known,) = connection.execute(asked, (low, high)).fetchone()
                if known == min(features, plan.count - number * features):
                    outside.append(number)
        return tuple(outside)


@contextlib.contextmanager
def _sqlite(path: str) -> Iterator[sqlite3.Connection]:
    """Open a database to read from, by SQLite alone."""
    uri = Path(path).as_uri()
    connection = sqlite3.connect(f"{uri}?mode=ro", uri=True)
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        if errors.is_locked(error):
            raise
        # A write-ahead log on a medium that cannot be written.
        connection = sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True)
    with contextlib.closing(connection):
        yield connection


def _fid_edges(path: str, plan: VectorPlan, features: int) -> tuple[int, ...]:
    """Return the first id of each chunk, and one beyond the last; none if ids come in no order."""
    if plan.where:
        return _edges_as_read(path, plan, features)
    fid, table = quoted(plan.fid_column), quoted(plan.layer)
    with errors.ogr_errors(path, plan.layer), _sqlite(path) as connection:
        low, high, count = connection.execute(
            f"SELECT min({fid}), max({fid}), count(*) FROM {table}"  # noqa: S608 - quoted
        ).fetchone()
        if count != plan.count:
            raise SchemaError(
                f"layer {plan.layer!r} of {path} has {count} rows, but says {plan.count}",
                hint="copy the layer with ogr2ogr: that counts it anew",
            )
        if not _is_table(connection, plan.layer):  # ids of a view may be repeated
            return _edges_as_read(path, plan, features)
        if high - low + 1 == count:
            return (*range(low, high + 1, features), int(high) + 1)
        first = connection.execute(
            f"SELECT f FROM (SELECT {fid} AS f, "  # noqa: S608 - quoted
            f"row_number() OVER (ORDER BY {fid}) - 1 AS n FROM {table}) WHERE n % ? = 0",
            (features,),
        )
        return (*(int(row[0]) for row in first), int(high) + 1)


def _is_table(connection: sqlite3.Connection, name: str) -> bool:
    asked = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND lower(name) = lower(?)"
    return connection.execute(asked, (name,)).fetchone() is not None


def _edges_as_read(path: str, plan: VectorPlan, features: int) -> tuple[int, ...]:
    """Do as :func:`_fid_edges`, by one pass over the ids as OGR gives them."""
    edges: list[int] = []
    seen, last = 0, -(2**63)
    with errors.ogr_errors(path, plan.layer):
        for ids in layer_info.id_batches(path, plan.layer, [], plan.where):
            if len(ids) and (ids[0] <= last or (np.diff(ids) <= 0).any()):
                return ()
            edges += ids[-seen % features :: features].tolist()
            seen += len(ids)
            last = int(ids[-1]) if len(ids) else last
    return (*edges, last + 1)


def _with_geometry(path: str, names: tuple[str, str, str], ids: list[int]) -> Iterator[int]:
    """Choose the ids whose value holds something, and does not say that it is empty, by the
    ``names`` of the layer, its ids and its geometries."""
    table, fid, shape = map(quoted, names)
    with _sqlite(path) as connection:
        for start in range(0, len(ids), _ASKED):
            some = ids[start : start + _ASKED]
            marks = ",".join("?" * len(some))
            for one, head in connection.execute(
                f"SELECT {fid}, substr(CAST({shape} AS BLOB), 1, 4) "  # noqa: S608 - quoted
                f"FROM {table} WHERE {fid} IN ({marks}) AND length({shape}) > 0",
                some,
            ):
                if not (head.startswith(b"GP") and len(head) == 4 and head[3] & 0x10):
                    yield int(one)
