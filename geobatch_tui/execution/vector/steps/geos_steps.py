"""Steps that GEOS does on every geometry: *buffer*, *convex-hull*, *simplify*, and *make-valid*."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import shapely

from geobatch_tui.execution.vector import operations
from geobatch_tui.execution.vector.geometry import geos
from geobatch_tui.execution.vector.steps.feature_step import ShapeStep, features_of, with_column

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.vector.batch.feature_batch import Features
    from geobatch_tui.execution.vector.geometry.geos import Remake, Shapes
    from geobatch_tui.execution.vector.operations import Context
    from geobatch_tui.execution.vector.plan import LayerPlan

_POLYGON = 3
#: Numbers in WKB of the types that may hold polygons.
_WITH_AREAS = (3, 6, 7)
#: Bytes of a point, about, with what stands beside it in a feature.
_POINT_BYTES = 64
#: How much longer, at most and about, outlines of lines and areas become by round corners.
_ROUNDED = 3.0


class RemakeStep(ShapeStep):
    """A step that makes a geometry of each geometry."""

    def change(self, values: Json) -> Remake:
        """Return what it does to an array of geometries."""
        raise NotImplementedError

    def apply(self, step: LayerPlan, features: Features, context: Context) -> Features:
        rows = geos.untried(features, context.trail)
        change = self.change(step.values)
        return with_column(features, geos.remade(features, rows, change, context.trail))


class Buffer(RemakeStep):
    """Grows or shrinks geometries; those that are not valid are set aside, as GEOS loses parts of
    them without a word."""

    name = "buffer"

    def type_of(self, up: LayerPlan) -> str:
        del up
        return "MultiPolygon"

    def apply(self, step: LayerPlan, features: Features, context: Context) -> Features:
        areas = features.going_on(np.isin(features.shapes.kinds % 1000, _WITH_AREAS))
        areas = np.intersect1d(areas, geos.untried(features, context.trail))
        wrong = geos.failing(features, areas, geos.valid, context.trail)
        features.set_aside(wrong.tolist(), "it is not valid; repair it with make-valid first")
        return super().apply(step, features, context)

    def change(self, values: Json) -> Remake:
        one_side = values["side"] != "both"
        grow = partial(
            shapely.buffer,
            distance=-values["distance"] if values["side"] == "right" else values["distance"],
            quad_segs=values["quadrant_segments"],
            cap_style=values["endcap_style"],
            join_style=values["join_style"],
            mitre_limit=values["mitre_limit"],
            single_sided=one_side,
        )
        return lambda shapes: _multi(grow(shapes))

    def growth(self, step: LayerPlan, up: LayerPlan) -> float:
        circle = 16 * (4 * int(step.values["quadrant_segments"]) + 2) / _POINT_BYTES
        return 1.0 + (circle if "Point" in up.geometry_type else min(circle, _ROUNDED))


def _multi(shapes: Shapes) -> Shapes:
    """Make multipolygons of polygons."""
    made = shapes.copy()
    single = (shapely.get_type_id(shapes) == _POLYGON) & ~shapely.is_empty(shapes)
    if single.any():
        made[single] = shapely.multipolygons(shapes[single], indices=np.arange(single.sum()))
    made[shapely.is_empty(shapes)] = shapely.MultiPolygon()
    return made


class ConvexHull(RemakeStep):
    """Puts convex hulls in place of geometries."""

    name = "convex-hull"

    def type_of(self, up: LayerPlan) -> str:
        del up
        return "Unknown"

    def change(self, values: Json) -> Remake:
        del values
        return shapely.convex_hull  # type: ignore[no-any-return]


class Simplify(RemakeStep):
    """Leaves out vertices, so that what is valid stays valid."""

    name = "simplify"

    def change(self, values: Json) -> Remake:
        return partial(shapely.simplify, tolerance=values["tolerance"], preserve_topology=True)


class MakeValid(ShapeStep):
    """Repairs what is invalid, and touches nothing else."""

    name = "make-valid"

    def apply(self, step: LayerPlan, features: Features, context: Context) -> Features:
        if not step.values["keep_lower_dim"]:
            params = {"method": step.values["method"], "keep_collapsed": False}
            made = operations.make_valid(replace(context, params=params), features)
            return features_of(features, made)
        trail = context.trail
        rows = geos.failing(features, geos.untried(features, trail), geos.valid, trail)
        repair = partial(shapely.make_valid, method=step.values["method"])
        column = geos.remade(features, rows, repair, trail)
        repaired = len(features.sound(rows))
        return replace(with_column(features, column), facts={"repaired": repaired})
