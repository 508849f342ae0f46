"""The small parts of placement: backlog, crew, durations, refilling, gate, lane."""

from __future__ import annotations

import pytest

from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.schedule.backlog import Backlog, Entry, Refilling
from geobatch_tui.orchestration.schedule.crew import TURN_UNITS, Crew, Lane, Worker
from geobatch_tui.orchestration.schedule.durations import Durations
from geobatch_tui.orchestration.schedule.suspensions import Gate


def entry(kind: u.Kind, ident: int, **fields) -> Entry:
    return Entry(u.Unit(kind, ident, **fields))


def drain(backlog: Backlog) -> list[tuple[str, int]]:
    keys = []
    while backlog.first() is not None:
        assert backlog.first() is not None
        keys.append(backlog.pop().key)
    return keys


def test_order_of_kinds():
    """Assembly before chunks before probes and inspections, and each in order of arrival."""
    backlog = Backlog()
    for n, kind in enumerate(
        [u.Kind.INSPECT, u.Kind.CHUNK, u.Kind.PROBE, u.Kind.FINALISE, u.Kind.CHUNK]
    ):
        backlog.append(entry(kind, n))
    assert [key[1] for key in drain(backlog)] == [3, 1, 4, 0, 2]
    with pytest.raises(IndexError):
        backlog.pop()


def test_suspects_go_to_the_lane():
    """A strike or a crash sends a unit of any kind to the lane, and to no queue."""
    backlog = Backlog()
    backlog.append(entry(u.Kind.FINALISE, 1, strikes=1))
    backlog.prepend(entry(u.Kind.CHUNK, 2, crashes=1))
    assert backlog.ready == 0
    assert [one.key[1] for one in backlog.lane] == [2, 1]
    assert len(backlog) == 2


def test_waiting_wakes_in_time():
    """Those that wait become ready when due, not before, and ahead of those behind them."""
    backlog = Backlog()
    backlog.append(entry(u.Kind.CHUNK, 1))
    backlog.wait(entry(u.Kind.CHUNK, 2), 20.0)
    backlog.wait(entry(u.Kind.CHUNK, 3), 10.0)
    assert backlog.next_due == 10.0
    backlog.wake(9.9)
    assert backlog.waiting == 2
    backlog.wake(10.0)
    assert backlog.waiting == 1
    assert len(backlog) == 3
    assert [key[1] for key in drain(backlog)] == [3, 1]


def test_depth_of_prefetch():
    """A queue holds 60 ms of work: 64 tiny units at most, one of those over 30 ms."""
    for seconds, depth in [(0.0, 64), (1e-5, 64), (0.002, 30), (0.029, 2), (0.031, 1), (9.0, 1)]:
        durations = Durations(64)
        assert durations.depth(u.Kind.CHUNK) == 1
        durations.note(u.Kind.CHUNK, seconds)
        assert durations.depth(u.Kind.CHUNK) == depth
        assert durations.depth(u.Kind.PROBE) == 1


def test_depth_falls_at_the_first_slow_unit():
    """After a slow unit nothing is queued behind its like."""
    durations = Durations(64)
    for _ in range(100):
        durations.note(u.Kind.CHUNK, 0.0001)
    durations.note(u.Kind.CHUNK, 0.1)
    assert durations.depth(u.Kind.CHUNK) == 1


def test_automatic_timeout():
    """20 times the 95th percentile, at least a minute, for assembly an hour."""
    durations = Durations(64)
    assert durations.timeout(u.Kind.CHUNK) == 600
    for n in range(100):
        durations.note(u.Kind.CHUNK, 1.0 if n < 90 else 10.0)
        durations.note(u.Kind.PROBE, 0.1)
        durations.note(u.Kind.FINALISE, 0.1)
    assert durations.timeout(u.Kind.CHUNK) == 200
    assert durations.timeout(u.Kind.PROBE) == 60
    assert durations.timeout(u.Kind.FINALISE) == 3600
    for _ in range(200):
        durations.note(u.Kind.CHUNK, 4.0)
    assert durations.timeout(u.Kind.CHUNK) == 80


def test_feeding_asks_once():
    """One question at a time, up to the high mark, and only below the low one."""
    refilling = Refilling(64, 256)
    assert refilling.ask(64) == 0
    assert refilling.ask(63) == 193
    refilling.again()
    assert refilling.ask(0) == 0
    refilling.answered(10)
    assert refilling.ask(10) == 246


def test_feeding_after_nothing():
    """After an empty answer it asks again only when something has changed."""
    refilling = Refilling(64, 256)
    refilling.ask(0)
    refilling.answered(0)
    assert refilling.ask(0) == 0
    refilling.again()
    assert refilling.ask(0) == 256


@pytest.mark.parametrize(
    ("reasons", "level", "in_flight", "is_open"),
    [
        ([], u.Level.CALM, 5, True),
        ([], u.Level.HOLD, 1, False),
        ([], u.Level.HOLD, 0, True),
        (["memory"], u.Level.PAUSE, 1, False),
        (["memory"], u.Level.PAUSE, 0, True),
        (["memory"], u.Level.HOLD, 1, False),
        (["space"], u.Level.CALM, 0, False),
        (["operator"], u.Level.CALM, 0, False),
        (["memory", "space"], u.Level.PAUSE, 0, False),
    ],
)
def test_gate(reasons, level, in_flight, is_open):
    """Space and operator stop everything; memory all but the only unit."""
    gate = Gate(lambda decision: None)
    gate.level = level
    for reason in reasons:
        gate.suspend(reason)
    assert gate.open(in_flight) is is_open


def test_gate_tells_each_change_once():
    """Suspensions are told when they begin and end; HOLD alone is not worth a word."""
    told: list[u.Decision] = []
    gate = Gate(told.append)
    for level in (u.Level.HOLD, u.Level.PAUSE, u.Level.KILL, u.Level.HOLD, u.Level.CALM):
        gate.press(level)
    gate.resume("space")
    assert told == [u.Suspend("memory"), u.Unsuspend("memory")]


def test_lane_turns():
    """The rest has had its turn after 16 units, or after a second if it got anything done."""
    lane = Lane()
    assert lane.turn(0.0)
    lane.opened(Worker(1))
    lane.closed(10.0)
    assert lane.worker is None
    assert not lane.turn(99.0)
    lane.passed()
    assert not lane.turn(10.9)
    assert lane.turn(11.0)
    for _ in range(TURN_UNITS - 1):
        lane.passed()
    assert lane.turn(10.0)


def test_crew_counts():
    """Starting, leaving and dead workers are told apart; late words of the dead are known."""
    crew = Crew()
    crew.starting = 2
    assert crew.expects(1, asked=False)
    assert not crew.expects(1, asked=True)
    assert crew.arrive(1, fresh=True)
    assert not crew.arrive(1, fresh=True)
    assert (crew.live, crew.starting) == (2, 1)
    worker = crew.up[1]
    assert crew.fresh() is worker
    crew.dismiss(worker)
    crew.doom(worker, "memory")
    assert crew.leaving == 1
    assert not crew.idle
    assert crew.remove(1) is worker
    assert (crew.live, crew.leaving) == (1, 0)
    assert not crew.expects(1, asked=False)
    assert not crew.arrive(1, fresh=True)
    assert crew.remove(2) is None
    assert crew.live == 0


def test_adopted_workers_are_not_fresh():
    """A worker that has worked before is no worker for the lane, and was not started by us."""
    crew = Crew()
    crew.starting = 1
    assert crew.arrive(9, fresh=False)
    assert crew.fresh() is None
    assert crew.live == 2
