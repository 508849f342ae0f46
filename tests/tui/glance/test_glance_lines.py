"""What the run screen says of the machine, of items, of gaps, and of what to do at the end."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from scripted_run import busy_run
from test_throughput import RUN, plot

from geobatch_tui.tui.glance.item_progress import ItemProgress
from geobatch_tui.tui.glance.resource_line import pieces_of
from geobatch_tui.tui.glance.what_now import WhatNow, advice
from geobatch_tui.tui.run.host_resources import ResourceMeter, Resources, bytes_to_come
from geobatch_tui.tui.run.model import NO_COUNTS, NO_ITEMS, DeadGroup, Mark, Sample, View

GIB = 1 << 30
HERE = Resources(cpu=0.5, cores=2, load=17.0, files=231, disk_free=2 * GIB)


def said(view, here=HERE, *, wide=True):
    return ["".join(text for text, _ in group) for group in pieces_of(view, here, wide=wide)]


def styles(view, here=HERE):
    return {style for group in pieces_of(view, here, wide=True) for _, style in group}


@pytest.fixture
def live():
    """Ten of forty chunks are done; each wrote 0.1 GB."""
    counts = NO_COUNTS | {"total": 40, "done": 10}
    run = replace(RUN, t1=None, n_done=10, bytes_out=GIB)
    return View(run=run, live=True, counts=counts, rss_bytes=GIB, budget_bytes=4 * GIB)


def test_memory_against_its_budget_and_disk_against_its_need(live):
    """The disk has less than the chunks that are left will write: that is an alarm, and so is
    memory near its budget, and a load of many times the cores."""
    assert said(live) == [
        "mem 1.0 GiB of 4.0 GiB ████░░░░░░░░░░░░",
        "disk 2.0 GiB free, NEEDS ~3.0 GiB",
        "cpu 50% of 2  load 17.0",
        "files 231",
    ]
    assert said(live, wide=False)[:2] == ["mem 1.0 GiB/4.0 GiB", "disk 2.0 GiB, NEEDS ~3.0 GiB"]
    assert styles(live) >= {"bold $error", "bold $warning"}
    calm = replace(HERE, disk_free=9 * GIB, load=1.0)
    assert not styles(live, calm) & {"bold $error", "bold $warning"}
    assert styles(replace(live, rss_bytes=4 * GIB - 1), calm) & {"bold $warning"}
    assert said(replace(live, budget_bytes=0), None) == ["mem 1.0 GiB"]
    assert said(View(), None) == ["no figures of the machine"]


def test_what_is_to_be_written_is_known_once_a_chunk_is_done(live):
    assert bytes_to_come(live) == 3 * GIB
    assert bytes_to_come(View()) is None
    assert bytes_to_come(replace(live, run=replace(RUN, n_done=0))) is None


def test_a_machine_is_measured_once_a_second(tmp_path):
    """Processes and directories that are gone count nothing."""
    meter = ResourceMeter()
    meter.measure(tmp_path, [os.getpid(), 2**22 + 1], 10.0)
    first = meter.latest
    assert first.cpu is None
    assert first.files > 2
    assert first.disk_free > 0
    meter.measure(tmp_path, [], 10.5)
    assert meter.latest is first
    meter.measure(tmp_path / "gone", [], 11.5)
    assert (meter.latest.files, meter.latest.disk_free) == (0, None)
    assert meter.latest.cpu is not None


def test_items_at_work_come_first_then_those_with_dead_chunks(script, store):
    """With their bars; where there is one item there is no list."""
    busy_run(script)
    view = store.poll().view
    lines = [line.plain for line in ItemProgress(store).build(view, 78, 2)]
    assert lines[0].startswith("▒ ndvi.tif")
    assert lines[0].endswith("639/1,200  56.8% ✗43")
    assert "░" in lines[0]
    assert lines[1].startswith("✗ scl.tif")
    assert ItemProgress(store).wanted(view) == 2
    assert ItemProgress(store).wanted(replace(view, items=NO_ITEMS | {"total": 1})) == 0
    assert "█" not in ItemProgress(store).build(view, 40, 2)[0].plain


def test_gaps_are_gaps(live):
    """A second in which nothing was finished has no bar; a stall and a pause say how long they
    were, and what was given up is marked below its time."""
    totals = [0, *range(10), *[9] * 28, 10, *[10] * 28, *range(11, 15)]
    history = tuple(
        Sample(100.0 + at, 1.0, 0, 0, 0, totals=(total, 0, 0, 0), held=39 < at < 68)
        for at, total in enumerate(totals)
    )
    marks = (Mark(50.0, "dead"), Mark(104.5, "dead"), Mark(105.5, "retry"))
    lines = plot(replace(live, history=history, marks=marks), height=8)
    bars, events = lines[-3], lines[-2]
    assert bars[6:].startswith("█" * 9 + " " * 28 + "█" + " " * 28)
    assert "no chunk 28 s" in events
    assert "held 28 s" in events
    assert events[9:11] == "✗▚"


def test_what_now():
    """Of a run that goes on nothing; then what was published, each cause, what is left."""
    group = DeadGroup("CorruptSourceError", "m", 2, "all in a.tif", "fetch it again", 1, 0, 0, (1,))
    counts = NO_COUNTS | {"total": 5, "done": 1, "dead": 2}
    ended = View(run=RUN, state="partial", counts=counts, items=NO_ITEMS | {"total": 2})
    assert advice(replace(ended, live=True)) == []
    texts = [row.text for row in advice(replace(ended, groups=(group,)))]
    assert texts[:4] == [
        "0 of 2 outputs published",
        "2 dead: CorruptSource, all in a.tif: fetch it again",
        "try them again",
        "2 chunks left: go on from here",
    ]
    assert "try them again" not in [row.text for row in advice(ended, read_only=True)]
    many = replace(ended, state="crashed", groups=(group,) * 6)
    assert "2 more causes" in [row.text for row in advice(many)]
    panel = WhatNow()
    panel.keys = {"export": "f9,f10"}
    assert " f9  write a report of the run" in [
        line.plain.rstrip() for line in panel.build(ended, 60, 9)
    ]
