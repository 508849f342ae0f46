"""The pool of a cluster against nodes that a script plays: leases, losses, order, ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest
from pool_driver import PoolDriver

from geobatch_tui.config.cluster.dask_section import DaskSection
from geobatch_tui.errors import ClusterError
from geobatch_tui.execution.protocol import wire
from geobatch_tui.execution.protocol.messages import Failure, Outcome
from geobatch_tui.orchestration.cluster import membership
from geobatch_tui.orchestration.cluster.cluster_nodes import Node
from geobatch_tui.orchestration.cluster.dask_pool import DaskPool
from geobatch_tui.orchestration.cluster.membership import Membership
from geobatch_tui.orchestration.cluster.on_node import cluster_node
from geobatch_tui.orchestration.cluster.on_node.view_proof import Token
from geobatch_tui.orchestration.cluster.scaling import Scaling
from geobatch_tui.orchestration.schedule import events as u

MIB = 1 << 20
CRASH = Failure("WorkerCrashError", "poison", "died", evidence={"signal": "SIGSEGV"})


class Lease:
    """A future of Dask."""

    def __init__(self, arguments, options) -> None:
        self.run, self.number, self.turn, self.key, self.idents, self.frame = arguments
        self.options = options
        self.error = asyncio.get_running_loop().create_future()

    async def exception(self):
        return await self.error

    def release(self):
        pass


class Cluster:
    """Scheduler and nodes, as the pool sees them."""

    address = "tcp://10.0.0.9:8786"

    def __init__(self, *slots: int) -> None:
        self.nodes = {
            f"tcp://{n}": Node(f"n{n}", f"tcp://{n}", f"node {n}", "far", count, 1000 * MIB, n)
            for n, count in enumerate(slots)
        }
        self.refused = {}
        self.started = None
        self.fresh: list[Node] = []
        self.lives = True
        self.client = self
        self.asked: list[tuple] = []
        self.leases: list[Lease] = []
        self.wrong: dict[str, object] = {}
        self.silent: set[str] = set()
        self.topics = {}
        self.heard = {}

    def subscribe_topic(self, topic, handler):
        self.topics[topic] = handler

    def unsubscribe_topic(self, topic):
        self.topics.pop(topic, None)

    def submit(self, function, *arguments, **options):
        assert function is cluster_node.lease
        self.leases.append(Lease(arguments, options))
        return self.leases[-1]

    def reasons(self):
        return "; ".join(map(str, self.refused.values()))

    async def scan(self):
        fresh, self.fresh = self.fresh, []
        self.nodes |= {node.address: node for node in fresh}
        return fresh

    async def ask(self, addresses, function, *arguments):
        answers = {}
        for address in addresses:
            self.asked.append((function.__name__, address, *arguments))
            answers[address] = self._answer(address, function, arguments)
        return answers

    def _answer(self, address, function, arguments):
        if address in self.silent:
            return TimeoutError()
        if function is cluster_node.beat:
            return {"rss": {}, "taken": 7 * MIB, "compiling": [], "cpu": 0.0}
        if function is not cluster_node.enter or address in self.wrong:
            return self.wrong.get(address) if function is cluster_node.enter else None
        for directory in arguments[1]:
            Path(directory, arguments[4]).write_text(arguments[3])
        return ""

    def tell(self, node: str, *entries) -> None:
        number = self.heard[node] = self.heard.get(node, 0) + 1
        event = {"node": node, "number": number, "entries": entries}
        self.topics["run"]((0.0, event))

    def up(self, node: str, *numbers: int) -> None:
        self.tell(node, *(("up", number, 4321, packed(50 * MIB)) for number in numbers))

    def answer(self, node: str, number: int, *idents: int, rss: int = 60 * MIB) -> None:
        outcomes = [Outcome(ident, None, None, 0.1, rss, rss) for ident in idents]
        self.tell(node, *(("answer", number, each.task_id, packed(each)) for each in outcomes))


def packed(message):
    return wire.pack(0, message)[wire.HEADER.size :]


@pytest.fixture
async def rig(tmp_path):
    """Make a pool and its driver."""
    made = []

    async def make(*slots, most=0, wrong=None, settle=True, owned=None):
        cluster = Cluster(*slots)
        cluster.started = owned
        cluster.wrong |= wrong or {}
        fatal, refused, lost = [], [], []
        orders = cluster_node.Orders("run", "", "client", "raster")
        scaling = Scaling(DaskSection(workers=len(slots)), lambda: 0)
        token = Token.written([str(tmp_path)])
        members = Membership(cluster, orders, token, (), 100 * MIB, scaling)
        pool = DaskPool(
            cluster, "run", members, scaling, on_fatal=fatal.append, on_refused=refused.append,
            on_lost=lambda *gone: lost.append(gone), share=100 * MIB, handles=32, most=most,
        )  # fmt: skip
        made.append(pool)
        await pool.enter()
        driver = Driver(pool, tmp_path)
        if settle:
            await turn()
        return SimpleNamespace(
            cluster=cluster, pool=pool, driver=driver, fatal=fatal, refused=refused, lost=lost
        )

    yield make
    for pool in made:
        await pool.close(0.0)
    assert not list(tmp_path.glob(".geobatch-probe*"))


class Driver(PoolDriver):
    """Keeps what a cluster tells of its size, too."""

    def __init__(self, pool, root) -> None:
        self.sizes: list[u.Resized] = []
        super().__init__(pool, root)

    def _on(self, event) -> None:
        if isinstance(event, u.Resized):
            self.sizes.append(event)
        else:
            super()._on(event)


async def turn():
    for _ in range(5):
        await asyncio.sleep(0)


async def started(rig, *slots, count=1):
    """A rig with workers that are up, and their numbers."""
    made = await rig(*slots)
    numbers = [made.pool.spawn() for _ in range(count)]
    await turn()
    for _, address, _, given in [x for x in made.cluster.asked if x[0] == "start"]:
        made.cluster.up(made.cluster.nodes[address].name, *given)
    return made, numbers


async def test_room_is_told_and_used(rig):
    """The scheduler hears how large the cluster is; workers go where there is most room."""
    made, numbers = await started(rig, 2, 4, count=7)
    assert made.driver.sizes[-1] == u.Resized(
        6, 600 * MIB, 64, {"n0": 1000 * MIB, "n1": 1000 * MIB}
    )
    given = {x[1]: x[3] for x in made.cluster.asked if x[0] == "start"}
    assert sorted(map(len, given.values())) == [2, 4]
    assert len(made.driver.ready) == 6
    assert all(event.pid == 0 for event in made.driver.ready.values()), "a pid of another machine"
    assert numbers[-1] not in made.driver.ready, "there is no room for it yet"


async def test_tasks_of_a_turn_are_one_lease(rig):
    """One Dask task, bound to its node, never repeated by Dask, and without a result."""
    made, (worker,) = await started(rig, 1)
    idents = [made.driver.chunk(worker, index) for index in range(5)]
    await turn()
    (lease,) = made.cluster.leases
    assert lease.idents == idents
    assert lease.options == {
        "key": "geobatch-run-1-1",
        "workers": ["tcp://0"],
        "allow_other_workers": False,
        "pure": False,
        "retries": 0,
    }
    (frame,) = wire.Frames().feed(lease.frame)
    assert [task.index for task in wire.unpack(frame[1])] == [0, 1, 2, 3, 4]
    made.cluster.answer("n0", worker, *idents)
    lease.error.set_result(None)
    await turn()
    assert sorted(made.driver.outcomes) == idents
    assert not made.driver.lost


async def test_a_lost_node_gives_all_back(rig, tmp_path):
    """The head is named, as it had begun; the death is nobody's fault: a kill from outside."""
    made, (first, second) = await started(rig, 1, 1, count=2)
    idents = [made.driver.chunk(first, index) for index in range(3)]
    other = made.driver.chunk(second)
    await turn()
    node = made.pool._workers[first].node
    assert (tmp_path / node.pass_name).exists()
    made.cluster.topics["all"]((0.0, {"action": "remove-worker", "worker": node.address}))
    assert not (tmp_path / node.pass_name).exists(), "what it finishes late, it removes"
    lost = made.driver.lost[first]
    assert (lost.running, lost.queued, lost.cause) == (idents[0], tuple(idents[1:]), "signal")
    assert lost.failure.evidence == {"exitcode": None, "node": node.label, "host": "far"}
    assert made.lost == [(node, "its Dask worker ended")]
    assert second not in made.driver.lost
    assert made.driver.sizes[-1].workers == 1
    kept = made.pool._workers[second].node
    made.cluster.answer(kept.name, second, other)
    assert other in made.driver.outcomes


