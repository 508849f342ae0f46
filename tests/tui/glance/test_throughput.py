"""The throughput plot keeps to time, though a run that stands still notes its rates less often."""

from __future__ import annotations

from dataclasses import replace

from geobatch_tui.ledger.read.reader import RunRow
from geobatch_tui.tui.glance.throughput import Throughput, each_second
from geobatch_tui.tui.kit.fixed_width import clock
from geobatch_tui.tui.run.model import Sample, View

RUN = RunRow(
    epoch=1,
    run_id="r",
    state="success",
    t0=100.0,
    t1=120.0,
    exit_code=0,
    reason="complete",
    job={},
    versions={},
    n_done=30,
    n_dead=0,
    n_retry=0,
    units=3000,
    bytes_in=10**6,
    bytes_out=10**6,
    seconds=40.0,
)


def plot(view, *, unit=0, height=10):
    """The lines of a plot."""
    widget = Throughput()
    widget.unit = unit
    return [line.plain for line in widget.build(view, 78, height)]


def sample(t, rate):
    return Sample(t, rate, 0.0, 0.0, 0.0)


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


def test_the_mean_is_that_of_the_whole_run():
    """30 chunks in 20 s are 90 a minute, as the history has it, whatever rates were noted."""
    view = View(run=RUN, history=(sample(110.0, 0.1), sample(111.0, 0.2)))
    assert plot(view)[-1].endswith(" mean 90 ch/min")
    assert plot(view, unit=1)[-1].endswith(" mean 150 px/s")


def test_a_run_too_short_for_rates_has_a_mean():
    assert plot(View(run=RUN)) == ["mean 90 ch/min"]
    assert plot(View(run=replace(RUN, n_done=0))) == ["no rates yet"]


def test_a_run_that_waits_has_no_rate_now():
    running = View(run=replace(RUN, t1=None), now=120.0, live=True, history=(sample(110.0, 1.0),))
    assert "now 60 ch/min   mean 90 ch/min" in plot(running)[-1]
    assert "now" not in plot(replace(running, suspended="operator"))[-1]


def test_the_middle_of_the_axis_is_half_of_its_top():
    lines = plot(View(run=RUN, history=(sample(110.0, 1.0),)), height=10)
    assert lines[0].startswith("   60┤")
    assert lines[4].startswith("   30┤")


def test_the_time_at_which_bars_begin_goes_last():
    """Bars as wide as the plot leave no room for their end beside the mean."""
    history = tuple(sample(100.0 + n, 1.5) for n in range(72))
    view = View(run=RUN, history=history)
    foot = plot(view)[-1]
    assert foot.split() == [clock(history[0].t), "mean", "90", "ch/min"]
    assert len(foot) == 78
    assert plot(replace(view, run=None))[-1].split() == [clock(t) for t in (100.0, 171.0)]
