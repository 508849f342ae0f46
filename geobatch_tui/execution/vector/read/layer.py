"""The layers of a vector source: their names, and the fields, CRS, number of features of one, and
what is odd about them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from geobatch_tui.errors import (
    EmptyInputError,
    MemoryBudgetError,
    SchemaError,
    UnsupportedFormatError,
)
from geobatch_tui.execution.protocol.looking import LayersReceipt
from geobatch_tui.execution.vector.fields import field_types, source_ids
from geobatch_tui.execution.vector.formats.lost_geometries import listed
from geobatch_tui.execution.vector.formats.source_format import AUTO, STRICT, OpenLayer, format_of
from geobatch_tui.execution.vector.ogr import archive, errors, ogr_drivers, stream, time_zones
from geobatch_tui.execution.vector.ogr.exact_names import exact
from geobatch_tui.execution.vector.ogr.layer_info import layer_info, layer_names
from geobatch_tui.execution.vector.ogr.pyogrio_import import pyogrio
from geobatch_tui.execution.vector.output_format import OUTPUT_FORMATS
from geobatch_tui.execution.vector.plan import TABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geobatch_tui.execution.params.vector_params import VectorParams
    from geobatch_tui.execution.protocol.looking import LayersTask
    from geobatch_tui.execution.protocol.messages import Json, ProbeTask
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.vector.formats.source_format import FeatureCount, SourceFormat
    from geobatch_tui.execution.vector.ogr.layer_info import LayerInfo

#: Names of Arrow's extension types for geometries.
_GEOMETRIES = frozenset((b"geoarrow.wkb", b"ogc.wkb"))


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer as its source describes it.

    Attributes:
        driver, place, geometry_type, encoding, namesakes, id_name, id_is_key: as in the plan.
        fields: schema of the attributes.
        geometry, fid_column: names of the columns of geometries and ids.
        crs: as a text that PROJ reads.
        as_text: moments are read as text, as they have zones.
        warnings: for the plan.
        stride: features that are reached at once by their number (see ``SourceFormat.access``).
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
    crs: str | None
    counted: FeatureCount
    fid_column: str = ""
    encoding: str = ""
    as_text: bool = False
    warnings: tuple[str, ...] = ()
    stride: int = 0
    namesakes: bool = False
    measured: bool = False
    id_name: str = ""
    id_is_key: bool = False
    geo: Json = field(default_factory=dict)
    widths: Mapping[str, int] = field(default_factory=dict)


def layers(task: LayersTask, stage: Stage) -> LayersReceipt:
    """List all layers of a source, with and without geometry. Raises InvalidInputError and its kin
    where it cannot be opened, or two layers have one name."""
    with stage("open"):
        drivers = ogr_drivers.drivers_of(task.source)
        if format_of(drivers[0]).is_arrow:
            return LayersReceipt(("",))
        place = ogr_drivers.place_of(task.source)
        if archive.is_inside(place):
            archive.check(task.source)
        with errors.ogr_errors(task.source):
            names = layer_names(place)
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise SchemaError(
                f"{task.source} has several layers of the name {twice[0]!r}, of which OGR opens "
                "only the first",
                hint="rename the others in a copy",
            )
        return LayersReceipt(tuple(names))


def ogr_layer(task: ProbeTask, place: str, params: VectorParams, drivers: tuple[str, ...]) -> Layer:
    """Read what a source says that OGR opens at ``place`` by one of ``drivers``. Raises
    InvalidInputError and its kin where it cannot be read as asked."""
    scanned = format_of(drivers[0]).scan(task.source, place)
    if scanned is not None:
        _refuse_large(task, scanned[1])
    name = _chosen(task, place, drivers)
    with errors.ogr_errors(task.source, name):
        info = _info(place, name, params, drivers)
        layer = OpenLayer(task.source, place, name, info, scanned)
        layer, unsaid = _opened(layer, params, drivers)
        info, form = layer.info, format_of(layer.info["driver"])
        if params.where:
            form.refuse_where(layer, params.where)
        read = _read(task, layer, form, params)
        counted = _counted(layer, form, params.where)
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
        driver=info["driver"],
        place=layer.place,
        name=name,
        fields=read.schema if in_utc is None else in_utc,
        as_text=in_utc is not None,
        warnings=tuple(warnings),
        geometry=read.geometry,
        geometry_type=str(info["geometry_type"]),
        measured=measured,
        id_name=read.id_name,
        id_is_key=read.id_is_key,
        namesakes=bool(read.numbered),
        fid_column=info["fid_column"],
        crs=info["crs"],
        encoding=layer.encoding,
        stride=int(info["capabilities"]["fast_set_next_by_index"]),
        widths=_widths(read.fields),
        counted=counted,
    )


def _chosen(task: ProbeTask, place: str, drivers: tuple[str, ...]) -> str:
    """Choose the layer of a source that is asked for, or the only one. Raises SchemaError where
    there is no such layer, or several, and EmptyInputError where there is none at all."""
    with errors.ogr_errors(task.source):
        names = layer_names(place)
    asked = str(task.source_options.get("layer") or "")
    shown = listed([repr(name) for name in names])
    if asked and asked not in names:
        raise SchemaError(f"{task.source} has no layer {asked!r}, only {shown}")
    if len(names) > 1 and not asked:
        raise SchemaError(
            f"{task.source} has {len(names)} layers: {shown}",
            hint='name one in source.layer; source.layer = "*" makes an item of each',
        )
    if not names:
        format_of(drivers[0]).explain_no_layer(task.source, place)
        raise EmptyInputError(f"{task.source} has no layer")
    return asked or names[0]


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
) -> tuple[OpenLayer, str]:
    """Choose how OGR opens a layer: its place, what it says there, and the encoding of its text;
    return also a warning about one that no file says."""
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
    return replace(layer, info=info, encoding=encoding), unsaid


def _counted(layer: OpenLayer, form: SourceFormat, where: str) -> FeatureCount:
    """Count the features that ``where`` leaves, and records that OGR leaves out; if it leaves none
    of these, all features."""
    counted = form.count(layer, where)
    if where or form.has_deleted(layer.place):
        counted = replace(counted, read=form.count_by_reading(layer, where))
    if where and not counted.every:
        return replace(counted, read=form.count_by_reading(layer), none_left=True)
    return counted


@dataclass(frozen=True, slots=True)
class _Read:
    """Columns of a layer as OGR reads them: ``whole``, all of them; ``fields``, the attributes that
    are asked for; ``schema``, these as they are planned, with the ids; ``numbered``, fields that
    get a number, as they have the name of another; the others as in :class:`Layer`."""

    whole: pa.Schema
    fields: list[pa.Field]
    schema: pa.Schema
    geometry: str
    id_name: str
    id_is_key: bool
    numbered: list[str]


def _read(task: ProbeTask, layer: OpenLayer, form: SourceFormat, params: VectorParams) -> _Read:
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
        encoding=layer.encoding or None,
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
        shape = None if table else stream.place_of(geometry, whole)
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
        and each.name != (first or stream.UNNAMED)
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
