"""Worker processes on the nodes of a Dask cluster, behind the `Pool` protocol.

The scheduler sees a worker for each process, wherever it is, and queues tasks on it; those of one
turn of the loop go out as one lease. What a node tells comes as events, in order, before Dask tells
that the lease is done. A node that is gone gives all back: nobody is blamed for its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from geobatch_tui.errors import ClusterError, OperationError, WorkerCrashError
from geobatch_tui.execution.protocol import wire
from geobatch_tui.execution.runtime import classify
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.cluster import cluster_node
from geobatch_tui.orchestration.cluster.cluster_nodes import Refused
from geobatch_tui.orchestration.cluster.slot import Slot, named
from geobatch_tui.orchestration.schedule.events import Resized, WorkerUp
from geobatch_tui.orchestration.schedule.verdicts import failure_of
from geobatch_tui.orchestration.workers.pool import Answered, Lost, Roster
from geobatch_tui.orchestration.workers.process_pool import GROWTH

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from geobatch_tui.errors import GeobatchError
    from geobatch_tui.execution.protocol.messages import Failure, Task, WorkerCause
    from geobatch_tui.orchestration.cluster.cluster_nodes import Node
    from geobatch_tui.orchestration.cluster.dask_cluster import DaskCluster
    from geobatch_tui.orchestration.cluster.view_proof import Seen, Token
    from geobatch_tui.orchestration.workers.pool import PoolEvent

#: Seconds between two looks at which nodes there are, if no event told of one.
SCAN = 3.0
#: Seconds that a run waits for a node once the last is gone.
EMPTY = 60.0
#: Losses of one node other than by its end after which it is refused.
LOSSES = 3


class DaskPool(Roster[Slot]):
    """Worker processes on nodes.

    Args:
        cluster: whose nodes work.
        orders: what each is told, without its name and memory.
        token: read and answered by each node first.
        sources: files that each must see.
        on_fatal: called once, with the error, if the cluster is of no use any more.
        on_refused: called with each node that may not work.
        share: bytes of memory for one worker process.
        handles: open files of one node.
        most: worker processes at most; 0: as the nodes have.
    """

    def __init__(  # noqa: PLR0913 - given by name
        self,
        cluster: DaskCluster,
        orders: cluster_node.Orders,
        token: Token,
        sources: Sequence[Seen],
        *,
        on_fatal: Callable[[GeobatchError], None],
        on_refused: Callable[[Refused], None],
        share: int,
        handles: int,
        most: int = 0,
    ) -> None:
        super().__init__()
        self._cluster, self._client = cluster, cluster.client
        self._orders, self._token, self._sources = orders, token, tuple(sources)
        self._on_fatal, self._on_refused = on_fatal, on_refused
        self._share, self._handles, self._most = share, handles, most
        self._nodes: dict[str, Node] = {}
        self._losses: dict[str, int] = {}
        self._refusals: dict[str, Refused] = {}
        self._homeless: list[int] = []
        self._placing = self._closed = False
        self._side: set[asyncio.Task[Any]] = set()
        self._scan_now = asyncio.Event()

    async def enter(self) -> None:
        """Have the nodes that are there prove what they see. Raises ClusterError if none may."""
        self._client.subscribe_topic(self._orders.run, self._heard)
        self._client.subscribe_topic("all", self._told)
        await asyncio.gather(*map(self._enter, list(self._cluster.nodes.values())))
        self._tell_refused()
        if not self._nodes:
            reasons = self._cluster.reasons()
            raise ClusterError(f"no node of {safe(self._cluster.address)} may work: {reasons}")
        self._beside(self._keep())

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
        return frozenset().union(*(node.compiling for node in self._nodes.values()))

    def rss(self) -> dict[int, int]:
        return {
            number: size
            for node in self._nodes.values()
            for number, size in node.rss.items()
            if number in node.numbers
        }

    async def close(self, grace: float) -> None:
        self._closed = True
        for task in self._side:
            task.cancel()
        if self._cluster.lives:
            for topic in (self._orders.run, "all"):
                self._client.unsubscribe_topic(topic)
            with contextlib.suppress(TimeoutError):
                # Beyond the time that a node has to end what does not hear SIGTERM.
                async with asyncio.timeout(grace + 10.0):
                    run = self._orders.run
                    await self._cluster.ask(list(self._nodes), cluster_node.leave, run, grace)
        for slot in list(self._workers.values()):
            self._strike(slot, None, "retired", None)
        self._token.remove()

    # --- nodes ---------------------------------------------------------------------------------

    async def _enter(self, node: Node) -> None:
        answer = self._token.answer_name()
        orders = replace(self._orders, node=node.name, memory=node.memory)
        token = self._token
        ask = (orders, token.directories, token.name, token.word, answer, self._sources)
        wrong = (await self._cluster.ask([node.address], cluster_node.enter, *ask))[node.address]
        if wrong == "":
            wrong = await token.answered(answer)
        node.slots = min(node.slots, node.memory // self._share)
        if not wrong and not node.slots:
            wrong = f"it has {node.memory:,} bytes, and a worker process needs {self._share:,}"
        if wrong:
            self._refuse(node, str(wrong))
        elif node.address in self._cluster.nodes and not self._closed:
            self._nodes[node.address] = node
            self._beside(self._beat(node))

    def _refuse(self, node: Node, why: str) -> None:
        self._cluster.nodes.pop(node.address, None)
        self._cluster.refused[node.address] = Refused(node.label, why)
        self._tell_refused()

    def _tell_refused(self) -> None:
        """Tell of refused nodes, each once."""
        for address, refused in self._cluster.refused.items():
            if self._refusals.get(address) is not refused:
                self._refusals[address] = refused
                self._on_refused(refused)

    async def _keep(self) -> None:
        """Take in nodes that come, and end the run if the cluster is gone, or has none for long."""
        loop = asyncio.get_running_loop()
        empty_since = None
        while True:
            self._scan_now.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SCAN):
                    await self._scan_now.wait()
            try:
                fresh = await self._cluster.scan() if self._cluster.lives else None
            except Exception:  # noqa: BLE001 - boundary: whatever the network raises
                fresh = None
            if fresh is None:
                self._fatal(f"the scheduler at {safe(self._cluster.address)} is gone")
                return
            await asyncio.gather(*map(self._enter, fresh))
            self._tell_refused()
            if fresh:
                self._resized()
            if self._nodes:
                empty_since = None
            elif empty_since is None:
                empty_since = loop.time()
            elif loop.time() - empty_since > EMPTY:
                reasons = self._cluster.reasons()
                self._fatal(f"no node is left{': ' if reasons else ''}{reasons}")
                return

    def _fatal(self, why: str) -> None:
        hint = "run the same command once the cluster is there again: it resumes"
        self._on_fatal(ClusterError(why, hint=hint))

    async def _beat(self, node: Node) -> None:
        """Tell a node that the engine lives, and hear how it is, as long as it is there."""
        while self._nodes.get(node.address) is node:
            answers = await self._cluster.ask([node.address], cluster_node.beat, self._orders.run)
            said = answers[node.address]
            if not isinstance(said, dict):
                if self._cluster.lives:
                    self._lose(node, f"it does not answer ({type(said).__name__})", died=False)
                return
            node.rss, node.compiling = said["rss"], frozenset(said["compiling"])
            await asyncio.sleep(cluster_node.BEAT)

    def _lose(self, node: Node, why: str, *, died: bool) -> None:
        """Give back all that a node had."""
        if self._nodes.get(node.address) is not node:
            return
        del self._nodes[node.address]
        self._cluster.nodes.pop(node.address, None)
        if not died:
            self._losses[node.address] = self._losses.get(node.address, 0) + 1
            # It may be there still: what it does for this run is of no use.
            ask = self._cluster.ask([node.address], cluster_node.leave, self._orders.run, 0.0)
            self._beside(ask)
            if self._losses[node.address] >= LOSSES:
                self._refuse(node, f"it was lost {LOSSES} times: {why}")
        facts = {"exitcode": None, "node": node.label}
        text = f"the node {node.label} is lost: {why}"
        for number in sorted(node.numbers):
            slot = self._workers[number]
            running = slot.queue[0] if slot.up and slot.queue else None
            failure = failure_of(WorkerCrashError, text, facts)
            self._strike(slot, running, "signal", failure)
        self._resized()
        self._scan_now.set()

    def _resized(self) -> None:
        slots = sum(node.slots for node in self._nodes.values())
        workers = min(slots, self._most) if self._most else slots
        handles = self._handles * len(self._nodes)
        self._callback(Resized(workers, workers * self._share, handles))
        self._place_soon()

    def _told(self, event: tuple[float, Any]) -> None:
        """Take note of what the scheduler tells of Dask workers."""
        message = event[1]
        if not isinstance(message, dict):
            return
        node = self._nodes.get(message.get("worker", ""))
        if message.get("action") == "remove-worker" and node is not None:
            self._lose(node, "its Dask worker ended", died=True)
        elif message.get("action") == "add-worker":
            self._scan_now.set()

    # --- worker processes ------------------------------------------------------------------------

    def _place_soon(self) -> None:
        if not self._placing and self._homeless:
            self._placing = True
            asyncio.get_running_loop().call_soon(self._place)

    def _place(self) -> None:
        """Give worker processes that have no node to the nodes with most room."""
        self._placing = False
        chosen: dict[str, list[int]] = {}
        while self._homeless and self._nodes:
            node = max(self._nodes.values(), key=lambda each: each.slots - len(each.numbers))
            if len(node.numbers) >= node.slots:
                break
            number = self._homeless.pop(0)
            if number in self._workers:
                node.numbers.add(number)
                self._workers[number].node = node
                chosen.setdefault(node.address, []).append(number)
        for address, numbers in chosen.items():
            self._beside(self._order(self._nodes[address], cluster_node.start, numbers))

    def _end(self, slot: Slot, cause: WorkerCause | None) -> None:
        if slot.node is not None:
            self._beside(self._order(slot.node, cluster_node.end, slot.number, cause))
            return
        asyncio.get_running_loop().call_soon(self._strike, slot, None, cause or "retired", None)

    async def _order(self, node: Node, function: Callable[..., object], *arguments: object) -> None:
        answers = await self._cluster.ask([node.address], function, self._orders.run, *arguments)
        if (said := answers[node.address]) is not None and self._cluster.lives:
            self._lose(node, f"it does not obey ({type(said).__name__})", died=False)

    def _lease(self, slot: Slot) -> None:
        """Send the tasks of a worker that wait, as one lease."""
        if self._workers.get(slot.number) is not slot or slot.node is None or slot.retiring:
            return
        try:
            future = slot.send(self._client, self._orders.run, slot.node.address)
        except Exception as error:  # noqa: BLE001 - boundary: pickling foreign objects
            failure = classify.failure(error, stage="send")
            self._on_fatal(OperationError(f"a task cannot be sent: {failure.message}"))
            return
        self._beside(self._follow(slot, slot.node, future, slot.sent))

    async def _follow(self, slot: Slot, node: Node, future: Any, due: int) -> None:
        """Wait for the end of a lease, whose answers have come by then."""
        try:
            error = await future.exception()
        except Exception as raised:  # noqa: BLE001 - boundary: cancelled, or lost with the scheduler
            error = raised
        finally:
            future.release()
        if self._workers.get(slot.number) is not slot or not self._cluster.lives:
            return
        if error is not None:
            self._lose(node, f"a lease failed there ({type(error).__name__}: {error})", died=False)
        elif slot.answered < due and not slot.retiring:
            self._lose(node, "its answers did not come", died=False)

    # --- what nodes tell -------------------------------------------------------------------------

    def _heard(self, event: tuple[float, Any]) -> None:
        message = event[1]
        node = next((each for each in self._nodes.values() if each.name == message["node"]), None)
        if node is None or self._closed:
            return
        node.heard += 1
        if message["number"] != node.heard:
            self._lose(node, "some of its events were lost", died=False)
            return
        for kind, number, ident, body in message["entries"]:
            slot = self._workers.get(number)
            if slot is None or slot.node is not node:
                continue
            if kind == cluster_node.ANSWER:
                self._answered(slot, ident, body)
            elif kind == cluster_node.UP:
                slot.up, slot.baseline = True, int(wire.unpack(body))
                pid = ident if node.host == os.uname().nodename else 0
                self._callback(WorkerUp(number, slot.baseline, pid=pid))
            else:
                self._died(slot, ident, body)

    def _answered(self, slot: Slot, ident: int, body: bytes) -> None:
        if not slot.queue or slot.queue[0] != ident:
            if slot.node is not None:
                self._lose(slot.node, f"it answered task {ident} out of turn", died=False)
            return
        outcome = slot.take(body)
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
        if slot.node is not None:
            slot.node.numbers.discard(slot.number)
        queued = tuple(ident for ident in slot.queue if ident != running)
        self._strike_off(Lost(slot.number, running, queued, cause, failure))
        self._place_soon()

    def _beside(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(work)
        self._side.add(task)
        task.add_done_callback(self._side.discard)
