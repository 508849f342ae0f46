"""The lines on top of the run keep their words apart, however many counts there are."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from geobatch_tui.tui.model import NO_COUNTS, Sample, View
from geobatch_tui.tui.widgets.overview import Overview


def counts_line(width, count):
    """The third line, of a live run in whose every state ``count`` chunks are."""
    counts = dict.fromkeys(NO_COUNTS, count) | {"total": 7 * count}
    sample = Sample(0.0, 670 / 60, 0.0, 1.8e6, 1.2e6, 0)
    view = View(state="running", live=True, counts=counts, latest=sample, rss_bytes=380_000_000)
    return Overview().build(view, width, 3)[2].plain


@pytest.mark.parametrize("count", [0, 7, 12_345, 1_234_567])
@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
def test_rates_stand_apart(width, count):
    """Between counts and rates, and between two rates, is a blank at least."""
    line = counts_line(width, count)
    assert cell_len(line) == width
    assert " 670 ch/min " in line
    if "MB/s" in line:
        assert " 670 ch/min   in 1.8 MB/s " in line
