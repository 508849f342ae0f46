"""The nodes of a cluster, as its scheduler and they tell."""

from __future__ import annotations

from types import SimpleNamespace

from geobatch_tui.config.cluster.dask_section import DaskSection
from geobatch_tui.orchestration.cluster.dask_cluster import DaskCluster
from geobatch_tui.orchestration.cluster.on_node.node_facts import facts

GIB = 1 << 30
OPERATION = "raster.reproject"


class Client:
    """The client of a scheduler whose Dask workers are as many as ``hosts``."""

    def __init__(self, hosts):
        self.hosts = hosts
        self.late: list[str] = []
        self.scheduler = SimpleNamespace(identity=self.identity)

    async def identity(self, n_workers):
        assert n_workers == -1
        known = {"status": "running", "nthreads": 1, "memory_limit": 0}
        return {"workers": dict.fromkeys(self.hosts, known)}

    async def run(self, function, *arguments, workers, on_error):
        if workers[0] in self.late:
            self.late.remove(workers[0])
            raise TimeoutError
        of_host = {"host": self.hosts[workers[0]], "memory": 8 * GIB, "granted": 8 * GIB}
        return {workers[0]: facts(OPERATION) | of_host}


async def test_dask_workers_of_one_host_share_its_memory():
    """One that comes late takes its part from those that are there."""
    client = Client({"tcp://a:1": "a", "tcp://b:1": "b"})
    cluster = DaskCluster(client, DaskSection(cluster="tcp://a:0"), OPERATION)
    assert {node.host: node.memory for node in await cluster.scan()} == {"a": 8 * GIB, "b": 8 * GIB}
    client.hosts["tcp://a:2"] = "a"
    (late,) = await cluster.scan()
    assert late.memory == 4 * GIB
    memory = {address: node.memory for address, node in cluster.nodes.items()}
    assert memory == {"tcp://a:1": 4 * GIB, "tcp://a:2": 4 * GIB, "tcp://b:1": 8 * GIB}


async def test_a_node_that_answers_late_is_asked_again():
    """Its libraries may take long to load the first time; one that never answers is refused."""
    client = Client({"tcp://a:1": "a", "tcp://b:1": "b"})
    client.late = ["tcp://a:1", "tcp://b:1", "tcp://b:1"]
    cluster = DaskCluster(client, DaskSection(cluster="tcp://a:0"), OPERATION)
    assert await cluster.scan() == []
    assert not cluster.refused
    (late,) = await cluster.scan()
    assert late.address == "tcp://a:1"
    assert list(cluster.refused) == ["tcp://b:1"]
