"""The layer of a vector source: its fields, CRS, number of features and what is odd about them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from geobatch_tui.errors import MemoryBudgetError, SchemaError, UnsupportedFormatError
from geobatch_tui.execution.vector.fields import field_types, source_ids
from geobatch_tui.execution.vector.formats.source_format import AUTO, STRICT, OpenLayer, format_of
from geobatch_tui.execution.vector.ogr import errors, stream, time_zones
from geobatch_tui.execution.vector.ogr.exact_names import exact
from geobatch_tui.execution.vector.ogr.layer_info import layer_info
from geobatch_tui.execution.vector.ogr.pyogrio_import import pyogrio
from geobatch_tui.execution.vector.output_format import OUTPUT_FORMATS
from geobatch_tui.execution.vector.plan import TABLE
from geobatch_tui.execution.vector.read import batch_reader, layer_list

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geobatch_tui.execution.params.vector_params import VectorParams
    from geobatch_tui.execution.protocol.messages import Json, ProbeTask
    from geobatch_tui.execution.vector.formats.source_format import FeatureCount, SourceFormat
    from geobatch_tui.execution.vector.ogr.layer_info import LayerInfo

#: Names of Arrow's extension types for geometries.
_GEOMETRIES = frozenset((b"geoarrow.wkb", b"ogc.wkb"))


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer as its source describes it.

    Attributes:
        driver, place, geometry_type, encoding, lost, shared, namesakes, id_name, id_is_key: as in
            the plan.
        name: of the layer.
        fields: schema of the attributes.
        geometry: name of the geometry column.
        fid_column: name of the ids.
        crs: as a text that PROJ reads.
        count: features, and records that are set aside; if ``where`` leaves none: all features.
        rows: of each row group of GeoParquet; 0 if these are not even.
        as_text: moments are read as text, as they have zones.
        warnings: for the plan.
        jumps: OGR goes to a record by its number.
        none_left: ``where`` leaves no feature.
        largest: bytes that OGR needs for the largest feature.
        measured: geometries have M, as the source says.
        geo: see ``geoparquet_key``.
        widths: of text fields, where the source declares them.
    """

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
    warnings: tuple[str, ...] = ()
    jumps: bool = False
    lost: tuple[int, ...] = ()
    shared: tuple[int, ...] = ()
    none_left: bool = False
    namesakes: bool = False
    largest: int = 0
    measured: bool = False
    id_name: str = ""
    id_is_key: bool = False
    geo: Json = field(default_factory=dict)
    widths: Mapping[str, int] = field(default_factory=dict)


def ogr_layer(task: ProbeTask, place: str, params: VectorParams, drivers: tuple[str, ...]) -> Layer:
    """Read what a source says that OGR opens at ``place`` by one of ``drivers``.

    Raises:
        InvalidInputError and its kin: it cannot be read as asked.
    """
    scanned = format_of(drivers[0]).scan(task.source, place)
    if scanned is not None:
        _refuse_large(task, scanned[1])
    name = layer_list.choose(task, place, drivers)
    with errors.ogr_errors(task.source, name):
        layer = OpenLayer(task.source, place, name, _info(place, name, params, drivers), scanned)
        layer, encoding, unsaid = _opened(layer, params, drivers)
        form = format_of(layer.info["driver"])
        if params.where:
            form.refuse_where(layer, params.where)
        read = _read(task, layer, form, params, encoding)
        counted, none_left = _counted(layer, form, params.where, encoding)
        _refuse_large(task, counted.largest)
        warnings = _further_geometries(read.whole, read.geometry)
        measured = form.is_measured(layer)
        stream.warn_of_domains(read.fields, warnings)
        if unsaid and any(pa.types.is_string(each.type) for each in read.schema):
            warnings.append(unsaid)
        form.warn(layer, warnings)
        if read.numbered:
            shown = ", ".join(map(repr, read.numbered))
            warnings.append(f"fields with the name of another get a number: {shown}")
        in_utc = time_zones.zoned(
            layer.place, name, read.schema, warnings, namesakes=bool(read.numbered)
        )
    return Layer(
        driver=layer.info["driver"],
        place=layer.place,
        name=name,
        fields=read.schema if in_utc is None else in_utc,
        as_text=in_utc is not None,
        warnings=tuple(warnings),
        geometry=read.geometry,
        geometry_type=str(layer.info["geometry_type"]),
        measured=measured,
        id_name=read.id_name,
        id_is_key=read.id_is_key,
        namesakes=bool(read.numbered),
        fid_column=layer.info["fid_column"],
        crs=layer.info["crs"],
        encoding=encoding,
        jumps=layer.info["capabilities"]["fast_set_next_by_index"],
        widths=_widths(read.fields),
        count=counted.read + len(counted.lost) + len(counted.shared),
        lost=counted.lost,
        shared=counted.shared,
        largest=counted.largest,
        none_left=none_left,
    )


def _info(
    place: str, name: str, params: VectorParams, drivers: tuple[str, ...], encoding: str = ""
) -> LayerInfo:
    """Ask OGR about a layer."""
    formats = [format_of(driver) for driver in drivers]
    # OGR's count shows what it leaves out, and that a database is damaged.
    count = any(form.is_counted for form in formats) or (
        not params.where and all(form.knows_count for form in formats)
    )
    named = "" if params.encoding in {AUTO, STRICT} else params.encoding
    return layer_info(place, name, encoding=encoding or named, count=count)


