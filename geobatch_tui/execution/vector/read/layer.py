"""What a vector source says of itself: its layer, fields, CRS and number of features."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from geobatch_tui.errors import (
    CorruptSourceError,
    MemoryBudgetError,
    SchemaError,
    UnsupportedFormatError,
)
from geobatch_tui.execution.vector.fields import field_types, source_ids
from geobatch_tui.execution.vector.formats import (
    geojson,
    geojsonseq,
    geoparquet_key,
    shapefile_encoding,
    shapefile_rows,
)
from geobatch_tui.execution.vector.ogr import (
    archive,
    domains,
    errors,
    ogr_drivers,
    sqlite,
    stream,
    time_zones,
)
from geobatch_tui.execution.vector.ogr.exact_names import exact
from geobatch_tui.execution.vector.ogr.pyogrio_import import MEASURED, pyogrio
from geobatch_tui.execution.vector.plan import TABLE
from geobatch_tui.execution.vector.read import batch_reader, chunk_access, layer_list
from geobatch_tui.execution.vector.read.where import Condition, fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow.parquet as pq

    from geobatch_tui.execution.params.vector_params import VectorParams
    from geobatch_tui.execution.protocol.messages import ProbeTask

#: Features of GML that are left out one by one; a file with more is refused.
_MOST = 10_000
#: Drivers that end at what they cannot read as if nothing followed.
_COUNTED = frozenset({"GML", "SQLite"})
#: Drivers that do so where a condition is asked of them, too, so that all is counted before.
_ENDS_EARLY = frozenset({"SQLite", "FlatGeobuf"})
#: Drivers whose tables without geometry are taken.
_TABLES = frozenset({"GPKG", "SQLite", "OpenFileGDB", "CSV"})
#: How Arrow names geometries of OGR's.
_GEOMETRIES = frozenset((b"geoarrow.wkb", b"ogc.wkb"))
#: The encoding of a Shapefile in which OGR gives its text, if it knows that of the file.
_KNOWN = "UTF-8"
_CHECK_WHERE = "check where; names are in double quotes, text is in single ones"


@dataclass(frozen=True, slots=True)
class Layer:
    """What a source says of itself. ``place``: what OGR opens. ``fields``: schema of the
    attributes. ``none_left``: ``where`` leaves no feature; then ``count`` is of all. ``largest``:
    bytes that OGR needs for the largest feature. ``measured``: geometries have M, as the source
    says. ``id_name``, ``id_is_key``: as in the plan. ``geo``: see ``geokey``. ``widths``: of text
    fields, where the source declares them."""

    driver: str
    place: str
    name: str
    fields: pa.Schema
    geometry: str
    geometry_type: str
    fid_column: str
    crs: str | None
    count: int
    encoding: str
    rows: int = 0
    as_text: bool = False
    told: tuple[str, ...] = ()
    jumps: bool = False
    lost: tuple[int, ...] = ()
    shared: tuple[int, ...] = ()
    none_left: bool = False
    namesakes: bool = False
    largest: int = 0
    measured: bool = False
    id_name: str = ""
    id_is_key: bool = False
    geo: Mapping[str, Any] = field(default_factory=dict)
    widths: Mapping[str, int] = field(default_factory=dict)


def ogr_layer(task: ProbeTask, place: str, params: VectorParams, drivers: tuple[str, ...]) -> Layer:
    """The layer of a source that OGR opens at ``place`` by one of ``drivers``.

    Raises:
        InvalidInputError and its kin: it cannot be read as asked.
    """
    text = _collection(task, place, drivers)
    name = layer_list.choose(task, place, drivers)
    with errors.ogr_errors(task.source, name):
        place, info, encoding, unsaid = _info(task, place, name, params, drivers)
        if params.where:
            _refuse_faulty(task.source, info, params.where)
        read = _read(task, place, name, info, params, encoding)
        counted = _counted(task.source, place, name, params, info, encoding, text)
        _refuse_large(task, counted["largest"])
        told = _further_geometries(read.whole, read.geometry)
        measured = _is_measured(place, name, info)
        domains.tell(read.fields, told)
        if info["driver"] == "ESRI Shapefile":
            if unsaid and any(pa.types.is_string(each.type) for each in read.schema):
                told.append(unsaid)
            _tell_of_table(place, told)
            shapefile_rows.tell_of_rest(task.source, place, told)
        if read.numbered:
            shown = ", ".join(map(repr, read.numbered))
            told.append(f"fields with the name of another get a number: {shown}")
        in_utc = time_zones.zoned(place, name, read.schema, told, namesakes=bool(read.numbered))
    return Layer(
        driver=str(info["driver"]),
        place=place,
        name=name,
        fields=read.schema if in_utc is None else in_utc,
        as_text=in_utc is not None,
        told=tuple(told),
        geometry=read.geometry,
        geometry_type=str(info["geometry_type"]),
        measured=measured,
        id_name=read.id_name,
        id_is_key=read.id_is_key,
        namesakes=bool(read.numbered),
        fid_column=str(info["fid_column"] or ""),
        crs=info["crs"],
        encoding=encoding,
        jumps=bool(info["capabilities"]["fast_set_next_by_index"]),
        widths=_widths(read.fields),
        **counted,
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """What OGR reads of a layer: all columns; those of ``fields`` that are asked for, as they are
    and as ``schema`` with the ids; and as in :class:`Layer`."""

    whole: pa.Schema
    fields: list[pa.Field]
    schema: pa.Schema
    geometry: str
    id_name: str
    id_is_key: bool
    numbered: list[str]


def _read(
    task: ProbeTask,
    place: str,
    name: str,
    info: dict[str, Any],
    params: VectorParams,
    encoding: str,
) -> _Read:
    form, given = str(task.output["format"]), [str(field) for field in info["fields"]]
    all_fields = stream.each_once(given)
    own_id = _id_that_is_a_field(place, name, info)
    id_name, is_key = ("", False) if own_id else source_ids.key(info, form, params.columns)
    ids = own_id or [id_name] * (bool(id_name) and not is_key)
    columns = _columns(params.columns, [*ids, *all_fields], task.source)
    members = info["driver"] in source_ids.MEMBERS
    with pyogrio.open_arrow(
        exact(place),
        layer=name,
        encoding=encoding or None,
        columns=columns if given == all_fields else None,
        return_fids=members,
        batch_size=source_ids.FIRST,
        use_pyarrow=True,
    ) as (meta, reader):
        whole = reader.schema.remove(0) if members else reader.schema
        if members:
            id_name = source_ids.member(reader, form, params.columns, all_fields)
            ids = [id_name] if id_name else []
        geometry = str(meta["geometry_name"] or "")
        table = info["geometry_type"] == TABLE
        shape = None if table else stream.place_of(geometry or batch_reader.UNNAMED, whole)
        found = [field for n, field in enumerate(whole) if n != shape]
        called = stream.each_once([field.name for field in found])
        fields = [one.with_name(name) for one, name in zip(found, called, strict=True)]
        fields = [field for field in fields if field.name in columns]
    numbered = [name for name in all_fields if name not in given]
    first = [pa.field(field, pa.int64()) for field in ids if field == id_name or field in columns]
    schema = pa.schema([*first, *map(domains.coded, fields)])
    return _Read(whole, fields, schema, geometry, id_name, is_key, numbered)


def _widths(fields: list[pa.Field]) -> dict[str, int]:
    """Widths of text fields, as OGR gives them, that declare one."""
    said = {each.name: (each.metadata or {}).get(field_types.WIDTH.encode()) for each in fields}
    return {name: int(width) for name, width in said.items() if width}


def _is_measured(place: str, name: str, info: dict[str, Any]) -> bool:
    """Whether a layer says that its geometries have M, all or some of them."""
    if info["driver"] == "GPKG" and not archive.is_inside(place):
        asked = "SELECT m FROM gpkg_geometry_columns WHERE table_name = ?"
        with contextlib.closing(sqlite.open_sqlite(place)) as connection:
            return connection.execute(asked, (name,)).fetchone() not in {None, (0,)}
    return bool(info["measured"])


def _collection(task: ProbeTask, place: str, drivers: tuple[str, ...]) -> tuple[int, int] | None:
    """What :func:`geojson.objects` says of a file that is a collection, by its name; None for
    others. OGR parses the largest feature to say what layers there are: this looks before."""
    if drivers[0] != "GeoJSON":
        return None
    with errors.ogr_errors(task.source):
        found = geojson.objects(task.source, place)
    _refuse_large(task, found[1])
    return found


def _refuse_large(task: ProbeTask, largest: int) -> None:
    """Refuse a source whose largest feature OGR cannot parse within the memory budget, for
    ``largest`` bytes.

    Raises:
        MemoryBudgetError: it is so; no smaller chunk would do.
    """
    most = task.chunking.most_bytes
    if not 0 < most < largest:
        return
    lacking = (largest - most) / 2**20
    raise MemoryBudgetError(
        f"the largest feature of {task.source} takes about {math.ceil(largest / 2**20)} MiB when "
        f"OGR parses it, and engine.memory_budget leaves {most // 2**20} MiB for that",
        hint=f"raise engine.memory_budget by {math.ceil(lacking)} MiB, or have ogr2ogr make a "
        "FlatGeobuf or GeoPackage of it first",
    )


def _told(place: str, how: dict[str, Any]) -> dict[str, Any]:
    """What pyogrio says of a layer; ``measured``: and that its type has M."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        info: dict[str, Any] = pyogrio.read_info(exact(place), **how)
    info["measured"] = any(str(one.message).startswith(MEASURED) for one in said)
    return info