async def test_what_a_lost_node_tells_late_is_nobodys(rig):
    """Its chunks are somebody else's by then."""
    made, (worker,) = await started(rig, 1)
    ident = made.driver.chunk(worker)
    await turn()
    made.cluster.topics["all"]((0.0, {"action": "remove-worker", "worker": "tcp://0"}))
    made.cluster.answer("n0", worker, ident)
    assert not made.driver.outcomes


async def test_a_node_that_comes_late(rig):
    """It proves itself, and gets the workers that had no room."""
    made, numbers = await started(rig, 1, count=2)
    made.cluster.fresh.append(Node("n7", "tcp://7", "node 7", "far", 3, 1000 * MIB))
    made.cluster.topics["all"]((0.0, {"action": "add-worker", "worker": "tcp://7"}))
    async with asyncio.timeout(30):
        while not any(x[:2] == ("start", "tcp://7") for x in made.cluster.asked):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    made.cluster.up("n7", numbers[1])
    assert set(made.driver.ready) == set(numbers)
    assert made.driver.sizes[-1].workers == 4


async def test_exact_blame(rig):
    """A chunk that ended its worker process is named by its node; those behind it go back."""
    made, (worker,) = await started(rig, 1)
    idents = [made.driver.chunk(worker, index) for index in range(3)]
    await turn()
    made.cluster.answer("n0", worker, idents[0])
    made.cluster.tell("n0", ("lost", worker, idents[1], packed(("signal", CRASH))))
    lost = made.driver.lost[worker]
    assert (lost.running, lost.queued) == (idents[1], (idents[2],))
    assert lost.failure.evidence == {"signal": "SIGSEGV", "node": "node 0", "host": "far"}


