"""The lines on top of the run keep their words apart, however many counts there are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.cells import cell_len

from geobatch_tui.tui.run.model import NO_COUNTS, Sample, View
from geobatch_tui.tui.widgets.overview import Overview


def bar(**facts):
    """The second line, of a live run with 40 of 100 chunks done and an eta of a minute."""
    counts = NO_COUNTS | {"total": 100, "done": 40, "pending": 60}
    view = View(state="running", live=True, counts=counts, eta_s=60.0)
    return Overview().build(replace(view, **facts), 80, 3)[1].plain


def counts_line(width, count):
    """The third line, of a live run in whose every state ``count`` chunks are."""
    counts = dict.fromkeys(NO_COUNTS, count) | {"total": 7 * count}
    sample = Sample(0.0, 670 / 60, 0.0, 1.8e6, 1.2e6)
    view = View(state="running", live=True, counts=counts, latest=sample, rss_bytes=380_000_000)
    return Overview().build(view, width, 3)[2].plain


@pytest.mark.parametrize("count", [0, 7, 12_345, 1_234_567])
@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
def test_rates_stand_apart(width, count):
    """Between counts and the rate is a blank at least."""
    line = counts_line(width, count)
    assert cell_len(line) == width
    assert " 670 ch/min " in line


def test_eta_of_a_run_that_goes_on():
    """As a range, where there is one."""
    assert bar().rstrip().endswith("  eta 1:00")
    assert bar(eta_low_s=50.0, eta_high_s=100.0).rstrip().endswith("  eta 50 s-1:40")
    assert cell_len(bar()) == cell_len(bar(eta_low_s=50.0, eta_high_s=100.0))


def test_a_stall_is_said_aloud():
    """From the limit on, in place of a time that nobody knows."""
    assert "eta 1:00" in bar(still_s=29.0, stall_s=30.0)
    stalled = bar(still_s=47.0, stall_s=30.0)
    assert stalled.rstrip().endswith("  no chunk for 47 s")
    assert cell_len(stalled) == cell_len(bar())


def test_a_run_that_waits_has_no_eta():
    """Nobody knows when the operator lets it go on."""
    assert bar(state="paused", suspended="operator").rstrip().endswith("  eta -")


def test_a_run_whose_chunks_are_done_is_finishing():
    """Its outputs are being put together; while it still plans, more chunks are to come."""
    done = NO_COUNTS | {"total": 100, "done": 99, "dead": 1}
    line = bar(counts=done, eta_s=0.0)
    assert "100.0%  finishing 0 " in line
    assert "  finishing 3  1:00" in bar(counts=done, finishing=3)
    assert cell_len(line) == cell_len(bar())
    assert "eta" in bar(counts=done, state="planning")
