"""Lanes show what each worker did when."""

from __future__ import annotations

from array import array

import pytest

from geobatch_tui.tui.run.model import WorkerRow
from geobatch_tui.tui.units import worker_lanes
from geobatch_tui.tui.units.unit_figures import READ, UnitFigures
from geobatch_tui.tui.units.worker_lanes import Lanes, lanes_of, look_of

T = 2_000_000_000.0


def units(*rows):
    """Chunks of (worker, seconds, reading, writing, ended after ``T``)."""
    found = UnitFigures()
    found.states = bytes([4] * len(rows))
    names = ("worker", "seconds", "reading", "writing", "ended")
    found._columns = {name: array("f", bytes(4 * len(rows))) for name in READ}
    found._columns["ended"] = array("d", bytes(8 * len(rows)))
    for at, row in enumerate(rows):
        for name, value in zip(names, row, strict=True):
            found._columns[name][at] = T + value if name == "ended" else value
    return found


def glyphs(lane):
    return "".join(
        "." if (look := look_of(step)) is None else "rcw"[look[0]] for step in lane.steps
    )


def test_each_stage_in_its_time():
    """Two chunks of one worker with a rest between them, one of another all the while."""
    found = lanes_of(units((1, 4, 2, 1, 4), (1, 2, 0, 0, 8), (2, 8, 8, 0, 8)), T - 1, T + 99, 8)
    assert (found.start, found.end) == (T, T + 8)
    assert [(lane.worker, glyphs(lane)) for lane in found.lanes] == [
        (1, "rrcw..cc"),
        (2, "rrrrrrrr"),
    ]
    assert found.step_of(T + 4.5, 8) == 4
    assert found.step_of(T - 5, 8) == 0
    assert sum(found.lanes[0].steps[0]) == pytest.approx(1.0)


def test_a_chunk_that_is_worked_on_reaches_to_now():
    """Its stage is not known."""
    working = [WorkerRow(1, label="a.tif@0,1", seconds=4.0), WorkerRow(2)]
    found = lanes_of(units((1, 4, 4, 0, 4)), T - 1, T + 8, 8, working)
    assert [(lane.worker, glyphs(lane)) for lane in found.lanes] == [(1, "rrrrcccc")]


def test_other_runs_and_very_many_chunks_are_left_out(monkeypatch):
    """What was done before the run began; of too many the oldest."""
    monkeypatch.setattr(worker_lanes, "_MOST", 2)
    three = units((1, 1, 0, 0, 1), (1, 1, 0, 0, 2), (1, 1, 0, 0, 3))
    assert lanes_of(three, T, T, 3).start == T + 1
    assert lanes_of(three, T + 3, T + 9, 3) == Lanes()
    assert Lanes().step_of(T, 8) == 0
