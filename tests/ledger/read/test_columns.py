"""Columns of many chunks at once."""

from __future__ import annotations

import pytest

from geobatch_tui.ledger.schema.updates import (
    ChunkStarted,
    ChunkWaiting,
    DeadLetter,
    ItemChanged,
    ItemPlanned,
    ItemState,
)


def test_states_are_one_byte_a_chunk(ledger, reader, item, done):
    """States come in order of ids; ids that nobody has are 0."""
    ledger.apply([ItemPlanned(item(1, 1, 3)), ItemPlanned(item(2, 10, 2))])
    ledger.apply([ChunkStarted(2), done(3, 1), done(11, 2)])
    assert list(reader.states(1, 11)) == [0, 1, 4, 0, 0, 0, 0, 0, 0, 0, 4]
    assert list(reader.states(2, 2)) == [1, 4]
    assert reader.states_of([3, 10, 99]) == {3: 4, 10: 0}


def test_busy_chunks_are_those_running_or_waiting(ledger, reader, item, done):
    """Nothing else is listed."""
    ledger.apply([ItemPlanned(item(1, 1, 5)), ChunkStarted(1), ChunkStarted(2), done(2, 1)])
    ledger.apply([ChunkWaiting(3, 1, 0, 0, 5.0, "E", "m")])
    assert reader.busy() == {1: 1, 3: 2}


@pytest.mark.parametrize(
    ("name", "value"),
    [("seconds", 2.5), ("attempts", 4), ("rss_bytes", 3 << 20), ("nodata", 0.25)],
)
def test_figures_of_done_chunks(ledger, reader, item, done, name, value):
    """Each figure is what the worker said, in plain units; chunks not done have 0."""
    ledger.apply([ItemPlanned(item(1, 1, 3))])
    ledger.apply([done(2, 1, seconds=2.5, attempts=4, rss_peak=3 << 20, nodata=0.25)])
    assert list(reader.figures(name, 1, 3)) == [0, value, 0]


def test_the_node_of_a_chunk(ledger, reader, item, done):
    """Its spool's name tells it; on one machine there is none."""
    ledger.apply([ItemPlanned(item(1, 1, 4))])
    spools = ("3-n12-5-6.spool", "3-5-6.spool", "")
    ledger.apply([done(n, 1, spool=spool) for n, spool in enumerate(spools, 1)])
    assert list(reader.figures("node", 1, 4)) == [12, 0, 0, 0]


def test_outlines_tell_grid_and_bounds(ledger, reader, item):
    """An item without a plan has no grid; pages go on behind an id."""
    plan = {
        "grid": {"width": 700, "height": 590, "chunk_width": 256, "chunk_height": 128},
        "bounds_lonlat": [1, 2, 3.5, 4],
    }
    ledger.apply([ItemPlanned(item(1, 1, 15, plan=plan)), ItemPlanned(item(2, 16, 1, plan={}))])
    ledger.apply([ItemChanged(2, ItemState.HELD)])
    first, second = reader.outlines()
    assert (first.width, first.height, first.chunk_width, first.chunk_height) == (
        700,
        590,
        256,
        128,
    )
    assert first.bounds == (1, 2, 3.5, 4)
    assert (second.width, second.bounds, second.state) == (0, None, ItemState.HELD)
    assert reader.outlines(after=1) == [second]


def test_letters_are_paged_and_leave_out_orphans(ledger, reader, item):
    """Letters come in the order of their death, those behind an id only, orphans' never."""
    ledger.apply([ItemPlanned(item(1, 1, 2)), ItemPlanned(item(2, 3, 1))])
    ledger.apply(
        [
            DeadLetter(1, 1, 2, 1, "A", {"chunk": "1.tif@0,0"}),
            DeadLetter(2, None, 1, 0, "B", {"item": "2.tif"}),
        ]
    )
    assert reader.last_seq() == reader.events()[-1].seq
    first, second = reader.letters()
    assert (first.chunk_id, first.error_class, first.attempts, first.crashes) == (1, "A", 2, 1)
    assert (second.chunk_id, second.record) == (None, {"item": "2.tif"})
    assert reader.letters(after=first.dead_id) == [second]
    ledger.apply([ItemChanged(1, ItemState.ORPHAN)])
    assert reader.letters() == [second]


def test_undefined_pixels_of_chunks_are_summed(ledger, reader, item, done):
    """Once their item is published, in its facts."""
    chunks = [done(number, 1, undefined=count) for number, count in ((1, 0), (2, 7), (3, 5))]
    ledger.apply([ItemPlanned(item(1, 1, 3)), *chunks])
    assert list(reader.figures("undefined", 1, 3)) == [0, 7, 5]
    assert reader.undefined_pixels() == 0


def test_several_figures_are_read_at_once(ledger, reader, item, done):
    """A column each, times with all their digits; a chunk that is not there has zeros."""
    stages = {"reading": 0.125, "writing": 0.0625, "worker": 3, "ended": 1_795_000_000.25}
    ledger.apply([ItemPlanned(item(1, 2, 3)), done(3, 1, **stages)])
    names = ("seconds", *stages)
    found = [0.25, *stages.values()]
    assert [list(column) for column in reader.table(names, 1, 3)] == [[0, 0, x] for x in found]
    assert [list(column) for column in reader.table(names, 2, 2)] == [[0, x] for x in found]
    assert reader.table_of(names, [3, 99]) == {3: tuple(found)}
