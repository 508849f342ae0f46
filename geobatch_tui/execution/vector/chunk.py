"""Computes a chunk of features: it is read, worked on and spooled; what cannot be done is set
aside."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa

from geobatch_tui.execution.protocol.messages import ChunkReceipt, FeatureLetter
from geobatch_tui.execution.runtime.own_trials import Trials
from geobatch_tui.execution.sources.source_files import check_identity
from geobatch_tui.execution.vector import assemble, batch_schema
from geobatch_tui.execution.vector.batch import wkb_coordinates
from geobatch_tui.execution.vector.batch.arrow_arrays import (
    BOX_TYPE,
    box_column,
    ends_of,
    following,
    merged,
    numbers,
    texts,
    validity,
    whole_numbers,
)
from geobatch_tui.execution.vector.batch.buffers import own
from geobatch_tui.execution.vector.batch.feature_batch import Bad, Batch, Features, Loss
from geobatch_tui.execution.vector.fields import source_ids, values
from geobatch_tui.execution.vector.geometry import lonlat
from geobatch_tui.execution.vector.geometry.trail import Trail
from geobatch_tui.execution.vector.operations import Context, Work, of_kind
from geobatch_tui.execution.vector.plan import BOX, FID, GEOMETRY, WKB, VectorPlan
from geobatch_tui.execution.vector.read import chunk_reader, feature_reader, repaired_features
from geobatch_tui.execution.vector.spool import records, segment
from geobatch_tui.execution.vector.spool.pieces import Pieces

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geobatch_tui.execution.protocol.messages import ChunkTask, ItemContext, Json
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.vector.batch.arrow_arrays import ChunkStats
    from geobatch_tui.execution.vector.batch.feature_batch import Lost, Rows
    from geobatch_tui.execution.vector.spool.segment import OpenSegment

#: Columns of a feature that is set aside, beside the attributes.
REASON, ERROR = "geobatch_reason", "geobatch_error"
#: Characters of WKB in hex that a letter carries, and those after the first of a chunk; the
#: quarantine file has it all.
HEX, SHORT_HEX, FIRST = 2000, 64, 200


def run(task: ChunkTask, work: Work, stage: Stage) -> ChunkReceipt:
    """Compute a chunk into the spool, or the whole item into its part file; ``work``: what the
    operation does to a batch."""
    item = task.item
    plan = plan_of(item)
    reading = plan.reading
    check_identity(item.source, item.source_id)
    repaired = repaired_features.load(item, plan)
    with segment.OpenSegment(item, task.index, task.epoch, stage) as spooled:
        out = _Chunk(item, plan, task.index, spooled)
        batches = chunk_reader.read_chunk(item, reading, task.index)
        with Trail(task) if item.plan.notes.get("divisible") else nullcontext() as trail:
            room = own() if records.taken(plan) else None
            context = Context(plan, item.params, stage, trail, room, Trials(task))
            while True:
                with stage("read"):
                    batch = next(batches, None)
                if batch is None:
                    break
                if repaired:
                    batch, count = repaired_features.put_in(batch, repaired)
                    out.count("replaced", count)
                if trail is not None:
                    trail.begin(int(out.stats["in"]))
                with stage("work"):
                    done = of_kind(work(context, out.readable(batch, item.params)), item.params)
                    out.add(batch, lonlat.fitted(done) if plan.output.is_rfc7946 else done)
                del batch, done
        check_identity(item.source, item.source_id)
        with stage("encode"):
            dead = out.finish()
        spool = spooled.finish(dead, out.stats)
    del dead
    whole = None
    if task.whole:
        with segment.cut_on_error(item, spool):
            whole = assemble.assemble(item, (spool,), task.epoch, stage)
    pa.default_memory_pool().release_unused()
    return ChunkReceipt(
        index=task.index,
        segment=spool,
        units=int(out.stats["in"]),
        bytes_in=out.bytes_in,
        bytes_out=spool.length if whole is None else whole.size,
        nodata=0.0,
        seconds={},
        item=whole,
        letters=tuple(out.letters),
    )


@dataclass(frozen=True, slots=True)
class ChunkFigures:
    """What becomes of the features of a chunk. ``aside``: their positions, classes of errors, and
    reasons; ``fields``: types by names."""

    read: int
    made: int
    aside: tuple[tuple[int, str, str], ...]
    fields: dict[str, str]


def figures_of(
    task: ChunkTask, work: Work, stage: Stage, position: int | None = None
) -> ChunkFigures:
    """Compute a chunk of a chain, or one feature of it by its position in the item; nothing is
    published. Raises StepError where a function of the user fails at that one feature."""
    item, plan = task.item, plan_of(task.item)
    trials = Trials(task, raises=position is not None)
    context = Context(plan, item.params, stage, None, None, trials)
    read = made = 0
    aside = []
    start = item.plan.grid.window(task.index).col_off
    for batch in chunk_reader.read_chunk(item, plan.reading, task.index):
        first, count = start, batch.num_rows
        start += count
        if position is not None:
            if not first <= position < start:
                continue
            batch, first = batch.slice(position - first, 1), position  # noqa: PLW2901
        given, _ = feature_reader.readable(plan.reading, batch, item.params, in_chain=True)
        done = cast("Features", work(context, given))
        read, made = read + batch.num_rows, made + len(done.owners)
        aside += [(first + row, loss.error, loss.reason) for row, loss in sorted(done.lost.items())]
    fields = {each.name: str(each.type) for each in batch_schema.schema_of(plan)}
    return ChunkFigures(read, made, tuple(aside), fields)


def plan_of(item: ItemContext) -> VectorPlan:
    """Return the plan of an item, with functions of the user where its job has them now."""
    plan = VectorPlan.from_json(item.plan.detail)
    if not plan.chain:
        return plan
    from geobatch_tui.execution.runtime import own_module

    return replace(plan, chain=own_module.at_home(plan.chain, item.params.get("steps", ())))


class _Chunk:
    """Spools and counts what becomes of the features of a chunk."""

    def __init__(
        self, item: ItemContext, plan: VectorPlan, index: int, spooled: OpenSegment
    ) -> None:
        self._plan, window = plan, item.plan.grid.window(index)
        self._position = window.col_off
        self._measured = np.zeros(0, np.bool_)
        self._fields = batch_schema.schema_of(plan.reading)
        self._written = batch_schema.written_schema(plan)
        key = [pa.field(FID, pa.int64())] if plan.id_is_key else []
        shape = [pa.field(GEOMETRY, pa.binary()), pa.field(BOX, BOX_TYPE)]
        self._good_schema = pa.schema([*self._written, *key, *shape])
        said = [pa.field(ERROR, pa.string()), pa.field(REASON, pa.string())]
        self._dead_schema = pa.schema([*self._fields, pa.field(FID, pa.int64()), *said, shape[0]])
        self._numbered = source_ids.are_numbered(plan, item.params.get("columns"))
        self._pieces = Pieces(plan, window, item.plan.grid.width, self._good_schema, spooled)
        self._dead: list[pa.RecordBatch] = []
        self.letters: list[FeatureLetter] = []
        self.bytes_in = 0
        self.stats: ChunkStats = {
            "in": 0, "out": 0, "dead": 0, "filtered": 0, "extra": 0, "kinds": {}, "bbox": None,
            "facts": {}, "ids": [], "pieces": [],
        }  # fmt: skip
        if plan.access == "none":
            self.stats["in"] = self.stats["filtered"] = min(window.width, plan.count)

    def readable(self, batch: pa.RecordBatch, params: Json) -> Batch:
        """Read the coordinates of a batch; set aside the rows that cannot be read, and drop those
        outside ``bounds``."""
        read, facts = feature_reader.readable(
            self._plan.reading, batch, params, in_chain=bool(self._plan.chain)
        )
        self._measured = read.shapes.kinds >= wkb_coordinates.MEASURED
        for name, count in facts.items():
            self.count(name, count)
        return read

    def add(self, batch: pa.RecordBatch, done: Batch) -> None:
        """Take the result of one batch."""
        count = batch.num_rows
        self.bytes_in += batch.nbytes
        keep = ~done.dropped
        unfit: Bad = {}
        names = list(self._plan.fields)
        if isinstance(done, Features):
            owners, measured, attributes = done.owners, done.measured, done.attributes
            read = [attributes.column(name) for name in names]
        else:
            owners, measured, attributes = np.arange(count), self._measured, batch
            read = values.readable([batch.column(name) for name in names], names, unfit)
        columns, facts = values.fit(self._plan.output, read, self._written, unfit)
        bad = {row: why for row, why in (unfit | done.bad).items() if keep[row]}
        self.stats["filtered"] += len(keep) - int(keep.sum())
        keep[list(bad)] = False
        if isinstance(done, Features):
            done = done.with_lost(bad)
            self.stats["filtered"] += done.gone
            self.stats["extra"] += done.extra
            self._quarantine(batch, done.lost)
        else:
            self._quarantine(batch, {row: Loss(*why, "work") for row, why in bad.items()})
        self.stats["in"] += count
        self.stats["out"] += int(keep.sum())
        for name, value in (done.facts | facts).items():
            self.count(name, value)
        if (lost := measured & keep & (done.shapes.kinds < wkb_coordinates.MEASURED)).any():
            self.count("m_dropped", int(lost.sum()))
        if self._plan.id_is_key:
            columns.append(attributes.column(FID))
            ids = whole_numbers(attributes.column(FID))[keep]
            self.stats["ids"] = following(self.stats["ids"], ends_of(ids))
        elif self._numbered:
            turns = np.arange(self._position, self._position + count)
            other = whole_numbers(batch.column(FID)) != turns
            self.count("ids_renumbered", int((other[owners] & keep).sum()))
        self._publish(columns, done.shapes, keep, owners)
        self._position += count

    def count(self, name: str, value: int) -> None:
        """Add to a count of the item."""
        facts = self.stats["facts"]
        facts[name] = facts.get(name, 0) + int(value)

    def _publish(
        self,
        columns: list[pa.Array],
        shapes: wkb_coordinates.Coordinates,
        keep: NDArray[np.bool_],
        owners: Rows,
    ) -> None:
        boxes = shapes.boxes()
        known = np.isfinite(boxes[:, 0])
        kinds = self.stats["kinds"]
        for kind, times in zip(*np.unique(shapes.kinds[keep], return_counts=True), strict=True):
            kinds[str(kind)] = kinds.get(str(kind), 0) + int(times)
        here = keep & known
        self.count("empty", int((keep & ~known).sum()))
        if here.any():
            low, high = boxes[here, :2].min(axis=0), boxes[here, 2:].max(axis=0)
            self.stats["bbox"] = merged(self.stats["bbox"], [*low.tolist(), *high.tolist()])
        shapes.let_go()
        box = box_column(boxes, known, validity(shapes.column))
        made = pa.RecordBatch.from_arrays([*columns, shapes.column, box], schema=self._good_schema)
        self._pieces.add(made, keep, self._position + owners)

    def _quarantine(self, batch: pa.RecordBatch, bad: Lost) -> None:
        rows = sorted(bad)
        if not rows:
            return
        self.stats["dead"] += len(rows)
        taken = batch.take(numbers(np.array(rows)))
        fids, shapes = taken.column(FID), taken.column(WKB)
        losses = [bad[row] for row in rows]
        sides = [loss.error for loss in losses], [loss.reason for loss in losses]
        said = [texts([one.encode() for one in side], pa.string()) for side in sides]
        columns = [*(taken.column(name) for name in self._fields.names), fids, *said, shapes]
        self._dead.append(pa.RecordBatch.from_arrays(columns, schema=self._dead_schema))
        for n, (row, loss) in enumerate(zip(rows, losses, strict=True)):
            raw = shapes[n].as_py() or b""
            shown = HEX if len(self.letters) < FIRST else SHORT_HEX
            self.letters.append(
                FeatureLetter(
                    fid=fids[n].as_py(),
                    position=self._position + row,
                    error_class=loss.error,
                    reason=loss.reason,
                    wkb=raw[: shown // 2].hex(),
                    wkb_bytes=len(raw),
                    stage=loss.stage,
                    step=loss.step,
                )
            )

    def finish(self) -> pa.Buffer:
        """Spool the last features; return those that are set aside. Then ``stats`` are complete."""
        self.stats["pieces"] = self._pieces.finish()
        return segment.encode(self._dead, self._dead_schema)
