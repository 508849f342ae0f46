"""Calls a function of the user on the features of a batch, and finds those at which it fails.

It gets all of them at once. Where that fails, each half is tried, down to the feature to blame,
which is set aside alone: as what becomes of a feature depends on that feature alone, the others get
what they would have got. Where an earlier try of the chunk ended its worker, features are taken one
by one, and named in the chunk's trail before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from geobatch_tui.errors import SeamError, StepError
from geobatch_tui.execution.vector.batch.arrow_arrays import numbers
from geobatch_tui.execution.vector.plan import FID
from geobatch_tui.execution.vector.steps.own.feature_table import Answer, FeatureTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from geobatch_tui.execution.runtime.own_module import OwnFunction
    from geobatch_tui.execution.vector.batch.feature_batch import Features, Rows
    from geobatch_tui.execution.vector.geometry.trail import Trail
    from geobatch_tui.execution.vector.plan import LayerPlan

#: The column of WKB in an answer that is kept on disk.
_SHAPE = "__shape"


@dataclass(frozen=True, slots=True)
class Called:
    """A function of the user, with what it gets beside the features, and how many rows it makes of
    each: same, fewer, more."""

    function: OwnFunction
    given: Mapping[str, Any]
    rows: str


@dataclass(frozen=True, slots=True)
class Made:
    """What became of some rows of a batch."""

    rows: Rows
    answer: Answer

    @property
    def owners(self) -> Rows:
        """The row of the batch that each row of the answer was made of."""
        owners: Rows = self.rows[self.answer.owners]
        return owners


class FeatureCalls:
    """The calls of a function on one batch.

    Args:
        called: the function.
        up: the layer that the features are of.
        features: the batch; those at which the function fails are set aside in it.
        check: takes an answer, and returns it as it is planned; raises StepError if it is not.
        trail: of the chunk, if one is kept.
        raises: whether to raise the error of a feature in place of setting it aside.
    """

    def __init__(
        self,
        called: Called,
        up: LayerPlan,
        features: Features,
        *,
        check: Callable[[Answer], Answer] = lambda answer: answer,
        trail: Trail | None = None,
        raises: bool = False,
    ) -> None:
        self._called = called
        self._use = called.function.use
        self._features = features
        self._check = check
        self._trail = trail
        self._raises = raises
        takes, numbered = called.function.code.takes, called.rows != "same"
        self._table = FeatureTable(self._use, takes, up, features, numbered=numbered)

    def on_all(self) -> list[Made]:
        """Return what becomes of all rows that go on, in order."""
        every = self._features.going_on(np.ones(len(self._features.owners), np.bool_))
        rows = self._table.readable(self._untried(every))
        if not len(rows):
            return []
        if self._trail is not None and self._trail.careful:
            return list(self._one_by_one(rows, self._trail))
        return list(self._halved(rows))

    def on(self, rows: Rows) -> Answer:
        """Return what becomes of ``rows``, called at once. Raises StepError."""
        called = self._called
        answer = self._table.answer(called.function(self._table.given(rows), **called.given), rows)
        counts = np.bincount(answer.owners, minlength=len(rows))
        is_right = {"same": (counts == 1).all(), "fewer": (counts <= 1).all()}
        if not is_right.get(self._called.rows, True):
            raise StepError(
                f"{self._use} gave {len(answer.owners)} rows for {len(rows)} features; it "
                f'declares rows="{self._called.rows}"',
                hint='@step(rows="fewer") may leave features out, rows="more" may make several',
            )
        return self._check(answer)

    def _untried(self, rows: Rows) -> Rows:
        """Return the rows of which no earlier try of the chunk died; the others are set aside."""
        trail = self._trail
        if trail is None:
            return rows
        trail.know_rows_by(self._key)
        if not trail.condemned:
            return rows
        died = [row for row in rows.tolist() if trail.is_condemned(row)]
        reason = (
            f"its worker crashed, or ran into engine.chunk_timeout, while {self._use} "
            "worked on this one"
        )
        self._features.set_aside(died, reason, "PoisonError")
        return self._features.sound(rows)

    def _key(self, row: int) -> bytes:
        """Return what tells a row from all others of its chunk."""
        attributes = self._features.attributes.take(numbers(np.array([row])))
        shape = self._features.shapes.column[row].as_py() or b""
        return bytes(attributes.serialize().to_pybytes()) + shape

    def _halved(self, rows: Rows) -> Iterator[Made]:
        try:
            made = Made(rows, self.on(rows))
        except SeamError:
            raise
        except StepError as error:
            if len(rows) > 1:
                half = len(rows) // 2
                yield from self._halved(rows[:half])
                yield from self._halved(rows[half:])
            else:
                self._blame(int(rows[0]), error)
        else:
            yield made

    def _blame(self, row: int, error: StepError) -> None:
        if self._raises:
            raise error
        self._features.set_aside((row,), error.message, StepError.__name__)

    def _one_by_one(self, rows: Rows, trail: Trail) -> Iterator[Made]:
        for row in rows.tolist():
            kept = trail.made(row)
            try:
                if kept is None:
                    with trail.at(row) as given:
                        answer = self.on(np.array([row]))
                        given.append(_packed(answer))
                else:
                    answer = _unpacked(kept)
            except SeamError:
                raise
            except StepError as error:
                self._blame(row, error)
            else:
                yield Made(np.array([row]), answer)


def joined(made: list[Made], fields: pa.Schema) -> Made | None:
    """Return answers, which have these fields, as one; None: there are none."""
    if not made:
        return None
    columns = {
        name: pa.concat_arrays([each.answer.fields[name] for each in made]) for name in fields.names
    }
    shapes = [each.answer.shapes for each in made]
    there = None if shapes[0] is None else pa.concat_arrays(shapes)
    rows = np.concatenate([each.rows for each in made])
    starts = np.cumsum([0, *(len(each.rows) for each in made[:-1])])
    owners = [each.answer.owners + start for each, start in zip(made, starts, strict=True)]
    return Made(rows, Answer(np.concatenate(owners), columns, there, None))


def _packed(answer: Answer) -> bytes:
    """Write an answer of one feature as bytes."""
    columns = dict(answer.fields)
    if answer.shapes is not None:
        columns[_SHAPE] = answer.shapes
    columns[FID] = pa.array(answer.owners)
    batch = pa.RecordBatch.from_pydict(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def _unpacked(data: bytes) -> Answer:
    with pa.ipc.open_stream(data) as reader:
        batch = reader.read_all().combine_chunks()
    columns = {
        name: pa.concat_arrays(batch.column(name).chunks)
        if batch.num_rows
        else pa.array([], batch.schema.field(name).type)
        for name in batch.column_names
    }
    owners = columns.pop(FID).to_numpy().astype(np.int64)
    return Answer(owners, columns, columns.pop(_SHAPE, None), None)
