"""The throughput plot keeps to time, though a run that stands still notes its rates less often."""

from __future__ import annotations

from geobatch_tui.tui.model import Sample
from geobatch_tui.tui.widgets.throughput import each_second


def sample(t, rate):
    return Sample(t, rate, 0.0, 0.0, 0.0, 0)


def rates(*times):
    """Rates 0, 1, 2, … noted at those times, one a second."""
    return [one.chunks_per_s for one in each_second([sample(t, n) for n, t in enumerate(times)])]


def test_a_rate_lasts_until_the_next_is_noted():
    assert rates(10.0, 11.02, 16.0, 17.0) == [0, 1, 1, 1, 1, 1, 2, 3]


def test_jitter_makes_no_gaps():
    assert rates(10.0, 10.6, 11.9, 12.4) == [0, 1, 2, 3]


def test_a_machine_that_slept_does_not_fill_the_plot():
    assert len(rates(10.0, 90_000.0)) == 61


def test_nothing_noted():
    assert rates() == []
