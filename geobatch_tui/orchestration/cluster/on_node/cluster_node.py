"""What runs in a Dask worker: a plugin that holds the worker processes of its node, and the few
functions by which the engine reaches it. Dask sends their names and plain data, nothing else.

A lease is a Dask task: a list of tasks for one worker process, and it lasts until the last of them
is answered. Answers leave at once, as events of a topic that the engine listens to. Of an engine
that is not heard for ``SILENCE`` seconds, or whose lease Dask takes back, the scheduler is asked
whether it is still its client; if not, or after ``PATIENCE`` seconds, the node ends what it began
and forgets the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from distributed import WorkerPlugin, get_worker
from distributed.worker_state_machine import SecedeEvent

from geobatch_tui.execution.io.run_node import RunNode
from geobatch_tui.execution.protocol import wire
from geobatch_tui.execution.stores import store_settings
from geobatch_tui.execution.stores.store_settings import Stores
from geobatch_tui.orchestration.cluster.on_node.relay_pool import RelayPool
from geobatch_tui.orchestration.cluster.on_node.view_proof import look
from geobatch_tui.orchestration.schedule.events import WorkerUp
from geobatch_tui.orchestration.workers import procfs
from geobatch_tui.orchestration.workers.fork_server import start_fork_server
from geobatch_tui.orchestration.workers.pool import Lost

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from distributed import Worker

    from geobatch_tui.execution.protocol.messages import WorkerCause
    from geobatch_tui.orchestration.cluster.on_node.view_proof import Seen
    from geobatch_tui.orchestration.workers.pool import PoolEvent

#: Seconds between two signs of life of the engine; without one until a node asks after it, and
#: until a node gives it up although the scheduler still has a connection to it.
BEAT, SILENCE, PATIENCE = 1.5, 3.0, 60.0
#: Seconds between two looks at engine and memory, if nothing happens.
LOOK: Final = 0.5
#: Entries of one event, and seconds until fewer are sent.
BATCH, DELAY = 64, 0.005
#: Share of the node's memory at which its largest worker process is ended.
FULL = 0.95
#: Seconds that leases have to end when Dask retires the worker.
GOODBYE: Final = 10.0

#: An entry of an event: what happened, the worker process, a task or 0, and a packed message.
UP: Final = "up"
ANSWER: Final = "answer"
LOST: Final = "lost"
GONE: Final = "gone"


@dataclass(frozen=True, slots=True)
class Orders:
    """What a node must know of a run: plain data.

    Attributes:
        run: id of the run; also the topic of its events.
        node: the node's name in it.
        pass_file: what the engine removes once it counts the node in no more.
        client: the engine, as the scheduler calls it.
        data: ``raster`` or ``vector``: libraries that are loaded first.
        memory: bytes that all worker processes may take at first; 0: any.
        write: directories that they may write to; None: any.
        ports: TCP ports that they may connect to.
        stores: settings of stores.
    """

    run: str
    node: str
    client: str
    data: str
    memory: int = 0
    write: tuple[str, ...] | None = None
    ports: tuple[int, ...] = ()
    stores: Stores = field(default_factory=Stores, repr=False)
    pass_file: str = ""


@dataclass(frozen=True, slots=True)
class _Lease:
    idents: Sequence[int]
    frame: bytes
    end: asyncio.Future[None]


class _Leases:
    """The leases of one worker process, which begin and end in order, however they come: the
    scheduler takes in several submissions at once."""

    def __init__(self) -> None:
        self._tasks = self._answers = self._turn = 0
        self._early: dict[int, _Lease] = {}
        self._ends: deque[tuple[int, asyncio.Future[None]]] = deque()

    def come(self, turn: int, lease: _Lease) -> None:
        """Keep a lease, the ``turn``-th of its worker process."""
        self._early[turn] = lease

    def due(self) -> Iterator[_Lease]:
        """Begin and yield the leases whose turn it is."""
        while (lease := self._early.pop(self._turn + 1, None)) is not None:
            self._turn += 1
            self._tasks += len(lease.idents)
            self._ends.append((self._tasks, lease.end))
            yield lease

    def answered(self) -> bool:
        """Count an answer; return whether a lease ended by it."""
        self._answers += 1
        if self._ends and self._ends[0][0] == self._answers:
            _resolve(self._ends.popleft()[1])
            return True
        return False

    def end(self) -> None:
        """End all leases: the worker process is gone, or about to go."""
        while self._ends:
            _resolve(self._ends.popleft()[1])
        while self._early:
            _resolve(self._early.popitem()[1].end)


def _resolve(end: asyncio.Future[None]) -> None:
    if not end.done():  # Dask may have cancelled the lease
        end.set_result(None)


class NodePlugin(WorkerPlugin):
    """The worker processes of one node, for one run, on the event loop of its Dask worker."""

    def __init__(self, orders: Orders) -> None:
        self.name = plugin_name(orders.run)
        self._orders = orders
        self._memory = orders.memory
        self._doubt = asyncio.Event()
        self._heard = time.monotonic()
        self._events: list[tuple[str, int, int, bytes]] = []
        self._sent = 0
        self._timer: asyncio.TimerHandle | None = None
        self._leases: dict[int, _Leases] = {}
        self._closing: asyncio.Future[None] | None = None

    async def setup(self, worker: Worker) -> None:
        self._worker = worker
        self._scratch = Path(tempfile.mkdtemp(prefix="geobatch-node-"))
        orders = self._orders
        start_fork_server(orders.data)
        store_settings.use(orders.stores)
        node = RunNode(orders.node, orders.pass_file)
        self.pool = RelayPool(
            self._scratch, self._answered, node=node, write=orders.write, ports=orders.ports
        )
        self.pool.listen(self._on)
        self._watch = asyncio.ensure_future(self._watch_engine())

    async def teardown(self, worker: Worker) -> None:
        """Let the leases end, as far as there is time: Dask closes this worker. Without a scheduler
        nobody would hear of them."""
        comm = worker.batched_stream.comm
        if self._closing is None and comm is not None and not comm.closed():
            await self.pool.finish(GOODBYE)
        await self.close(0.0)

    async def close(self, grace: float) -> None:
        """End all worker processes and forget them. Once; others wait for the first."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close(grace))
        await asyncio.shield(self._closing)

    async def _close(self, grace: float) -> None:
        self._watch.cancel()
        await self.pool.close(grace)
        self._emit(GONE, 0, 0, b"")
        self._flush()
        for leases in self._leases.values():
            leases.end()
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._worker.plugins.pop(self.name, None)

    async def work(self, number: int, turn: int, idents: Sequence[int], frame: bytes) -> None:
        """Have a worker process do tasks; return when it has answered the last, or is gone."""
        if self._closing is not None or not self.pool.has(number):
            return
        leases = self._leases.setdefault(number, _Leases())
        lease = _Lease(idents, frame, asyncio.get_running_loop().create_future())
        leases.come(turn, lease)
        for each in leases.due():
            if not self.pool.send(number, each.idents, each.frame):
                leases.end()
        await lease.end

    def beat(self, memory: int) -> dict[str, Any]:
        """Take note that the engine lives, and of the ``memory`` that it grants now: other Dask
        workers may have come to the host. Return the memory of each worker process and of all with
        the Dask worker, those that compile, and the CPU seconds of all."""
        self._heard = time.monotonic()
        self._memory = memory
        rss = self.pool.rss()
        return {
            "rss": rss,
            "taken": self._taken(rss),
            "compiling": sorted(self.pool.compiling()),
            "cpu": self.pool.cpu(),
        }

    def _taken(self, rss: Mapping[int, int]) -> int:
        return sum(rss.values()) + procfs.resident(os.getpid())

    # --- events --------------------------------------------------------------------------------

    def _answered(self, number: int, ident: int, body: bytes) -> None:
        self._emit(ANSWER, number, ident, body)
        if self._leases[number].answered():
            self._flush()  # the answers before the end of the lease

    def _on(self, event: PoolEvent) -> None:
        if isinstance(event, WorkerUp):
            self._emit(UP, event.worker, event.pid, _packed(event.rss))
        elif isinstance(event, Lost):
            running = 0 if event.running is None else event.running
            self._emit(LOST, event.worker, running, _packed((event.cause, event.failure)))
            self._flush()
            if (leases := self._leases.pop(event.worker, None)) is not None:
                leases.end()

    def _emit(self, kind: str, number: int, ident: int, body: bytes) -> None:
        self._events.append((kind, number, ident, body))
        if len(self._events) >= BATCH:
            self._flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._events:
            events, self._events = self._events, []
            self._sent += 1
            event = {"node": self._orders.node, "number": self._sent, "entries": events}
            with contextlib.suppress(Exception):  # the scheduler is gone: nobody listens
                self._worker.log_event(self._orders.run, event)

    async def _watch_engine(self) -> None:
        """End the run on this node if its engine is dead; a worker process if memory is short."""
        while not await self._is_dead():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._doubt.wait()
            if self._memory:
                self._watch_memory()
        self._closing = asyncio.ensure_future(self._close(0.0))

    def transition(self, key: object, start: object, finish: object, **_: object) -> None:
        """Have the engine looked after at once where Dask takes back a lease that is under way: it
        does so first of all when the engine is gone."""
        del start
        if finish == "cancelled" and str(key).startswith(lease_key(self._orders.run)):
            self._doubt.set()

    async def _is_dead(self) -> bool:
        silence = time.monotonic() - self._heard
        if silence >= PATIENCE or (silence < SILENCE and not self._doubt.is_set()):
            return silence >= PATIENCE
        self._doubt.clear()
        try:
            said = await self._worker.scheduler.events(topic=self._orders.client)
        except OSError:  # Dask closes a worker whose scheduler is gone
            return False
        return any(
            isinstance(each, dict) and each.get("action") == "remove-client" for _, each in said
        )

    def _watch_memory(self) -> None:
        rss = self.pool.rss()
        if rss and self._taken(rss) > FULL * self._memory:
            self.pool.kill(max(rss, key=rss.__getitem__), "memory")


