"""What each update does to the ledger, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from geobatch_tui.errors import StateError
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.ledger.schema.updates import (
    ChunkReleased,
    ChunkStarted,
    ChunkState,
    ChunkWaiting,
    DeadLetter,
    ItemChanged,
    ItemPlanned,
    ItemPublished,
    ItemState,
    Noted,
    RunEnded,
    SourceTouched,
)
from geobatch_tui.ledger.write.writer import Ledger


def letter(item, chunk, error="CrsError", **record):
    """A dead letter with the fields that the ledger itself looks at."""
    named = None if chunk is None else f"{item}.tif@0,{chunk}"
    record = {"item": f"{item}.tif", "chunk": named, "error_message": "no CRS", **record}
    return DeadLetter(item, chunk, 2, 1, error, record)


def states(reader, item_id):
    return [chunk.state.name for chunk in reader.chunks(item_id)]


def test_an_item_is_read_as_it_was_written(ledger, reader, item):
    """Every field of an item survives, also a name that is no UTF-8."""
    given = item(
        1,
        1,
        3,
        key="d/\udcff\n[b].tif",
        source="/data/\udcfe.tif",
        out_path="/out/d/\udcff\n[b].tif",
        reason="new",
        params={"names": ["\udcff", "ü"]},
        plan={"grid": {"width": 3}, "detail": {"name": "\udc80"}},
    )
    ledger.apply([ItemPlanned(given)])
    assert list(reader.items()) == [given]
    assert list(ledger.items()) == [given]
    assert reader.item(1) == reader.item_by_key(given.key) == ledger.item_by_key(given.key) == given
    assert reader.item(2) is None
    assert reader.item_by_key("other") is None


def test_a_chunk_passes_through_its_states(ledger, reader, item, done):
    """Pending, running, waiting, running, done: with its counts and where its bytes lie."""
    ledger.apply([ItemPlanned(item(1, 1, 2))])
    assert states(reader, 1) == ["PENDING", "PENDING"]
    ledger.apply([ChunkStarted(1)])
    assert states(reader, 1) == ["RUNNING", "PENDING"]
    assert reader.busy() == {1: ChunkState.RUNNING}
    ledger.apply([ChunkWaiting(1, 1, 0, 1, 99.5, "RemoteIOError", "503", "far")])
    chunk = reader.chunk(1)
    assert chunk is not None
    assert (chunk.state, chunk.attempts, chunk.strikes) == (ChunkState.RETRY_WAIT, 1, 1)
    assert chunk.not_before == 99.5
    ledger.apply([ChunkStarted(1)])
    ledger.apply([done(1, 1, attempts=2, spool="s", offset=7, length=9, crc32=4_294_967_295)])
    chunk = reader.chunk(1)
    assert chunk is not None
    assert (chunk.state, chunk.attempts, chunk.not_before) == (ChunkState.DONE, 2, 0)
    assert (chunk.spool, chunk.offset, chunk.length, chunk.crc32) == ("s", 7, 9, 4_294_967_295)
    attempt = reader.attempts(1)[0]
    assert (attempt.error_class, attempt.message, attempt.strikes) == ("RemoteIOError", "503", 1)
    assert attempt.host == "far"
    assert reader.chunk(99) is None
    assert reader.audit() == []


def test_one_batch_equals_many(ledger, reader, item, done):
    """Gathering changes nothing: the last word on each chunk holds, and nothing is lost."""
    ledger.apply(
        [
            ItemPlanned(item(1, 1, 6)),
            ChunkStarted(1),
            done(1, 1),
            ChunkStarted(2),
            ChunkWaiting(2, 1, 0, 0, 5.0, "RemoteIOError", "a"),
            ChunkStarted(2),
            ChunkWaiting(2, 2, 0, 0, 9.0, "RemoteIOError", "b"),
            ChunkStarted(3),
            ChunkReleased(3),
            ChunkStarted(4),
            ChunkWaiting(4, 1, 1, 1, 1.0, "WorkerCrashError", "c"),
            ChunkStarted(4),
            done(4, 1, attempts=2),
            ChunkStarted(5),
            letter(1, 5),
            ChunkStarted(6),
            ChunkWaiting(6, 1, 0, 0, 1.0, "RemoteIOError", "d"),
            letter(1, 6),
        ]
    )
    assert states(reader, 1) == ["DONE", "RETRY_WAIT", "PENDING", "DONE", "DEAD", "DEAD"]
    waiting, crashed = reader.chunk(2), reader.chunk(4)
    assert waiting is not None
    assert crashed is not None
    assert (waiting.attempts, waiting.not_before) == (2, 9.0)
    assert (crashed.attempts, crashed.crashes, crashed.strikes) == (2, 1, 1)
    assert [attempt.message for attempt in reader.attempts(2)] == ["a", "b"]
    run = reader.run()
    assert run is not None
    assert (run.n_done, run.n_dead, run.n_retry) == (2, 2, 4)
    assert (run.units, run.bytes_in, run.bytes_out, run.seconds) == (131_072, 2_000, 200, 0.5)
    assert reader.audit() == []


def test_counts_are_kept(ledger, reader, item, done):
    """Counters say what there is, without counting."""
    ledger.apply(
        [
            ItemPlanned(item(1, 1, 5)),
            done(1, 1),
            ChunkStarted(2),
            letter(1, 3),
            ItemPlanned(item(2, 6, 2)),
            ChunkWaiting(6, 1, 0, 0, 1.0, "X", ""),
            ItemPlanned(item(3, 8, 4, out_digest="e" * 32, out_size=5), adopted=True),
        ]
    )
    assert reader.counts() == {
        "total": 11,
        "pending": 3,
        "running": 1,
        "retry": 1,
        "done": 5,
        "dead": 1,
    }
    assert reader.item_counts() == {
        "total": 3,
        "planned": 2,
        "held": 0,
        "published": 1,
        "dead": 0,
        "orphan": 0,
    }
    assert reader.audit() == []


def test_planning_again_replaces(ledger, reader, item, done):
    """A stale item loses its chunks, dead letters and attempts, and its ids are not used again."""
    ledger.apply(
        [ItemPlanned(item(1, 1, 3)), done(1, 1), letter(1, 2), letter(1, 3, "GeometryError")]
    )
    assert ledger.next_chunk_id() == 4
    ledger.apply([ItemPlanned(item(1, 4, 2, reason="source_changed"))])
    assert [chunk.chunk_id for chunk in reader.chunks(1)] == [4, 5]
    assert reader.dead_by_class() == {}
    assert reader.attempts(2) == []
    assert reader.counts()["total"] == 2
    ledger.apply([ItemPlanned(item(1, 4, 2)), ChunkStarted(4), ItemPlanned(item(1, 4, 1))])
    assert states(reader, 1) == ["PENDING"]
    assert reader.audit() == []


def test_planning_again_keeps_first_chunks_that_are_done(ledger, reader, item, done):
    ledger.apply([ItemPlanned(item(1, 1, 4)), done(1, 1, worker=7, ended=2.0), done(3, 1)])
    ledger.apply([ItemPlanned(item(1, 9, 5, params_digest="other"), kept=2)])
    assert reader.table_of(("worker", "ended"), [9, 10]) == {9: (7, 2), 10: (0, 0)}
    assert states(reader, 1) == ["DONE", *["PENDING"] * 4]
    kept = reader.chunk(9)
    assert (kept.spool, kept.length, kept.crc32) != ("", 0, 0)
    assert reader.item(1).n_done == reader.counts()["done"] == 1
    assert reader.run().n_done == 2
    assert reader.audit() == []


def test_ids_are_never_given_twice(ledger, item):
    """Dropping the newest item does not free its ids: its spools may still lie about."""
    ledger.apply([ItemPlanned(item(1, 1, 3)), ItemPlanned(item(2, 4, 3))])
    ledger.drop_items([2])
    assert (ledger.next_item_id(), ledger.next_chunk_id()) == (3, 7)


def test_a_dead_item_takes_its_chunks_along(ledger, reader, item, done):
    """What was done stays done; the rest is dead with one letter."""
    ledger.apply([ItemPlanned(item(1, 1, 4)), done(1, 1), ChunkStarted(2), letter(1, None)])
    assert states(reader, 1) == ["DONE", "DEAD", "DEAD", "DEAD"]
    found = reader.item(1)
    assert found is not None
    assert (found.state, found.reason, found.n_dead) == (ItemState.DEAD, "CrsError", 3)
    assert len(list(reader.dead_letters())) == 1
    assert reader.open_chunks() == []
    assert reader.audit() == []


def test_open_chunks_come_in_order_from_planned_items(ledger, reader, item, done):
    """Only pending and waiting chunks of planned items are offered, in order, page by page."""
    ledger.apply(
        [
            ItemPlanned(item(1, 1, 3)),
            ItemPlanned(item(2, 4, 3)),
            ItemPlanned(item(3, 7, 3)),
            done(2, 1),
            ChunkStarted(3),
            ChunkWaiting(9, 1, 0, 0, 1.0, "X", ""),
            ItemChanged(2, ItemState.HELD, "a dead chunk"),
        ]
    )
    assert [chunk.chunk_id for chunk in reader.open_chunks(0, 10)] == [1, 7, 8, 9]
    assert [chunk.chunk_id for chunk in reader.open_chunks(1, 2)] == [7, 8]
    assert reader.open_chunks(9, 2) == []


def test_complete_items_wait_for_assembly(ledger, reader, item, done):
    """All chunks done: complete. With a dead one: only where holes are allowed. Held: never."""
    ledger.apply(
        [ItemPlanned(item(n, n * 10, 2)) for n in (1, 2, 3, 4)]
        + [done(n * 10, n) for n in (1, 2, 3, 4)]
        + [done(11, 1), letter(2, 21), done(31, 3), ItemChanged(3, ItemState.HELD)]
    )
    assert [i.item_id for i in reader.open_items_complete()] == [1]
    assert [i.item_id for i in reader.open_items_complete(holes=True)] == [1, 2]


def test_segments_are_the_done_chunks(ledger, reader, item, done):
    """Segments come by index, over page borders, without the chunks that are not done."""
    ledger.apply([ItemPlanned(item(1, 1, 3)), ItemPlanned(item(2, 4, 1500))])
    ledger.apply([done(4 + n, 2, offset=n) for n in range(1500) if n != 700])
    found = list(reader.segments(2))
    assert [segment.index for segment in found] == [n for n in range(1500) if n != 700]
    assert all(segment.offset == segment.index for segment in found)
    with pytest.raises(StateError, match="no item 9"):
        list(reader.segments(9))


def test_updates_that_contradict_are_refused_whole(ledger, reader, item, done):
    """An update of something unknown is an error, and takes its whole batch back."""
    ledger.apply([ItemPlanned(item(1, 1, 2))])
    for wrong in (
        ChunkStarted(99),
        done(99, 1),
        ChunkWaiting(99, 1, 0, 0, 0, "X", ""),
        letter(1, 99),
        letter(99, None),
        ItemChanged(99, ItemState.HELD),
        SourceTouched(99, 1),
        ItemPublished(99, "/p", 1, "e", {}),
        ItemPlanned(item(2, 2, 1)),
        ItemChanged(1, ItemState.PUBLISHED),
    ):
        with pytest.raises(StateError):
            ledger.apply([ChunkStarted(1), wrong])
        assert states(reader, 1) == ["PENDING", "PENDING"], wrong
    assert reader.audit() == []


def test_a_rolled_back_spool_is_known_again(ledger, reader, item, done):
    """A spool's name that was interned in a failed batch is interned anew."""
    ledger.apply([ItemPlanned(item(1, 1, 2))])
    with pytest.raises(StateError):
        ledger.apply([done(1, 1, spool="lost"), ChunkStarted(99)])
    ledger.apply([done(1, 1, spool="other"), done(2, 1, spool="lost")])
    assert [segment.spool for segment in reader.segments(1)] == ["other", "lost"]