def _further_geometries(schema: pa.Schema, first: str) -> list[str]:
    """What to tell of geometry fields of a layer beside the ``first``, which alone is read."""
    others = [
        each.name
        for each in schema
        if (each.metadata or {}).get(b"ARROW:extension:name") in _GEOMETRIES
        and each.name != (first or batch_reader.UNNAMED)
    ]
    shown = ", ".join(map(repr, others))
    return [f"of several geometry fields only {first!r} is read, not {shown}"] if others else []


def _id_that_is_a_field(place: str, name: str, info: dict[str, Any]) -> list[str]:
    """The name of the first column of a view, which OGR takes for the id, if there is nothing to
    say that it is one; else none.

    Raises:
        SchemaError: it is no id, as OGR takes it.
    """
    fid = str(info["fid_column"] or "")
    if info["driver"] != "GPKG" or not fid or archive.is_inside(place):
        return []
    return [fid] if chunk_access.is_field_of_view(place, name, fid) else []


def _counted(
    path: str,
    place: str,
    name: str,
    params: VectorParams,
    info: dict[str, Any],
    encoding: str,
    text: tuple[int, int] | None,
) -> dict[str, Any]:
    """How many features a layer has, those of OGR's and those that it leaves out: fields of
    :class:`Layer`. ``text``: as :func:`_collection` found."""
    driver = str(info["driver"])
    count = int(info["features"])
    lost: tuple[int, ...] = ()
    shared: tuple[int, ...] = ()
    largest = 0
    if driver == "GeoJSONSeq":
        # OGR's own count is of objects, also of those that are no features.
        count = _count(place, name, "", driver)
        lost = geojsonseq.lost(path, count)
        shared = geojsonseq.shared(path, lost)
        largest = geojson.needed(geojsonseq.largest(path))
    if driver in _ENDS_EARLY and params.where and count >= 0:
        read = _count(place, name, "", driver)
        if read != count:
            raise CorruptSourceError(f"{path} has {count} features, of which OGR reads {read}")
    if driver == "ESRI Shapefile":
        shapefile_rows.refuse_uneven(path, place)
    if driver == "GeoJSON":
        whole = count if count >= 0 else _count(place, name, "", driver)
        objects, largest = text or geojson.objects(path, place)
        lost = geojson.lost(path, place, whole, objects)
    if driver == "GML":
        lost = _left_out(path, place, name, count)
        count -= len(lost)
    if params.where or (driver == "ESRI Shapefile" and chunk_access.has_deleted(place)):
        count = _count(place, name, params.where, driver, encoding)
    none_left = bool(params.where) and not (count or lost or shared)
    if none_left:
        count = _count(place, name, "", driver, encoding)
    return {
        "count": count + len(lost) + len(shared),
        "lost": lost,
        "shared": shared,
        "none_left": none_left,
        "largest": largest,
    }


