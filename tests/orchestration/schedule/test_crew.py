"""The workers as the scheduler sees them, and the lane of suspects."""

from __future__ import annotations

from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.schedule.backlog import Entry
from geobatch_tui.orchestration.schedule.crew import TURN_UNITS, Crew, Lane, Worker


def test_lane_turns():
    """The other units have their turn until 16 of them ended, or one did and a second has passed."""
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
    """Starting, leaving and dead workers are counted apart; a late message of a dead one is known."""
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
    crew.condemn(worker, "memory")
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


def test_a_condemned_worker_keeps_the_unit_that_it_is_killed_for():
    """The next unit in its queue may have begun by the time it dies."""
    crew = Crew()
    crew.arrive(1, fresh=True)
    worker = crew.up[1]
    worker.queue.append(running := Entry(u.Unit(u.Kind.CHUNK, 1)))
    worker.queue.append(Entry(u.Unit(u.Kind.CHUNK, 2)))
    crew.condemn(worker, "timeout")
    worker.queue.popleft()
    assert worker.condemned is running
    assert not worker.usable
    crew.condemn(worker, "memory")
    assert crew.leaving == 1


def test_a_late_message_of_a_dead_worker_is_known_for_long():
    """A dead worker is remembered while a thousand others die."""
    crew = Crew()
    for number in range(1000):
        crew.remove(number)
    crew.starting = 1
    assert not crew.expects(0, asked=False)
    assert crew.expects(1000, asked=False)
