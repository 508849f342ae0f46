"""A run without workers: its session on a job of the test operations, its items planned by hand,
and a function that answers each task on the loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from run_project import Project

from geobatch_tui.errors import Reaction
from geobatch_tui.execution.protocol.messages import (
    ChunkGrid,
    ChunkReceipt,
    ChunkTask,
    Failure,
    FinaliseTask,
    ItemPlan,
    ItemReceipt,
    Outcome,
    Segment,
)
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.orchestration.run.engine import Engine
from geobatch_tui.orchestration.run.monitor import Monitor
from geobatch_tui.orchestration.schedule.scheduler import Scheduler, SchedulerConfig
from geobatch_tui.orchestration.state.outcome import Tally
from geobatch_tui.orchestration.state.session import Session, open_session
from geobatch_tui.testing.inline_pool import InlinePool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.execution.protocol.messages import Task
    from geobatch_tui.orchestration.schedule import events as u


@contextlib.contextmanager
def session_of(project: Project, *, fresh: bool = False) -> Iterator[Session]:
    """The session of a run of the project's job, whose log nobody reads."""
    with open_session(
        project.job(), fresh=fresh, requeue=None, log_stream=None, log_format="json"
    ) as session:
        yield session


def planned(item_id: int, first: int, chunks: int, key: str = "", **changes: Any) -> lu.ItemRow:
    """The row of an item of ``chunks`` chunks from chunk ``first``."""
    plan = ItemPlan(ChunkGrid(chunks, 1, 1, 1), 1, 1, {})
    values: dict[str, Any] = {
        "item_id": item_id,
        "key": key or f"{item_id}.tif",
        "source": f"/data/{item_id}.tif",
        "src_size": 1,
        "src_mtime_ns": 2,
        "src_digest": "a" * 32,
        "params_digest": "b" * 32,
        "code_digest": "c" * 32,
        "fingerprint": "d" * 32,
        "params": {"op": {"name": "test.faulty"}},
        "plan": plan.to_json(),
        "out_path": key,
        "first_chunk": first,
        "n_chunks": chunks,
    }
    return lu.ItemRow(**(values | changes))


def done(chunk_id: int, item_id: int, **changes: Any) -> lu.ChunkDone:
    """A chunk of which ten bytes are in a spool."""
    values: dict[str, Any] = {
        "chunk_id": chunk_id,
        "item_id": item_id,
        "attempts": 1,
        "spool": "s.spool",
        "offset": 0,
        "length": 10,
        "crc32": 0,
        "units": 1,
        "bytes_in": 1,
        "bytes_out": 1,
        "seconds": 0.1,
        "nodata": 0.0,
        "rss_peak": 1,
    }
    return lu.ChunkDone(**(values | changes))


def fails(
    reaction: Reaction = Reaction.PERMANENT, name: str = "SchemaError", **more: Any
) -> Failure:
    return Failure(name, reaction, "it fails", **more)


class Space:
    """Stands for the watch of the disk: keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def progressed(self) -> None:
        self.told.append("progressed")

    def suspended(self) -> None:
        self.told.append("suspended")


@dataclass
class RunPhase:
    """An engine on a session.

    Attributes:
        failures: by chunk (``(item, index)``) or item (``(item, None)``): the failures of its first
            tries, in turn.
        tasks: all that were handed out.
    """

    session: Session
    project: Project
    failures: dict[tuple[int, int | None], list[Failure]] = field(default_factory=dict)
    only: frozenset[int] | None = None
    tasks: list[Task] = field(default_factory=list)
    tally: Tally = field(init=False)
    space: Space = field(default_factory=Space)
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        config = {"workers": 1, "backoff_base": 0.0, **self.config}
        self.session.loaded = self.project.job()
        monitor = Monitor(self.session, 0)
        self.tally = monitor.tally
        self.engine = Engine(
            self.session,
            monitor,
            InlinePool(self._answer),
            Scheduler(SchedulerConfig(**config)),
            only=self.only,
        )
        self.errors: list[Exception] = []
        loop = asyncio.get_running_loop()
        self.session.committer.listen(
            lambda batch: loop.call_soon_threadsafe(self.engine.committed, batch) and None,
            lambda error, _: self.errors.append(error),
        )

    def _answer(self, task: Task) -> Outcome | None:
        return self.answer(task)

    def answer(self, task: Task) -> Outcome | None:
        """Answer a task; a test may put another function in place of this."""
        self.tasks.append(task)
        assert isinstance(task, ChunkTask | FinaliseTask)
        index = task.index if isinstance(task, ChunkTask) else None
        failures = self.failures.get((task.item.item_id, index))
        if failures:
            return Outcome(task.task_id, None, failures.pop(0), 0.1, 1, 1)
        if isinstance(task, FinaliseTask):
            return Outcome(task.task_id, self.part(task), None, 0.1, 1, 1)
        whole = self.part(task) if task.whole else None
        segment = Segment(task.index, "s.spool", 10 * task.index, 10, 7)
        receipt = ChunkReceipt(task.index, segment, 3, 5, 10, 0.0, {}, whole)
        return Outcome(task.task_id, receipt, None, 0.1, 1, 1)

    def part(self, task: ChunkTask | FinaliseTask) -> ItemReceipt:
        out = Path(task.item.out_path)
        path = out.parent / f".{out.stem}.{task.item.fingerprint[:8]}.{task.epoch}.part"
        path.write_bytes(b"whole")
        return ItemReceipt(str(path), 5, "e" * 64, {"made": True})

    async def run(self) -> u.Finish:
        """The engine's end, once all that it wrote is durable and told."""
        none: Any = SimpleNamespace(workers={})
        space: Any = self.space
        async with asyncio.timeout(60):
            finish = await self.engine.run(none, space)
            await self.session.flush()
            await asyncio.sleep(0)
        return finish

    def chunks(self) -> list[tuple[int, int]]:
        """Item and index of each chunk that was handed out, in turn."""
        return [(t.item.item_id, t.index) for t in self.tasks if isinstance(t, ChunkTask)]


def logged(session: Session, event: str) -> list[dict[str, Any]]:
    """Lines of the log of one event."""
    session.log.flush()
    if not session.state.log.exists():
        return []
    lines = session.state.log.read_text(encoding="utf-8").splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == event]