def _left_out(path: str, place: str, name: str, count: int) -> tuple[int, ...]:
    """Numbers, from 1, of the features of GML, ``count`` in all, whose geometry OGR cannot read."""
    found = batch_reader.all_ids(path, place, name)
    lacking = count - len(found)
    if not lacking:
        return ()
    # Without ids of their own, or with ids in their order, OGR numbers them.
    missing = np.setdiff1d(np.arange(count), found)
    if len(missing) == lacking <= _MOST:
        return tuple((missing + 1).tolist())
    raise CorruptSourceError(
        f"{path} has {count} features, of which OGR reads {len(found)}",
        hint="repair the geometries of the others; which ones these are is not known, or they are "
        "too many",
    )


def _info(
    task: ProbeTask, place: str, name: str, params: VectorParams, drivers: tuple[str, ...]
) -> tuple[str, dict[str, Any], str, str]:
    """The place at which OGR says something of a layer, and what it says; the encoding of its text,
    empty where OGR knows it, and what to tell of one that no file says."""
    named = (
        ""
        if params.encoding in {shapefile_encoding.AUTO, shapefile_encoding.STRICT}
        else params.encoding
    )
    how: dict[str, Any] = {
        "layer": name,
        "encoding": named or None,
        # By it, what OGR leaves out is known; or raised, where a database is damaged.
        "force_feature_count": not _COUNTED.isdisjoint(drivers)
        or (not params.where and "GeoJSONSeq" not in drivers),
    }
    info = _told(place, how)
    # OGR takes a text sequence for GeoJSON if its second record is no object: of one feature.
    single = info["driver"] == "GeoJSON" and info["features"] < 2
    if single and geojson.goes_on(task.source, place):
        if archive.is_inside(place) or not geojsonseq.is_one(place):
            raise CorruptSourceError(
                f"{task.source} goes on after its first feature, which is all that OGR reads",
                hint="write one feature a line, as jq -c does, or a FeatureCollection",
            )
        place = ogr_drivers.SEQUENCE + place
        info = _told(place, how)
    if info["driver"] not in drivers:
        raise UnsupportedFormatError(
            f"{task.source} is opened as {info['driver']}, but looks like {drivers[0]}"
        )
    if named and info["driver"] != "ESRI Shapefile":
        raise SchemaError(
            f"op.encoding is for Shapefiles; {info['driver']} is read as UTF-8 ({task.source})",
            hint="leave it at auto, and recode the file first, as with iconv",
        )
    if info["geometry_type"] is None:
        if info["driver"] not in _TABLES:
            raise SchemaError(f"layer {name!r} of {task.source} has no geometry")
        info["geometry_type"] = TABLE
    if named or info["encoding"] == _KNOWN or info["driver"] != "ESRI Shapefile":
        return place, info, named, ""
    found = (
        shapefile_encoding.found(task.source, place)
        if params.encoding == shapefile_encoding.AUTO
        else ""
    )
    unsaid = shapefile_encoding.told(found, params.encoding)
    if found in {shapefile_encoding.UTF8, shapefile_encoding.WINDOWS}:
        return place, _told(place, how | {"encoding": found}), found, unsaid
    return place, info, "", unsaid