def test_source_touched_changes_the_time_alone(ledger, reader, item):
    """A touched source is remembered, so that it is not hashed again."""
    row = item(1, 1)
    ledger.apply([ItemPlanned(row), SourceTouched(1, 77)])
    assert reader.item(1) == replace(row, src_mtime_ns=77)


def test_orphans_leave_the_counts_and_come_back(ledger, reader, item, done):
    """An item outside of the job is not counted, listed as dead, offered or requeued."""
    ledger.apply([ItemPlanned(item(1, 1, 2)), ItemPlanned(item(2, 3, 3)), done(3, 2), letter(2, 4)])
    before = reader.counts()
    ledger.apply([ItemChanged(2, ItemState.ORPHAN, "no input")])
    assert reader.counts()["total"] == 2
    assert reader.counts()["done"] == reader.counts()["dead"] == 0
    assert reader.item_counts()["total"] == 1
    assert list(reader.dead_letters()) == []
    assert reader.dead_by_class() == {}
    assert ledger.requeue_dead() == 0
    assert reader.audit() == []
    ledger.apply([ItemChanged(2, ItemState.PLANNED)])
    assert reader.counts() == before
    assert reader.audit() == []
    ledger.apply([ItemChanged(2, ItemState.ORPHAN)])
    ledger.drop_items([2])
    assert reader.counts()["total"] == 2
    assert reader.audit() == []


