"""A reel shows the states of each moment, whichever way it is wound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.tui.replay import reel as reels
from geobatch_tui.tui.replay.reel import Reel, ReelSource, reel_of

S = lu.ChunkState
CHANGES = st.lists(
    st.tuples(st.integers(0, 20).map(float), st.integers(0, 4), st.sampled_from([1, 2, 4, 5])),
    max_size=30,
)


@given(CHANGES, st.lists(st.integers(-2, 22).map(float), max_size=12))
def test_each_moment_is_what_happened_up_to_it(changes, moments):
    """Forward, backward and beyond both ends; what is said to have changed is all that has."""
    reel = Reel(bytearray(5), 0.0, 20.0, changes)
    for t in moments:
        before = bytes(reel.states)
        changed = reel.seek(t)
        wanted = bytearray(5)
        for at, position, state in sorted(changes):
            if at <= min(max(t, 0.0), 20.0):
                wanted[position] = state
        # Nothing has happened before the first seek, not even at the very beginning.
        assert reel.states == wanted
        assert {at for at in range(5) if before[at] != wanted[at]} <= set(changed)


def test_very_many_changes_are_not_told_one_by_one(monkeypatch):
    monkeypatch.setattr(reels, "_FEW", 2)
    reel = Reel(bytearray(5), 0.0, 9.0, [(float(n), n, S.DONE) for n in range(5)])
    assert reel.seek(9.0) is None
    assert sorted(reel.seek(2.0)) == [3, 4]


def test_the_next_death_and_the_one_before():
    reel = Reel(bytearray(3), 0.0, 9.0, [(2.0, 0, S.DEAD), (4.0, 1, S.DONE), (6.0, 2, S.DEAD)])
    assert reel.next_change(S.DEAD, 1) == 2.0
    assert reel.next_change(S.DEAD, -1) is None
    reel.seek(6.0)
    assert reel.next_change(S.DEAD, 1) is None
    assert reel.next_change(S.DEAD, -1) == 2.0
    assert len(reel) == 3
    assert reel.share == pytest.approx(2 / 3)


def test_a_run_is_wound_up_from_its_ledger(script, store, clock):
    """What was done before this run is done from its beginning; chunks run before they are done;
    what is tried again waits; the dead die when their letters were written."""
    script.plan(1, 1, 5, 1)
    script.plan(2, 6, 2, 1)
    store.poll()
    assert reel_of(store) is None  # nothing has a time yet
    t0 = clock.t
    script.done(1, ended=t0 - 100.0)
    script.done(2, seconds=4.0, ended=t0 + 6)
    clock.t = t0 + 8
    script.put(lu.ChunkWaiting(3, 1, 0, 0, 0.0, "RemoteIOError", "HTTP 503"))
    clock.t = t0 + 9
    script.die(3)
    script.die(None, item=2)
    script.done(4, seconds=1.0, ended=t0 + 10)
    store.poll()
    reel = reel_of(store)
    assert (reel.start, reel.end) == (t0, t0 + 10)
    seen = []
    for second in (0, 3, 7, 8.5, 9.5, 10):
        reel.seek(t0 + second)
        seen.append(bytes(reel.states))
    idle = [S.PENDING, S.PENDING]
    assert seen == [
        bytes([S.DONE, 0, 0, 0, 0, *idle]),
        bytes([S.DONE, S.RUNNING, 0, 0, 0, *idle]),
        bytes([S.DONE, S.DONE, 0, 0, 0, *idle]),
        bytes([S.DONE, S.DONE, S.RETRY_WAIT, 0, 0, *idle]),
        bytes([S.DONE, S.DONE, S.DEAD, S.RUNNING, 0, S.DEAD, S.DEAD]),
        bytes([S.DONE, S.DONE, S.DEAD, S.DONE, 0, S.DEAD, S.DEAD]),
    ]
    assert bytes(store.states) == seen[-1]
    assert ReelSource(store, reel).states is reel.states
