"""A Dask cluster that the engine is a client of: an existing one by its address, or one that is
started for the run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import distributed

from geobatch_tui.errors import ClusterError, PreflightError
from geobatch_tui.observability.figures import plural
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.cluster.cluster_nodes import Node, Refused, hosts, judge
from geobatch_tui.orchestration.cluster.on_node.node_facts import describe, facts
from geobatch_tui.orchestration.cluster.on_node.view_proof import look, sample
from geobatch_tui.orchestration.cluster.started_cluster import started

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from geobatch_tui.config.cluster.dask_section import DaskSection
    from geobatch_tui.orchestration.cluster.started_cluster import StartedCluster

#: Seconds until the scheduler must answer, and until an empty cluster must have a worker.
CONNECT, FIRST = 10.0, 60.0
#: Seconds that a node has to answer, and how often a new one is asked: libraries that come from a
#: slow disk, or a machine with much to do, can take longer the first time.
ANSWER: Final = 30.0
ASKED: Final = 2


class DaskCluster:
    """A cluster, and its nodes that may work. Use :meth:`joined`.

    Attributes:
        address: of the scheduler.
        client: ours.
        started: the cluster itself, if it is of this run alone.
        nodes: by address; those that joined later are added.
        refused: by address.
    """

    def __init__(
        self,
        client: Any,
        place: DaskSection,
        operation: str,
        started: StartedCluster | None = None,
        *,
        data: str = "",
    ) -> None:
        self.client = client
        self.started = started
        self.address = place.cluster if started is None else started.address
        self.nodes: dict[str, Node] = {}
        self.refused: dict[str, Refused] = {}
        self._operation, self._data = operation, data
        self._processes = place.processes
        self._ours: Mapping[str, str] = {}
        self._count = 0
        self._unanswered: Counter[str] = Counter()

    @classmethod
    @contextlib.asynccontextmanager
    async def joined(
        cls,
        place: DaskSection,
        operation: str,
        say: Callable[[str, str], None] | None = None,
        *,
        data: str = "",
    ) -> AsyncIterator[DaskCluster]:
        """Connect to a cluster, for jobs of an operation, and leave it at the end. ``say`` is told
        what is waited for; ``data`` is what nodes are to load for a run at once.

        Raises:
            ClusterError: the scheduler does not answer, or no node may work.
        """
        _quieten()
        async with contextlib.AsyncExitStack() as stack:
            security = _security(place)
            made, address = None, place.cluster
            if not place.is_address:
                made = await stack.enter_async_context(started(place, security))
                address, security = made.address, made.security or security
            client = await stack.enter_async_context(_client(address, security))
            cluster = cls(client, place, operation, made, data=data)
            if say is not None and place.is_started_by_class:
                workers = plural(place.least, "Dask worker")
                text = f"asked {safe(place.cluster)} for {workers}: waits for the first"
                say("cluster.wait", text)
            await cluster._first()
            yield cluster

    async def _first(self) -> None:
        """Wait for a node that may work."""
        # A batch system has a queue, and says itself when it gives up.
        patience = math.inf if self.started is not None else FIRST
        deadline = asyncio.get_running_loop().time() + patience
        while not self.nodes:
            await self.scan()
            if self.nodes:
                return
            if self.refused:
                raise ClusterError(f"no node of {safe(self.address)} may work: {self.reasons()}")
            if asyncio.get_running_loop().time() > deadline:
                raise ClusterError(
                    f"the cluster at {safe(self.address)} has no workers",
                    hint="start some: dask worker ADDRESS --nthreads 4",
                )
            await asyncio.sleep(0.2)

    def reasons(self) -> str:
        return "; ".join(map(str, self.refused.values()))

    async def scan(self) -> list[Node]:
        """Look which Dask workers there are; return those that are new and may work."""
        identity = await self.client.scheduler.identity(n_workers=-1)
        workers: dict[str, dict[str, Any]] = identity["workers"]
        self.refused = {at: why for at, why in self.refused.items() if at in workers}
        fresh = [
            address
            for address, worker in workers.items()
            if address not in self.nodes
            and address not in self.refused
            and worker.get("status") == "running"
        ]
        answers = await self._described(fresh) if fresh else {}
        shared = hosts([*answers.values(), *({"host": node.host} for node in self.nodes.values())])
        found = []
        for address, answer in answers.items():
            if answer is None or isinstance(answer, OSError):  # of the network, or too late
                self._unanswered[address] += 1
                if self._unanswered[address] < ASKED:
                    continue
            self._count += 1
            host = answer.get("host", "") if isinstance(answer, dict) else ""
            node = judge(
                address,
                workers[address],
                answer,
                self._ours,
                processes=self._processes,
                sharing=shared.get(host, 1),
                number=self._count,
            )
            if isinstance(node, Refused):
                self.refused[address] = node
            else:
                for other in self.nodes.values():
                    if other.host == node.host:  # which has no more memory than before
                        memory = int(answer["memory"]) // shared[host]
                        other.memory = min(other.memory, memory)
                self.nodes[address] = node
                found.append(node)
        return found

    async def _described(self, addresses: Sequence[str]) -> dict[str, Any]:
        """Ask Dask workers what they are, and find out meanwhile what the engine is."""
        asking = asyncio.ensure_future(self.ask(addresses, describe, self._operation, self._data))
        if not self._ours:
            self._ours = (await asyncio.to_thread(facts, self._operation))["versions"]
        return await asking

    async def ask(
        self, addresses: Sequence[str], function: Callable[..., object], *arguments: object
    ) -> dict[str, Any]:
        """Call a function of this package on nodes; return what each answered, or its error. None
        stands for no answer."""
        if not addresses:
            return {}
        results: dict[str, Any] = dict.fromkeys(addresses)

        async def one(address: str) -> None:
            try:
                async with asyncio.timeout(ANSWER):
                    answers = await self.client.run(
                        function, *arguments, workers=[address], on_error="return"
                    )
                results[address] = answers.get(address)
            except Exception as error:  # noqa: BLE001 - boundary: of the network, or of the node
                results[address] = error

        await asyncio.gather(*map(one, addresses))
        return results

    @property
    def slots(self) -> int:
        return sum(node.slots for node in self.nodes.values())

    @property
    def lives(self) -> bool:
        """Whether the scheduler is there."""
        return str(self.client.status) == "running"

    def to_json(self) -> dict[str, object]:
        """Return the cluster as ``plan --json`` shows it."""
        return {
            "address": safe(self.address),
            "nodes": [
                {"node": node.label, "workers": node.slots, "memory_bytes": node.memory}
                for node in self.nodes.values()
            ],
            "refused": [
                {"node": refused.label, "why": refused.why} for refused in self.refused.values()
            ],
        }

    async def look(self, sources: Sequence[str]) -> None:
        """Refuse the nodes that do not see some of these sources as the engine does. Raises
        ClusterError if none is left."""
        ask = ((), "", "", "", sample(sources))
        answers = await self.ask(list(self.nodes), look, *ask)
        for address, said in answers.items():
            if said:
                node = self.nodes.pop(address)
                self.refused[address] = Refused(node.label, safe(str(said)), node.host)
        if not self.nodes:
            raise ClusterError(f"no node of {safe(self.address)} may work: {self.reasons()}")

    def summary(self) -> str:
        """Say in a line what the cluster is."""
        nodes = plural(len(self.nodes), "node")
        return f"{safe(self.address)}: {nodes} with room for {plural(self.slots, 'worker')}"


@contextlib.asynccontextmanager
async def _client(address: str, security: Any) -> AsyncIterator[Any]:
    client: Any
    try:
        client = await distributed.Client(
            address,
            asynchronous=True,
            timeout=CONNECT,
            set_as_default=False,
            name="geobatch",
            security=security,
        )
    except (OSError, TimeoutError, ValueError, TypeError, RuntimeError) as error:
        raise ClusterError(
            f"the scheduler at {safe(address)} does not answer: {safe(str(error))[:300]}",
            hint="check dask.cluster, and that the scheduler runs and has the same `distributed`",
        ) from error
    try:
        yield client
    finally:
        with contextlib.suppress(Exception):  # a scheduler that is gone takes no leave
            async with asyncio.timeout(CONNECT):
                await client.close(timeout=2)


def _security(place: DaskSection) -> Any:
    """Return what a job says of TLS, for scheduler, workers and clients alike; None: nothing, so
    that Dask's own configuration counts. Raises PreflightError if a file cannot be read."""
    files = {name: path for name, path in place.security.items() if path}
    if not files:
        return None
    for path in files.values():
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise PreflightError(
                f"dask.security: cannot read {safe(path)}: {error.strerror}"
            ) from error
    said: dict[str, Any] = {"tls_ca_file": files["ca_file"], "require_encryption": True}
    for role in ("client", "scheduler", "worker"):
        said |= {f"tls_{role}_cert": files["cert"], f"tls_{role}_key": files["key"]}
    return distributed.Security(**said)


def _quieten() -> None:
    """Keep Dask's log lines off the terminal, which is the console's: what matters is told in ours.
    It sets up loggers when it is imported."""
    for name in list(logging.root.manager.loggerDict):
        if name == "distributed" or name.startswith(("distributed.", "tornado")):
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.propagate = False
            logger.addHandler(logging.NullHandler())
