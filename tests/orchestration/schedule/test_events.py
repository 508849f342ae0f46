"""Each event is understood by the scheduler, each decision carried out by its shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import pytest
from scheduler_shell import chunk, failure

from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.schedule.scheduler import Scheduler, SchedulerConfig
from geobatch_tui.orchestration.workers.dispatcher import Dispatcher

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS = [
    u.Offered((chunk(1),)),
    u.Exhausted(),
    u.Reopened(),
    u.WorkerUp(1),
    u.WorkersKept((u.WorkerUp(1),)),
    u.Succeeded(1, chunk(1).key, 1.0, 1),
    u.Failed(1, chunk(1).key, failure()),
    u.WorkerLost(1, None, "exit", None),
    u.Tick(),
    u.Pressure(u.Level.HOLD),
    u.Space(ok=True),
    u.StoreAway("uploads"),
    u.StoreBack("store s3://bucket"),
    u.Command(u.Verb.PAUSE),
    u.Resized(2, 1 << 30, 64),
    u.SetWorkers(2),
]
#: Decisions, and the calls on the pool and the listener that each becomes.
DECISIONS = [
    (u.Dispatch(1, chunk(1), 1, lane=False), ["build", "submit", "dispatched"]),
    (u.Retry(chunk(1), 1.0, failure()), ["retried"]),
    (u.Bury(chunk(1), failure()), ["buried"]),
    (u.Release(chunk(1)), ["released"]),
    (u.StartWorker(), ["spawn"]),
    (u.RetireWorker(1), ["retire"]),
    (u.KillWorker(1, "timeout"), ["kill"]),
    (u.Refill(3), ["refill"]),
    (u.Suspend("space"), ["suspended"]),
    (u.Unsuspend("space"), ["unsuspended"]),
    (u.Finish("complete"), []),
]


class Calls:
    """Stands for a pool and a listener: keeps the names of their methods that are called."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *_: self.names.append(name)


class Deciding:
    """Stands for the scheduler: decides one thing."""

    def __init__(self, decision: u.Decision) -> None:
        self.decision = decision

    def handle(self, event: u.Event, now: float) -> list[u.Decision]:
        return [self.decision]

    def running_on(self, worker: int) -> u.Unit | None:
        return None


def test_the_tables_are_whole():
    assert [type(event) for event in EVENTS] == list(get_args(u.Event))
    assert [type(decision) for decision, _ in DECISIONS] == list(get_args(u.Decision))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_the_scheduler_takes_each_event(event):
    """The scheduler also takes events that come too early, or from unknown workers and units."""
    scheduler = Scheduler(SchedulerConfig(workers=1))
    assert isinstance(scheduler.handle(event, 0.0), list)


@pytest.mark.parametrize(("decision", "calls"), DECISIONS, ids=lambda value: type(value).__name__)
async def test_the_shell_carries_out_each_decision(decision, calls):
    made = Calls()
    dispatcher = Dispatcher(made, Deciding(decision), made)
    dispatcher.tell(u.Tick())
    assert made.names == calls
    if isinstance(decision, u.Finish):
        assert await dispatcher.run() is decision


def test_a_unit_is_known_by_kind_and_number():
    """Chunk 1 and the assembly of item 1 are two units; counts of crashes make no third."""
    assert u.Unit(u.Kind.CHUNK, 1).key != u.Unit(u.Kind.FINALISE, 1).key
    assert u.Unit(u.Kind.CHUNK, 1, attempts=1).key == u.Unit(u.Kind.CHUNK, 1).key
