"""Units that no worker has: the order in which they are taken, and when more are asked for."""

from __future__ import annotations

import pytest

from geobatch_tui.orchestration.schedule import backlog as backlog_module
from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.schedule.backlog import Backlog, Entry, Refilling


def entry(kind: u.Kind, ident: int, **fields) -> Entry:
    return Entry(u.Unit(kind, ident, **fields))


def drain(backlog: Backlog) -> list[tuple[str, int]]:
    keys = []
    while (first := backlog.first()) is not None:
        backlog.take(first)
        keys.append(first.key)
    return keys


def test_order_of_kinds():
    """Assembly before chunks before probes and inspections, and each in order of arrival."""
    backlog = Backlog()
    for n, kind in enumerate(
        [u.Kind.INSPECT, u.Kind.CHUNK, u.Kind.PROBE, u.Kind.FINALISE, u.Kind.CHUNK]
    ):
        backlog.append(entry(kind, n))
    assert [key[1] for key in drain(backlog)] == [3, 1, 4, 0, 2]
    with pytest.raises(ValueError, match="deque"):
        backlog.take(entry(u.Kind.CHUNK, 9))


def test_workers_go_along_strips():
    """A worker goes on in its strip; one that begins takes a strip that no other is in, and where
    all are taken, the first unit there is. A unit without strip waits for nobody."""
    backlog = Backlog()
    for n in range(6):
        backlog.append(entry(u.Kind.CHUNK, n, strip=n // 3 * 3))
    assert backlog.first().key[1] == 0
    assert backlog.first(0, {3}).key[1] == 0
    assert backlog.first(None, {0}).key[1] == 3
    assert backlog.first(3, {0, 3}).key[1] == 3
    assert backlog.first(None, {0, 3}).key[1] == 0
    for n in (3, 4, 5):
        chosen = backlog.first(3, {0})
        assert chosen.key[1] == n
        backlog.take(chosen)
    assert backlog.first(3, {0}).key[1] == 0
    assert backlog.ready == 3
    backlog.prepend(entry(u.Kind.CHUNK, 9))
    assert backlog.first(0, ()).key[1] == 9


def test_suspects_go_to_the_lane():
    """A strike or a crash sends a unit of any kind to the lane, and to no queue."""
    backlog = Backlog()
    backlog.append(entry(u.Kind.FINALISE, 1, strikes=1))
    backlog.prepend(entry(u.Kind.CHUNK, 2, crashes=1))
    assert backlog.ready == 0
    assert [one.key[1] for one in backlog.lane] == [2, 1]
    assert len(backlog) == 2


def test_waiting_wakes_in_time():
    """Waiting units become ready when they are due, and then come before the others."""
    backlog = Backlog()
    backlog.append(entry(u.Kind.CHUNK, 1))
    backlog.wait(entry(u.Kind.CHUNK, 2), 20.0)
    backlog.wait(entry(u.Kind.CHUNK, 3), 10.0)
    backlog.wake(9.9)
    assert len(backlog) - backlog.ready == 2
    backlog.wake(10.0)
    assert len(backlog) - backlog.ready == 1
    assert len(backlog) == 3
    assert [key[1] for key in drain(backlog)] == [3, 1]


def test_refilling_asks_once():
    """The backlog asks one question at a time, for units up to the high mark, below the low one."""
    refilling = Refilling(64, 256)
    assert refilling.ask(64) == 0
    assert refilling.ask(63) == 193
    refilling.again()
    assert refilling.ask(0) == 0
    refilling.answered(10)
    assert refilling.ask(10) == 246


def test_refilling_after_nothing():
    """After an empty answer the backlog asks again only when something has changed."""
    refilling = Refilling(64, 256)
    refilling.ask(0)
    refilling.answered(0)
    assert refilling.ask(0) == 0
    refilling.again()
    assert refilling.ask(0) == 256


def test_a_divisible_unit_that_crashed_is_no_suspect():
    """A crash tells the operation which part to leave out; a strike tells it nothing."""
    assert entry(u.Kind.CHUNK, 1, crashes=1).suspect
    assert not entry(u.Kind.CHUNK, 1, crashes=1, divisible=True).suspect
    assert entry(u.Kind.CHUNK, 1, strikes=1, divisible=True).suspect


def test_of_two_units_due_at_once_the_first_to_wait_wakes_last():
    """A unit that wakes is put before the others of its kind."""
    backlog = Backlog()
    for ident in (1, 2):
        backlog.wait(entry(u.Kind.CHUNK, ident), 5.0)
    backlog.wake(5.0)
    assert [key[1] for key in drain(backlog)] == [2, 1]
    assert len(backlog) - backlog.ready == 0


def test_units_of_a_store_that_is_away_are_put_aside():
    """In their order, with those that come while it is; the others go on, and more are asked
    for."""
    backlog = Backlog()
    for n in range(6):
        backlog.append(entry(u.Kind.CHUNK, n, store="s3://a" if n % 2 else "https://b"))
    backlog.append(entry(u.Kind.CHUNK, 6, store="s3://a", crashes=1))
    backlog.wait(entry(u.Kind.CHUNK, 7, store="s3://a"), due=1.0)
    backlog.park("s3://a")
    backlog.park("s3://a")
    backlog.wake(2.0)
    backlog.prepend(entry(u.Kind.CHUNK, 8, store="s3://a"))
    assert (backlog.ready, len(backlog), len(backlog.lane)) == (3, 3, 0)
    assert [key[1] for key in drain(backlog)] == [0, 2, 4]
    backlog.unpark("s3://a")
    backlog.unpark("s3://never")
    assert (backlog.ready, len(backlog.lane)) == (5, 1)
    assert [key[1] for key in drain(backlog)] == [8, 7, 1, 3, 5]


def test_parked_units_are_not_handed_out_without_end(monkeypatch):
    """Beyond a number they count as queued."""
    monkeypatch.setattr(backlog_module, "MOST_PARKED", 2)
    backlog = Backlog()
    backlog.park("s3://a")
    for n in range(5):
        backlog.append(entry(u.Kind.CHUNK, n, store="s3://a"))
    assert len(backlog) == 3
