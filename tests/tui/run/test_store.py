"""The store follows a scripted ledger."""

from __future__ import annotations

import random

import pytest

from geobatch_tui.errors import PlanMismatchError
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.ledger.schema.updates import ChunkState as S
from geobatch_tui.tui.run.store import RunStore


def test_first_poll_reads_all(script, store):
    """A run that is under way is there after one poll: states, items, counts, rates, state."""
    script.plan(1, 1, 3, 2)
    script.plan(2, 7)
    script.start(1, 2, 3)
    script.done(1)
    script.put(lu.Noted("run.planned", {"current": 0}))
    script.progress()
    assert store.view.state == "reading"  # of a run that is live nobody says that it waits
    delta = store.poll()
    assert delta.reshaped
    assert list(store.states) == [S.DONE, S.RUNNING, S.RUNNING, 0, 0, 0, 0]
    assert [(item.item_id, item.first, item.columns, item.rows) for item in store.items] == [
        (1, 0, 3, 2),
        (2, 6, 1, 1),
    ]
    assert delta.view.counts["running"] == 2
    assert delta.view.state == "running"
    assert delta.view.live
    assert delta.view.name == "relief"
    assert delta.view.latest.chunks_per_s == 3.5
    assert delta.view.eta_s == 1120


def test_a_poll_names_the_chunks_that_changed(script, store):
    """Each way of a chunk arrives as its position and new state; nothing else is named."""
    script.plan(1, 1, 10)
    store.poll()
    script.start(1, 2, 3, 4)
    assert sorted(store.poll().changed) == [0, 1, 2, 3]
    script.done(1)
    script.put(lu.ChunkWaiting(2, 1, 0, 0, 0.0, "RemoteError", "HTTP 503"))
    script.put(lu.ChunkReleased(3))
    script.die(4)
    delta = store.poll()
    assert sorted(delta.changed) == [0, 1, 2, 3]
    assert list(store.states[:5]) == [S.DONE, S.RETRY_WAIT, S.PENDING, S.DEAD, S.PENDING]
    assert not delta.reshaped


def test_nothing_new_reads_nothing(script, store):
    """Without a commit a poll changes no chunk, and only the time moves on."""
    script.plan(1, 1, 4)
    store.poll()
    script.clock.t += 5
    delta = store.poll()
    assert not delta.fresh
    assert delta.changed == ()
    assert delta.view.now == script.clock.t


def test_new_items_are_appended(script, store):
    """Items planned later come behind the others; the poll says that positions came."""
    script.plan(1, 1, 2)
    store.poll()
    script.plan(2, 3, 5, key="b.tif")
    delta = store.poll()
    assert delta.reshaped
    assert len(store.states) == 7
    assert store.item_at(6).key == "b.tif"
    assert store.label(6) == "b.tif@0,4"


def test_a_stale_item_is_planned_anew(script, store):
    """An item that is replaced has its new chunks in its old place among the items."""
    script.plan(1, 1, 2)
    script.plan(2, 3, 2)
    script.done(1, 2)
    store.poll()
    script.plan(1, 5, 4)
    assert store.poll().reshaped
    assert list(store.states) == [0] * 6
    assert store.position(5) == 0
    assert store.position(1) is None
    assert [store.chunk_id(position) for position in range(6)] == [5, 6, 7, 8, 3, 4]


def test_orphans_are_no_part_of_the_picture(script, store):
    """An item whose input left the job leaves the map."""
    script.plan(1, 1, 2)
    script.plan(2, 3, 2)
    store.poll()
    script.put(lu.ItemChanged(1, lu.ItemState.ORPHAN))
    assert store.poll().reshaped
    assert [item.item_id for item in store.items] == [2]
    assert store.position(3) == 0


def test_items_move_without_moving_chunks(script, store, tmp_path):
    """Holding and publishing change an item's state, not the shape."""
    script.plan(1, 1, 2)
    script.done(1, 2)
    store.poll()
    script.put(lu.ItemChanged(1, lu.ItemState.HELD))
    delta = store.poll()
    assert not delta.reshaped
    assert store.items[0].state is lu.ItemState.HELD
    part = script.state.output_dir / ".1.dddddddd.1.part"
    part.write_bytes(b"x")
    script.put(lu.ItemPublished(1, str(part), 1, "e" * 32, {}))
    store.poll()
    assert store.items[0].state is lu.ItemState.PUBLISHED