def _packed(message: object) -> bytes:
    return wire.pack(0, message)[wire.HEADER.size :]


def plugin_name(run: str) -> str:
    """Return the name of the plugin of a run."""
    return f"geobatch-{run}"


def lease_key(run: str) -> str:
    """Return the beginning of Dask's keys of the leases of a run."""
    return f"geobatch-{run}-"


def _node(worker: Worker, run: str) -> NodePlugin:
    node = worker.plugins.get(plugin_name(run))
    if not isinstance(node, NodePlugin):  # it gave the engine up, or its Dask worker is another
        raise LookupError("this node is no part of the run any more")  # noqa: TRY004
    return node


# --- what the engine calls ---------------------------------------------------------------------


async def enter(
    orders: Orders,
    directories: Sequence[str],
    token: str,
    word: str,
    answer: str,
    sources: Sequence[Seen],
    dask_worker: Worker | None = None,
) -> str:
    """Make this node part of a run; return why it cannot be, empty if it is."""
    assert dask_worker is not None  # noqa: S101 - Dask gives it
    if wrong := await look(directories, token, word, answer, sources):
        return wrong
    await dask_worker.plugin_add(NodePlugin(orders), name=plugin_name(orders.run))
    return ""


def beat(run: str, memory: int, dask_worker: Worker | None = None) -> dict[str, Any]:
    """Hear that the engine lives, and how many bytes all worker processes may take now; tell how
    the node is."""
    assert dask_worker is not None  # noqa: S101
    return _node(dask_worker, run).beat(memory)


