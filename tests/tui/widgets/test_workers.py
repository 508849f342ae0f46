"""The panel of workers: a line each, and which of them are late."""

from __future__ import annotations

from geobatch_tui.tui.run.model import View, WorkerRow
from geobatch_tui.tui.widgets.workers import Workers


def rows(width, stall_s, *seconds):
    """Lines of workers that are at a chunk for so long."""
    workers = tuple(
        WorkerRow(number, 100 + number, 1 << 20, f"a.tif@0,{number}", spent, "read", 5, 0)
        for number, spent in enumerate(seconds)
    )
    panel = Workers()
    panel.view = View(live=True, workers=workers, stall_s=stall_s)
    lines = panel.build(panel.view, width, 10)
    return [line.plain for line in lines][-len(seconds) :]


def test_late_is_what_takes_longer_than_chunks_of_this_run():
    """By the limit of its stalls; a minute where nobody knows yet what chunks take."""
    for width in (40, 100):
        assert ["!" in row for row in rows(width, 200.0, 70.0, 201.0)] == [False, True]
        assert ["!" in row for row in rows(width, 30.0, 29.0, 31.0)] == [False, True]
        assert ["!" in row for row in rows(width, 0.0, 59.0, 61.0)] == [False, True]
