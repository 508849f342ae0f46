"""What was dead when a run ended, and what of it is new or gone in a later one."""

from __future__ import annotations

from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.tui.run.past_runs import gather
from geobatch_tui.tui.run.run_failures import (
    Failure,
    FailureChanges,
    Failures,
    changes,
    read_changes,
    read_failures,
)


def failed(where, error="CorruptSourceError", **more):
    return Failure(where, -1, error, **more)


def test_a_failure_is_the_same_by_its_place_and_cause():
    """Whatever its message is; one that fails for another cause is new, and the old one gone."""
    before = Failures((failed("a"), failed("b", message="x"), failed("c")))
    after = Failures((failed("b", message="y"), failed("c", "Timeout"), failed("d")))
    assert changes(before, after) == FailureChanges(
        new=(failed("c", "Timeout"), failed("d")), gone=(failed("a"), failed("c")), both=1
    )
    assert changes(before, Failures(())).gone == before.all
    assert changes(before, before) == FailureChanges((), (), 3)
    assert not changes(Failures((), is_whole=False), after).is_whole


def two_runs(script, clock):
    """A run, and one that goes on with it: of chunks that died one is done, one dies anew by
    another cause, one is still to be tried; an item that died as a whole is published."""
    script.plan(1, 1, 3, 2, key="a.tif")
    script.plan(2, 7, key="b.tif")
    for chunk in (1, 2, 3, 4):
        script.die(chunk, f"cut off: {chunk}", chunk=f"a.tif@{chunk // 4},{(chunk - 1) % 3}")
    script.die(None, "no CRS", item=2, chunk=None, error="InputError")
    clock.t += 60
    script.end("partial")
    clock.t += 60
    script.ledger.requeue_dead(chunk_keys=["a.tif@0,0", "a.tif@0,1", "a.tif@0,2", "2.tif"])
    script.ledger.begin_run("run-2", {"job": {}}, {})
    clock.t += 60
    script.done(1)
    script.die(2, "too slow", chunk="a.tif@0,1", error="Timeout")
    script.die(6, "cut off: 6", chunk="a.tif@1,2")
    script.done(7, item=2)
    clock.t += 60
    script.end("partial")
    after, before = gather([script.state.output_dir])
    return before, after


def test_failures_of_an_earlier_run_are_known_by_its_events(script, clock):
    """Their letters are gone since; where no events are left, that is said."""
    before, after = two_runs(script, clock)
    found = read_failures(before)
    assert found.is_whole
    assert sorted(failure.where for failure in found.all) == [
        *("a.tif@0,0", "a.tif@0,1", "a.tif@0,2", "a.tif@1,0", "b.tif"),
    ]
    changed = read_changes(before, after)
    assert {failure.identity[::2] for failure in changed.new} == {
        ("a.tif@0,1", "Timeout"),
        ("a.tif@1,2", "CorruptSourceError"),
    }
    assert {(failure.where, failure.message, failure.waits) for failure in changed.gone} == {
        ("a.tif@0,0", "cut off: 1", False),
        ("a.tif@0,1", "cut off: 2", False),
        ("a.tif@0,2", "cut off: 3", True),
        ("b.tif", "", False),
    }
    assert (changed.both, changed.is_whole) == (1, True)
    script.ledger._connection.execute("DELETE FROM event WHERE seq < 5")
    assert not read_changes(before, after).is_whole


def test_an_item_that_was_planned_anew_names_no_chunk_of_the_old_plan(script, clock):
    """Its chunks have other ids since: only the item is known."""
    script.plan(1, 1, 2, 2, key="a.tif")
    script.die(1)
    clock.t += 60
    script.end("partial")
    script.ledger.begin_run("run-2", {"job": {}}, {})
    clock.t += 60
    script.plan(1, 5, 2, 2, key="a.tif", reason="source_changed")
    script.put(lu.ChunkStarted(5))
    clock.t += 60
    after, before = gather([script.state.output_dir])
    assert [failure.where for failure in read_failures(before).all] == ["a.tif"]
    assert read_changes(before, after).gone[0].error_class == "CorruptSourceError"
