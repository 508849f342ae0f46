"""One chunk of features: read, worked on, and spooled; what cannot be done is set aside."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from geobatch_tui.execution.messages import ChunkReceipt, FeatureLetter
from geobatch_tui.execution.raster.source import check_identity
from geobatch_tui.execution.vector import assemble, kernels, limits, replaced, source, spool, wkb
from geobatch_tui.execution.vector.collect import BOX_TYPE, box_column, merged
from geobatch_tui.execution.vector.pieces import Pieces
from geobatch_tui.execution.vector.plan import BOX, FID, GEOMETRY, UNREAD, WKB, VectorPlan
from geobatch_tui.execution.vector.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from geobatch_tui.execution.messages import ChunkTask, ItemContext
    from geobatch_tui.execution.ops.registry import Stage

#: Columns of a feature in quarantine beside the attributes.
REASON, ERROR = "geobatch_reason", "geobatch_error"
#: Characters of WKB in hex that a letter carries, and those after the first of a chunk; the
#: quarantine file has it all.
HEX, SHORT_HEX, FIRST = 2000, 64, 200
#: Values of ``geometry_kind``, in the order of WKB's numbers, which go on with the multi types.
_KINDS = ("points", "lines", "polygons")
_LAST_MULTI = 6


@dataclass(slots=True)
class Worked:
    """What an operation made of a batch.

    ``found``: the new geometries. ``bad``: row to (error class, reason). ``dropped``: rows that
    were not asked for. ``facts``: counts that are summed up over the item.
    """

    found: wkb.Coordinates
    bad: dict[int, tuple[str, str]] = field(default_factory=dict)
    dropped: NDArray[np.bool_] | None = None
    facts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """What an operation may look at beside the batch. ``trail`` is there for those that declare
    themselves divisible."""

    plan: VectorPlan
    params: Any
    stage: Stage
    trail: Trail | None


def run(task: ChunkTask, work: Any, stage: Stage) -> ChunkReceipt:
    """Compute a chunk into the spool, or the whole item into its part file.

    Args:
        task: which chunk.
        work: makes a :class:`Worked` of a batch: of its :class:`Context`, its coordinates, the
            rows that cannot be read, and those that are not asked for.
        stage: names what is being done.
    """
    item = task.item
    plan = VectorPlan.from_json(item.plan.detail)
    check_identity(item.source, item.source_id)
    out = _Chunk(item, plan, task.index)
    batches = source.read_chunk(item, plan, task.index)
    repaired = replaced.load(item, plan)
    with Trail(task) if item.plan.notes.get("divisible") else nullcontext() as trail:
        context = Context(plan, item.params, stage, trail)
        while True:
            with stage("read"):
                batch = next(batches, None)
            if batch is None:
                break
            if repaired:
                batch = out.repair(batch, repaired)
            if trail is not None:
                trail.begin(int(out.stats["in"]))
            with stage("work"):
                worked = work(context, *out.readable(batch, item.params))
                out.add(batch, of_kind(worked, item.params))
    check_identity(item.source, item.source_id)
    with stage("encode"):
        good, dead = out.finish()
    with stage("spool"):
        segment, length = spool.append(item, task.index, task.epoch, good, dead, out.stats)
    del good, dead
    whole = None
    if task.whole:
        whole = assemble.assemble(item, (segment,), task.epoch, stage)
    pa.default_memory_pool().release_unused()
    return ChunkReceipt(
        index=task.index,
        segment=segment,
        units=int(out.stats["in"]),
        bytes_in=out.bytes_in,
        bytes_out=length if whole is None else whole.size,
        nodata=0.0,
        seconds={},
        item=whole,
        letters=tuple(out.letters),
    )


class _Chunk:
    """Gathers what becomes of the features of one chunk."""

    def __init__(self, item: ItemContext, plan: VectorPlan, index: int) -> None:
        self._item, self._plan = item, plan
        window = item.plan.grid.window(index)
        self._position = window.col_off
        fields = source.schema_of(plan)
        self._fields = fields
        self._written = source.written_schema(plan)
        self._good_schema = self._written.append(pa.field(GEOMETRY, pa.binary())).append(
            pa.field(BOX, BOX_TYPE)
        )
        self._dead_schema = (
            fields.append(pa.field(FID, pa.int64()))
            .append(pa.field(ERROR, pa.string()))
            .append(pa.field(REASON, pa.string()))
            .append(pa.field(GEOMETRY, pa.binary()))
        )
        self._pieces = Pieces(plan, window, item.plan.grid.width, self._good_schema)
        self._dead: list[pa.RecordBatch] = []
        self.letters: list[FeatureLetter] = []
        self.bytes_in = 0
        self.stats: dict[str, Any] = {
            "in": 0, "out": 0, "dead": 0, "filtered": 0, "kinds": {}, "bbox": None, "facts": {},
        }  # fmt: skip

    def readable(
        self, batch: pa.RecordBatch, params: Any
    ) -> tuple[wkb.Coordinates, dict[int, tuple[str, str]], NDArray[np.bool_]]:
        """Coordinates of a batch, the rows that cannot be read, and those outside ``bounds``."""
        found, measured = wkb.read(batch.column(WKB))
        beyond = _beyond(found, params.get("bounds"))
        if measured:
            self._count("m_dropped", measured)
        wrong = np.flatnonzero((found.status != kernels.OK) & (found.status != kernels.NULL))
        bad = {
            row: ("GeometryError", wkb.REASONS[int(found.status[row])]) for row in wrong.tolist()
        }
        if self._plan.lost:
            unread = batch.column(UNREAD).to_pylist()
            bad |= {row: ("CorruptSourceError", why) for row, why in enumerate(unread) if why}
        # What cannot be read may lie anywhere.
        beyond[list(bad)] = False
        return found, bad, beyond

    def repair(self, batch: pa.RecordBatch, repaired: dict[int, bytes]) -> pa.RecordBatch:
        """A batch with repaired geometries in place of its own."""
        batch, count = replaced.put_in(batch, repaired)
        self._count("replaced", count)
        return batch

    def add(self, batch: pa.RecordBatch, worked: Worked) -> None:
        """Take the result of one batch."""
        count = batch.num_rows
        self.bytes_in += batch.nbytes
        keep = np.ones(count, np.bool_)
        if worked.dropped is not None:
            keep &= ~worked.dropped
        unfit: dict[int, tuple[str, str]] = {}
        names = self._fields.names
        read = limits.readable([batch.column(name) for name in names], names, unfit)
        columns, facts = limits.fit(self._plan.format, read, self._written, unfit)
        bad = {row: why for row, why in (unfit | worked.bad).items() if keep[row]}
        self.stats["filtered"] += count - int(keep.sum())
        if bad:
            keep[list(bad)] = False
            self._quarantine(batch, bad)
        self.stats["in"] += count
        self.stats["out"] += int(keep.sum())
        for name, value in (worked.facts | facts).items():
            self._count(name, value)
        self._publish(columns, worked.found, keep)
        self._position += count

    def _count(self, name: str, value: int) -> None:
        facts = self.stats["facts"]
        facts[name] = facts.get(name, 0) + int(value)

    def _publish(
        self, columns: list[pa.Array], found: wkb.Coordinates, keep: NDArray[np.bool_]
    ) -> None:
        boxes = found.boxes()
        known = np.isfinite(boxes[:, 0])
        self._note(found, boxes, keep, known)
        box = box_column(boxes, known, wkb.validity(found.column))
        made = pa.RecordBatch.from_arrays([*columns, found.column, box], schema=self._good_schema)
        self._pieces.add(made, keep, self._position)

    def _note(
        self,
        found: wkb.Coordinates,
        boxes: NDArray[np.float64],
        keep: NDArray[np.bool_],
        known: NDArray[np.bool_],
    ) -> None:
        kinds = self.stats["kinds"]
        for kind, times in zip(*np.unique(found.kinds[keep], return_counts=True), strict=True):
            kinds[str(kind)] = kinds.get(str(kind), 0) + int(times)
        here = keep & known
        self._count("empty", int((keep & ~known).sum()))
        if here.any():
            low, high = boxes[here, :2].min(axis=0), boxes[here, 2:].max(axis=0)
            self.stats["bbox"] = merged(self.stats["bbox"], [*low.tolist(), *high.tolist()])

    def _quarantine(self, batch: pa.RecordBatch, bad: dict[int, tuple[str, str]]) -> None:
        rows = sorted(bad)
        self.stats["dead"] += len(rows)
        taken = batch.take(pa.array(rows))
        fids, shapes = taken.column(FID), taken.column(WKB)
        errors, reasons = ([bad[row][side] for row in rows] for side in (0, 1))
        columns = [taken.column(name) for name in self._fields.names]
        self._dead.append(
            pa.RecordBatch.from_arrays(
                [*columns, fids, pa.array(errors), pa.array(reasons), shapes],
                schema=self._dead_schema,
            )
        )
        for n, row in enumerate(rows):
            raw = shapes[n].as_py() or b""
            shown = HEX if len(self.letters) < FIRST else SHORT_HEX
            self.letters.append(
                FeatureLetter(
                    fid=fids[n].as_py(),
                    position=self._position + row,
                    error_class=errors[n],
                    reason=reasons[n],
                    wkb=raw[: shown // 2].hex(),
                    wkb_bytes=len(raw),
                )
            )

    def finish(self) -> tuple[list[bytes | pa.Buffer], pa.Buffer]:
        """The features of the segment, and those in quarantine; after it ``stats`` are complete."""
        good = self._pieces.finish()
        self.stats["pieces"] = self._pieces.stats
        return good, spool.encode(self._dead, self._dead_schema)


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
        row: ("SchemaError", f"it is a {wkb.type_name(kind)}; geometry_kind asks for {wanted}")
        for row, kind in zip(
            np.flatnonzero(other).tolist(), worked.found.kinds[other].tolist(), strict=True
        )
    }
    return replace(worked, bad=bad | worked.bad)


def _beyond(found: wkb.Coordinates, bounds: Any) -> NDArray[np.bool_]:
    """Features whose box does not touch ``bounds`` (in the source's CRS); none if not asked."""
    if not bounds:
        return np.zeros(len(found.status), np.bool_)
    minx, miny, maxx, maxy = bounds
    box = found.boxes()
    touches = (box[:, 0] <= maxx) & (box[:, 2] >= minx) & (box[:, 1] <= maxy) & (box[:, 3] >= miny)
    out: NDArray[np.bool_] = ~touches
    return out


# --- what operations do to coordinates ---------------------------------------------------------


def convert(
    context: Context,
    found: wkb.Coordinates,
    bad: dict[int, tuple[str, str]],
    dropped: NDArray[np.bool_],
) -> Worked:
    """Leave every geometry as it is."""
    del context
    return Worked(found, bad, dropped)


def choose(
    context: Context,
    found: wkb.Coordinates,
    bad: dict[int, tuple[str, str]],
    dropped: NDArray[np.bool_],
) -> Worked:
    """Keep what lies to the mask as ``predicate`` says, if there is a mask."""
    params = context.params
    if not params["mask"]:
        return Worked(found, bad, dropped)
    from geobatch_tui.execution.vector import mask, shapes

    layer = mask.mask_of(
        params["mask"], params["mask_digest"], params["mask_layer"], context.plan.src_crs
    )
    rows = shapes.condemn(shapes.usable(found, bad, dropped), bad, context.trail)
    chosen = shapes.tested(found, rows, layer.test(params["predicate"]), bad, context.trail)
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
    found: wkb.Coordinates,
    bad: dict[int, tuple[str, str]],
    dropped: NDArray[np.bool_],
) -> Worked:
    """Transform coordinates within their WKB."""
    from geobatch_tui.execution.vector.transform import reprojector

    plan = context.plan
    if plan.src_crs == plan.dst_crs:
        return Worked(found, bad, dropped)
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
    column = found.replaced(found.x, found.y)
    facts = {"outside_area": int((moved.outside & ~dropped).sum())}
    return Worked(replace(found, column=column), bad, dropped, facts)


