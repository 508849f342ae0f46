"""Worker processes on the nodes of a Dask cluster, behind the `Pool` protocol.

The scheduler sees a worker for each process, wherever it is, and queues tasks on it; those of one
turn of the loop go out as one lease. What a node tells comes as events, in order, before Dask tells
that the lease is done. A node that is gone gives all back: nobody is blamed for its end.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections import Counter
from heapq import heapify, heapreplace
from typing import TYPE_CHECKING, Any

from geobatch_tui.errors import OperationError, WorkerCrashError
from geobatch_tui.execution.protocol import wire
from geobatch_tui.execution.runtime import classify
from geobatch_tui.orchestration.cluster.membership import Heard, Membership
from geobatch_tui.orchestration.cluster.on_node import cluster_node
from geobatch_tui.orchestration.cluster.slot import Slot, named
from geobatch_tui.orchestration.schedule.events import Resized, WorkerUp
from geobatch_tui.orchestration.schedule.verdicts import failure_of
from geobatch_tui.orchestration.workers.pool import Answered, Lost, Roster
from geobatch_tui.orchestration.workers.process_pool import GROWTH

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.errors import GeobatchError
    from geobatch_tui.execution.protocol.messages import Failure, Task, WorkerCause
    from geobatch_tui.orchestration.cluster.cluster_nodes import Node, Refused
    from geobatch_tui.orchestration.cluster.dask_cluster import DaskCluster
    from geobatch_tui.orchestration.cluster.scaling import Scaling
    from geobatch_tui.orchestration.workers.pool import PoolEvent


class DaskPool(Roster[Slot]):
    """Worker processes on nodes.

    Args:
        cluster: whose nodes work.
        run: id of the run, and the topic of its events.
        members: its nodes.
        scaling: how many nodes there are to be.
        on_fatal: called once, with the error, if the cluster is of no use any more.
        on_refused: called with each node that may not work.
        on_lost: called with each node that is gone, and why; empty: it left as it should.
        share: bytes of memory for one worker process.
        handles: open files of one node.
        most: worker processes at most; 0: as the nodes have.
    """

    def __init__(  # noqa: PLR0913 - given by name
        self,
        cluster: DaskCluster,
        run: str,
        members: Membership,
        scaling: Scaling,
        *,
        on_fatal: Callable[[GeobatchError], None],
        on_refused: Callable[[Refused], None],
        on_lost: Callable[[Node, str], None],
        share: int,
        handles: int,
        most: int = 0,
    ) -> None:
        super().__init__()
        self._cluster, self._client = cluster, cluster.client
        self._run, self._members, self._scaling = run, members, scaling
        self._on_fatal, self._on_lost = on_fatal, on_lost
        self._share, self._handles, self._most = share, handles, most
        self._homeless: list[int] = []
        self._placing = self._closed = False
        members.tell(
            Heard(
                fatal=on_fatal,
                refused=on_refused,
                lost=self._lost,
                leaving=self._leaving,
                resized=self._resized,
            )
        )

    async def enter(self) -> None:
        """Have the nodes that are there prove what they see. Raises ClusterError if none may."""
        self._client.subscribe_topic(self._run, self._heard)
        self._client.subscribe_topic("all", self._told)
        await self._members.enter()

    # --- the protocol ----------------------------------------------------------------------

    def listen(self, callback: Callable[[PoolEvent], None]) -> None:
        """Set the callback, which hears first how large the cluster is now."""
        super().listen(callback)
        asyncio.get_running_loop().call_soon(self._resized)

    def spawn(self) -> int:
        self._count += 1
        self._workers[self._count] = Slot(self._count)
        self._homeless.append(self._count)
        self._place_soon()
        return self._count

    def submit(self, worker: int, task: Task) -> None:
        """Queue a task on a worker. One that is to end gives it back by its ``Lost``."""
        slot = self._workers[worker]
        slot.queue.append(task.task_id)
        if slot.retiring:
            return
        if not slot.pending:
            asyncio.get_running_loop().call_soon(self._lease, slot)
        slot.pending.append(task)

    def retire(self, worker: int) -> None:
        slot = self._workers[worker]
        if not slot.retiring:
            slot.retiring = True
            self._end(slot, None)

    def kill(self, worker: int, cause: WorkerCause) -> None:
        self._end(self._workers[worker], cause)

    def compiling(self) -> frozenset[int]:
        return frozenset().union(*(node.pulse.compiling for node in self._members.nodes.values()))

    def rss(self) -> dict[int, int]:
        return {
            number: size
            for node in self._members.nodes.values()
            for number, size in node.pulse.rss.items()
            if number in node.numbers
        }

    def nodes(self) -> list[dict[str, object]]:
        slots = self._workers.values()
        busy = Counter(slot.node.name for slot in slots if slot.node is not None and slot.queue)
        return self._members.rows(busy)

    def wish(self, workers: int) -> bool:
        """Have a cluster that is this run's grow or shrink to so many worker processes, by whole
        nodes."""
        nodes = [node for node in self._members.nodes.values() if not node.leaving]
        if self._cluster.started is None or not nodes:
            return False
        slots = sum(node.slots for node in nodes)
        there = workers * len(nodes) / slots
        self._scaling.wish(math.ceil(there) if workers > slots else math.floor(there))
        self._most = 0
        self._members.scale_now()
        return True

    async def close(self, grace: float) -> None:
        self._closed = True
        if self._cluster.lives:
            for topic in (self._run, "all"):
                self._client.unsubscribe_topic(topic)
        await self._members.close(grace)
        for slot in list(self._workers.values()):
            self._strike(slot, None, "retired", None)

    # --- nodes ---------------------------------------------------------------------------------

    def _lost(self, node: Node, why: str) -> None:
        facts = {"exitcode": None, "node": node.label, "host": node.host}
        text = f"the node {node.label} is lost: {why}" if why else f"the node {node.label} left"
        for number in sorted(node.numbers):
            slot = self._workers[number]
            running = slot.queue[0] if slot.up and slot.queue else None
            failure = failure_of(WorkerCrashError, text, facts)
            self._strike(slot, running, "signal", failure)
        self._on_lost(node, why)

    def _leaving(self, node: Node) -> None:
        """Give nothing more to a node. Of one that Dask retires the worker processes end by
        themselves; others are told to."""
        for number in sorted(node.numbers):
            slot = self._workers[number]
            if not slot.retiring:
                slot.retiring = True
                if node.address in self._cluster.nodes:
                    self._end(slot, None)

    def _resized(self) -> None:
        nodes = [node for node in self._members.nodes.values() if not node.leaving]
        slots = sum(node.slots for node in nodes)
        workers = min(slots, self._most) if self._most else slots
        rooms = {node.name: node.memory for node in self._members.nodes.values()}
        handles = self._handles * len(nodes)
        # Nodes that came late may have less than a share for each of their worker processes.
        budget = min(workers * self._share, sum(node.memory for node in nodes))
        self._callback(Resized(workers, budget, handles, rooms))
        self._place_soon()

    def _told(self, event: tuple[float, Any]) -> None:
        if not self._closed:
            self._members.told(event[1])

    # --- worker processes ------------------------------------------------------------------------

    def _place_soon(self) -> None:
        if not self._placing and self._homeless:
            self._placing = True
            asyncio.get_running_loop().call_soon(self._place)

    def _place(self) -> None:
        """Give worker processes that have no node to the nodes with most room."""
        self._placing = False
        chosen: dict[str, list[int]] = {}
        self._homeless = [number for number in self._homeless if number in self._workers]
        # The node with the most room first; of two, the one that came first.
        there = enumerate(self._members.nodes.values())
        room = [
            (len(node.numbers) - node.slots, place, node)
            for place, node in there
            if len(node.numbers) < node.slots and not node.leaving
        ]
        heapify(room)
        for number in self._homeless[: sum(-free for free, _, _ in room)]:
            free, place, node = room[0]
            node.numbers.add(number)
            self._workers[number].node = node
            chosen.setdefault(node.address, []).append(number)
            heapreplace(room, (free + 1, place, node))
        del self._homeless[: sum(map(len, chosen.values()))]
        for address, numbers in chosen.items():
            node = self._members.nodes[address]
            self._members.beside(self._order(node, cluster_node.start, numbers))

    def _end(self, slot: Slot, cause: WorkerCause | None) -> None:
        if slot.node is not None:
            order = self._order(slot.node, cluster_node.end, slot.number, cause)
            self._members.beside(order)
            return
        asyncio.get_running_loop().call_soon(self._strike, slot, None, cause or "retired", None)

    async def _order(self, node: Node, function: Callable[..., object], *arguments: object) -> None:
        answers = await self._cluster.ask([node.address], function, self._run, *arguments)
        if (said := answers[node.address]) is not None and self._cluster.lives:
            self._members.lose(node, f"it does not obey ({type(said).__name__})", died=False)

    def _lease(self, slot: Slot) -> None:
        """Send the tasks of a worker that wait, as one lease."""
        if self._workers.get(slot.number) is not slot or slot.node is None or slot.retiring:
            return
        try:
            future = slot.send(self._client, self._run, slot.node.address)
        except Exception as error:  # noqa: BLE001 - boundary: pickling foreign objects
            failure = classify.failure(error, stage="send")
            self._on_fatal(OperationError(f"a task cannot be sent: {failure.message}"))
            return
        follow = self._members.beside(self._follow(slot, slot.node, future, slot.sent))
        slot.follows.add(follow)
        follow.add_done_callback(slot.follows.discard)

    async def _follow(self, slot: Slot, node: Node, future: Any, due: int) -> None:
        """Wait for the end of a lease, whose answers have come by then."""
        node.leases += 1
        try:
            error = await future.exception()
        except Exception as raised:  # noqa: BLE001 - boundary: cancelled, or lost with the scheduler
            error = raised
        finally:
            node.leases -= 1
            future.release()
        if self._workers.get(slot.number) is not slot or not self._cluster.lives:
            return
        if error is not None:
            why = f"a lease failed there ({type(error).__name__}: {error})"
            self._members.lose(node, why, died=False)
        elif slot.answered < due and not slot.retiring:
            self._members.lose(node, "its answers did not come", died=False)

    # --- what nodes tell -------------------------------------------------------------------------

    def _heard(self, event: tuple[float, Any]) -> None:
        message = event[1]
        node = self._members.named(message["node"])
        if node is None or self._closed:
            return
        node.heard += 1
        if message["number"] != node.heard:
            self._members.lose(node, "some of its events were lost", died=False)
            return
        for kind, number, ident, body in message["entries"]:
            if kind == cluster_node.GONE:
                self._members.lose(node, "" if node.leaving else "it ended the run", died=True)
                return
            slot = self._workers.get(number)
            if slot is None or slot.node is not node:
                continue
            if kind == cluster_node.ANSWER:
                self._answered(slot, ident, body)
            elif kind == cluster_node.UP:
                slot.up, slot.baseline = True, int(wire.unpack(body))
                pid = ident if node.host == os.uname().nodename else 0
                up = WorkerUp(number, slot.baseline, pid=pid, node=node.name, host=node.host)
                self._callback(up)
            else:
                self._died(slot, ident, body)

    def _answered(self, slot: Slot, ident: int, body: bytes) -> None:
        if not slot.queue or slot.queue[0] != ident:
            if slot.node is not None:
                why = f"it answered task {ident} out of turn"
                self._members.lose(slot.node, why, died=False)
            return
        outcome = slot.take(body)
        if slot.node is not None:
            slot.node.pulse.done += 1
        self._scaling.note(outcome.seconds)
        if outcome.rss - slot.baseline > GROWTH:
            self.retire(slot.number)
        self._callback(Answered(slot.number, outcome))

    def _died(self, slot: Slot, ident: int, body: bytes) -> None:
        cause, failure = wire.unpack(body)
        running = ident if ident in slot.queue else None
        if failure is not None and slot.node is not None:
            failure = named(failure, slot.node)
        self._strike(slot, running, cause, failure)

    def _strike(
        self, slot: Slot, running: int | None, cause: WorkerCause, failure: Failure | None
    ) -> None:
        if self._workers.get(slot.number) is not slot:
            return
        for follow in slot.follows:
            follow.cancel()  # Dask would keep a lease of a node that is gone
        if slot.node is not None:
            slot.node.numbers.discard(slot.number)
            if slot.node.leaving and not slot.node.numbers:
                self._members.scale_now()
        queued = tuple(ident for ident in slot.queue if ident != running)
        self._strike_off(Lost(slot.number, running, queued, cause, failure))
        self._place_soon()
