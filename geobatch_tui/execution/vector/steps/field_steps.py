"""Steps on fields: *filter*, *select* and *set-field-type*."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import shapely

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.params.frozen import GEOMETRY_NAME
from geobatch_tui.execution.vector.batch.arrow_arrays import validity
from geobatch_tui.execution.vector.batch.where import CHECK_WHERE, Condition
from geobatch_tui.execution.vector.geometry import geos
from geobatch_tui.execution.vector.plan import TABLE
from geobatch_tui.execution.vector.steps.feature_step import (
    ShapeStep,
    fields_of,
    handed_on,
    in_hex,
    named_field,
    require_geometry,
    with_column,
    with_fields,
)

if TYPE_CHECKING:
    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.vector.batch.feature_batch import Features
    from geobatch_tui.execution.vector.operations import Context
    from geobatch_tui.execution.vector.plan import LayerPlan
    from geobatch_tui.execution.vector.steps.feature_step import ChainPlanning

#: The types of Arrow that OGR's types and subtypes of fields are.
TYPES = {
    "Boolean": pa.bool_(), "Int16": pa.int16(), "Integer": pa.int32(), "Integer64": pa.int64(),
    "Float32": pa.float32(), "Real": pa.float64(), "String": pa.string(), "Date": pa.date32(),
    "DateTime": pa.timestamp("ms"),
}  # fmt: skip


class Filter(ShapeStep):
    """Keeps what meets a rectangle and satisfies a condition in SQLite's SQL."""

    name = "filter"
    same_shapes = True

    def plan(self, up: LayerPlan, params: Frozen, planning: ChainPlanning) -> LayerPlan:
        del planning
        if params.bbox is not None:
            require_geometry(up)
        if params.where:
            fields = fields_of(up)
            try:
                Condition(params.where, fields.names).holds(
                    pa.RecordBatch.from_pylist([], schema=fields)
                )
            except sqlite3.Error as error:
                raise SchemaError(f"where: {error}", hint=CHECK_WHERE) from error
        bbox = None if params.bbox is None else list(params.bbox)
        return handed_on(up, self, {"bbox": bbox, "where": params.where})

    def apply(self, step: LayerPlan, features: Features, context: Context) -> Features:
        if where := str(step.values["where"]):
            condition = Condition(where, fields_of(step).names)
            features = replace(features, dropped=~_held(condition, features))
        if step.values["bbox"] is None:
            return features
        rows = geos.untried(features, context.trail)
        minx, miny, maxx, maxy = step.values["bbox"]
        boxes = features.shapes.boxes()[rows]
        near = ((boxes[:, :2] <= (maxx, maxy)) & (boxes[:, 2:] >= (minx, miny))).all(axis=1)
        inside = ((boxes[:, :2] >= (minx, miny)) & (boxes[:, 2:] <= (maxx, maxy))).all(axis=1)
        box = shapely.box(minx, miny, maxx, maxy)
        shapely.prepare(box)
        doubtful = near & ~inside
        inside[doubtful] = geos.tested(
            features, rows[doubtful], lambda shapes: shapely.intersects(box, shapes), context.trail
        )
        kept = features.with_only(rows[inside])
        return replace(features, dropped=kept.dropped)


def _held(condition: Condition, features: Features) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Mark the features that satisfy a condition; those at which SQLite fails are set aside."""
    try:
        return condition.holds(features.attributes)
    except sqlite3.Error:
        found = np.ones(len(features.owners), np.bool_)
    for row in range(len(found)):
        try:
            found[row] = condition.holds(features.attributes.slice(row, 1))[0]
        except sqlite3.Error as error:
            features.set_aside((row,), f"where: {error}", "SchemaError")
    return found


class Select(ShapeStep):
    """Keeps some fields; without the geometry among them, features become rows of a table."""

    name = "select"
    divisible = False
    same_shapes = True

    def plan(self, up: LayerPlan, params: Frozen, planning: ChainPlanning) -> LayerPlan:
        fields = fields_of(up)
        asked = {name.casefold() for name in params.fields}
        there = {name.casefold() for name in fields.names} | {GEOMETRY_NAME}
        if missing := [name for name in params.fields if name.casefold() not in there]:
            if not (params.exclude or params.ignore_missing_fields):
                named_field(fields, missing[0])
            planning.warn(f"there is no field {missing[0]!r}")
        kept = [field for field in fields if (field.name.casefold() in asked) != params.exclude]
        geometry = (GEOMETRY_NAME in asked) != params.exclude and not up.is_table
        if not kept and not geometry:
            raise SchemaError("no field is left")
        if not geometry and not up.is_table and not params.exclude:
            planning.warn(f"the geometry is left out, as in GDAL: name {GEOMETRY_NAME} to keep it")
        others = {} if geometry else {"geometry_type": TABLE, "crs": ""}
        schema = in_hex(pa.schema(kept))
        return handed_on(up, self, {}, schema=schema, **others)

    def apply(self, step: LayerPlan, features: Features, context: Context) -> Features:
        del context
        fields = fields_of(step)
        columns = [features.attributes.column(name) for name in fields.names]
        features = with_fields(features, columns, fields)
        if step.is_table:
            return with_column(features, pa.nulls(len(features.owners), pa.binary()))
        return features


class SetFieldType(ShapeStep):
    """Changes the types of fields; a feature with a value that would become another is set
    aside."""

    name = "set-field-type"
    divisible = False
    same_shapes = True

    def plan(self, up: LayerPlan, params: Frozen, planning: ChainPlanning) -> LayerPlan:
        fields = fields_of(up)
        if params.field_name:
            names = [named_field(fields, params.field_name)]
        else:
            names = [each.name for each in fields if each.type == TYPES[params.input_field_type]]
            if not names:
                planning.warn(f"there is no field of type {params.input_field_type}")
        kind = TYPES[params.field_type]
        for name in names:
            if not _casts(fields.field(name).type, kind):
                raise SchemaError(
                    f"values of field {name!r}, which is {fields.field(name).type}, do not become "
                    f"{params.field_type}"
                )
        made = [each.with_type(kind) if each.name in names else each for each in fields]
        return handed_on(
            up, self, {"names": names, "type": params.field_type}, schema=in_hex(pa.schema(made))
        )

    def apply(self, step: LayerPlan, features: Features, context: Context) -> Features:
        del context
        fields = fields_of(step)
        columns = []
        for each in fields:
            column = features.attributes.column(each.name)
            if each.name in step.values["names"] and column.type != each.type:
                column = _cast(column, each, str(step.values["type"]), features)
            columns.append(column)
        return with_fields(features, columns, fields)


def _casts(given: pa.DataType, kind: pa.DataType) -> bool:
    try:
        pa.nulls(0, given).cast(kind)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return False
    return True


def _cast(column: pa.Array, field: pa.Field, name: str, features: Features) -> pa.Array:
    """Cast a column; rows with a value that the type, which OGR calls ``name``, does not hold are
    set aside."""
    try:
        return column.cast(field.type, safe=True)
    except pa.ArrowInvalid:
        pass
    values = []
    for row, known in enumerate(validity(column).tolist()):
        value = column.slice(row, 1)
        try:
            values.append(value.cast(field.type, safe=True))
        except pa.ArrowInvalid:
            shown = str(value[0].as_py())
            shown = f"{shown[:40]!r}" if known else shown
            features.set_aside(
                (row,), f"{shown} of field {field.name!r} is no {name}", "SchemaError"
            )
            values.append(pa.nulls(1, field.type))
    return pa.concat_arrays(values)
