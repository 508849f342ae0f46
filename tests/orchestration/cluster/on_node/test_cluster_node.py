"""Leases on a node: their order, and their ends; and how a node looks after engine and memory."""

from __future__ import annotations

import asyncio
import math
import os
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.orchestration.cluster.on_node import cluster_node
from geobatch_tui.orchestration.cluster.on_node.cluster_node import (
    NodePlugin,
    Orders,
    _Lease,
    _Leases,
)
from geobatch_tui.orchestration.workers import procfs

MIB = 1 << 20


def lease(*idents: int) -> _Lease:
    return _Lease(idents, b"", asyncio.get_running_loop().create_future())


@given(st.permutations(range(1, 7)), st.lists(st.integers(1, 3), min_size=6, max_size=6))
def test_leases_begin_and_end_in_order(order, sizes):
    """However they come: the scheduler may take in two submissions at once."""

    async def come() -> None:
        leases, begun = _Leases(), []
        made = {turn: lease(*range(sizes[turn - 1])) for turn in order}
        for turn in order:
            leases.come(turn, made[turn])
            begun += leases.due()
        assert begun == [made[turn] for turn in sorted(made)]
        for turn in sorted(made):
            ends = [leases.answered() for _ in range(sizes[turn - 1])]
            assert ends == [False] * (sizes[turn - 1] - 1) + [True]
            assert made[turn].end.done()
            assert sum(each.end.done() for each in made.values()) == turn

    asyncio.run(come())


async def test_all_end_with_their_worker_process():
    """Those that wait for an earlier one too."""
    leases, made = _Leases(), [lease(1), lease(2), lease(3)]
    for turn, each in zip((1, 2, 4), made, strict=True):
        leases.come(turn, each)
    assert list(leases.due()) == made[:2]
    leases.end()
    assert all(each.end.done() for each in made)


class Pool:
    """Two worker processes, of 300 and 400 MiB."""

    def __init__(self):
        self.killed = []
        self.closed = asyncio.Event()

    def rss(self):
        return {1: 300 * MIB, 2: 400 * MIB}

    def compiling(self):
        return frozenset()

    def cpu(self):
        return 0.0

    def kill(self, number, cause):
        self.killed.append((number, cause))

    async def close(self, grace):
        self.closed.set()


class Scheduler:
    """Knows whether the engine is its client."""

    def __init__(self):
        self.asked = asyncio.Event()
        self.said = []

    async def events(self, topic):
        assert topic == "engine"
        self.asked.set()
        return self.said


@pytest.fixture
async def node(tmp_path, monkeypatch):
    """A node of a run, which waits for no silence, and the scheduler that it asks. It has memory
    for this process too, which is larger the more tests it has run."""
    monkeypatch.setattr(cluster_node, "SILENCE", math.inf)
    plugin = NodePlugin(Orders("run", "n1", "engine", "raster", memory=64_000 * MIB))
    scheduler = Scheduler()
    plugin.pool, plugin._scratch = Pool(), tmp_path / "scratch"
    plugin._worker = SimpleNamespace(
        scheduler=scheduler, log_event=lambda *_: None, plugins={plugin.name: plugin}
    )
    plugin._watch = asyncio.ensure_future(plugin._watch_engine())
    yield plugin, scheduler
    await plugin.close(0.0)


async def test_memory_is_what_the_engine_grants_now(node):
    """Of a host that another Dask worker came to, this one has less than it was told at first."""
    plugin, _ = node
    taken = 700 * MIB + procfs.resident(os.getpid())
    plugin._watch_memory()
    assert not plugin.pool.killed
    assert plugin.beat(int(taken / cluster_node.FULL) - MIB)["taken"] >= 700 * MIB
    plugin._watch_memory()
    assert plugin.pool.killed == [(2, "memory")]


async def test_an_engine_that_is_gone_is_noticed_at_once(node):
    """Dask takes its leases back: the scheduler is asked then, not after a silence."""
    plugin, scheduler = node
    scheduler.said = [(0.0, {"action": "remove-client", "client": "engine"})]
    plugin.transition("geobatch-run-1-1", "long-running", "cancelled")
    async with asyncio.timeout(30):
        await plugin.pool.closed.wait()
    assert not plugin._worker.plugins


async def test_a_lease_that_is_taken_back_by_a_live_engine(node):
    """It does so of a worker process that it gave up: the run goes on. Other keys say nothing."""
    plugin, scheduler = node
    plugin.transition("another-1", "long-running", "cancelled")
    plugin.transition("geobatch-run-1-1", "executing", "long-running")
    assert not plugin._doubt.is_set()
    plugin.transition("geobatch-run-1-1", "long-running", "cancelled")
    async with asyncio.timeout(30):
        await scheduler.asked.wait()
    assert not plugin.pool.closed.is_set()
    assert plugin._worker.plugins