async def test_answers_that_are_lost(rig):
    """A gap in a node's events, or a lease that ended without its answers: the node is left."""
    for how in ("gap", "end", "turn"):
        made, (worker,) = await started(rig, 1)
        idents = [made.driver.chunk(worker, index) for index in range(2)]
        await turn()
        if how == "gap":
            made.cluster.heard["n0"] += 1
            made.cluster.answer("n0", worker, idents[0])
        elif how == "turn":
            made.cluster.answer("n0", worker, idents[1])
        else:
            made.cluster.leases[-1].error.set_result(None)
        await turn()
        assert not made.driver.outcomes
        assert made.driver.lost[worker].cause == "signal"
        assert ("leave", "tcp://0", "run", 0.0) in made.cluster.asked


async def test_a_lease_that_fails(rig):
    """The plugin is gone: the node gave the engine up."""
    made, (worker,) = await started(rig, 1)
    made.driver.chunk(worker)
    await turn()
    made.cluster.leases[-1].error.set_result(LookupError("no part of the run any more"))
    await turn()
    assert "LookupError" in made.driver.lost[worker].failure.message


async def test_the_same_task_ids_again(rig):
    """Another phase of the run counts from 1: the end of an old lease is no loss."""
    made, (worker,) = await started(rig, 1)
    ident = made.driver.chunk(worker)
    await turn()
    made.cluster.answer("n0", worker, ident)
    made.driver.outcomes.clear()
    made.driver._ids = iter([ident])
    made.driver.chunk(worker)
    made.cluster.leases[0].error.set_result(None)
    await turn()
    assert not made.driver.lost


async def test_growth_retires(rig):
    """A worker that has grown too large ends; what is queued comes back with it."""
    made, (worker,) = await started(rig, 1)
    idents = [made.driver.chunk(worker, index) for index in range(2)]
    await turn()
    made.cluster.answer("n0", worker, idents[0], rss=900 * MIB)
    late = made.driver.chunk(worker)
    await turn()
    assert ("end", "tcp://0", "run", worker, None) in made.cluster.asked
    assert len(made.cluster.leases) == 1, "nothing more is sent to it"
    made.cluster.answer("n0", worker, idents[1])
    made.cluster.tell("n0", ("lost", worker, 0, packed(("retired", None))))
    assert made.driver.lost[worker].queued == (late,)


async def test_ends_of_workers(rig):
    """A kill goes to the node with its cause; a worker without a node just ends."""
    made, (worker, waiting) = await started(rig, 1, count=2)
    made.pool.kill(worker, "timeout")
    made.pool.retire(waiting)
    await turn()
    assert ("end", "tcp://0", "run", worker, "timeout") in made.cluster.asked
    assert made.driver.lost[waiting].cause == "retired"


async def test_refused_nodes(rig):
    """They are told by name, and the others work; with none left the run ends."""
    made = await rig(1, 2, wrong={"tcp://1": "it does not see what the engine wrote to /out"})
    assert [str(each) for each in made.refused] == [
        "node 1: it does not see what the engine wrote to /out"
    ]
    assert made.driver.sizes[-1].workers == 1
    with pytest.raises(ClusterError, match=r"no node of .* may work: node 0: no /out"):
        await rig(1, wrong={"tcp://0": "no /out"})


async def test_a_silent_node(rig):
    """It does not answer the engine: given up, and refused at the third time."""
    made, (worker,) = await started(rig, 1)
    node = made.pool._workers[worker].node
    members = made.pool._members
    for _ in range(membership.LOSSES):
        members.nodes[node.address] = members._names[node.name] = node
        members.lose(node, "it does not answer", died=False)
    assert "lost 3 times" in str(made.refused[-1])