def make_valid(
    context: Context,
    found: wkb.Coordinates,
    bad: dict[int, tuple[str, str]],
    dropped: NDArray[np.bool_],
) -> Worked:
    """Repair what is invalid, and touch nothing else."""
    from geobatch_tui.execution.vector import shapes

    method, collapsed = str(context.params["method"]), bool(context.params["keep_collapsed"])
    rows = shapes.condemn(shapes.usable(found, bad, dropped), bad, context.trail)
    rows = rows[~shapes.tested(found, rows, shapes.valid, bad, context.trail)]
    rows = shapes.without(rows, bad)
    made, empty = shapes.touch(
        found,
        rows,
        lambda shape: shapes.repaired(shape, method),
        bad,
        context.trail,
        collapsed=collapsed,
    )
    bad |= dict.fromkeys(empty, ("GeometryError", "nothing of its dimension is left once repaired"))
    still = shapes.without(rows, bad)
    fine = shapes.tested(made, still, shapes.valid, bad, context.trail)
    wrong = shapes.without(still[~fine], bad)
    bad |= dict.fromkeys(wrong.tolist(), ("GeometryError", "still invalid once repaired"))
    return Worked(made, bad, dropped, {"repaired": int(fine.sum())})


def clip(
    context: Context,
    found: wkb.Coordinates,
    bad: dict[int, tuple[str, str]],
    dropped: NDArray[np.bool_],
) -> Worked:
    """Cut off what lies outside ``bounds``, or outside the polygons of ``like``; features wholly
    inside are not touched."""
    from geobatch_tui.execution.vector import shapes

    rows = shapes.condemn(shapes.usable(found, bad, dropped), bad, context.trail)
    if context.params["like"]:
        kept, across, cut = _across(context, found, rows, bad)
        dropped = _only(kept, bad, dropped)
    else:
        minx, miny, maxx, maxy = context.params["bounds"]
        boxes = found.boxes()[rows]
        inside = (boxes[:, :2] >= (minx, miny)) & (boxes[:, 2:] <= (maxx, maxy))
        across, cut = rows[~inside.all(axis=1)], shapes.cutter(minx, miny, maxx, maxy)
    made, empty = shapes.touch(found, across, cut, bad, context.trail)
    dropped = dropped.copy()
    dropped[empty] = True
    return Worked(made, bad, dropped, {"clipped": len(shapes.without(across, bad)) - len(empty)})


def _across(
    context: Context,
    found: wkb.Coordinates,
    rows: NDArray[np.int64],
    bad: dict[int, tuple[str, str]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], Callable[[Any], Any]]:
    """Those of ``rows`` that meet the area of ``like``; those of them that it does not cover;
    and what cuts these."""
    from geobatch_tui.execution.vector import mask, shapes

    params, trail = context.params, context.trail
    area = mask.area_of(
        params["like"], params["like_digest"], params["like_layer"], context.plan.src_crs
    )
    meets = shapes.tested(found, rows, area.meets, bad, trail)
    met = shapes.without(rows[meets], bad)
    covered = shapes.tested(found, met, area.covers, bad, trail)
    return met, shapes.without(met[~covered], bad), shapes.sound(area.cut)
