"""Opens a vector source, refuses what cannot work, and plans the item."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pyproj import CRS

from geobatch_tui.errors import (
    PreflightError,
    SchemaError,
)
from geobatch_tui.execution.vector import feature_chunks, item_crs
from geobatch_tui.execution.vector.batch import wkb_coordinates
from geobatch_tui.execution.vector.fields import field_types
from geobatch_tui.execution.vector.formats import geoparquet_key
from geobatch_tui.execution.vector.formats.lost_geometries import listed
from geobatch_tui.execution.vector.formats.shapefile import shapefile_zip
from geobatch_tui.execution.vector.formats.source_format import format_of
from geobatch_tui.execution.vector.ogr import archive, exact_names, ogr_drivers
from geobatch_tui.execution.vector.output_format import OUTPUT_FORMATS
from geobatch_tui.execution.vector.plan import TABLE, TAKEN, LayerPlan, VectorPlan
from geobatch_tui.execution.vector.read import feature_reader, object_ranges
from geobatch_tui.execution.vector.read.layer import ogr_layer
from geobatch_tui.execution.vector.read.parquet_layer import parquet_layer
from geobatch_tui.execution.vector.spool.writer_options import writer_options
from geobatch_tui.execution.vector.steps.feature_step import (
    READ,
    READ_VERSION,
    ChainPlanning,
    FirstFeatures,
    fields_of,
    in_hex,
)
from geobatch_tui.observability.figures import plural

if TYPE_CHECKING:
    import pyarrow as pa

    from geobatch_tui.execution.params.vector_params import VectorParams
    from geobatch_tui.execution.protocol.messages import ItemPlan, Json, ProbeTask
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.vector.batch.feature_batch import Features
    from geobatch_tui.execution.vector.output_format import OutputFormat
    from geobatch_tui.execution.vector.read.layer import Layer


def probe(
    task: ProbeTask,
    params: VectorParams,
    dst_crs: str,
    stage: Stage,
    *,
    divisible: bool = False,
    same_shapes: bool = False,
) -> ItemPlan:
    """Plan the item.

    Args:
        task: which item.
        params: of the operation.
        dst_crs: of the output; empty: coordinates stay as they are.
        stage: names what is being done.
        divisible: a feature may take long, or end its worker.
        same_shapes: geometries are published as they are.

    Raises:
        InvalidInputError and its kin: this source cannot be processed.
        PreflightError: no source could, with this configuration.
    """
    with stage("open"):
        layer = _layer(task, params)
    with stage("plan"):
        _refuse(task, layer)
        if layer.geometry_type == TABLE:
            _refuse_table(task, layer, params, same_shapes=same_shapes)
        warnings = list(layer.warnings)
        src, dst, known = item_crs.both(task, layer, dst_crs, warnings)
        _warn_of_geometries(layer, params, OUTPUT_FORMATS[str(task.output["format"])], warnings)
        draft = _draft(task, layer, params.where, layer.fields, warnings)
        draft = replace(
            draft,
            src_crs=src.to_wkt() if src is not None else "",
            dst_crs=dst.to_wkt() if dst is not None else "",
            geo=geoparquet_key.kept(
                layer.geo, draft.output, warnings, moved=src != dst, same_shapes=same_shapes
            ),
        )
        planned = feature_chunks.with_chunks(task, draft, layer, warnings, divisible=divisible)
        return replace(planned, notes={**planned.notes, **known})


def probe_chain(task: ProbeTask, params: VectorParams, stage: Stage) -> ItemPlan:
    """Plan an item of a chain of steps. Raises as :func:`probe`."""
    with stage("open"):
        layer = _layer(task, params)
    with stage("plan"):
        _refuse(task, layer)
        warnings, output = list(layer.warnings), OUTPUT_FORMATS[str(task.output["format"])]
        src, known = item_crs.of_source(task, layer, warnings)
        _warn_of_geometries(layer, params, output, warnings)
        crs = src.to_wkt() if src is not None else ""
        from geobatch_tui.execution.vector.steps import feature_chain  # loads shapely

        planning = ChainPlanning(
            output,
            warnings,
            item=task.key,
            first=cache(partial(_first_features, task, layer, params.where, output, crs)),
        )
        source = _read_layer(layer, crs)
        chain = feature_chain.plan_chain(source, task.params["steps"], planning)
        last, steps = chain[-1], feature_chain.steps_of(chain)
        _refuse_end(task, last, output)
        draft = _draft(task, layer, params.where, fields_of(last), warnings)
        grows = any(step.may_grow(planned) for step, planned in zip(steps, chain[1:], strict=True))
        draft = _numbered(draft, grows=grows)
        made = {step.crs for step in chain}
        geo = geoparquet_key.kept(
            _of_fields(layer.geo, draft.fields),
            output,
            warnings,
            moved=len(made) > 1,
            same_shapes=all(step.same_shapes for step in steps),
        )
        draft = replace(
            draft,
            src_crs=crs,
            dst_crs=last.crs,
            geometry_type=last.geometry_type,
            geo=geo,
            chain=chain,
        )
        divisible = any(step.divisible for step in steps)
        planned = feature_chunks.with_chunks(task, draft, layer, warnings, divisible=divisible)
        return replace(planned, notes={**planned.notes, **known, **planning.notes})


def _read_layer(layer: Layer, crs: str) -> LayerPlan:
    """Return what stands first in a chain: the layer as it is read."""
    values = {
        "fields": list(layer.fields.names),
        "id_name": layer.id_name,
        "id_is_key": layer.id_is_key,
    }
    return LayerPlan(READ, READ_VERSION, values, in_hex(layer.fields), crs, layer.geometry_type)


def _first_features(
    task: ProbeTask, layer: Layer, where: str, output: OutputFormat, crs: str
) -> FirstFeatures:
    """Read the first features of a source, as a chain gets them."""
    # What the format cannot hold, steps may leave out.
    plain = replace(task, output={"format": "GeoParquet"})
    plan = replace(
        _draft(plain, layer, where, layer.fields, []), format=output.name, src_crs=crs, dst_crs=crs
    )
    wanted = object_ranges.version_in_ranges(task)
    batch, is_all = feature_reader.first_batch(task.source, plan, task.params, wanted)
    read, _ = feature_reader.readable(plan, batch, task.params, in_chain=True)
    return FirstFeatures(plan, task.params, cast("Features", read), is_all)


def _refuse_end(task: ProbeTask, last: LayerPlan, output: OutputFormat) -> None:
    """Raise where the output format cannot hold what the last step makes."""
    if output.is_json and last.crs:
        item_crs.require_lonlat(
            CRS.from_wkt(last.crs), PreflightError, "a last step reproject with"
        )
    if last.is_table and not output.holds_tables:
        raise SchemaError(
            f"the steps leave no geometry of {task.source}, and {output.name} is for features "
            "with one",
            hint="output.format = GPKG or GeoParquet holds a table of attributes; select keeps "
            "the geometry where _ogr_geometry_ is among its fields",
        )


def _numbered(draft: VectorPlan, *, grows: bool) -> VectorPlan:
    """Return a plan whose ids are kept as far as steps leave them: of one feature that becomes
    several, none is the one with its id."""
    if draft.id_is_key and not grows:
        return draft
    kept = not draft.id_is_key and not grows and draft.id_name in draft.fields
    return replace(draft, id_is_key=False, id_name=draft.id_name if kept else "")


def _of_fields(geo: Json, fields: tuple[str, ...]) -> Json:
    """Return what is said of geometry columns, without those that are no fields any more."""
    others = {name: said for name, said in geo.get("others", {}).items() if name in fields}
    return {**geo, "others": others} if geo else {}


def _draft(
    task: ProbeTask, layer: Layer, where: str, fields: pa.Schema, warnings: list[str]
) -> VectorPlan:
    """Plan how the layer is read and its ``fields`` are written, but not in which CRS, nor in which
    chunks."""
    output = OUTPUT_FORMATS[str(task.output["format"])]
    widths = {
        name: width
        for name, width in layer.widths.items()
        if name in fields.names and fields.field(name).type == layer.fields.field(name).type
    }
    written = field_types.written(output, fields, warnings, widths)
    if output.is_dbase:
        allowed = bool(task.output.get("allow_lossy"))
        shapefile_zip.refuse(fields, allowed=allowed, warnings=warnings)
    return VectorPlan(
        driver=layer.driver,
        layer=layer.name,
        access="drain",
        edges=(),
        fid_column=layer.fid_column,
        geometry_column=layer.geometry,
        fields=tuple(fields.names),
        schema=in_hex(fields),
        written=in_hex(written),
        count=layer.counted.every,
        where=where,
        encoding=layer.encoding,
        src_crs="",
        dst_crs="",
        format=output.name,
        layer_name=_layer_name(task.key, output),
        options=writer_options(task.output),
        cell=0,
        place=layer.place,
        lost=layer.counted.lost,
        shared=layer.counted.shared,
        moments_as_text=layer.as_text,
        namesakes=layer.namesakes,
        geometry_type=layer.geometry_type,
        id_name=layer.id_name,
        id_is_key=layer.id_is_key,
    )


def _layer(task: ProbeTask, params: VectorParams) -> Layer:
    """Open the source, and read what it says of itself."""
    if wanted := object_ranges.version_in_ranges(task):
        if object_ranges.runs_in_bounds(task):
            from geobatch_tui.execution.vector.read.flatgeobuf_layer import flatgeobuf_layer

            return flatgeobuf_layer(task, params, wanted)
        return parquet_layer(task.source, params, wanted)
    drivers = ogr_drivers.drivers_of(task.source)
    place = ogr_drivers.place_of(task.source)
    if archive.is_inside(place):
        archive.check(task.source)
    if format_of(drivers[0]).is_arrow:
        return parquet_layer(task.source, params)
    return ogr_layer(task, place, params, drivers)


def _refuse(task: ProbeTask, layer: Layer) -> None:
    """Raise SchemaError where a field of the layer has a name that is ours."""
    if taken := sorted(TAKEN.intersection(layer.fields.names)):
        raise SchemaError(
            f"{task.source} has a field {taken[0]!r}, a name that features have here for more",
            hint="rename it, or leave it out by op.columns",
        )


def _warn_of_geometries(
    layer: Layer, params: VectorParams, output: OutputFormat, warnings: list[str]
) -> None:
    """Warn of records and geometries that are set aside, and of what geometries lose."""
    form = format_of(layer.driver)
    for numbers, why in (
        (layer.counted.lost, form.lost_records),
        (
            layer.counted.shared,
            "with more than a first feature, all that OGR reads; the rest is set aside",
        ),
    ):
        if numbers:
            warnings.append(f"{plural(len(numbers), form.record)} {why}: {listed(numbers)}")
    if layer.geometry_type.split()[0] in _CURVED:
        warnings.append(
            f"the layer is of {layer.geometry_type}: curves and surfaces "
            + ("become lines and polygons" if params.curves == "linear" else "are set aside")
            + " (op.curves)"
        )
    if layer.measured and not output.holds_m:
        warnings.append(f"geometries have M, which is left out: {output.name} does not hold it")


def _refuse_table(
    task: ProbeTask, layer: Layer, params: VectorParams, *, same_shapes: bool
) -> None:
    """Raise SchemaError where a table without geometry cannot be taken."""
    asked = next((name for name in ("bounds", "mask") if getattr(params, name, None)), "")
    if params.geometry_kind != "any":
        asked = "geometry_kind"
    why = hint = ""
    if not same_shapes:
        why, hint = f"which {task.op} is about", "vector.convert or vector.filter takes its rows"
    elif asked:
        why, hint = f"which op.{asked} is about", "choose rows by op.where alone"
    elif not OUTPUT_FORMATS[task.output["format"]].holds_tables:
        why = f"and {task.output['format']} is for features with one"
        hint = "output.format = GPKG or GeoParquet holds a table of attributes"
    elif not layer.fields.names:
        why, hint = "and no field of it is left", "choose at least one by op.columns"
    if why:
        raise SchemaError(
            f"layer {layer.name!r} of {task.source} has no geometry, {why}", hint=hint
        )


#: Types of layers that no output format has.
_CURVED = frozenset(name for number, name in wkb_coordinates.NAMES.items() if number > 7)


def _layer_name(key: str, output: OutputFormat) -> str:
    stem = Path(key.removesuffix(".zip")).stem or "layer"
    name = os.fsencode(stem).decode("utf-8", "replace")
    if output.is_dbase:  # the layer names the files
        return exact_names.plain(name)
    return f"_{name}" if name.casefold().startswith(output.reserved) else name