def test_chunks_of_orphans_move_uncounted(state, ledger, item, done):
    """A chunk that ends, or is recovered, after its item left the job changes no total."""
    ledger.apply([ItemPlanned(item(1, 1, 3)), ChunkStarted(1), ChunkStarted(2)])
    ledger.apply([ItemChanged(1, ItemState.ORPHAN), done(1, 1)])
    ledger.close(archive=False)
    with Ledger.open(state.ledger) as again, LedgerReader(state.ledger) as reader:
        again.recover()
        again.begin_run("run-2", {}, {})
        assert set(reader.counts().values()) == {0}
        assert reader.audit() == []
        again.apply([ItemChanged(1, ItemState.PLANNED)])
        assert (reader.counts()["total"], reader.counts()["done"]) == (3, 1)
        assert reader.audit() == []


def test_a_dead_orphan_comes_back_dead(ledger, reader, item):
    """A source that could not be read left the job and returned: it is still a dead letter."""
    ledger.apply([ItemPlanned(item(1, 1)), letter(1, None), ItemChanged(1, ItemState.ORPHAN)])
    assert reader.counts()["dead"] == 0
    ledger.apply([ItemChanged(1, ItemState.PLANNED)])
    assert reader.item_counts()["dead"] == reader.counts()["dead"] == 1
    assert reader.audit() == []


