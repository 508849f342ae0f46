"""Exit codes that scripts branch on."""

from __future__ import annotations

import pytest

from geobatch_tui.orchestration.state.outcome import Tally, exit_code


def tally(**values: object) -> Tally:
    return Tally(**values)  # type: ignore[arg-type]


CASES = [
    ("complete", tally(total=3, done=3, published=1), None, 0),
    ("complete", tally(total=3, current=3, published=1), None, 0),
    ("complete", tally(total=3, done=2, dead=1, held=1, dead_by_class={"CrsError": 1}), None, 12),
    ("complete", tally(total=2, dead=2, items_dead=2, dead_by_class={"CrsError": 2}), None, 10),
    (
        "complete",
        tally(total=2, dead=2, items_dead=2, dead_by_class={"UnsupportedFormatError": 2}),
        None,
        11,
    ),
    (
        "complete",
        tally(total=2, dead=2, items_dead=2, dead_by_class={"CrsError": 1, "SchemaError": 1}),
        None,
        1,
    ),
    ("drained", tally(), 2, 130),
    ("drained", tally(), 15, 143),
    ("cancelled", tally(), 15, 143),
    ("deadline", tally(), None, 16),
    ("failures", tally(), None, 15),
    ("systemic", tally(), None, 15),
    ("space", tally(), None, 17),
    ("crash-loop", tally(), None, 17),
    ("fatal", tally(), None, 17),
]


@pytest.mark.parametrize(("reason", "counts", "signal", "code"), CASES)
def test_exit_code(reason: str, counts: Tally, signal: int | None, code: int) -> None:
    """Each end of a run has its documented code."""
    assert exit_code(reason, counts, signal) == code


def test_counts_add_up() -> None:
    """Every chunk is in exactly one column."""
    counts = tally(total=10, done=2, current=3, dead=1, running=2).counts()
    assert counts.pop("total") == sum(counts.values())