def start(run: str, numbers: Sequence[int], dask_worker: Worker | None = None) -> None:
    """Start worker processes of these numbers."""
    assert dask_worker is not None  # noqa: S101
    pool = _node(dask_worker, run).pool
    for number in numbers:
        pool.start(number)


def end(
    run: str, number: int, cause: WorkerCause | None, dask_worker: Worker | None = None
) -> None:
    """End a worker process now, for a cause; by itself, where there is none."""
    assert dask_worker is not None  # noqa: S101
    pool = _node(dask_worker, run).pool
    if not pool.has(number):
        return
    if cause is None:
        pool.retire(number)
    else:
        pool.kill(number, cause)


async def leave(run: str, grace: float, dask_worker: Worker | None = None) -> None:
    """End a run on this node."""
    assert dask_worker is not None  # noqa: S101
    with contextlib.suppress(LookupError):
        await _node(dask_worker, run).close(grace)


async def lease(
    run: str, number: int, turn: int, key: str, idents: Sequence[int], frame: bytes
) -> None:
    """Do tasks in a worker process of this node: a Dask task, of this key. It takes no thread of
    the Dask worker: those of one worker process must not keep those of others waiting."""
    worker: Any = get_worker()
    worker.handle_stimulus(
        SecedeEvent(key=key, compute_duration=0.0, stimulus_id=f"geobatch-{key}")
    )
    await _node(worker, run).work(number, turn, idents, frame)