# --- dead letters --------------------------------------------------------------------------------


@pytest.fixture
def dead(ledger, item, done):
    """Item 1 held, 2 dead at probe, 3 dead in assembly, each with letters."""
    ledger.apply(
        [
            ItemPlanned(item(1, 1, 4)),
            done(1, 1),
            letter(1, 2),
            letter(1, 3, "GeometryError"),
            ItemChanged(1, ItemState.HELD),
            done(4, 1),
            ItemPlanned(item(2, 5, 1)),
            letter(2, None, "CorruptSourceError"),
            ItemPlanned(item(3, 6, 2)),
            done(6, 3),
            done(7, 3),
            letter(3, None, "VerifyError"),
        ]
    )


def test_letters_are_read_by_class(dead, reader):
    """Letters come in order, whole, and by class; counts by class are sorted."""
    assert [record["error_message"] for record in reader.dead_letters()] == ["no CRS"] * 4
    assert [record["chunk"] for record in reader.dead_letters("CrsError")] == ["1.tif@0,2"]
    assert reader.dead_by_class() == {
        "CorruptSourceError": 1,
        "CrsError": 1,
        "GeometryError": 1,
        "VerifyError": 1,
    }


def test_letters_are_dismissed_and_taken_back(dead, ledger, reader):
    """A note stands in the record until it is taken back, or the letter is tried again."""
    first, second, *_ = reader.letters()
    assert ledger.dismiss_dead([(first.dead_id, first.t)], "cloud \x1b[2J\udcff", "me") == 1
    assert reader.last_seq() == reader.events()[-1].seq
    assert (reader.events()[-1].kind, reader.events()[-1].data) == ("dismissed", {"letters": 1})
    before, after = first.record, reader.letters()[0].record
    assert after["dismissed"]["note"] == "cloud \x1b[2J\udcff"
    assert after["dismissed"]["by"] == "me"
    assert {**before, "dismissed": after["dismissed"]} == after
    # An id alone may be that of another letter by now.
    assert ledger.dismiss_dead([(second.dead_id, second.t - 1)], "no", "me") == 0
    assert "dismissed" not in reader.letters()[1].record
    assert ledger.dismiss_dead([(first.dead_id, first.t)], None, "me") == 1
    assert reader.letters()[0].record == before
    assert ledger.dismiss_dead([(first.dead_id, first.t)], None, "me") == 0
    assert reader.audit() == []