def test_a_dead_item_buries_its_chunks(script, store):
    """When an item is given up as a whole, all its chunks show as dead."""
    script.plan(1, 1, 3)
    script.done(1)
    store.poll()
    script.die(None, "cannot assemble")
    delta = store.poll()
    states = script.ledger.items()
    assert next(states).state is lu.ItemState.DEAD
    assert list(store.states) == list(store.reading(lambda reader: reader.states(1, 3)))
    assert delta.view.groups[0].count == 1


def test_letters_are_grouped_by_cause(script, store):
    """Letters whose messages differ in numbers are one group; the largest comes first."""
    script.plan(1, 1, 10)
    for chunk in range(1, 6):
        script.die(chunk, f"IReadBlock failed at X offset {chunk}, Y offset 7")
    script.die(6, "out of memory", error="OutOfMemoryError")
    view = store.poll().view
    first, second = view.groups
    assert (first.count, first.message) == (5, "IReadBlock failed at X offset <n>, Y offset <n>")
    assert first.where == "all in 1.tif"
    assert (second.count, second.error_class) == (1, "OutOfMemoryError")
    assert second.message == "out of memory"
    assert len(store.letters) == 6


def test_features_set_aside_are_letters_at_once(script, store):
    """They come with a chunk that is done, and no chunk dies; one that is done again replaces its
    letters, or takes them away."""

    def aside(*positions):
        facts = {"error_class": "InvalidGeometryError", "error_message": "not closed"}
        return tuple((position, facts["error_class"], facts) for position in positions)

    script.plan(1, 1, 3)
    script.die(3)
    assert len(store.poll() and store.letters) == 1
    script.done(1, letters=aside(*range(11)))
    assert store.poll().view.dead_letters == 12
    assert len(store.letters) == 12
    script.done(2, letters=aside(*range(17)))
    assert store.poll().view.dead_letters == 29
    script.done(2, letters=aside(4))
    assert store.poll().view.dead_letters == 13
    script.done(2)
    assert store.poll().view.dead_letters == 12


def test_letters_are_not_read_again_where_none_came(script, store, monkeypatch):
    """A run with many letters goes on: they are read when there is another, not at each poll."""
    script.plan(1, 1, 4)
    script.die(1)
    store.poll()
    monkeypatch.setattr(LedgerReader, "all_letters", lambda *_: pytest.fail("read again"))
    script.done(2)
    assert store.poll().view.dead_letters == 1


def test_a_letter_that_was_requeued_is_gone(script, store):
    """After a requeue the letters and the states are read anew."""
    script.plan(1, 1, 3)
    script.die(1)
    script.die(2, "other", error="OutOfMemoryError")
    store.poll()
    script.ledger.requeue_dead(["CorruptSourceError"])
    delta = store.poll()
    assert [letter.error_class for letter in store.letters.values()] == ["OutOfMemoryError"]
    assert list(store.states) == [0, S.DEAD, 0]
    assert len(delta.view.groups) == 1


def test_a_run_whose_process_is_gone_has_crashed(script, store):
    """The lock tells a crash, even when nothing was committed since."""
    script.plan(1, 1, 2)
    script.start(1)
    assert store.poll().view.state == "planning"
    script.release()
    delta = store.poll()
    assert (delta.view.state, delta.view.live) == ("crashed", False)


def test_a_finished_run_keeps_its_end(script, store):
    """State, exit code and elapsed time stand still after the end."""
    script.plan(1, 1)
    script.done(1)
    script.clock.t += 10
    script.end("partial", 12)
    view = store.poll().view
    script.clock.t += 100
    later = store.poll().view
    assert (view.state, view.run.exit_code) == ("partial", 12)
    assert later.elapsed_s == view.elapsed_s
    assert not later.live


def test_a_lost_event_ring_is_noticed(script, store, monkeypatch):
    """A console that was away for longer than the ring lasts reads all anew."""
    script.keep_events(10)
    script.plan(1, 1, 12_000)
    store.poll()
    script.done(*range(1, 6000))
    script.done(*range(6000, 11_900))
    assert store.reading(lambda reader: reader.events(0, 1))[0].seq > 3
    store.poll()
    assert store.states.count(S.DONE) == 11_899
    assert store.states.count(S.PENDING) == 101


def test_changes_without_an_event_are_mended(script, store):
    """If our states contradict the ledger's counters, they are read anew within three polls."""
    script.plan(1, 1, 5)
    store.poll()
    script.ledger._connection.execute("UPDATE chunk SET state = 4 WHERE chunk_id = 2")
    for _ in range(3):
        store.poll()
    assert list(store.states) == [0, S.DONE, 0, 0, 0]


