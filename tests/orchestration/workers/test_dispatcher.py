"""The shell round the scheduler carries events and decisions, and loses none."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from geobatch_tui.errors import Reaction
from geobatch_tui.execution.protocol.looking import InspectReceipt, InspectTask
from geobatch_tui.execution.protocol.messages import Failure, Outcome, Task
from geobatch_tui.orchestration.schedule import events as u
from geobatch_tui.orchestration.schedule.scheduler import Scheduler, SchedulerConfig
from geobatch_tui.orchestration.workers.dispatcher import Dispatcher
from geobatch_tui.testing.inline_pool import InlinePool


@dataclass
class Recorder:
    """A listener that feeds ``total`` units and notes what becomes of them."""

    total: int
    dispatcher: Dispatcher | None = None
    offered: int = 0
    done: list[int] = field(default_factory=list)
    dead: list[tuple[int, str]] = field(default_factory=list)
    notes: list[Any] = field(default_factory=list)
    began_units: list[int] = field(default_factory=list)

    def build(self, unit: u.Unit, task_id: int, attempt: int) -> Task:
        return InspectTask(task_id, "x", str(unit.ident))

    def refill(self, count: int) -> None:
        assert self.dispatcher is not None
        batch = range(self.offered, min(self.total, self.offered + count))
        self.offered += len(batch)
        self.dispatcher.tell(u.Offered(tuple(u.Unit(u.Kind.CHUNK, i) for i in batch)))
        if self.offered == self.total:
            self.dispatcher.tell(u.Exhausted())

    def succeeded(self, unit: u.Unit, worker: int, outcome: Outcome) -> None:
        self.done.append(unit.ident)

    def buried(self, unit: u.Unit, failure: Failure) -> None:
        self.dead.append((unit.ident, failure.error_class))

    def retried(self, unit: u.Unit, delay: float, failure: Failure) -> None:
        self.notes.append(("retry", unit.ident))

    def dispatched(self, unit: u.Unit, worker: int, attempt: int) -> None: ...
    def began(self, unit: u.Unit, worker: int) -> None:
        self.began_units.append(unit.ident)

    def released(self, unit: u.Unit) -> None: ...
    def suspended(self, reason: str, seconds: float) -> None:
        del seconds
        self.notes.append(("suspend", reason))

    def unsuspended(self, reason: str) -> None: ...
    def worker_up(self, event: Any) -> None: ...
    def worker_lost(self, event: Any) -> None: ...


def ok(task: Task) -> Outcome:
    return Outcome(task.task_id, InspectReceipt("", 0, ""), None, 0.0, 1, 1)


def bad(task: Task) -> Outcome:
    failure = Failure("SchemaError", Reaction.PERMANENT, "no")
    return Outcome(task.task_id, None, failure, 0.0, 1, 1)


def make(total: int, answer: Any, **config: Any) -> tuple[Dispatcher, Recorder]:
    listener = Recorder(total)
    scheduler = Scheduler(SchedulerConfig(workers=2, run_id="t", **config))
    dispatcher = Dispatcher(InlinePool(answer), scheduler, listener)
    listener.dispatcher = dispatcher
    return dispatcher, listener


async def finish(dispatcher: Dispatcher) -> u.Finish:
    return await asyncio.wait_for(dispatcher.run(), 20)


async def test_every_unit_is_settled_once() -> None:
    """A thousand units: each succeeds or is buried, exactly once, and the run completes."""
    dispatcher, listener = make(
        1000, lambda task: bad(task) if int(task.path) % 100 == 7 else ok(task)
    )
    end = await finish(dispatcher)
    assert end.reason == "complete"
    assert sorted(listener.done + [i for i, _ in listener.dead]) == list(range(1000))
    assert [i for i, _ in listener.dead] == [7 + 100 * n for n in range(10)]
    assert sorted(listener.began_units) == list(range(1000))
    assert sum(record.done for record in dispatcher.records.values()) == 990
    assert sum(record.failed for record in dispatcher.records.values()) == 10
    assert dispatcher.records.keys() == dispatcher.workers.keys()


async def test_a_hanging_unit_is_killed_and_buried() -> None:
    """A task that never answers ends by the timeout; the others do not notice."""
    dispatcher, listener = make(
        20, lambda task: None if task.path == "3" else ok(task), chunk_timeout=0.3
    )
    end = await finish(dispatcher)
    assert end.reason == "complete"
    assert [i for i, _ in listener.dead] == [3]
    assert len(listener.done) == 19


async def test_drain_ends_the_run() -> None:
    """After DRAIN nothing new is started and run() returns."""
    dispatcher, listener = make(10_000, ok)

    def answer_then_drain() -> None:
        dispatcher.tell(u.Command(u.Verb.DRAIN))

    asyncio.get_running_loop().call_later(0.02, answer_then_drain)
    end = await finish(dispatcher)
    assert end.reason == "drained"
    assert len(listener.done) < 10_000


async def test_a_listener_that_raises_ends_the_run() -> None:
    """A bug in a callback must not hang the run."""
    dispatcher, listener = make(3, ok)

    def explode(*_: Any) -> None:
        raise LookupError("bug")

    listener.succeeded = explode  # type: ignore[method-assign]
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)
    with pytest.raises(LookupError, match="bug"):
        await finish(dispatcher)


async def test_nothing_to_do_is_found_while_workers_are_adopted() -> None:
    """Warm workers and no unit: the end comes before run() is called, and is not lost."""
    dispatcher, listener = make(0, ok)
    dispatcher.adopt([u.WorkerUp(7, 1, pid=1)])
    assert (await finish(dispatcher)).reason == "complete"
    assert listener.done == []