def test_requeue_everything(dead, ledger, reader):
    """All letters go, all dead chunks are pending with fresh counts, all items planned."""
    assert ledger.requeue_dead() == 4
    assert reader.counts()["dead"] == 0
    assert [chunk.chunk_id for chunk in reader.open_chunks()] == [2, 3, 5]
    assert {(c.attempts, c.crashes) for c in reader.open_chunks()} == {(0, 0)}
    assert reader.item_counts()["planned"] == 3
    assert [i.item_id for i in reader.open_items_complete()] == [3]
    assert list(reader.dead_letters()) == []
    assert reader.audit() == []


@pytest.mark.parametrize(
    ("classes", "keys", "chunks"),
    [
        (["GeometryError"], None, [3]),
        (None, ["1.tif@0,2"], [2]),
        (["CrsError"], ["1.tif@0,3"], []),
        (["CorruptSourceError", "CrsError"], None, [2, 5]),
        (None, ["2.tif"], [5]),
        (["NoSuchError"], None, []),
        ([], None, []),
    ],
)
def test_requeue_some(dead, ledger, reader, classes, keys, chunks):
    """Only letters that match class and key are taken."""
    assert ledger.requeue_dead(classes, keys) == len(chunks)
    assert [chunk.chunk_id for chunk in reader.open_chunks()] == chunks
    assert reader.audit() == []


def test_requeue_of_a_published_item_redoes_it(ledger, reader, item, done, part):
    """An item published with a hole has no spools any more: all of it is to do again."""
    ledger.apply(
        [
            ItemPlanned(item(1, 1, 3)),
            done(1, 1),
            letter(1, 2),
            letter(1, 3),
            ItemPublished(1, part("1"), 5, "e" * 32, {"holes": 2}),
        ]
    )
    assert reader.audit() == []
    assert ledger.requeue_dead(chunk_keys=["1.tif@0,2"]) == 1
    assert states(reader, 1) == ["PENDING"] * 3
    assert list(reader.dead_letters()) == []
    assert list(reader.segments(1)) == []
    assert reader.audit() == []


def test_a_second_letter_replaces_the_first(ledger, reader, item):
    """A chunk that dies again after a requeue has one letter."""
    ledger.apply([ItemPlanned(item(1, 1, 1)), letter(1, 1, "CrsError")])
    ledger.apply([letter(1, 1, "GeometryError")])
    assert reader.dead_by_class() == {"GeometryError": 1}
    assert reader.audit() == []


# --- runs ----------------------------------------------------------------------------------------


def test_recovery_settles_what_was_open(state, ledger, item, done):
    """Running chunks get a strike, waiting ones keep their attempts, the run is called crashed."""
    ledger.apply(
        [
            ItemPlanned(item(1, 1, 4)),
            ChunkStarted(1),
            done(2, 1),
            ChunkWaiting(3, 2, 1, 1, 9000000000.0, "X", ""),
            ItemPlanned(item(2, 5, 1)),
            done(5, 2),
        ]
    )
    ledger.close(archive=False)
    with Ledger.open(state.ledger) as again, LedgerReader(state.ledger) as reader:
        found = again.recover()
        assert (found.running, found.waiting) == (1, 1)
        assert found.crashed == ("run-1",)
        assert states(reader, 1) == ["PENDING", "DONE", "PENDING", "PENDING"]
        first, third = reader.chunk(1), reader.chunk(3)
        assert first is not None
        assert third is not None
        assert (first.strikes, first.attempts) == (1, 0)
        assert (third.strikes, third.attempts, third.crashes, third.not_before) == (1, 2, 1, 0)
        assert again.begin_run("run-2", {}, {}) == 2
        assert [run.state for run in reader.runs()] == ["running", "crashed"]
        assert reader.audit() == []
        assert again.recover().running == 0


def test_a_run_ends_with_its_reason(ledger, reader):
    """The end of a run is a row that says how and why."""
    run = reader.run()
    assert run is not None
    assert (run.run_id, run.state, run.t1, run.exit_code) == ("run-1", "running", None, None)
    assert (run.job, run.versions) == ({"op": "raster.convert"}, {"gdal": "3.12"})
    ledger.apply([RunEnded("partial", 12, "complete")])
    run = reader.run()
    assert run is not None
    assert (run.state, run.exit_code, run.reason) == ("partial", 12, "complete")
    assert run.t1 is not None
    assert run.t1 >= run.t0


def test_no_updates_before_a_run(state, item):
    """Nothing is written under an epoch that nobody holds."""
    with Ledger.open(state.ledger) as opened, pytest.raises(StateError, match="no run"):
        opened.apply([ItemPlanned(item(1, 1))])


