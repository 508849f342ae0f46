"""The progress view: what it says, and that it fits."""

from __future__ import annotations

import io
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from geobatch_tui.cli.commands.watch import snapshot_of
from geobatch_tui.cli.display import progress
from geobatch_tui.cli.display.glance import glance, shares
from geobatch_tui.observability.lines import text_line
from geobatch_tui.observability.snapshot import CHUNK_STATES, ITEM_STATES, Snapshot


def counts(**given):
    """Counts of chunks; what is not given is 0."""
    return dict.fromkeys(CHUNK_STATES, 0) | given


SNAPSHOT = Snapshot(
    run_id="20261124T120000Z-00000001",
    job="relief-6933",
    state="running",
    elapsed_s=83.0,
    counts=counts(total=1200, done=700, current=100, dead=3, pending=395, running=2),
    items=dict.fromkeys(ITEM_STATES, 0) | {"total": 40, "published": 12},
    chunks_per_s=23.4,
    units_per_s=41.2e6,
    eta_s=187.0,
    working=tuple((n, f"relief.tif@3,{n}", 0.5 * n, "chunk") for n in range(6)),
    workers=6,
    rss_bytes=900 << 20,
    budget_bytes=4 << 30,
)


def lines_of(snapshot, width=80):
    """The lines that a terminal of ``width`` columns shows."""
    console = Console(file=io.StringIO(), width=width, markup=False, force_terminal=False)
    console.print(glance(snapshot, width))
    return console.file.getvalue().splitlines()


def test_glance_says_what_matters():
    """Job, state, share, counts by state, rates, time left and current chunks are all there."""
    shown = "\n".join(lines_of(SNAPSHOT))
    for part in ("relief-6933", "running", "66.9 %", "700 done", "100 current", "3 dead"):
        assert part in shown
    for part in ("23.4 chunks/s", "41.2 Mpx/s", "about 3:07 left", "relief.tif@3,0", "and 2 more"):
        assert part in shown


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_glance_fits_every_width(width):
    """No line is wider than the terminal, and there are few enough of them for 24 rows."""
    long = (1, "ж" * 300 + "\x1b[2J[red]", 1.0, "read")
    shown = lines_of(Snapshot("r", "n" * 300, "running", working=(long,) * 9), width)
    assert max(map(len, shown)) <= width
    assert len(shown) <= 10
    assert "\x1b" not in "".join(shown)


def test_glance_before_anything_is_known():
    """A run that has no chunk yet shows neither a share nor a time left."""
    shown = "\n".join(lines_of(Snapshot("r", "job", "planning")))
    assert "- %" in shown
    assert "left" not in shown


@given(
    chunks=st.builds(
        counts,
        total=st.just(1000),
        done=st.integers(0, 300),
        current=st.integers(0, 300),
        dead=st.integers(0, 400),
    ),
    cells=st.integers(10, 100),
)
def test_bar_is_exactly_as_wide_as_asked(chunks, cells):
    """Shares fill the bar; whatever is dead, and whatever is finished, is seen."""
    parts = shares(chunks, cells)
    assert sum(parts.values()) == cells
    assert min(parts.values()) >= 0
    assert bool(parts["dead"]) == bool(chunks["dead"])
    assert bool(parts["done"]) == bool(chunks["done"] + chunks["current"])


def test_log_lines_above_the_view_are_warnings_and_errors():
    """What goes well is told by the view; what does not is kept as a line."""
    view = progress.LiveView(Console(file=io.StringIO()))
    for level in ("debug", "info", "warning", "error"):
        view.line(text_line(time.time(), level, level, "event", {}))
    assert [line.split()[-1] for line in view._lines] == ["warning", "error"]


def test_a_terminal_that_stops_reading_does_not_stop_the_run():
    """Painting blocks in its own thread: snapshots and lines are taken all the same."""

    class Stuck(io.StringIO):
        def write(self, text):
            del text
            time.sleep(30)
            return 0

    view = progress.LiveView(Console(file=Stuck(), force_terminal=True, width=80))
    view._thread.start()
    view.observe(SNAPSHOT)
    began = time.monotonic()
    for _ in range(5000):
        view.observe(SNAPSHOT)
        view.line(text_line(time.time(), "error", "m", "event", {}))
    assert time.monotonic() - began < 10
    assert len(view._lines) <= 1000


def test_json_lines_survive_a_reader_that_leaves(monkeypatch):
    """A closed stderr silences the lines and raises nothing: the run goes on."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        lines = progress.JsonLines()
        lines.line("{}")
        lines.line("{}")
        assert lines._gone


def test_a_run_is_watched_by_its_ledger():
    """What another process reads from the ledger is shown like the run's own progress."""
    state = {
        "run_id": "r",
        "state": "running",
        "output_dir": "out",
        "duration_s": 5.0,
        "counts": counts(total=10, done=5, pending=5),
        "items": dict.fromkeys(ITEM_STATES, 0),
        "rates": {
            "chunks_per_s": 2.5,
            "eta_s": 2.0,
            "state": "draining",
            "working": [[1, "a.tif@0,5", 0.5, "chunk"]],
            "workers": {"1": {"pid": 7, "rss": 8}},
            "something_new": 1,
        },
    }
    shown = "\n".join(lines_of(snapshot_of(state)))
    for part in ("draining", "50.0 %", "2.50 chunks/s", "1 worker", "a.tif@0,5", "2.0 s left"):
        assert part in shown
    assert "- %" in "\n".join(lines_of(snapshot_of(state | {"rates": {}, "counts": counts()})))
