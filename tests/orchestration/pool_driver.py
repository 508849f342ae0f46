"""Drives a pool of workers in tests: hands out tasks, keeps every event, and waits for what matters."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path

from geobatch_tui.execution.protocol.messages import (
    ChunkGrid,
    ChunkTask,
    FinaliseTask,
    ItemContext,
    ItemPlan,
    Outcome,
    SourceIdentity,
)
from geobatch_tui.orchestration.schedule.events import WorkerUp
from geobatch_tui.orchestration.workers.pool import Answered, Lost

PATIENCE = 60.0


def item(root: Path, op: str = "test.faulty", key: str = "a.txt", **params) -> ItemContext:
    """An item of 100 chunks."""
    plan = ItemPlan(ChunkGrid(100, 1, 1, 1), 1, 1, {"chunks": 100})
    return ItemContext(
        1,
        key,
        str(root / "source"),
        SourceIdentity(1, 2, "0" * 32),
        "ab" * 16,
        op,
        params,
        {},
        str(root / "out" / key),
        str(root / "work"),
        plan,
    )


class PoolDriver:
    """Wraps a pool. ``outcomes``: by task id; ``lost``: by worker."""

    def __init__(self, pool, root: Path) -> None:
        self.pool = pool
        self.root = root
        self.events: list[object] = []
        self.outcomes: dict[int, Outcome] = {}
        self.lost: dict[int, Lost] = {}
        self.ready: dict[int, WorkerUp] = {}
        self._changed = asyncio.Event()
        self._ids = count(1)
        (root / "out").mkdir(exist_ok=True)
        (root / "source").touch()
        pool.listen(self._on)

    def _on(self, event) -> None:
        self.events.append(event)
        if isinstance(event, Answered):
            assert event.outcome.task_id not in self.outcomes, "answered twice"
            self.outcomes[event.outcome.task_id] = event.outcome
        elif isinstance(event, Lost):
            assert event.worker not in self.lost, "lost twice"
            self.lost[event.worker] = event
        else:
            assert isinstance(event, WorkerUp)
            self.ready[event.worker] = event
        self._changed.set()

    async def until(self, condition) -> None:
        """Wait until ``condition()`` holds; fail after a while rather than hang."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def worker(self) -> int:
        """A new worker, ready."""
        number = self.pool.spawn()
        await self.until(lambda: number in self.ready or number in self.lost)
        assert number in self.ready, self.lost[number]
        return number

    def chunk(self, worker: int, index: int = 0, *, whole: bool = False, op=None, **params) -> int:
        """Submit a chunk; gives its task id."""
        ident = next(self._ids)
        context = item(self.root, op or "test.faulty", **params)
        self.pool.submit(worker, ChunkTask(ident, context, index, 1, 1, whole=whole))
        return ident

    def fault(self, worker: int, name: str, **params) -> int:
        """Submit a chunk that misbehaves."""
        return self.chunk(worker, 0, faults={name: [0]}, **params)

    def finalise(self, worker: int, segments) -> int:
        """Submit the assembly of segments."""
        ident = next(self._ids)
        self.pool.submit(worker, FinaliseTask(ident, item(self.root), 1, tuple(segments)))
        return ident

    async def outcome(self, ident: int) -> Outcome:
        """The outcome of a task; fails if its worker is lost instead."""
        await self.until(
            lambda: (
                ident in self.outcomes
                or any(ident in (x.running, *x.queued) for x in self.lost.values())
            )
        )
        assert ident in self.outcomes, self.lost
        return self.outcomes[ident]

    async def loss(self, worker: int) -> Lost:
        """The end of a worker."""
        await self.until(lambda: worker in self.lost)
        return self.lost[worker]