def test_a_later_run_fences_the_earlier(state, ledger, reader, item, part):
    """Once a later run has begun, the earlier one writes nothing and names no file."""
    ledger.apply([ItemPlanned(item(1, 1))])
    waiting = part("1")
    with Ledger.open(state.ledger) as later:
        later.begin_run("run-2", {}, {})
        for refused in (
            lambda: ledger.apply([ItemPublished(1, waiting, 5, "e" * 32, {})]),
            ledger.requeue_dead,
            lambda: ledger.drop_items([1]),
            lambda: ledger.begin_run("run-3", {}, {}),
        ):
            with pytest.raises(StateError, match="took over"):
                refused()
    assert not (state.output_dir / "1.tif").exists()
    found = reader.item(1)
    assert found is not None
    assert found.state is ItemState.PLANNED


def test_a_replaced_file_fences_too(state, ledger, item):
    """A ledger that was deleted or rebuilt under a run is not written blindly."""
    ledger.apply([ItemPlanned(item(1, 1))])
    state.ledger.rename(state.ledger.with_suffix(".old"))
    with pytest.raises(StateError, match="removed"):
        ledger.apply([ChunkStarted(1)])
    state.ledger.touch()
    with pytest.raises(StateError, match="replaced"):
        ledger.apply([ChunkStarted(1)])


def test_an_archived_ledger_is_one_file(state, ledger, item, done):
    """After a clean end there is no write-ahead log and no reserve, and it still can be read."""
    ledger.apply([ItemPlanned(item(1, 1, 1)), done(1, 1)])
    assert (state.root / "reserve").exists()
    ledger.close()
    assert {path.name for path in state.root.iterdir()} == {"ledger.db"}
    with LedgerReader(state.ledger) as reader:
        assert reader.counts()["done"] == 1
        assert reader.audit() == []


def test_closing_under_a_reader_is_no_error(ledger, reader):
    """An open reader does not keep a run from ending."""
    reader.counts()
    ledger.close()
    assert reader.counts()["total"] == 0


def test_an_item_is_published_with_the_number_of_its_undefined_pixels(
    ledger, reader, item, done, part
):
    """The sum over its chunks, those of the same batch too; without any nothing is said."""
    ledger.apply([ItemPlanned(item(1, 1, 3)), ItemPlanned(item(2, 4, 1)), done(1, 1, undefined=4)])
    ledger.apply([done(2, 1, undefined=0), done(3, 1, undefined=5), done(4, 2)])
    ledger.apply(
        [
            done(3, 1, undefined=7),
            *(ItemPublished(n, part(str(n)), 5, "e" * 32, {"a": 1}) for n in (1, 2)),
        ]
    )
    assert [row.facts for row in reader.items()] == [{"a": 1, "undefined_pixels": 11}, {"a": 1}]
    assert reader.undefined_pixels() == 11


# --- events --------------------------------------------------------------------------------------


def test_events_tell_what_happened_in_order(ledger, reader, item, done, part):
    """Each update that matters to an onlooker is an event, with growing numbers."""
    ledger.apply(
        [
            ItemPlanned(item(1, 1, 2)),
            ChunkStarted(1),
            done(1, 1),
            Noted("pressure", {"level": "hold"}),
            ChunkWaiting(2, 1, 0, 0, 1.0, "X", ""),
        ]
    )
    ledger.apply([done(2, 1), ItemPublished(1, part("1"), 5, "e" * 32, {})])
    events = reader.events()
    kinds = [event.kind for event in events]
    assert kinds == ["run_started", "planned", "done", "pressure", "retry", "done", "published"]
    assert [event.seq for event in events] == list(range(1, 8))
    assert events[3].data == {"level": "hold"}
    assert (events[2].item_id, events[2].chunk_id) == (1, 1)
    assert [event.seq for event in reader.events(5)] == [6, 7]
    assert [event.seq for event in reader.events(2, 1)] == [3]


