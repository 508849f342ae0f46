"""Steps on the parts and dimensions of geometries: *explode-collections*, *set-geom-type* and
*make-point*."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import shapely

from geobatch_tui.errors import SchemaError
from geobatch_tui.execution.vector.batch.arrow_arrays import validity
from geobatch_tui.execution.vector.geometry import geos
from geobatch_tui.execution.vector.kernels import wkb_loops
from geobatch_tui.execution.vector.steps.feature_step import (
    ShapeStep,
    fields_of,
    handed_on,
    named_field,
    with_column,
)
from geobatch_tui.execution.vector.steps.place_steps import wkt_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.vector.batch.feature_batch import Features
    from geobatch_tui.execution.vector.operations import Context
    from geobatch_tui.execution.vector.plan import LayerPlan
    from geobatch_tui.execution.vector.steps.feature_step import ChainPlanning

#: Numbers of types in WKB.
_MULTI_POINT, _MULTI_POLYGON, _COLLECTION = 4, 6, 7
#: Bytes of the header of a geometry in WKB, and of the number of its parts behind it.
_HEADER, _COUNT = 5, 4


class Explode(ShapeStep):
    """Makes a feature of each part of a multi geometry or collection, at one level."""

    name = "explode-collections"
    divisible = False

    def type_of(self, up: LayerPlan) -> str:
        return "Unknown" if up.geometry_type.startswith("Geom") else _single(up.geometry_type)

    def may_grow(self, step: LayerPlan) -> bool:
        del step
        return True

    def apply(self, step: LayerPlan, features: Features, context: Context) -> Features:
        del step, context
        shapes, several = features.shapes, _with_parts(features)
        if not len(several):
            return features
        objects = geos.read(shapes.column, several, features.bad)
        parts, whose = shapely.get_parts(objects, return_index=True)
        values = shapely.to_wkb(parts, byte_order=1, flavor="iso").tolist()
        counts = np.ones(len(features.owners), np.int64)
        counts[several] = np.bincount(whose, minlength=len(several))
        counts[list(features.bad)] = 1
        rows = np.repeat(np.arange(len(counts)), counts)
        column = shapes.column.take(pa.array(rows)).to_pylist()
        ends = np.cumsum(counts)
        firsts = np.searchsorted(whose, np.arange(len(several))).tolist()
        for row, first in zip(several.tolist(), firsts, strict=True):
            if row not in features.bad:
                end, count = int(ends[row]), int(counts[row])
                column[end - count : end] = values[first : first + count]
        extra = features.extra + len(rows) - len(counts)
        bad = {int(ends[row]) - 1: why for row, why in features.bad.items()}
        made = features.picked(rows, pa.array(column, pa.binary()))
        return replace(made, bad=bad, extra=extra, facts={"exploded": len(several) - len(bad)})


def _with_parts(features: Features) -> NDArray[np.int64]:
    """Return the rows with collections that are not empty."""
    bases = features.shapes.kinds % 1000
    known = np.isfinite(features.shapes.boxes()[:, 0])
    marks = (bases >= _MULTI_POINT) & (bases <= _COLLECTION) & known
    return features.going_on(marks & (features.shapes.status == wkb_loops.OK))


class SetGeomType(ShapeStep):
    """Makes geometries multi or single, flat or with heights; what cannot be that is set aside, or
    dropped if so asked."""

    name = "set-geom-type"
    divisible = False

    def values(self, params: Frozen) -> Json:
        names = ("multi", "single", "dim", "skip")
        return {name: getattr(params, name) for name in names}

    def plan(self, up: LayerPlan, params: Frozen, planning: ChainPlanning) -> LayerPlan:
        planned = super().plan(up, params, planning)
        kind = up.geometry_type
        if params.multi:
            kind = _multi(kind)
        elif params.single:
            kind = _single(kind)
        if params.dim:
            kind = kind.partition(" ")[0] + (" Z" if params.dim == "XYZ" else "")
        return replace(planned, geometry_type=kind)

    def apply(self, step: LayerPlan, features: Features, context: Context) -> Features:
        del context
        column = features.shapes.column
        if step.values["dim"]:
            column = _in_dimensions(features, deep=step.values["dim"] == "XYZ")
        if step.values["multi"] or step.values["single"]:
            column = _of_parts(features, column, multi=bool(step.values["multi"]))
        features = with_column(features, column)
        if step.values["skip"]:
            features.dropped[list(features.bad)] = True
        return features


def _in_dimensions(features: Features, *, deep: bool) -> pa.Array:
    """Return geometries with x, y and z, or x and y alone."""
    kinds = features.shapes.kinds // 1000
    rows = features.going_on((kinds != int(deep)) & (features.shapes.status == wkb_loops.OK))
    shapes = geos.read(features.shapes.column, rows, features.bad)
    there = ~shapely.is_missing(shapes)
    changed = shapely.force_3d(shapes[there]) if deep else shapely.force_2d(shapes[there])
    size = 3 if deep else 2
    values = shapely.to_wkb(changed, output_dimension=size, byte_order=1, flavor="iso").tolist()
    made = dict(zip(rows[there].tolist(), values, strict=True))
    return geos.with_values(features.shapes.column, made)


def _of_parts(features: Features, column: pa.Array, *, multi: bool) -> pa.Array:
    """Return geometries as multi ones, or as single ones where they have one part."""
    bases = features.shapes.kinds % 1000
    if multi:
        asked = (bases >= 1) & (bases < _MULTI_POINT)
    else:
        asked = (bases >= _MULTI_POINT) & (bases <= _MULTI_POLYGON)
    known = np.isfinite(features.shapes.boxes()[:, 0])
    made: dict[int, bytes] = {}
    for row in features.going_on(asked).tolist():
        value = column[row].as_py()
        code = int.from_bytes(value[1:_HEADER], "little")
        start = _HEADER + _COUNT
        if multi:
            made[row] = _header(code + 3, int(known[row])) + (value if known[row] else b"")
            continue
        count = int.from_bytes(value[_HEADER:start], "little")
        if count == 1:
            made[row] = value[start:]
        elif count:
            reason = f"it has {count} parts; explode-collections makes a feature of each"
            features.set_aside((row,), reason)
        else:
            made[row] = _empty(code - 3)
    return geos.with_values(column, made)


def _header(code: int, count: int) -> bytes:
    return b"\x01" + code.to_bytes(_HEADER - 1, "little") + count.to_bytes(_COUNT, "little")


def _empty(code: int) -> bytes:
    """Return an empty point, line or polygon."""
    if code % 1000 > 1:
        return _header(code, 0)
    size = (2, 3, 3, 4)[code // 1000]
    return _header(code, 0)[:_HEADER] + np.full(size, np.nan, "<f8").tobytes()


def _multi(kind: str) -> str:
    return f"Multi{kind}" if kind.startswith(("Point", "LineString", "Polygon")) else kind


def _single(kind: str) -> str:
    return kind.removeprefix("Multi")


class MakePoint(ShapeStep):
    """Makes points of numbers in fields; a feature without one of them is set aside."""

    name = "make-point"
    divisible = False

    def plan(self, up: LayerPlan, params: Frozen, planning: ChainPlanning) -> LayerPlan:
        fields = fields_of(up)
        names = {}
        for side in ("x", "y", "z", "m"):
            if asked := getattr(params, side):
                names[side] = named_field(fields, asked)
                kind = fields.field(names[side]).type
                if not (_is_number(kind) or pa.types.is_string(kind)):
                    raise SchemaError(
                        f"{side}: field {names[side]!r} is {kind}, neither numbers nor text"
                    )
        if params.m and not planning.output.holds_m:
            planning.warn(f"M is left out: {planning.output.name} does not hold it")
        crs = wkt_of(params.output_crs, "output_crs", planning) if params.output_crs else ""
        if not crs:
            planning.warn("output_crs is not given, so the points have no CRS")
        deep = f"{'Z' * bool(params.z)}{'M' * bool(params.m)}"
        kind = "Point" + (f" {deep}" if deep else "")
        return handed_on(up, self, names, geometry_type=kind, crs=crs)

    def apply(self, step: LayerPlan, features: Features, context: Context) -> Features:
        del context
        sides = [_numbers(features, str(name)) for name in step.values.values()]
        code = 1 + 1000 * ("z" in step.values) + 2000 * ("m" in step.values)
        count, size = len(features.owners), _HEADER + 8 * len(sides)
        data = np.empty((count, size), np.uint8)
        data[:, :_HEADER] = np.frombuffer(b"\x01" + code.to_bytes(4, "little"), np.uint8)
        data[:, _HEADER:] = np.stack(sides, axis=1).astype("<f8").view(np.uint8)
        places = np.arange(count + 1, dtype=np.int32) * np.int32(size)
        buffers = [None, pa.py_buffer(places), pa.py_buffer(data)]
        column = pa.Array.from_buffers(pa.binary(), count, buffers)
        return replace(with_column(features, column), measured=np.zeros(count, np.bool_))

    def growth(self, step: LayerPlan, up: LayerPlan) -> float:
        del step, up
        return 1.5


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _numbers(features: Features, name: str) -> NDArray[np.float64]:
    """Return the values of a field as numbers; rows without one are set aside."""
    column = features.attributes.column(name)
    made = np.zeros(len(column))
    if pa.types.is_floating(column.type) and len(column):
        known = validity(column)
        values = column.cast(pa.float64(), safe=False).fill_null(0.0).to_numpy()
        made[known] = values[known]
        wrong = np.flatnonzero(~known | ~np.isfinite(made)).tolist()
    else:
        wrong = []
        for row, value in enumerate(column.to_pylist()):
            number = _number(value)
            if number is None:
                wrong.append(row)
            else:
                made[row] = number
    for row in wrong:
        value = column[row].as_py()
        shown = "null" if value is None else repr(value)[:40]
        features.set_aside((row,), f"field {name!r} is {shown}, no finite number", "SchemaError")
        made[row] = 0.0
    return made


def _number(value: object) -> float | None:
    text = str(value).strip() if value is not None else ""
    if not text or "_" in text:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
