"""Opens a vector source, refuses what cannot work, and plans the item."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pyproj import CRS

from geobatch_tui.errors import (
    PreflightError,
    SchemaError,
)
from geobatch_tui.execution.protocol.messages import ChunkGrid, ItemPlan
from geobatch_tui.execution.sources import source_files
from geobatch_tui.execution.vector import item_crs
from geobatch_tui.execution.vector.batch import wkb_coordinates
from geobatch_tui.execution.vector.fields import field_types
from geobatch_tui.execution.vector.formats import geoparquet_key
from geobatch_tui.execution.vector.formats.lost_geometries import listed
from geobatch_tui.execution.vector.formats.shapefile import shapefile_zip
from geobatch_tui.execution.vector.formats.source_format import format_of
from geobatch_tui.execution.vector.ogr import archive, exact_names, ogr_drivers
from geobatch_tui.execution.vector.output_format import OUTPUT_FORMATS
from geobatch_tui.execution.vector.plan import TABLE, TAKEN, LayerPlan, VectorPlan
from geobatch_tui.execution.vector.read.layer import ogr_layer
from geobatch_tui.execution.vector.read.parquet_layer import parquet_layer
from geobatch_tui.execution.vector.spool.writer_options import row_group, writer_options
from geobatch_tui.execution.vector.steps.feature_step import (
    READ,
    READ_VERSION,
    ChainPlanning,
    fields_of,
    in_hex,
)
from geobatch_tui.observability.figures import plural

if TYPE_CHECKING:
    import pyarrow as pa

    from geobatch_tui.execution.params.vector_params import VectorParams
    from geobatch_tui.execution.protocol.messages import Json, ProbeTask
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.vector.output_format import OutputFormat
    from geobatch_tui.execution.vector.plan import Access
    from geobatch_tui.execution.vector.read.layer import Layer

#: Bytes of source of a chunk, about, where the job does not say how many features.
CHUNK_BYTES = 8 * 2**20
#: The same where a feature may take long: the cores are busy to the end, and little is done again
#: when a feature ends its worker.
_SLOW_BYTES = 2 * 2**20
_FEWEST, _MOST = 500, 50_000
#: Peak memory of a chunk: times the bytes of its features, and beside them.
_FACTOR, _BASE = 8, 96 * 2**20


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
        planned = _with_chunks(task, draft, layer, warnings, divisible=divisible)
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

        planning = ChainPlanning(output, warnings)
        source = _read_layer(layer, crs)
        chain = feature_chain.plan_chain(source, task.params["steps"], planning)
        last, steps = chain[-1], feature_chain.steps_of(chain)
        _refuse_end(task, last, output)
        draft = _draft(task, layer, params.where, fields_of(last), warnings)
        draft = _numbered(draft, grows=any(step.grows for step in steps))
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
        planned = _with_chunks(task, draft, layer, warnings, divisible=divisible)
        return replace(planned, notes={**planned.notes, **known})


def _read_layer(layer: Layer, crs: str) -> LayerPlan:
    """Return what stands first in a chain: the layer as it is read."""
    values = {
        "fields": list(layer.fields.names),
        "id_name": layer.id_name,
        "id_is_key": layer.id_is_key,
    }
    return LayerPlan(READ, READ_VERSION, values, in_hex(layer.fields), crs, layer.geometry_type)


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


# --- chunks ------------------------------------------------------------------------------------


def _growth(plan: VectorPlan) -> float:
    """Return by how much features grow on their way through a chain; 1: there is none."""
    if not plan.chain:
        return 1.0
    from geobatch_tui.execution.vector.steps import feature_chain

    return feature_chain.growth(plan.chain)


def _with_chunks(
    task: ProbeTask, plan: VectorPlan, layer: Layer, warnings: list[str], *, divisible: bool
) -> ItemPlan:
    packed = archive.is_inside(plan.place)
    size = archive.look_into(task.source)[2] if packed else source_files.status(task.source)[0]
    each = max(size / max(plan.count, 1), 64.0) * _growth(plan)
    cell = row_group(each) if plan.output.is_parquet else 0
    features = task.chunking.features
    if not features:
        size_of = _SLOW_BYTES if divisible else CHUNK_BYTES
        features = _features(each, 0 if divisible else cell, size_of, task.chunking.max_bytes)
    access: Access = "drain"
    edges: tuple[int, ...] = ()
    if layer.counted.none_left or not plan.count:
        access, features = "none", plan.count
        none = (
            f"no feature of {task.source} satisfies where" if plan.count else "it has no features"
        )
        warnings.append(f"{none}: the output will have none")
    elif not packed:
        form = format_of(plan.driver)
        access, edges = form.access(task.source, plan.reading, features, layer.stride)
    if access == "rows":
        features = max(features // layer.stride, 1) * layer.stride
        if features == layer.stride and plan.count <= layer.stride:
            features = plan.count
    # An item without features has a chunk, too, which makes the output.
    grid = ChunkGrid(max(plan.count, 1), 1, max(min(features, plan.count), 1), 1)
    outside: tuple[int, ...] = ()
    if access == "fid":
        bounds = task.params.get("bounds")
        outside = format_of(plan.driver).chunks_outside(
            task.source, plan.reading, edges, grid.chunk_width, bounds
        )
    plan = replace(plan, access=access, edges=edges, cell=cell, outside=outside)
    return ItemPlan(
        grid=grid,
        chunk_bytes=int(
            _BASE
            + _FACTOR * each * (0 if access == "none" else grid.chunk_width)
            # Any chunk may start the thread that reads the whole source.
            + layer.counted.largest
        ),
        output_bytes=int(4 * size + 2**20),
        detail=plan.to_json(),
        warnings=tuple(warnings),
        notes={
            "driver": plan.driver,
            "layer": plan.layer,
            "features": plan.count,
            "geometry_type": layer.geometry_type,
            "access": access,
            **({"encoding": plan.encoding} if plan.encoding else {}),
            **({"divisible": True} if divisible else {}),
        },
    )


def _features(each: float, cell: int, size: int, max_bytes: int) -> int:
    """Choose the features of a chunk: whole cells, which are encoded by it, if there is room."""
    room = max((max_bytes - _BASE) // _FACTOR, 2**16) if max_bytes else 2**62
    if cell and cell * each <= room:
        return max(int(min(size, room) / each) // cell, 1) * cell
    return int(min(max(min(size, room) / each, _FEWEST), _MOST))
