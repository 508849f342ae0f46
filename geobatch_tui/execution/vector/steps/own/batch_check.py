"""Tries whether a function of the user makes of a feature the same in every batch, before what it
made is taken.

Features from the middle of a batch are given to it once more, in two other batches and some of them
alone. Where it looks at other features of its batch, or at chance, or counts its calls, the answers
differ. When that is done: see ``own_trials``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from geobatch_tui.errors import SeamError, StepError
from geobatch_tui.execution.vector.plan import FID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.vector.batch.feature_batch import Features, Rows
    from geobatch_tui.execution.vector.steps.own.feature_calls import FeatureCalls, Made
    from geobatch_tui.execution.vector.steps.own.feature_table import Answer

#: Most features that are tried again.
_MOST = 512
_HINT = (
    "what becomes of a feature has to depend on that feature alone: give what is taken from all of "
    "them as a parameter"
)


def prove(use: str, calls: FeatureCalls, features: Features, made: Made) -> bool:
    """Compare what became of some features with what becomes of them in other batches; return
    whether that says anything: one feature proves nothing.

    Raises:
        SeamError: they differ; it names the feature and both values.
    """
    rows = made.rows
    if len(rows) < 2:
        return False
    size = min(len(rows) - 2 * (len(rows) // 4), _MOST)
    low = (len(rows) - size) // 2
    for first, last in _parts(low, low + size):
        part = rows[first:last]
        try:
            again = calls.on(part)
        except SeamError:
            raise
        except StepError as error:
            what = _named(features, part)
            raise _error(
                use, f"{what} in one batch, and none in another: {error.message}", "gives an answer"
            ) from error
        _compare(use, features, part, _of(made.answer, first, last), again)
    return True


def _parts(low: int, high: int) -> Iterator[tuple[int, int]]:
    """Yield places of features: in two batches that meet off the middle, then some alone."""
    cut = low + max(1, (high - low) * 2 // 5)
    yield low, cut
    yield cut, high
    yield from ((place, place + 1) for place in sorted({low, cut, high - 1}))


def _of(answer: Answer, first: int, last: int) -> Answer:
    """Return what an answer has of some of its features."""
    start, stop = np.searchsorted(answer.owners, [first, last]).tolist()
    fields = {name: column[start:stop] for name, column in answer.fields.items()}
    shapes = None if answer.shapes is None else answer.shapes[start:stop]
    return type(answer)(answer.owners[start:stop] - first, fields, shapes, answer.crs)


def _compare(use: str, features: Features, rows: Rows, one: Answer, other: Answer) -> None:
    counts = [np.bincount(each.owners, minlength=len(rows)) for each in (one, other)]
    for place in np.flatnonzero(counts[0] != counts[1]).tolist():
        what = _named(features, rows[place : place + 1])
        few = [int(each[place]) for each in counts]
        raise _error(
            use, f"{what} in one batch and {few[1]} in another", f"gives {few[0]} rows for"
        )
    columns: dict[str, tuple[Any, Any]] = {
        f"field {name!r}": (one.fields[name], other.fields[name]) for name in one.fields
    }
    if one.shapes is not None:
        columns["the geometry"] = one.shapes, other.shapes
    for what, (before, after) in columns.items():
        if before.equals(after):
            continue
        pairs = zip(before.to_pylist(), after.to_pylist(), strict=True)
        for place, (value, again) in enumerate(pairs):
            # By their text, as that of NaN is its own, and that of -0 another than that of 0.
            if repr(value) != repr(again):
                row = rows[one.owners[place]]
                shown = [_shown(each) for each in (value, again)]
                error = _error(
                    use,
                    f"{_named(features, np.array([row]))} is {shown[0]} in one batch and "
                    f"{shown[1]} in another",
                    f"{what} of",
                )
                error.evidence |= {"values": shown}
                raise error


def _named(features: Features, rows: Rows) -> str:
    """Name features by their ids."""
    ids = features.attributes.column(FID)
    shown = [ids[int(row)].as_py() for row in (rows[0], rows[-1])]
    if len(rows) == 1:
        return f"the feature with id {shown[0]}"
    return f"the {len(rows)} features with ids {shown[0]} to {shown[1]}"


def _shown(value: object) -> str:
    text = str(value)
    if isinstance(value, bytes):
        try:
            text = shapely.to_wkt(shapely.from_wkb(value), rounding_precision=-1)
        except shapely.errors.GEOSException:
            text = value.hex()
    return text if len(text) <= 120 else f"{text[:117]}..."


def _error(use: str, text: str, before: str) -> SeamError:
    error = SeamError(
        f"{use}: {before} {text}: it looks at other features of its batch (mean, rank, number of "
        "the row), or at chance, or at what it did before",
        hint=_HINT,
    )
    error.evidence = {}
    return error