def _refuse_faulty(path: str, info: dict[str, Any], where: str) -> None:
    """Raises SchemaError where SQLite, which OGR hands a condition to, has a fault to find with
    it."""
    if info["driver"] in {"GPKG", "SQLite"}:
        own = [str(info[name]) for name in ("fid_column", "geometry_name") if info[name]]
        if said := fault(where, [*map(str, info["fields"]), *own]):
            raise SchemaError(f"where, for {path}: {said}", hint=_CHECK_WHERE)


def _tell_of_table(place: str, told: list[str]) -> None:
    if not place.startswith("/vsi") and not any(
        Path(place).with_suffix(suffix).exists() for suffix in (".dbf", ".DBF")
    ):
        told.append("there is no .dbf file: features have no attributes")


def _columns(asked: tuple[str, ...] | None, there: list[str], path: str) -> list[str]:
    if asked is None:
        return there
    if missing := [name for name in asked if name not in there]:
        raise SchemaError(
            f"{path} has no field {missing[0]!r}; it has {', '.join(map(repr, there[:50]))}"
        )
    return [name for name in there if name in asked]


def _count(path: str, layer: str, where: str, driver: str, encoding: str = "") -> int:
    """Features that ``where`` leaves, in one pass over the attributes."""
    with pyogrio.open_arrow(
        exact(path),
        layer=layer,
        encoding=encoding or None,
        columns=batch_reader.columns_for(driver, where, ()),
        read_geometry=False,
        return_fids=True,
        where=where or None,
        use_pyarrow=True,
    ) as (_, reader):
        return sum(batch.num_rows for batch in reader)


