"""Steps that decide where features lie: *reproject*, *swap-xy*, and *clip*."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np
import shapely

from geobatch_tui.errors import CrsError, GeometryError, PreflightError
from geobatch_tui.execution.proj import assigned_crs, coordinate_operations
from geobatch_tui.execution.vector import operations, second_layer
from geobatch_tui.execution.vector.steps.feature_step import (
    ShapeStep,
    features_of,
    handed_on,
    require_geometry,
    with_column,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shapely import Geometry

    from geobatch_tui.execution.params.frozen import Frozen
    from geobatch_tui.execution.vector.batch.feature_batch import Features
    from geobatch_tui.execution.vector.operations import Context
    from geobatch_tui.execution.vector.plan import LayerPlan
    from geobatch_tui.execution.vector.steps.feature_step import ChainPlanning

#: Vertices on each side of a rectangle that goes into another CRS.
_ON_A_SIDE = 64
_local = threading.local()


class Reproject(ShapeStep):
    """Transforms coordinates, as ``vector.reproject`` does."""

    name = "reproject"
    divisible = False

    def plan(self, up: LayerPlan, params: Frozen, planning: ChainPlanning) -> LayerPlan:
        require_geometry(up)
        given = params.input_crs or up.crs
        if not given:
            raise CrsError("features have no CRS here", hint="say it by input_crs")
        src = wkt_of(params.input_crs, "input_crs", planning) if params.input_crs else up.crs
        dst = wkt_of(params.output_crs, "output_crs", planning)
        _way(src, dst, params.output_crs, planning)
        values = {"from": src, "wrapdateline": params.wrapdateline}
        return handed_on(up, self, values, crs=dst)

    def apply(self, step: LayerPlan, features: Features, context: Context) -> Features:
        plan = replace(context.plan, src_crs=str(step.values["from"]), dst_crs=step.crs)
        params = {"wrapdateline": step.values["wrapdateline"]}
        return features_of(
            features, operations.reproject(replace(context, plan=plan, params=params), features)
        )


class SwapXy(ShapeStep):
    """Exchanges x and y."""

    name = "swap-xy"
    divisible = False

    def apply(self, step: LayerPlan, features: Features, context: Context) -> Features:
        del step, context
        shapes = features.shapes
        return with_column(features, shapes.replaced(shapes.y, shapes.x))


class Clip(ShapeStep):
    """Cuts features, as ``vector.clip`` does: of a polygon only polygons are kept, of a line only
    lines."""

    name = "clip"

    def plan(self, up: LayerPlan, params: Frozen, planning: ChainPlanning) -> LayerPlan:
        require_geometry(up)
        if params.like:
            # Read as the item is planned, so that what is wrong with it is said before any work.
            second_layer.area_of(params.like, params.like_digest, params.like_layer, up.crs)
            names = ("like", "like_digest", "like_layer")
            return handed_on(up, self, {name: getattr(params, name) for name in names})
        if params.bbox is not None and not params.bbox_crs:
            return handed_on(up, self, {"bounds": list(params.bbox), "like": ""})
        if params.bbox is not None:
            area, crs = shapely.box(*params.bbox), params.bbox_crs
            area = shapely.segmentize(area, max(_sides(params.bbox)) / _ON_A_SIDE)
        else:
            area, crs = _polygons(params.geometry), params.geometry_crs
        if crs:
            area = _moved(area, wkt_of(crs, "its CRS", planning), up.crs, planning)
        if not shapely.is_valid(area):
            raise GeometryError(
                f"the geometry to clip at is not valid: {shapely.is_valid_reason(area)}"
            )
        return handed_on(up, self, {"area": shapely.to_wkb(area, hex=True)})

    def apply(self, step: LayerPlan, features: Features, context: Context) -> Features:
        if "area" in step.values:
            cut = operations.clip_at(context, features, _area(str(step.values["area"])))
        else:
            plan = replace(context.plan, src_crs=step.crs)
            near = features if step.values["like"] else _near(features, step.values["bounds"])
            cut = operations.clip(replace(context, plan=plan, params=step.values), near)
        return features_of(features, cut)


def _near(features: Features, bounds: Sequence[float]) -> Features:
    """Drop features whose box does not touch ``bounds``: they may be as broken as they like."""
    minx, miny, maxx, maxy = bounds
    box = features.shapes.boxes()
    touches = ((box[:, :2] <= (maxx, maxy)) & (box[:, 2:] >= (minx, miny))).all(axis=1)
    return replace(features, dropped=features.dropped | ~touches)


def _sides(bbox: tuple[float, float, float, float]) -> tuple[float, float]:
    return bbox[2] - bbox[0], bbox[3] - bbox[1]


def _polygons(text: str) -> Geometry:
    """Read polygons from WKT or GeoJSON. Raises PreflightError where they are none."""
    try:
        read = shapely.from_geojson if text.lstrip().startswith("{") else shapely.from_wkt
        shape = read(text)
    except shapely.errors.GEOSException as error:
        raise PreflightError(f"geometry is neither WKT nor GeoJSON: {error}") from error
    if shape is None or shape.is_empty or shape.geom_type not in {"Polygon", "MultiPolygon"}:
        raise PreflightError("geometry is to be a polygon or multipolygon, which is not empty")
    return shape


def wkt_of(text: str, what: str, planning: ChainPlanning) -> str:
    """Return a CRS of a job as horizontal WKT; ``what``: its key, for messages."""
    crs = assigned_crs.parse(text, what, PreflightError)
    return str(assigned_crs.horizontal(crs, what, planning.warnings).to_wkt())


def _way(src: str, dst: str, named: str, planning: ChainPlanning) -> None:
    """Raise CrsError where PROJ knows no way between two CRSs; warn of a grid that it lacks."""
    if src == dst:
        return
    known = coordinate_operations.known(src, dst)
    if not known.pipelines:
        raise CrsError(f"PROJ knows no way to {named}")
    if warning := known.missing_grid(named):
        planning.warn(warning)


def _moved(area: Geometry, src: str, dst: str, planning: ChainPlanning) -> Geometry:
    """Transform a geometry. Raises CrsError where it cannot be."""
    if not dst:
        raise CrsError("features have no CRS here, so the rim cannot be brought into it")
    _way(src, dst, "the CRS of the features", planning)
    there = coordinate_operations.transformer(src, dst)
    try:
        moved = shapely.transform(
            area, lambda x, y: there.transform(x, y, errcheck=False), interleaved=False
        )
    except shapely.errors.GEOSException as error:
        raise CrsError(f"the geometry to clip at cannot be transformed: {error}") from error
    if not np.isfinite(shapely.get_coordinates(moved)).all():
        raise CrsError("the geometry to clip at has no place in the CRS of the features")
    return moved


def _area(wkb: str) -> second_layer.Area:
    """Return the area of polygons, which this thread keeps: the latest of them."""
    known = _local.__dict__.setdefault("known", {})
    if wkb not in known:
        known.clear()
        known[wkb] = second_layer.Area(np.array([shapely.from_wkb(wkb)], dtype=object))
    return cast("second_layer.Area", known[wkb])