def test_a_fresh_ledger_under_the_same_name_is_followed(script, store, clock):
    """``run --fresh`` removes the ledger and makes a new one; the console goes on with that."""
    script.plan(1, 1, 5)
    store.poll()
    script.close()
    for suffix in ("", "-wal", "-shm"):
        path = script.state.ledger.with_name(script.state.ledger.name + suffix)
        path.unlink(missing_ok=True)
    again = type(script)(script.state.output_dir, clock)
    again.plan(1, 1, 2)
    delta = store.poll()
    again.close()
    assert delta.reshaped
    assert len(store.states) == 2


def test_without_a_run_there_is_nothing_to_show(tmp_path):
    """A directory without a run is refused with a sentence, not shown as an empty one."""
    with pytest.raises(PlanMismatchError, match="no run"):
        RunStore(tmp_path)


def test_figures_are_in_the_order_of_the_states(script, store):
    """Seconds, attempts and nodata stand where the state of their chunk stands."""
    script.plan(1, 10, 3)
    script.plan(2, 1, 2)
    script.done(11, seconds=2.0, nodata=0.25, attempts=2)
    script.done(2, item=2, seconds=4.0, rss_peak=3 << 20)
    store.poll()
    assert list(store.figures("seconds")) == [0, 2, 0, 0, 4]
    assert list(store.figures("nodata")) == [0, 0.25, 0, 0, 0.5]
    assert list(store.figures("attempts")) == [0, 2, 0, 0, 1]
    assert store.figures_at([4], "rss_bytes") == {4: 3 << 20}


def test_workers_and_pause_come_from_the_engines_note(script, store):
    """Each worker is a row: those at work with what they do, others idle."""
    script.plan(1, 1, 5)
    script.put(lu.Noted("run.planned", {"current": 2}))
    script.progress(
        suspended="operator",
        working=[[0, "1.tif@0,1", 2.5, "chunk"]],
        workers={"0": {"pid": 7, "rss": 100}, "1": {"pid": 8, "rss": 50}},
    )
    view = store.poll().view
    assert view.state == "paused"
    assert view.current == 2
    assert [(w.number, w.pid, w.label, w.seconds) for w in view.workers] == [
        (0, 7, "1.tif@0,1", 2.5),
        (1, 8, "", 0.0),
    ]


def test_foreign_text_is_made_harmless(script, store):
    """Names and messages that could drive a terminal arrive as visible escapes."""
    script.plan(1, 1, key="a\x1b]52;c;eA==\x07.tif")
    script.die(1, "bad \x1b[31m name \u202e", source="/data/\x1b[2J")
    view = store.poll().view
    assert "\x1b" not in store.items[0].key + view.groups[0].message + view.groups[0].where
    assert "\u202e" not in view.groups[0].message


def test_lattices_are_read_on_demand(script, store):
    """An item's lattice comes from its plan; one without has None."""
    lattice = {"cols": 2, "rows": 1, "points": [[11, 47], [12, 47]]}
    plan = {
        "grid": {"width": 10, "height": 10, "chunk_width": 10, "chunk_height": 10},
        "notes": {"lonlat": lattice},
    }
    script.plan(1, 1, plan=plan)
    script.plan(2, 2)
    store.poll()
    assert store.items[0].lattice == lattice
    assert store.items[1].lattice is None


def test_random_histories_agree_with_the_ledger(script, store):
    """Whatever happens between two polls, states equal those in the ledger."""
    chance = random.Random(5)
    script.plan(1, 1, 20, 2)
    left = list(range(1, 41))
    for _ in range(60):
        for chunk in chance.sample(left, min(len(left), chance.randrange(4))):
            kind = chance.randrange(6)
            script.start(chunk)
            if kind == 0:
                script.put(lu.ChunkWaiting(chunk, 1, 0, 0, 0.0, "E", "m"))
            elif kind == 1:
                script.put(lu.ChunkReleased(chunk))
            elif kind == 2:
                script.done(chunk)
                left.remove(chunk)
            elif kind == 3:
                script.die(chunk)
                left.remove(chunk)
        before = bytes(store.states)
        delta = store.poll()
        now = bytes(store.reading(lambda reader: reader.states(1, 40)))
        assert bytes(store.states) == now
        if not delta.reshaped:
            differ = {i for i in range(40) if before[i] != now[i]}
            assert set(delta.changed) >= differ