async def test_the_scheduler_is_gone(rig):
    """The run ends by an error that says so, once; nodes are not asked any more."""
    made, (worker,) = await started(rig, 1)
    made.cluster.lives = False
    made.pool._members.scale_now()
    await turn()
    (error,) = made.fatal
    assert isinstance(error, ClusterError)
    assert error.exit_code == 17
    assert "is gone" in str(error)
    made.cluster.asked.clear()
    await made.pool.close(0.0)
    assert made.cluster.asked == []
    assert made.driver.lost[worker].cause == "retired"


async def test_no_node_for_long(rig, monkeypatch):
    """A run waits for another node, and not for ever."""
    monkeypatch.setattr(membership, "EMPTY", 0.0)
    made, _ = await started(rig, 1)
    made.cluster.topics["all"]((0.0, {"action": "remove-worker", "worker": "tcp://0"}))
    async with asyncio.timeout(30):
        while not made.fatal:
            made.pool._members.scale_now()
            await asyncio.sleep(0.01)
    assert "no node is left" in str(made.fatal[0])


async def test_a_retired_node_does_what_it_has(rig):
    """Dask says that its end is expected: it gets nothing more, and nothing is given back before it
    says that it is done."""
    made, (worker, other) = await started(rig, 1, 1, count=2)
    idents = [made.driver.chunk(worker, index) for index in range(2)]
    await turn()
    node = made.pool._workers[worker].node
    gone = {"action": "remove-worker", "worker": node.address, "expected": True}
    made.cluster.topics["all"]((0.0, gone))
    late = made.driver.chunk(worker)
    await turn()
    assert not made.driver.lost
    assert made.driver.sizes[-1].workers == 1
    assert [row["state"] for row in made.pool.nodes()] == ["leaving", "up"]
    assert len(made.cluster.leases) == 1
    made.cluster.answer(node.name, worker, *idents)
    retired = ("lost", worker, 0, packed(("retired", None)))
    made.cluster.tell(node.name, retired, ("gone", 0, 0, b""))
    assert sorted(made.driver.outcomes) == idents
    assert made.driver.lost[worker].queued == (late,)
    assert made.lost == [(node, "")]
    assert [row["state"] for row in made.pool.nodes()] == ["up", "left"]
    assert other not in made.driver.lost


class Owned:
    """A cluster that is of this run."""

    def __init__(self, workers):
        self.workers = workers
        self.calls = []

    async def scale(self, workers):
        self.workers = workers
        self.calls.append(workers)

    async def drop(self, names):
        self.workers -= len(names)
        self.calls.append(names)


async def test_an_operator_scales(rig):
    """More workers are more nodes; with fewer, a node is left once it has done what it has."""
    owned = Owned(2)
    made = await rig(2, 2, owned=owned)
    numbers = [made.pool.spawn() for _ in range(4)]
    await turn()
    assert made.pool.wish(5)
    await turn()
    assert owned.calls == [3]
    assert made.pool.wish(3), "one fewer is a whole node"
    owned.workers = 2
    await turn()
    leaving = [node for node in made.pool._members.nodes.values() if node.leaving]
    (node,) = leaving
    assert made.driver.sizes[-1].workers == 2
    ends = [asked[3] for asked in made.cluster.asked if asked[0] == "end"]
    assert sorted(ends) == sorted(node.numbers)
    assert set(ends) < set(numbers)
    for number in ends:
        made.cluster.tell(node.name, ("lost", number, 0, packed(("retired", None))))
    await turn()
    assert owned.calls[-1] == [node.ident]
    assert made.lost == [(node, "")]
    assert not (await rig(1)).pool.wish(3), "a cluster of others is not scaled"


async def test_a_node_hears_of_less_memory(rig, monkeypatch):
    """Another Dask worker came to its host: the next beat says what is left for this one."""
    monkeypatch.setattr(cluster_node, "BEAT", 0.0)
    made = await rig(1)
    made.cluster.nodes["tcp://0"].memory = 500 * MIB
    await turn()
    beats = [asked for asked in made.cluster.asked if asked[0] == "beat"]
    assert beats[0] == ("beat", "tcp://0", "run", 1000 * MIB)
    assert beats[-1] == ("beat", "tcp://0", "run", 500 * MIB)


async def test_rows_of_nodes(rig):
    """What consoles show: room, work, memory, and why a node is gone."""
    made, (worker,) = await started(rig, 2)
    made.driver.chunk(worker)
    await turn()
    (row,) = made.pool.nodes()
    assert row == {
        "node": "n0", "label": "node 0", "host": "far", "state": "up", "workers": 2, "busy": 1,
        "chunks_per_min": 0.0, "cpu": 0.0, "rss": 7 * MIB, "memory": 1000 * MIB, "leases": 1,
        "why": "",
    }  # fmt: skip
    made.cluster.topics["all"]((0.0, {"action": "remove-worker", "worker": "tcp://0"}))
    (row,) = made.pool.nodes()
    assert (row["state"], row["why"]) == ("lost", "its Dask worker ended")
