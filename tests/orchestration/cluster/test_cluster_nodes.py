"""Which Dask workers may work for a run, and why others may not."""

from __future__ import annotations

import pytest

from geobatch_tui.orchestration.cluster.cluster_nodes import Node, Refused, hosts, judge

OURS = {"geobatch": "0.1.0 (aa)", "numba": "0.68"}
IDENTITY = {"nthreads": 4, "memory_limit": 1000}
FACTS = {"host": "a1", "pid": 7, "memory": 4000, "granted": 1 << 40, "versions": OURS}


def judged(facts=FACTS, identity=IDENTITY, processes=0, sharing=1):
    return judge(
        "tcp://10.0.0.1:1", identity, facts, OURS, processes=processes, sharing=sharing, number=3
    )


def test_a_node_that_may():
    """Its threads are its worker processes; memory is a share of its Dask worker's limit."""
    node = judged()
    assert isinstance(node, Node)
    assert (node.name, node.slots, node.memory) == ("n3", 4, 800)
    assert node.label == "a1 (tcp://10.0.0.1:1)"


def test_memory_without_a_limit_is_the_share_of_the_host():
    """Dask workers of one host share what it has."""
    node = judged(identity={"nthreads": 2, "memory_limit": 0}, sharing=4)
    assert isinstance(node, Node)
    assert node.memory == 1000


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (ModuleNotFoundError("x", name="geobatch_tui"), "it has no geobatch_tui: install"),
        (None, "it did not answer"),
        (AttributeError("describe"), "it cannot run geobatch: AttributeError: describe"),
        (
            {**FACTS, "versions": {**OURS, "numba": "0.67"}},
            "VersionSkewError: numba is 0.67 there and 0.68 here",
        ),
    ],
)
def test_refused(facts, why):
    """Each by name, with what to do where something can be done."""
    node = judged(facts)
    assert isinstance(node, Refused)
    assert why in str(node)
    assert "tcp://10.0.0.1:1" in str(node)


def test_many_differences_are_counted():
    """A line stays a line."""
    node = judged({**FACTS, "versions": {str(n): "1" for n in range(9)}})
    assert "and 7 more" in str(node)


def test_more_processes_than_threads():
    """Leases are tasks of Dask, which runs as many at once as a worker has threads."""
    assert "start it with --nthreads 8" in str(judged(processes=8))
    node = judged(processes=2)
    assert isinstance(node, Node)
    assert node.slots == 2


def test_hosts_are_counted():
    """Errors have none."""
    assert hosts([FACTS, None, {"host": "b"}, {"host": "a1"}]) == {"a1": 2, "b": 1}