def _plain(field: pa.Field) -> pa.Field:
    """A field without notes on its origin; what follows from them is in its type."""
    return pa.field(field.name, field.type, nullable=True)


def parquet_layer(path: str, params: VectorParams) -> Layer:
    """The layer of a GeoParquet file.

    Raises: as :func:`ogr_layer`.
    """
    with errors.ogr_errors(path), batch_reader.parquet_file(path) as file:
        schema, meta = file.schema_arrow, file.metadata
        raw = (schema.metadata or {}).get(b"geo") or (meta.metadata or {}).get(b"geo")
        geo = json.loads(raw) if raw is not None else geoparquet_key.native(file)
        if geo is None:
            raise SchemaError(
                f"{path} is Parquet, but not GeoParquet: it has no key 'geo', and no column of "
                "type GEOMETRY or GEOGRAPHY"
            )
        if said := geoparquet_key.fault(geo):
            raise SchemaError(
                f"{path}: its key 'geo' is not as GeoParquet has it: {said}",
                hint="write the file again, as with ogr2ogr or GeoPandas",
            )
        name = str(geo["primary_column"])
        column = geo["columns"][name]
        if str(column.get("encoding")) != "WKB":
            raise SchemaError(f"{path}: geometry is encoded as {column.get('encoding')}, not WKB")
        drop = {name, *_covering(column)}
        there = [field for field in schema.names if field not in drop]
        chosen = _columns(params.columns, there, path)
        fields = pa.schema([_plain(schema.field(field)) for field in chosen])
        rows = chunk_access.uniform_groups(meta)
        count = int(meta.num_rows)
        none_left = False
        if params.where:
            count = _count_rows(file, Condition(params.where, there), name, path)
            none_left = not count
            count = count or int(meta.num_rows)
    crs: Any = column.get("crs", "OGC:CRS84")
    kinds = column.get("geometry_types") or []
    return Layer(
        driver="Parquet",
        place=path,
        name="",
        fields=fields,
        geometry=name,
        geometry_type=str(kinds[0]) if len(kinds) == 1 else "Unknown",
        measured=any(str(kind).endswith("M") for kind in kinds),
        fid_column="",
        crs=json.dumps(crs) if isinstance(crs, dict) else crs,
        count=count,
        encoding="",
        rows=rows,
        none_left=none_left,
        geo=geoparquet_key.described(geo, name, chosen),
    )


def _count_rows(file: pq.ParquetFile, condition: Condition, geometry: str, path: str) -> int:
    """Features that ``condition`` leaves, in one pass over the attributes in question."""
    columns = condition.names or [geometry]
    try:
        return sum(
            int(condition.holds(batch).sum())
            for batch in file.iter_batches(batch_reader.BATCH, columns=columns, use_threads=False)
        )
    except sqlite3.Error as error:
        raise SchemaError(f"where, for {path}: {error}", hint=_CHECK_WHERE) from error


def _covering(column: dict[str, Any]) -> set[str]:
    """Columns that only hold boxes of the geometries: they are computed anew."""
    box = column.get("covering", {}).get("bbox", {})
    return {str(path[0]) for path in box.values()}
