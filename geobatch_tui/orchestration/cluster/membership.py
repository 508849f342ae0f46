"""The nodes of a run: those that came and proved themselves, that are refused, leaving or lost, and
how many there are to be."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from geobatch_tui.errors import ClusterError
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.cluster.cluster_nodes import Refused
from geobatch_tui.orchestration.cluster.node_figures import GONE, Gone
from geobatch_tui.orchestration.cluster.on_node import cluster_node

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from geobatch_tui.errors import GeobatchError
    from geobatch_tui.orchestration.cluster.cluster_nodes import Node
    from geobatch_tui.orchestration.cluster.dask_cluster import DaskCluster
    from geobatch_tui.orchestration.cluster.on_node.view_proof import Seen, Token
    from geobatch_tui.orchestration.cluster.scaling import Scaling

#: Seconds between two looks at which nodes there are, if no event told of one.
SCAN = 3.0
#: Seconds that a run waits for a node once the last is gone.
EMPTY = 60.0
#: Losses of one node other than by its end after which it is refused.
LOSSES: Final = 3


@dataclass(frozen=True, slots=True)
class Heard:
    """Who is told of nodes.

    Attributes:
        fatal: once, with the error, if the cluster is of no use any more.
        refused: each node that may not work, once.
        lost: a node that is gone with what it had, and why.
        leaving: a node that ends once it has done what it has.
        resized: there is more room, or less.
    """

    fatal: Callable[[GeobatchError], None]
    refused: Callable[[Refused], None]
    lost: Callable[[Node, str], None]
    leaving: Callable[[Node], None]
    resized: Callable[[], None]


class Membership:
    """Takes in nodes as they come, and notices when they go.

    Args:
        cluster: whose nodes work.
        orders: what each is told, without its name and memory.
        token: read and answered by each node first.
        sources: files that each must see.
        needs: bytes of memory that one worker process needs.
        scaling: says how many nodes there are to be, of a cluster that is this run's.

    Attributes:
        nodes: that work, by address; those that are leaving too.
        gone: the last that were lost or refused.
    """

    def __init__(
        self,
        cluster: DaskCluster,
        orders: cluster_node.Orders,
        token: Token,
        sources: Sequence[Seen],
        needs: int,
        scaling: Scaling,
    ) -> None:
        self.nodes: dict[str, Node] = {}
        self.gone: deque[Gone] = deque(maxlen=GONE)
        self._names: dict[str, Node] = {}
        self._cluster, self._orders, self._token = cluster, orders, token
        self._sources, self._needs = tuple(sources), needs
        self._scaling = scaling
        self._losses: dict[str, int] = {}
        self._refusals: dict[str, Refused] = {}
        self._side: set[asyncio.Task[object]] = set()
        self._scan_now = asyncio.Event()
        self._closed = False
        self._heard: Heard

    def tell(self, heard: Heard) -> None:
        """Set who is told. Once, before :meth:`enter`."""
        self._heard = heard

    async def enter(self) -> None:
        """Have the nodes that are there prove what they see. Raises ClusterError if none may."""
        await asyncio.gather(*map(self._enter, list(self._cluster.nodes.values())))
        self._tell_refused()
        if not self.nodes:
            reasons = self._cluster.reasons()
            raise ClusterError(f"no node of {safe(self._cluster.address)} may work: {reasons}")
        self.beside(self._keep())

    def named(self, name: str) -> Node | None:
        """Return the node of this name, None if it is gone."""
        return self._names.get(name)

    def beside[T](self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Do something beside all else, until the pool closes."""
        task = asyncio.ensure_future(work)
        self._side.add(task)
        task.add_done_callback(self._side.discard)
        return task

    def rows(self, busy: Mapping[str, int]) -> list[dict[str, object]]:
        """Return what is noted of nodes; ``busy``: worker processes at work, by node."""
        there = [node.row(busy.get(node.name, 0)) for node in self.nodes.values()]
        return there + [gone.row() for gone in self.gone]

    async def close(self, grace: float) -> None:
        """Have all nodes end the run."""
        self._closed = True
        for task in list(self._side):
            task.cancel()
        if self._cluster.lives:
            with contextlib.suppress(TimeoutError):
                # Beyond the time that a node has to end what does not hear SIGTERM.
                async with asyncio.timeout(grace + 10.0):
                    run = self._orders.run
                    await self._cluster.ask(list(self.nodes), cluster_node.leave, run, grace)
        for node in {*self.nodes.values(), *self._cluster.nodes.values()}:
            self._token.withdraw(node.pass_name)
        self._token.remove()

    # --- coming --------------------------------------------------------------------------------

    async def _enter(self, node: Node) -> None:
        token = self._token
        answer = node.pass_name = token.answer_name()
        orders = replace(
            self._orders,
            node=node.name,
            memory=node.memory,
            pass_file=token.pass_file(answer),
        )
        ask = (orders, token.directories, token.name, token.word, answer, self._sources)
        wrong = (await self._cluster.ask([node.address], cluster_node.enter, *ask))[node.address]
        if wrong == "":
            wrong = await token.answered(answer)
        node.slots = min(node.slots, node.memory // self._needs)
        if not wrong and not node.slots:
            wrong = f"it has {node.memory:,} bytes, and a worker process needs {self._needs:,}"
        if wrong:
            self._refuse(node, str(wrong))
        elif node.address in self._cluster.nodes and not self._closed:
            self.nodes[node.address] = self._names[node.name] = node
            self.beside(self._beat(node))

    def _refuse(self, node: Node, why: str) -> None:
        self._token.withdraw(node.pass_name)
        self._cluster.nodes.pop(node.address, None)
        self._cluster.refused[node.address] = Refused(node.label, why, node.host)
        self._tell_refused()

    def _tell_refused(self) -> None:
        """Tell of refused nodes, each once."""
        for address, refused in self._cluster.refused.items():
            if self._refusals.get(address) is not refused:
                self._refusals[address] = refused
                self.gone.append(Gone(refused.label, refused.host, refused.why, "refused"))
                self._heard.refused(refused)

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
                self._heard.resized()
            await self._scale()
            # A batch system may have a queue.
            if self.nodes or self._waits():
                empty_since = None
            elif empty_since is None:
                empty_since = loop.time()
            elif loop.time() - empty_since > EMPTY:
                reasons = self._cluster.reasons()
                self._fatal(f"no node is left{': ' if reasons else ''}{reasons}")
                return

    def _fatal(self, why: str) -> None:
        hint = "run the same command once the cluster is there again: it resumes"
        self._heard.fatal(ClusterError(why, hint=hint))

    async def _beat(self, node: Node) -> None:
        """Tell a node that the engine lives, and hear how it is, as long as it is there."""
        while self.nodes.get(node.address) is node:
            ask = (cluster_node.beat, self._orders.run, node.memory)
            answers = await self._cluster.ask([node.address], *ask)
            said = answers[node.address]
            if isinstance(said, dict):
                node.pulse.take(said, asyncio.get_running_loop().time())
            elif self._cluster.lives and not node.leaving:
                self.lose(node, f"it does not answer ({type(said).__name__})", died=False)
                return
            await asyncio.sleep(cluster_node.BEAT)

    # --- going ---------------------------------------------------------------------------------

    def told(self, message: object) -> None:
        """Take note of what the scheduler tells of Dask workers."""
        if not isinstance(message, dict):
            return
        node = self.nodes.get(message.get("worker", ""))
        if message.get("action") == "remove-worker" and node is not None:
            # One that is retired still does what it has, and says so when it is done.
            if message.get("expected") and not node.leaving:
                self._leave(node)
            elif not message.get("expected"):
                self.lose(node, "its Dask worker ended", died=True)
        elif message.get("action") == "add-worker":
            self._scan_now.set()

    def _leave(self, node: Node) -> None:
        node.leaving = True
        self._cluster.nodes.pop(node.address, None)
        self._heard.leaving(node)
        self._heard.resized()
        self.beside(self._left(node))

    async def _left(self, node: Node) -> None:
        """See that a node which is leaving goes."""
        await asyncio.sleep(cluster_node.GOODBYE + 5.0)
        self.lose(node, "its Dask worker was retired, and it did not end its work", died=True)

    def lose(self, node: Node, why: str, *, died: bool) -> None:
        """Give back all that a node had. ``died``: it is no more, or goes as it should."""
        if self.nodes.get(node.address) is not node:
            return
        del self.nodes[node.address], self._names[node.name]
        self._cluster.nodes.pop(node.address, None)
        self._token.withdraw(node.pass_name)
        if not died:
            self._losses[node.address] = self._losses.get(node.address, 0) + 1
            # It may be there still: what it does for this run is of no use.
            self.beside(
                self._cluster.ask([node.address], cluster_node.leave, self._orders.run, 0.0)
            )
            if self._losses[node.address] >= LOSSES:
                self._refuse(node, f"it was lost {LOSSES} times: {why}")
        self.gone.append(Gone(node.label, node.host, why, "left" if not why else "lost", node.name))
        self._heard.lost(node, why)
        self._heard.resized()
        self._scan_now.set()

    # --- how many ------------------------------------------------------------------------------

    def _waits(self) -> bool:
        """Whether Dask workers were asked for that are not there yet."""
        started = self._cluster.started
        return started is not None and started.workers > len(self._cluster.refused)

    def scale_now(self) -> None:
        """See soon how many nodes there are to be: somebody wishes another number."""
        self._scan_now.set()

    async def _scale(self) -> None:
        """Ask for nodes, or have some leave, if the cluster is this run's."""
        started = self._cluster.started
        if started is None:
            return
        staying = [node for node in self.nodes.values() if not node.leaving]
        idle = [node for node in self.nodes.values() if node.leaving and not node.numbers]
        if idle:
            with contextlib.suppress(Exception):  # boundary: whatever a batch system says
                await started.drop([node.ident for node in idle])
            for node in idle:
                self.lose(node, "", died=True)
        slots = sum(node.slots for node in staying)
        wanted = self._scaling.nodes(slots, len(staying), asyncio.get_running_loop().time())
        surplus = len(staying) - wanted
        if surplus > 0:
            for node in sorted(staying, key=lambda each: each.leases)[:surplus]:
                self._leave_for_good(node)
        elif wanted > started.workers or len(self.nodes) + len(self._cluster.refused) < wanted:
            with contextlib.suppress(Exception):  # boundary: it is asked again
                await started.scale(max(wanted, len(self.nodes)))

    def _leave_for_good(self, node: Node) -> None:
        node.leaving = True
        self._heard.leaving(node)
        self._heard.resized()