def test_the_ring_of_events_is_capped(state):
    """Old events are dropped, the newest kept, and numbers go on; notes outlive the ring."""
    with Ledger.open(state.ledger, ring=1000) as opened, LedgerReader(state.ledger) as reader:
        opened.begin_run("r", {}, {})
        opened.apply([Noted("run.planned", {"current": 3})])
        for start in range(0, 12_000, 500):
            opened.apply([Noted("n", {"n": start + n}) for n in range(500)])
        count = len(reader.events(0, 100_000))
        assert 1000 <= count <= 1000 + 4096 + 500
        last = reader.events(0, 100_000)[-1]
        assert (last.seq, last.data) == (12_002, {"n": 11_999})
        assert reader.last_event("run.planned") == {"current": 3}
        assert reader.last_event("n") == {"n": 11_999}
        assert reader.last_event("other") is None
        opened.begin_run("r2", {}, {})
        assert reader.last_event("n") is None


def test_what_passes_is_in_the_newest_note_alone(ledger, reader):
    """An event keeps what is looked up later; what a thousand nodes do at a moment is not."""
    for n in range(3):
        ledger.apply([Noted("progress", {"n": n, "nodes": ["many"] * 9}, {"nodes"})])
    assert reader.last_event("progress") == {"n": 2, "nodes": ["many"] * 9}
    told = [event.data for event in reader.events() if event.kind == "progress"]
    assert told == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_data_version_tells_that_something_changed(ledger, reader, item):
    """An onlooker polls one number, and reads only when it differs."""
    before = reader.data_version()
    assert reader.data_version() == before
    ledger.apply([ItemPlanned(item(1, 1))])
    assert reader.data_version() != before


# --- audit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("DELETE FROM chunk WHERE chunk_id = 2", "every chunk exactly once"),
        ("UPDATE chunk SET item_id = 9 WHERE chunk_id = 2", "belongs to no item"),
        ("UPDATE item_count SET n_done = 3 WHERE item_id = 1", "counters of item 1"),
        ("UPDATE tally SET n_done = 9", "counts 9 chunks done"),
        ("UPDATE item_tally SET n = 7 WHERE state = 0", "counts 7 items of state 0"),
        ("UPDATE item SET state = 4 WHERE item_id = 1", "published"),
        ("UPDATE item SET state = 5 WHERE item_id = 1", "item 1 is dead"),
        ("DELETE FROM dead WHERE chunk_id = 3", "chunk 3 is dead"),
        ("UPDATE chunk SET state = 0 WHERE chunk_id = 3", "chunk 3 has a dead letter"),
        ("UPDATE chunk SET spool_id = 99 WHERE chunk_id = 1", "spool"),
        ("DELETE FROM doc", "parameters"),
        ("UPDATE tally SET next_chunk = 2", "id 2 was given"),
        ("DELETE FROM item_count WHERE item_id = 2", "item 2 has no counters"),
        ("UPDATE dead SET chunk_id = NULL WHERE chunk_id = 3", "of its own, but goes on"),
    ],
)
def test_the_audit_sees_each_damage(ledger, reader, item, done, sql, sentence):
    """The audit is empty on a sound ledger, and names each broken invariant."""
    ledger.apply([ItemPlanned(item(1, 1, 3)), done(1, 1), letter(1, 3), ItemPlanned(item(2, 4, 1))])
    assert reader.audit() == []
    ledger._connection.execute(sql)
    found = reader.audit()
    assert any(sentence in line for line in found), found


def test_a_damaged_document_is_damage(ledger, reader, item):
    """A byte that SQLite can't check is reported as a damaged ledger, not as a bug."""
    from geobatch_tui.errors import LedgerCorruptError

    ledger.apply([ItemPlanned(item(1, 1, 1))])
    for sql in (
        "UPDATE item SET plan = '{\"gr'",
        "UPDATE item SET plan = '[]'",
        "UPDATE item SET plan = '{}', params_doc = 99",
    ):
        ledger._connection.execute(sql)
        with pytest.raises(LedgerCorruptError):
            list(reader.items())
    ledger._connection.execute("UPDATE chunk SET spool_id = 99")
    with pytest.raises(LedgerCorruptError):
        list(reader.chunks(1))


def test_parameters_are_kept_once(ledger, item):
    """Items with the same parameters share one document."""
    rows = [item(n, n, 1, params={"crs": "EPSG:3857"}) for n in range(1, 50)]
    ledger.apply([ItemPlanned(row) for row in rows])
    ledger.apply([ItemPlanned(item(50, 50, 1, params={"crs": "EPSG:6933"}))])
    found = ledger._connection.execute("SELECT body FROM doc").fetchall()
    assert [json.loads(body)["crs"] for (body,) in found] == ["EPSG:3857", "EPSG:6933"]