def _opened(
    layer: OpenLayer, params: VectorParams, drivers: tuple[str, ...]
) -> tuple[OpenLayer, str, str]:
    """Choose how OGR opens a layer: its place, what it says there, the encoding of its text, empty
    where OGR knows it, and a warning about one that no file says."""
    place = format_of(layer.info["driver"]).place_to_open(layer)
    if place != layer.place:
        layer = replace(layer, place=place, info=_info(place, layer.name, params, drivers))
    info = layer.info
    if info["driver"] not in drivers:
        raise UnsupportedFormatError(
            f"{layer.path} is opened as {info['driver']}, but looks like {drivers[0]}"
        )
    form = format_of(info["driver"])
    encoding, unsaid = form.encoding(layer, params.encoding)
    if info["geometry_type"] is None:
        if not form.holds_tables:
            raise SchemaError(f"layer {layer.name!r} of {layer.path} has no geometry")
        info["geometry_type"] = TABLE
    if encoding and encoding != params.encoding:
        info = _info(place, layer.name, params, drivers, encoding)
    return replace(layer, info=info), encoding, unsaid


def _counted(
    layer: OpenLayer, form: SourceFormat, where: str, encoding: str
) -> tuple[FeatureCount, bool]:
    """Count the features that ``where`` leaves, and records that OGR leaves out; if it leaves none
    of these, all features. Return also whether that is so."""
    counted = form.count(layer, where)
    count = counted.read
    if where or form.has_deleted(layer.place):
        count = form.count_by_reading(layer, where, encoding)
    none_left = bool(where) and not (count or counted.lost or counted.shared)
    if none_left:
        count = form.count_by_reading(layer, "", encoding)
    return replace(counted, read=count), none_left


@dataclass(frozen=True, slots=True)
class _Read:
    """Columns of a layer as OGR reads them.

    Attributes:
        whole: all columns.
        fields: attributes that are asked for.
        schema: the same as they are planned, with the ids.
        geometry, id_name, id_is_key: as in :class:`Layer`.
        numbered: fields that get a number, as they have the name of another.
    """

    whole: pa.Schema
    fields: list[pa.Field]
    schema: pa.Schema
    geometry: str
    id_name: str
    id_is_key: bool
    numbered: list[str]


def _read(
    task: ProbeTask,
    layer: OpenLayer,
    form: SourceFormat,
    params: VectorParams,
    encoding: str,
) -> _Read:
    output = OUTPUT_FORMATS[str(task.output["format"])]
    given = [str(field) for field in layer.info["fields"]]
    all_fields = stream.each_once(given)
    own_id = form.own_ids(layer)
    id_name, is_key = ("", False) if own_id else source_ids.key(layer.info, output, params.columns)
    ids = own_id or [id_name] * (bool(id_name) and not is_key)
    columns = chosen_columns(params.columns, [*ids, *all_fields], task.source)
    members = form.has_member_ids
    with pyogrio.open_arrow(
        exact(layer.place),
        layer=layer.name,
        encoding=encoding or None,
        columns=columns if given == all_fields else None,
        return_fids=members,
        batch_size=source_ids.FIRST,
        use_pyarrow=True,
    ) as (meta, reader):
        whole = reader.schema.remove(0) if members else reader.schema
        if members:
            id_name = source_ids.member(reader, output, params.columns, all_fields)
            ids = [id_name] if id_name else []
        geometry = str(meta["geometry_name"] or "")
        table = layer.info["geometry_type"] == TABLE
        shape = None if table else stream.place_of(geometry or batch_reader.UNNAMED, whole)
        attributes = [field for n, field in enumerate(whole) if n != shape]
        names = stream.each_once([field.name for field in attributes])
        fields = [one.with_name(name) for one, name in zip(attributes, names, strict=True)]
        fields = [field for field in fields if field.name in columns]
    numbered = [name for name in all_fields if name not in given]
    first = [pa.field(field, pa.int64()) for field in ids if field == id_name or field in columns]
    schema = pa.schema([*first, *map(stream.coded_field, fields)])
    return _Read(whole, fields, schema, geometry, id_name, is_key, numbered)


def _widths(fields: list[pa.Field]) -> dict[str, int]:
    """Return the widths of text fields, as OGR gives them, that declare one."""
    declared = {each.name: (each.metadata or {}).get(field_types.WIDTH.encode()) for each in fields}
    return {name: int(width) for name, width in declared.items() if width}


def _refuse_large(task: ProbeTask, largest: int) -> None:
    """Raise MemoryBudgetError where OGR needs more bytes for the ``largest`` feature than the
    budget leaves; no smaller chunk would do."""
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


def _further_geometries(schema: pa.Schema, first: str) -> list[str]:
    """Warn of geometry fields of a layer beside the ``first``, which alone is read."""
    others = [
        each.name
        for each in schema
        if (each.metadata or {}).get(b"ARROW:extension:name") in _GEOMETRIES
        and each.name != (first or batch_reader.UNNAMED)
    ]
    shown = ", ".join(map(repr, others))
    return [f"of several geometry fields only {first!r} is read, not {shown}"] if others else []


def chosen_columns(asked: tuple[str, ...] | None, there: list[str], path: str) -> list[str]:
    """Choose the columns that are asked for; raise SchemaError where one of them is not there."""
    if asked is None:
        return there
    if missing := [name for name in asked if name not in there]:
        raise SchemaError(
            f"{path} has no field {missing[0]!r}; it has {', '.join(map(repr, there[:50]))}"
        )
    return [name for name in there if name in asked]
