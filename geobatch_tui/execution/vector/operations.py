"""What operations do to the coordinates of a batch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from geobatch_tui.execution.vector.batch import wkb_coordinates

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from geobatch_tui.execution.ops.registry import Stage
    from geobatch_tui.execution.vector.batch.buffers import Room
    from geobatch_tui.execution.vector.geometry.trail import Trail
    from geobatch_tui.execution.vector.plan import VectorPlan

#: Values of ``geometry_kind``, in the order of WKB's numbers, which go on with the multi types.
_KINDS = ("points", "lines", "polygons")
_LAST_MULTI = 6


@dataclass(slots=True)
class Worked:
    """What an operation made of a batch.

    ``found``: the new geometries. ``bad``: row to (error class, reason). ``dropped``: rows that
    were not asked for. ``facts``: counts that are summed up over the item.
    """

    found: wkb_coordinates.Coordinates
    bad: dict[int, tuple[str, str]] = field(default_factory=dict)
    dropped: NDArray[np.bool_] | None = None
    facts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """What an operation may look at beside the batch. ``trail`` is there for those that declare
    themselves divisible; ``room`` where a batch is gone before the next is read."""

    plan: VectorPlan
    params: Any
    stage: Stage
    trail: Trail | None
    room: Room | None


def convert(
    context: Context,
    found: wkb_coordinates.Coordinates,
    bad: dict[int, tuple[str, str]],
    dropped: NDArray[np.bool_],
) -> Worked:
    """Leave every geometry as it is."""
    del context
    return Worked(found, bad, dropped)


def choose(
    context: Context,
    found: wkb_coordinates.Coordinates,
    bad: dict[int, tuple[str, str]],
    dropped: NDArray[np.bool_],
) -> Worked:
    """Keep what lies to the mask as ``predicate`` says, if there is a mask."""
    params = context.params
    if not params["mask"]:
        return Worked(found, bad, dropped)
    from geobatch_tui.execution.vector import second_layer
    from geobatch_tui.execution.vector.geometry import geos

    layer = second_layer.mask_of(
        params["mask"], params["mask_digest"], params["mask_layer"], context.plan.src_crs
    )
    rows = geos.condemn(geos.usable(found, bad, dropped), bad, context.trail)
    chosen = geos.tested(found, rows, layer.test(params["predicate"]), bad, context.trail)
    # What cannot be read or compared stays, and goes to quarantine.
    return Worked(found, bad, _only(rows[chosen], bad, dropped))


def _only(
    rows: NDArray[np.int64], bad: dict[int, tuple[str, str]], dropped: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """``dropped``, and all else but ``rows`` and those that are bad."""
    out = np.ones(len(dropped), np.bool_)
    out[rows] = False
    out[list(bad)] = False
    return out | dropped


def reproject(
    context: Context,
    found: wkb_coordinates.Coordinates,
    bad: dict[int, tuple[str, str]],
    dropped: NDArray[np.bool_],
) -> Worked:
    """Transform coordinates within their WKB; tell what lies across the antimeridian, or cut it
    there."""
    from geobatch_tui.execution.vector.geometry.transform import reprojector

    plan = context.plan
    if plan.src_crs == plan.dst_crs:
        return _at_antimeridian(context, Worked(found, bad, dropped))
    with context.stage("transform"):
        moved = reprojector(plan.src_crs, plan.dst_crs).move(found)
    for rows, reason in (
        (moved.failed, "a coordinate has no place in the target CRS"),
        (
            moved.strayed,
            "outside the area of use of the target CRS, and does not come back from it",
        ),
    ):
        bad |= dict.fromkeys(np.flatnonzero(rows).tolist(), ("GeometryError", reason))
    before = found.column
    column = found.replaced(found.x, found.y, context.room)
    facts = {"outside_area": int((moved.outside & ~dropped).sum())}
    worked = Worked(replace(found, column=column), bad, dropped, facts)
    return _at_antimeridian(context, worked, before)


def _at_antimeridian(context: Context, worked: Worked, before: Any = None) -> Worked:
    """Tell what lies across the antimeridian, or cut it; ``before``: the geometries in the CRS of
    the source, if they were in another."""
    from geobatch_tui.execution.vector.geometry import transform

    plan = context.plan
    if worked.dropped is None or not transform.in_degrees(plan.dst_crs):
        return worked
    moves = transform.reprojector(plan.src_crs, plan.dst_crs) if before is not None else None
    if moves is not None and not moves.unrolls:
        moves = None
    look = transform.near_both_sides if moves is None else transform.half_round
    may_be = look(worked.found) & ~worked.dropped
    may_be[list(worked.bad)] = False
    if not may_be.any():
        return worked
    # Geometry objects only where there is anything to look at: they take long to load.
    from geobatch_tui.execution.vector.geometry import antimeridian, geos

    unread: dict[int, tuple[str, str]] = {}
    column = worked.found.column if moves is None else before
    rows, cut = np.flatnonzero(may_be), cast("Callable[[Any], Any]", antimeridian.cut)
    given = geos.read(column, rows, unread)
    rows, given = geos.without(rows, unread), given[[row not in unread for row in rows.tolist()]]
    if moves is None:
        crossing = antimeridian.across(given)
    else:
        crossing, cut = antimeridian.on_the_way(given, moves.lonlat)
    rows = rows[crossing]
    facts = worked.facts | {"across_antimeridian": len(rows)}
    if not context.params.get("wrapdateline"):
        return replace(worked, facts=facts)
    bad = worked.bad | unread
    made = geos.touch(worked.found, rows, cut, bad, None).found
    return replace(worked, found=made, bad=bad, facts=facts)


def make_valid(
    context: Context,
    found: wkb_coordinates.Coordinates,
    bad: dict[int, tuple[str, str]],
    dropped: NDArray[np.bool_],
) -> Worked:
    """Repair what is invalid, and touch nothing else."""
    from geobatch_tui.execution.vector.geometry import geos

    method, collapsed = str(context.params["method"]), bool(context.params["keep_collapsed"])
    rows = geos.condemn(geos.usable(found, bad, dropped), bad, context.trail)
    rows = rows[~geos.tested(found, rows, geos.valid, bad, context.trail)]
    rows = geos.without(rows, bad)
    made, empty, lessened = geos.touch(
        found,
        rows,
        lambda shape: geos.repaired(shape, method),
        bad,
        context.trail,
        collapsed=collapsed,
    )
    bad |= dict.fromkeys(empty, ("GeometryError", "nothing of its dimension is left once repaired"))
    still = geos.without(rows, bad)
    fine = geos.tested(made, still, geos.valid, bad, context.trail)
    wrong = geos.without(still[~fine], bad)
    bad |= dict.fromkeys(wrong.tolist(), ("GeometryError", "still invalid once repaired"))
    left_out = len(geos.without(np.array(lessened, np.int64), bad))
    return Worked(
        made, bad, dropped, {"repaired": int(fine.sum()), "lesser_parts_left_out": left_out}
    )


def clip(
    context: Context,
    found: wkb_coordinates.Coordinates,
    bad: dict[int, tuple[str, str]],
    dropped: NDArray[np.bool_],
) -> Worked:
    """Cut off what lies outside ``bounds``, or outside the polygons of ``like``; features wholly
    inside are not touched."""
    from geobatch_tui.execution.vector.geometry import geos

    rows = geos.condemn(geos.usable(found, bad, dropped), bad, context.trail)
    if context.params["like"]:
        kept, across, cut = _across(context, found, rows, bad)
        dropped = _only(kept, bad, dropped)
    else:
        minx, miny, maxx, maxy = context.params["bounds"]
        boxes = found.boxes()[rows]
        inside = (boxes[:, :2] >= (minx, miny)) & (boxes[:, 2:] <= (maxx, maxy))
        across, cut = rows[~inside.all(axis=1)], geos.cutter(minx, miny, maxx, maxy)
    made, empty, _ = geos.touch(found, across, cut, bad, context.trail)
    dropped = dropped.copy()
    dropped[empty] = True
    return Worked(made, bad, dropped, {"clipped": len(geos.without(across, bad)) - len(empty)})


def _across(
    context: Context,
    found: wkb_coordinates.Coordinates,
    rows: NDArray[np.int64],
    bad: dict[int, tuple[str, str]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], Callable[[Any], Any]]:
    """Those of ``rows`` that meet the area of ``like``; those of them that it does not cover;
    and what cuts these."""
    from geobatch_tui.execution.vector import second_layer
    from geobatch_tui.execution.vector.geometry import geos

    params, trail = context.params, context.trail
    area = second_layer.area_of(
        params["like"], params["like_digest"], params["like_layer"], context.plan.src_crs
    )
    meets = geos.tested(found, rows, area.meets, bad, trail)
    met = geos.without(rows[meets], bad)
    covered = geos.tested(found, met, area.covers, bad, trail)
    return met, geos.without(met[~covered], bad), geos.sound(area.cut)


def of_kind(worked: Worked, params: Any) -> Worked:
    """``worked`` with what is of another kind than ``geometry_kind`` set aside, or dropped."""
    wanted = str(params.get("geometry_kind", "any"))
    if wanted == "any":
        return worked
    kinds = worked.found.kinds % 1000
    other = (kinds != 0) & ((kinds > _LAST_MULTI) | ((kinds - 1) % 3 != _KINDS.index(wanted)))
    if params["other_kinds"] == "filter":
        other[list(worked.bad)] = False
        none = np.zeros(len(other), np.bool_)
        dropped = other | (none if worked.dropped is None else worked.dropped)
        return replace(worked, dropped=dropped)
    bad = {
        row: (
            "SchemaError",
            f"it is a {wkb_coordinates.type_name(kind)}; geometry_kind asks for {wanted}",
        )
        for row, kind in zip(
            np.flatnonzero(other).tolist(), worked.found.kinds[other].tolist(), strict=True
        )
    }
    return replace(worked, bad=bad | worked.bad)
