"""A worker process on a node, as the engine knows it: the tasks that it has, and its leases."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from geobatch_tui.execution.protocol import wire
from geobatch_tui.execution.protocol.messages import Outcome
from geobatch_tui.execution.worker.process import TASKS
from geobatch_tui.orchestration.cluster.on_node import cluster_node
from geobatch_tui.orchestration.workers.process_pool import unreadable

if TYPE_CHECKING:
    import asyncio

    from geobatch_tui.execution.protocol.messages import Failure, Task
    from geobatch_tui.orchestration.cluster.cluster_nodes import Node


@dataclass(slots=True, eq=False)
class Slot:
    """``queue`` holds the ids of tasks that it has not answered, ``pending`` the tasks among them
    that are not sent yet. ``leases``, ``sent``, ``answered`` count leases, and tasks in them;
    ``follows``: what waits for leases in flight."""

    number: int
    node: Node | None = None
    queue: deque[int] = field(default_factory=deque)
    pending: list[Task] = field(default_factory=list)
    baseline: int = 0
    up: bool = False
    retiring: bool = False
    leases: int = 0
    sent: int = 0
    answered: int = 0
    follows: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def is_busy(self) -> bool:
        return bool(self.queue)

    def send(self, client: Any, run: str, address: str) -> Any:
        """Send what is pending as one lease; return Dask's future. Raises whatever pickling raises
        for a task that is not plain."""
        tasks, self.pending = self.pending, []
        frame = wire.pack(TASKS, tuple(tasks))
        self.leases += 1
        self.sent += len(tasks)
        key = f"{cluster_node.lease_key(run)}{self.number}-{self.leases}"
        return client.submit(
            cluster_node.lease,
            run,
            self.number,
            self.leases,
            key,
            [task.task_id for task in tasks],
            frame,
            key=key,
            workers=[address],
            allow_other_workers=False,
            pure=False,
            retries=0,
        )

    def take(self, body: bytes) -> Outcome:
        """Take the oldest task off the queue; return its outcome, which a node has sent."""
        ident = self.queue.popleft()
        self.answered += 1
        message: object
        try:
            message = wire.unpack(body)
        except Exception as error:  # noqa: BLE001 - boundary: a node's bytes may be anything
            message = error
        outcome = message if isinstance(message, Outcome) else unreadable(ident, message)
        if outcome.failure is not None and self.node is not None:
            return replace(outcome, failure=named(outcome.failure, self.node))
        return outcome


def named(failure: Failure, node: Node) -> Failure:
    """Return a failure with the node that it happened on, and its host."""
    where = {"node": node.label, "host": node.host}
    return replace(failure, evidence={**failure.evidence, **where})
