"""The work of operations on the geometries of a batch.

An operation takes a :class:`Batch` and gives one: with other geometries, with more rows set aside
or dropped, and with counts of what it did.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from geobatch_tui.execution.vector.batch import wkb_coordinates
from geobatch_tui.execution.vector.batch.feature_batch import Bad, Batch, Rows, without

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.runtime.own_trials import Trials
    from geobatch_tui.execution.vector.batch.buffers import Room
    from geobatch_tui.execution.vector.geometry.geos import Change
    from geobatch_tui.execution.vector.geometry.trail import Trail
    from geobatch_tui.execution.vector.geometry.transform import Reprojector
    from geobatch_tui.execution.vector.plan import VectorPlan
    from geobatch_tui.execution.vector.second_layer import Area

#: Values of ``geometry_kind``, in the order of WKB's numbers, which go on with the multi types.
_KINDS = ("points", "lines", "polygons")
_LAST_MULTI = 6


#: What an operation does to a batch.
type Work = Callable[[Context, Batch], Batch]


@dataclass(frozen=True, slots=True)
class Context:
    """The surroundings of a batch that an operation may look at.

    Attributes:
        plan: of the item.
        params: of the job.
        stage: names what is being done.
        trail: of the chunk; only for an operation that declares itself divisible.
        room: buffers to use again; only where a batch is gone before the next is read.
        trials: of the chunk, for functions of the user; None: they are not tried.
    """

    plan: VectorPlan
    params: Json
    stage: Stage
    trail: Trail | None
    room: Room | None
    trials: Trials | None = None


def convert(context: Context, batch: Batch) -> Batch:
    """Leave every geometry as it is."""
    del context
    return batch


def choose(context: Context, batch: Batch) -> Batch:
    """Keep what lies to the mask as ``predicate`` says, if there is a mask."""
    params = context.params
    if not params["mask"]:
        return batch
    from geobatch_tui.execution.vector import second_layer
    from geobatch_tui.execution.vector.geometry import geos

    layer = second_layer.mask_of(
        params["mask"], params["mask_digest"], params["mask_layer"], context.plan.src_crs
    )
    rows = geos.untried(batch, context.trail)
    chosen = geos.tested(batch, rows, layer.test(params["predicate"]), context.trail)
    # What cannot be read or compared stays, and is set aside.
    return batch.with_only(rows[chosen])


def reproject(context: Context, batch: Batch) -> Batch:
    """Transform coordinates within their WKB; count what lies across the antimeridian, or cut it
    there."""
    from geobatch_tui.execution.vector.geometry.transform import reprojector

    plan, shapes = context.plan, batch.shapes
    if plan.src_crs == plan.dst_crs:
        return _at_antimeridian(context, batch, None)
    with context.stage("transform"):
        way = reprojector(plan.src_crs, plan.dst_crs)
        moved = way.move(shapes)
    batch.set_aside(
        np.flatnonzero(moved.failed).tolist(), "a coordinate has no place in the target CRS"
    )
    batch.set_aside(
        np.flatnonzero(moved.strayed).tolist(),
        "outside the area of use of the target CRS, and does not come back from it",
    )
    before = shapes.column
    column = shapes.replaced(shapes.x, shapes.y, context.room)
    facts = {"outside_area": int((moved.outside & ~batch.dropped).sum())}
    batch = replace(batch, shapes=replace(shapes, column=column), facts=facts)
    return _at_antimeridian(context, batch, (before, way) if way.unrolls else None)


def _at_antimeridian(
    context: Context, batch: Batch, projected: tuple[pa.Array, Reprojector] | None
) -> Batch:
    """Count what lies across the antimeridian, or cut it; ``projected``: the geometries as they
    were in a projection, and their way from there."""
    from geobatch_tui.execution.vector.geometry import transform

    if not transform.in_degrees(context.plan.dst_crs):
        return batch
    look = transform.near_both_sides if projected is None else transform.half_round
    rows = batch.going_on(look(batch.shapes))
    if not len(rows):
        return batch
    # shapely is loaded only where there is anything to look at: that takes long.
    from geobatch_tui.execution.vector.geometry import antimeridian, geos

    unread: Bad = {}
    column = batch.shapes.column if projected is None else projected[0]
    objects = geos.read(column, rows, unread)
    rows, objects = without(rows, unread), objects[[row not in unread for row in rows.tolist()]]
    cut: Change = antimeridian.cut
    if projected is None:
        crossing = antimeridian.across(objects)
    else:
        crossing, cut = antimeridian.on_the_way(objects, projected[1].lonlat)
    rows = rows[crossing]
    facts = batch.facts | {"across_antimeridian": len(rows)}
    if not context.params.get("wrapdateline"):
        return replace(batch, facts=facts)
    batch = replace(batch, bad=batch.bad | unread, facts=facts)
    return replace(batch, shapes=geos.touch(batch, rows, cut, None).shapes)


def make_valid(context: Context, batch: Batch) -> Batch:
    """Repair what is invalid, and touch nothing else."""
    from geobatch_tui.execution.vector.geometry import geos

    collapsed = bool(context.params["keep_collapsed"])
    change = partial(geos.repaired, method=str(context.params["method"]))
    trail = context.trail
    rows = geos.failing(batch, geos.untried(batch, trail), geos.valid, trail)
    shapes, empty, lessened = geos.touch(batch, rows, change, trail, collapsed=collapsed)
    batch = replace(batch, shapes=shapes)
    batch.set_aside(empty, "nothing of its dimension is left once repaired")
    still = geos.failing(batch, batch.sound(rows), geos.valid, trail)
    batch.set_aside(still.tolist(), "still invalid once repaired")
    left_out = len(batch.sound(np.array(lessened, np.int64)))
    facts = {"repaired": len(batch.sound(rows)), "lesser_parts_left_out": left_out}
    return replace(batch, facts=facts)


def clip(context: Context, batch: Batch) -> Batch:
    """Cut off what lies outside ``bounds``, or outside the polygons of ``like``; features wholly
    inside are not touched."""
    params = context.params
    if params["like"]:
        from geobatch_tui.execution.vector import second_layer

        area = second_layer.area_of(
            params["like"], params["like_digest"], params["like_layer"], context.plan.src_crs
        )
        return clip_at(context, batch, area)
    from geobatch_tui.execution.vector.geometry import geos

    rows = geos.untried(batch, context.trail)
    minx, miny, maxx, maxy = params["bounds"]
    boxes = batch.shapes.boxes()[rows]
    is_inside = (boxes[:, :2] >= (minx, miny)) & (boxes[:, 2:] <= (maxx, maxy))
    across = rows[~is_inside.all(axis=1)]
    return _cut(context, batch, across, geos.cutter(minx, miny, maxx, maxy))


def clip_at(context: Context, batch: Batch, area: Area) -> Batch:
    """Cut off what lies outside of an area; features wholly inside are not touched."""
    from geobatch_tui.execution.vector.geometry import geos

    trail = context.trail
    rows = geos.untried(batch, trail)
    met = rows[geos.tested(batch, rows, area.meets, trail)]
    across = geos.failing(batch, met, area.covers, trail)
    return _cut(context, batch.with_only(met), across, geos.sound(area.cut))


def _cut(context: Context, batch: Batch, across: Rows, cut: Change) -> Batch:
    """Cut the features ``across`` the rim; drop those of which nothing is left."""
    from geobatch_tui.execution.vector.geometry import geos

    shapes, empty, _ = geos.touch(batch, across, cut, context.trail)
    dropped = batch.dropped.copy()
    dropped[empty] = True
    facts = {"clipped": len(batch.sound(across)) - len(empty)}
    return replace(batch, shapes=shapes, dropped=dropped, facts=facts)


def of_kind(batch: Batch, params: Json) -> Batch:
    """Set aside, or drop, what is of another kind than ``geometry_kind``."""
    wanted = str(params.get("geometry_kind", "any"))
    if wanted == "any":
        return batch
    kinds = batch.shapes.kinds % 1000
    other = (kinds != 0) & ((kinds > _LAST_MULTI) | ((kinds - 1) % 3 != _KINDS.index(wanted)))
    if params["other_kinds"] == "filter":
        other[list(batch.bad)] = False
        return replace(batch, dropped=other | batch.dropped)
    bad = {
        row: (
            "SchemaError",
            f"it is a {wkb_coordinates.type_name(kind)}; geometry_kind asks for {wanted}",
        )
        for row, kind in zip(
            np.flatnonzero(other).tolist(), batch.shapes.kinds[other].tolist(), strict=True
        )
    }
    return replace(batch, bad=bad | batch.bad)
