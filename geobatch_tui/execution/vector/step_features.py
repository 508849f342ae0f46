"""What a step gives for a chunk of features, for the eye: how many there are, of which types, the
first of them as texts, and a picture of all.

It is computed as a run computes it. Nothing is published; parts of a source that is read through
parts on disk lie in a temporary directory for as long.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
import shapely

from geobatch_tui.errors import InvalidInputError
from geobatch_tui.execution.proj import crs_lookup
from geobatch_tui.execution.protocol.preview_messages import FeatureLine, FeaturesReceipt
from geobatch_tui.execution.sources.source_files import check_identity
from geobatch_tui.execution.vector import chunk
from geobatch_tui.execution.vector.batch.arrow_arrays import merged
from geobatch_tui.execution.vector.batch.wkb_coordinates import type_name
from geobatch_tui.execution.vector.operations import Context
from geobatch_tui.execution.vector.pictures.dot_picture import dot_picture
from geobatch_tui.execution.vector.pictures.geometry_lines import GeometryLines
from geobatch_tui.execution.vector.plan import FID, WKB, LayerPlan, VectorPlan
from geobatch_tui.execution.vector.read import chunk_reader, feature_reader
from geobatch_tui.execution.vector.steps import feature_chain
from geobatch_tui.execution.vector.steps.feature_step import READ, READ_VERSION, fields_of

if TYPE_CHECKING:
    import pyarrow as pa

    from geobatch_tui.execution.protocol.messages import ResultTask
    from geobatch_tui.execution.protocol.operation import Stage
    from geobatch_tui.execution.vector.batch.feature_batch import Features

#: Features, and reasons why some are set aside, that are told of one by one.
MOST_LINES = 100
#: Characters of a value, and of a geometry; bytes of one that is written out at all.
_VALUE, _SHAPE, _WRITTEN = 60, 300, 20_000
#: What is said in place of a type where there is no geometry.
_NONE = "no geometry"
#: Places that a picture is made of at most, and the seconds that it may take.
MOST_PLACES, _SECONDS = 2_000_000, 3.0


def step_features(task: ResultTask, stage: Stage) -> FeaturesReceipt:
    """Compute what step ``task.step`` gives for the chunk, or for the one feature of it at
    ``task.position``.

    Raises:
        InvalidInputError: the job has no such step.
        SourceChangedError: the source is not the one that was planned.
        CorruptSourceError: the source cannot be read.
    """
    # Before the first step no function of the user is asked for.
    plan = chunk.plan_of(task.item) if task.step else VectorPlan.from_json(task.item.plan.detail)
    if not 0 <= task.step < max(len(plan.chain), 1):
        steps = max(len(plan.chain) - 1, 0)
        raise InvalidInputError(f"the chain has {steps} steps; there is no step {task.step}")
    check_identity(task.item.source, task.item.source_id)
    # A thread that reads the whole source may still fill parts when those of the chunk are read.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        return _Sum(replace(task, item=replace(task.item, work_dir=scratch)), plan).over(stage)


class _Sum:
    """What becomes of the features of a chunk, batch by batch, up to a step."""

    def __init__(self, task: ResultTask, plan: VectorPlan) -> None:
        self._task, self._plan = task, plan
        self._last = plan.chain[task.step] if plan.chain else _source(plan)
        self._read = self._made = self._dropped = self._lost = 0
        self._aside: list[tuple[int, str, str]] = []
        self._kinds: Counter[str] = Counter()
        self._bounds: list[float] | None = None
        self._lines: list[FeatureLine] = []
        self._drawn = GeometryLines(MOST_PLACES)
        self._until = 0.0

    def over(self, stage: Stage) -> FeaturesReceipt:
        """Take all batches of the chunk through the steps."""
        item, plan = self._task.item, self._plan
        done = replace(plan, chain=plan.chain[: self._task.step + 1])
        wide, high = self._task.size
        context = Context(done, item.params, stage, None, None)
        first = item.plan.grid.window(self._task.index).col_off
        for batch in chunk_reader.read_chunk(item, plan.reading, self._task.index):
            rows, start = self._wanted(batch, first)
            first += batch.num_rows
            if rows.num_rows:
                given, _ = feature_reader.readable(plan.reading, rows, item.params, in_chain=True)
                made = feature_chain.run(context, given)
                self._draw(made.shapes.column if self._task.step else rows.column(WKB))
                self._add(made, rows.num_rows, start)
        fields = fields_of(self._last)
        bounds = self._bounds
        return FeaturesReceipt(
            read=self._read,
            made=self._made,
            dropped=self._dropped,
            lost=self._lost,
            aside=tuple(self._aside),
            kinds=dict(self._kinds.most_common()),
            bounds=None if bounds is None else (bounds[0], bounds[1], bounds[2], bounds[3]),
            crs=_name_of(self._last.crs),
            fields={field.name: str(field.type) for field in fields},
            lines=tuple(self._lines),
            picture=dot_picture(self._drawn, (2 * wide, 2 * high), monotonic() + _SECONDS),
        )

    def _wanted(self, batch: pa.RecordBatch, first: int) -> tuple[pa.RecordBatch, int]:
        """Return the rows of a batch that are asked for, and the position of the first of them."""
        wanted = self._task.position
        if wanted is None:
            return batch, first
        inside = first <= wanted < first + batch.num_rows
        return batch.slice(wanted - first if inside else 0, int(inside)), wanted

    def _draw(self, column: pa.Array) -> None:
        """Take the places of geometries, as long as there is time."""
        self._until = self._until or monotonic() + _SECONDS
        for shape in column:
            if monotonic() > self._until:
                self._drawn.whole = False
                return
            if shape.is_valid:
                self._drawn.add(shape.as_py())

    def _add(self, done: Features, read: int, first: int) -> None:
        self._read += read
        self._made += len(done.owners)
        self._dropped += done.gone
        self._lost += len(done.lost)
        for row, loss in sorted(done.lost.items()):
            if len(self._aside) < MOST_LINES:
                self._aside.append((first + row, loss.error, loss.reason))
        kinds, counts = np.unique(done.shapes.kinds, return_counts=True)
        for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True):
            self._kinds[type_name(kind) if kind else _NONE] += count
        boxes = done.shapes.boxes()
        boxes = boxes[np.isfinite(boxes[:, 0])]
        if len(boxes):
            low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
            self._bounds = merged(self._bounds, [*low.tolist(), *high.tolist()])
        few = min(MOST_LINES - len(self._lines), len(done.owners))
        self._write(done.picked(np.arange(few)), first)

    def _write(self, some: Features, first: int) -> None:
        """Write features as texts."""
        names = [name for name in some.attributes.schema.names if name != FID]
        columns = [some.attributes.column(name).to_pylist() for name in names]
        shapes = some.shapes.column.to_pylist()
        for row, owner in enumerate(some.owners.tolist()):
            values = tuple(_text(column[row]) for column in columns)
            shape = _shape(shapes[row], int(some.shapes.kinds[row]))
            self._lines.append(FeatureLine(first + owner, shape, values))


def _source(plan: VectorPlan) -> LayerPlan:
    """Return the source of an operation that is no chain, as a chain begins with it."""
    return LayerPlan(READ, READ_VERSION, {}, plan.schema, plan.src_crs, plan.geometry_type)


def _text(value: object) -> str:
    if value is None:
        return "null"
    text = f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
    return text if len(text) <= _VALUE else f"{text[: _VALUE - 3]}..."


def _shape(wkb: bytes | None, kind: int) -> str:
    """Return a geometry as WKT, or what it is where that would be long."""
    if wkb is None:
        return _NONE
    name = type_name(kind)
    if len(wkb) > _WRITTEN:
        return f"{name} of {len(wkb):,} bytes"
    shape = shapely.from_wkb(wkb, on_invalid="ignore")
    if shape is None:
        return f"{name} that GEOS cannot read"
    text = str(shapely.to_wkt(shape, rounding_precision=9, output_dimension=4))
    return text if len(text) <= _SHAPE else f"{text[: _SHAPE - 3]}..."


def _name_of(crs: str) -> str:
    return crs_lookup.named(crs_lookup.crs_of(crs)) if crs else ""
