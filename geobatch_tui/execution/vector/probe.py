"""Opens a vector source, refuses what cannot work, and plans the item."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyproj import CRS
from pyproj.transformer import TransformerGroup

from geobatch_tui.errors import (
    CrsError,
    EmptyInputError,
    GeobatchError,
    PreflightError,
    SchemaError,
    UnsupportedFormatError,
)
from geobatch_tui.execution import sources
from geobatch_tui.execution.messages import ChunkGrid, ItemPlan
from geobatch_tui.execution.raster.georeference import horizontal, parse
from geobatch_tui.execution.raster.source import filters
from geobatch_tui.execution.vector import archive, formats, limits, shapefile, source
from geobatch_tui.execution.vector.lean import pyogrio
from geobatch_tui.execution.vector.options import row_group, writer_options
from geobatch_tui.execution.vector.plan import VectorPlan
from geobatch_tui.execution.vector.sequence import lost

if TYPE_CHECKING:
    from geobatch_tui.execution.messages import ProbeTask
    from geobatch_tui.execution.ops.registry import Stage
    from geobatch_tui.execution.ops.vector.fields import VectorParams
    from geobatch_tui.execution.vector.plan import Access

#: Bytes of source that a chunk holds, about, where nobody says how many features.
CHUNK_BYTES = 8 * 2**20
#: The same, where features may take long: then the cores are busy to the end, and little is done
#: again when one ends its worker.
_SLOW_BYTES = 2 * 2**20
_FEWEST, _MOST = 500, 50_000
#: Peak of a chunk, in bytes of its features: read, transformed, encoded; and what it all takes.
_FACTOR, _BASE = 8, 96 * 2**20
#: Row groups of more raw bytes than this are not read by chunks that want a part of one.
_LARGE_GROUP = 256 * 2**20


@dataclass(frozen=True, slots=True)
class _Layer:
    """What a source says of itself. ``fields``: schema of the attributes."""

    driver: str
    name: str
    fields: pa.Schema
    geometry: str
    geometry_type: str
    fid_column: str
    crs: str | None
    count: int
    encoding: str
    rows: int = 0
    jumps: bool = False
    lost: tuple[int, ...] = ()


def probe(
    task: ProbeTask, params: VectorParams, dst_crs: str, stage: Stage, *, divisible: bool = False
) -> ItemPlan:
    """Plan the item; ``dst_crs`` empty: coordinates stay as they are. ``divisible``: a feature may
    take long, or end its worker.

    Raises:
        InvalidInputError and its kin: this source cannot be processed.
        PreflightError: no source could, with this configuration.
    """
    with stage("open"):
        drivers = formats.drivers_of(task.source)
        place = formats.place_of(task.source)
        layer = (
            _parquet_layer(task.source, params)
            if drivers == ("Parquet",)
            else _ogr_layer(task, place, params, drivers)
        )
    with stage("plan"):
        told: list[str] = []
        out = limits.written(str(task.output["format"]), layer.fields, told)
        if task.output["format"] == "Shapefile":
            allowed = bool(task.output.get("allow_lossy"))
            shapefile.refuse(layer.fields, allowed=allowed, told=told)
        src, dst = _crs(task, layer, dst_crs, told)
        _tell_of_geometry(layer, told)
        _tell_of_records(layer, told)
        options = writer_options(task.output)
        plan = VectorPlan(
            driver=layer.driver,
            layer=layer.name,
            access="drain",
            edges=(),
            fid_column=layer.fid_column,
            geometry_column=layer.geometry,
            fields=tuple(layer.fields.names),
            schema=layer.fields.serialize().to_pybytes().hex(),
            written=out.serialize().to_pybytes().hex(),
            count=layer.count,
            where=params.where,
            encoding=params.encoding,
            src_crs=src.to_wkt() if src is not None else "",
            dst_crs=dst.to_wkt() if dst is not None else "",
            format=str(task.output["format"]),
            layer_name=_layer_name(task.key),
            options=options,
            cell=0,
            place=place,
            lost=layer.lost,
        )
        return _with_chunks(task, plan, layer, told, divisible=divisible)


# --- what the source is ------------------------------------------------------------------------


def _ogr_layer(
    task: ProbeTask, place: str, params: VectorParams, drivers: tuple[str, ...]
) -> _Layer:
    name = _choose_layer(task, place)
    with source.ogr_errors(task.source, name):
        encoding = params.encoding or None
        sequence = "GeoJSONSeq" in drivers
        info = pyogrio.read_info(
            place,
            layer=name,
            encoding=encoding,
            force_feature_count=not params.where and not sequence,
        )
        if info["driver"] not in drivers:
            raise UnsupportedFormatError(
                f"{task.source} is opened as {info['driver']}, but looks like {drivers[0]}"
            )
        if params.encoding and info["driver"] != "ESRI Shapefile":
            raise SchemaError(
                f"op.encoding is for Shapefiles; {info['driver']} is read as UTF-8 ({task.source})",
                hint="leave it empty, and recode the file first, as with iconv",
            )
        if info["geometry_type"] is None:
            raise SchemaError(f"layer {name!r} of {task.source} has no geometry")
        columns = _columns(params.columns, [str(field) for field in info["fields"]], task.source)
        count = int(info["features"])
        left_out: tuple[int, ...] = ()
        if info["driver"] == "GeoJSONSeq":
            # OGR's own count is of objects, also of those that are no features.
            count = _count(place, name, "", "GeoJSONSeq")
            left_out = lost(task.source, count)
        if params.where or (info["driver"] == "ESRI Shapefile" and _has_deleted(place)):
            count = _count(place, name, params.where, str(info["driver"]), encoding)
        with pyogrio.open_arrow(
            place, layer=name, encoding=encoding, columns=columns, use_pyarrow=True
        ) as (meta, reader):
            names = [field for field in reader.schema.names if field in columns]
            schema = pa.schema([_plain(reader.schema.field(field)) for field in names])
            geometry = str(meta["geometry_name"] or "")
    return _Layer(
        driver=str(info["driver"]),
        name=name,
        fields=schema,
        geometry=geometry,
        geometry_type=str(info["geometry_type"]),
        fid_column=str(info["fid_column"] or ""),
        crs=info["crs"],
        count=count + len(left_out),
        encoding=params.encoding,
        lost=left_out,
        jumps=bool(info["capabilities"]["fast_set_next_by_index"]),
    )


def _choose_layer(task: ProbeTask, place: str) -> str:
    with source.ogr_errors(task.source):
        names = [str(name) for name, _ in pyogrio.list_layers(place)]
    asked = str(task.source_options.get("layer") or "")
    shown = ", ".join(repr(name) for name in names[:20])
    if asked:
        if asked not in names:
            raise SchemaError(f"{task.source} has no layer {asked!r}, only {shown}")
        return asked
    if len(names) > 1:
        raise SchemaError(
            f"{task.source} has {len(names)} layers: {shown}",
            hint="say which one: source.layer",
        )
    if not names:
        raise EmptyInputError(f"{task.source} has no layer")
    return names[0]


def _columns(asked: tuple[str, ...] | None, there: list[str], path: str) -> list[str]:
    if asked is None:
        return there
    if missing := [name for name in asked if name not in there]:
        raise SchemaError(
            f"{path} has no field {missing[0]!r}; it has {', '.join(map(repr, there[:50]))}"
        )
    return [name for name in there if name in asked]


def _count(path: str, layer: str, where: str, driver: str, encoding: str | None = None) -> int:
    """Features that ``where`` leaves, in one pass over the attributes."""
    with pyogrio.open_arrow(
        path,
        layer=layer,
        encoding=encoding,
        columns=source.columns_for(driver, where, ()),
        read_geometry=False,
        return_fids=True,
        where=where or None,
        use_pyarrow=True,
    ) as (_, reader):
        return sum(batch.num_rows for batch in reader)


def _plain(field: pa.Field) -> pa.Field:
    """A field without notes on its origin; what follows from them is in its type."""
    return pa.field(field.name, field.type, nullable=True)


def _parquet_layer(path: str, params: VectorParams) -> _Layer:
    if params.where:
        raise SchemaError(
            f"where is not read for GeoParquet ({path})",
            hint="use vector.filter by bounds, or convert the file to GPKG first",
        )
    with source.ogr_errors(path), pq.ParquetFile(path) as file:
        schema, meta = file.schema_arrow, file.metadata
        raw = (schema.metadata or {}).get(b"geo") or (meta.metadata or {}).get(b"geo")
        if raw is None:
            raise SchemaError(f"{path} is Parquet, but not GeoParquet: it has no key 'geo'")
        geo = json.loads(raw)
        name = str(geo["primary_column"])
        column = geo["columns"][name]
        if str(column.get("encoding")) != "WKB":
            raise SchemaError(f"{path}: geometry is encoded as {column.get('encoding')}, not WKB")
        drop = {name, *_covering(column)}
        there = [field for field in schema.names if field not in drop]
        chosen = _columns(params.columns, there, path)
        fields = pa.schema([_plain(schema.field(field)) for field in chosen])
        rows = _uniform_groups(meta)
        count = int(meta.num_rows)
    crs: Any = column.get("crs", "OGC:CRS84")
    kinds = column.get("geometry_types") or []
    return _Layer(
        driver="Parquet",
        name="",
        fields=fields,
        geometry=name,
        geometry_type=str(kinds[0]) if len(kinds) == 1 else "Unknown",
        fid_column="",
        crs=json.dumps(crs) if isinstance(crs, dict) else crs,
        count=count,
        encoding="",
        rows=rows,
    )


def _covering(column: dict[str, Any]) -> set[str]:
    """Columns that only hold boxes of the geometries: they are computed anew."""
    box = column.get("covering", {}).get("bbox", {})
    return {str(path[0]) for path in box.values()}


def _uniform_groups(meta: Any) -> int:
    """Rows of each row group, if all but the last have the same and none is large; else 0."""
    sizes = [meta.row_group(index).num_rows for index in range(meta.num_row_groups)]
    largest = max(
        (meta.row_group(index).total_byte_size for index in range(meta.num_row_groups)), default=0
    )
    if not sizes or largest > _LARGE_GROUP or len(set(sizes[:-1])) > 1 or sizes[-1] > sizes[0]:
        return 0
    return int(sizes[0])


def _crs(
    task: ProbeTask, layer: _Layer, dst_crs: str, told: list[str]
) -> tuple[CRS | None, CRS | None]:
    assigned = str(task.source_options.get("src_crs") or "")
    text = assigned or layer.crs
    if not text:
        if dst_crs:
            raise CrsError(f"{task.source} has no CRS")
        told.append("the source has no CRS, nor has the output")
        return None, None
    src = horizontal(parse(text, "the CRS of the source", CrsError), "the source", told)
    wanted = str(task.source_options.get("require_crs") or "")
    if wanted and not src.equals(parse(wanted, "require_crs", CrsError), ignore_axis_order=True):
        raise CrsError(f"{task.source} is in {src.name!r}, require_crs asks for {wanted}")
    dst = src
    if dst_crs:
        dst = horizontal(parse(dst_crs, "dst_crs", PreflightError), "dst_crs", told)
        _tell_of_datum(src, dst, told)
    if str(task.output["format"]) in {"GeoJSON", "GeoJSONSeq"}:
        _require_lonlat(dst, CrsError if not dst_crs else PreflightError)
    return src, dst


def _require_lonlat(crs: CRS, error: type[GeobatchError]) -> None:
    if not crs.equals(CRS.from_epsg(4326), ignore_axis_order=True):
        raise error(
            f"GeoJSON is in longitude and latitude on WGS 84 (RFC 7946), not in {crs.name!r}",
            hint="vector.reproject with dst_crs = EPSG:4326, or another output.format",
        )


def _tell_of_datum(src: CRS, dst: CRS, told: list[str]) -> None:
    with filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        group = TransformerGroup(src, dst, always_xy=True)
    if not group.transformers:
        raise CrsError(f"PROJ knows no way from {src.name!r} to {dst.name!r}")
    if group.best_available or not group.unavailable_operations:
        return
    best = group.unavailable_operations[0]
    missing = [grid.short_name for grid in best.grids if not grid.available]
    told.append(
        f"the best transformation to {dst.name!r} ({best.accuracy:g} m) needs "
        f"{', '.join(missing) or 'a grid'}, which PROJ does not find"
    )


def _tell_of_records(layer: _Layer, told: list[str]) -> None:
    if layer.lost:
        shown = ", ".join(map(str, layer.lost[:20])) + (", ..." if len(layer.lost) > 20 else "")
        told.append(f"{len(layer.lost)} records are no features, and are set aside: {shown}")


def _tell_of_geometry(layer: _Layer, told: list[str]) -> None:
    kind = layer.geometry_type
    if "Measured" in kind or kind.endswith((" M", " ZM")):
        told.append(f"the source has measures (M, {kind!r}): they are dropped")
    if any(word in kind for word in ("Curve", "Surface", "CircularString", "TIN")):
        told.append(f"the source has curves or surfaces ({kind!r}): such features are quarantined")


def _layer_name(key: str) -> str:
    return Path(key.removesuffix(".zip")).stem or "layer"


# --- chunks ------------------------------------------------------------------------------------


def _with_chunks(
    task: ProbeTask, plan: VectorPlan, layer: _Layer, told: list[str], *, divisible: bool
) -> ItemPlan:
    if plan.count < 1:
        raise EmptyInputError(
            f"{task.source} has no features" + (" that satisfy where" if plan.where else "")
        )
    packed = plan.place != task.source
    size = archive.look_into(task.source)[2] if packed else sources.status(task.source)[0]
    if not packed and plan.driver == "ESRI Shapefile":
        with contextlib.suppress(OSError):
            size += Path(task.source).with_suffix(".dbf").stat().st_size
    each = max(size / plan.count, 64.0)
    cell = row_group(each) if plan.format == "GeoParquet" else 0
    features = task.chunking.features
    if not features:
        size_of = _SLOW_BYTES if divisible else CHUNK_BYTES
        features = _features(each, 0 if divisible else cell, size_of, task.chunking.max_bytes)
    access: Access = "drain"
    edges: tuple[int, ...] = ()
    if not packed:
        access, edges = _access(task.source, plan, features, jumps=layer.jumps)
    if access == "rows":
        features = max(features // layer.rows, 1) * layer.rows
        if features == layer.rows and plan.count <= layer.rows:
            features = plan.count
    grid = ChunkGrid(plan.count, 1, min(features, plan.count), 1)
    values = plan.to_json() | {"access": access, "edges": list(edges), "cell": cell}
    return ItemPlan(
        grid=grid,
        chunk_bytes=int(_BASE + _FACTOR * each * grid.chunk_width),
        output_bytes=int(4 * size + 2**20),
        detail=values,
        bounds_lonlat=None,
        warnings=tuple(told),
        notes={
            "driver": plan.driver,
            "layer": plan.layer,
            "features": plan.count,
            "geometry_type": layer.geometry_type,
            "access": access,
            **({"divisible": True} if divisible else {}),
        },
    )


def _features(each: float, cell: int, size: int, max_bytes: int) -> int:
    """Features of a chunk: whole cells, as these are encoded by the chunk, if there is room."""
    room = max((max_bytes - _BASE) // _FACTOR, 2**16) if max_bytes else 2**62
    if cell and cell * each <= room:
        return max(int(min(size, room) / each) // cell, 1) * cell
    return int(min(max(min(size, room) / each, _FEWEST), _MOST))


def _access(
    path: str, plan: VectorPlan, features: int, *, jumps: bool
) -> tuple[Access, tuple[int, ...]]:
    """How chunks of ``features`` are read; ``jumps``: OGR goes to a record by its number."""
    if plan.driver in {"GPKG", "SQLite"} and plan.fid_column:
        edges = _fid_edges(path, plan, features)
        return ("fid", edges) if edges else ("drain", ())
    if plan.driver == "ESRI Shapefile" and not plan.where and not _has_deleted(path):
        return "window", ()
    if plan.driver == "OpenFileGDB" and not plan.where and jumps:
        return "window", ()
    if plan.driver == "Parquet":
        with pq.ParquetFile(path) as file:
            return ("rows" if _uniform_groups(file.metadata) else "drain"), ()
    return "drain", ()


def _fid_edges(path: str, plan: VectorPlan, features: int) -> tuple[int, ...]:
    """First id of each chunk, and one beyond the last; empty if ids come in no order."""
    if plan.where:
        return _edges_by_where(path, plan, features)
    fid, table = (name.replace('"', '""') for name in (plan.fid_column, plan.layer))
    edges: list[int] = []
    with contextlib.closing(_open_sqlite(path)) as connection, source.ogr_errors(path, plan.layer):
        low, high, count = connection.execute(
            f'SELECT min("{fid}"), max("{fid}"), count(*) FROM "{table}"'  # noqa: S608 - quoted
        ).fetchone()
        if count != plan.count:
            raise SchemaError(
                f"layer {plan.layer!r} of {path} has {count} rows, but says {plan.count}",
                hint="copy the layer with ogr2ogr: that counts it anew",
            )
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


def _open_sqlite(path: str) -> sqlite3.Connection:
    uri = Path(path).as_uri()
    connection = sqlite3.connect(f"{uri}?mode=ro", uri=True)
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.OperationalError:
        # A write-ahead log on a medium that cannot be written.
        connection.close()
        connection = sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True)
    return connection


def _edges_by_where(path: str, plan: VectorPlan, features: int) -> tuple[int, ...]:
    edges: list[int] = []
    seen, last = 0, -(2**63)
    with (
        source.ogr_errors(path, plan.layer),
        pyogrio.open_arrow(
            path,
            layer=plan.layer,
            columns=[],
            read_geometry=False,
            return_fids=True,
            where=plan.where,
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


def _has_deleted(path: str) -> bool:
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
