"""What is refused before a cluster is joined."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from run_project import Project

import geobatch_tui
from geobatch_tui.config.cluster import cluster_code
from geobatch_tui.config.layers import make_job
from geobatch_tui.errors import ConfigError, PreflightError
from geobatch_tui.execution.stores.store_settings import Stores, StoreSettings
from geobatch_tui.orchestration.cluster import joining
from geobatch_tui.orchestration.cluster.cluster_nodes import Node
from geobatch_tui.orchestration.plan.plan_report import WORKER_BYTES
from geobatch_tui.orchestration.plan.resources import ENGINE_BYTES, expected_leases
from geobatch_tui.orchestration.state.run_index import note
from geobatch_tui.orchestration.upkeep import load_kept
from geobatch_tui.testing import OPS

GIB = 1 << 30


def loaded(tmp_path, engine=None, **dask):
    return make_job(
        {
            "source": {"inputs": [str(tmp_path / "a.tif")]},
            "op": {"name": "raster.convert"},
            "output": {"dir": str(tmp_path / "out")},
            "engine": {"executor": "dask", **(engine or {})},
            "dask": dask,
        }
    )


def job(tmp_path, engine=None, **dask):
    return loaded(tmp_path, engine, **dask).job


async def test_without_the_extra(tmp_path, monkeypatch):
    """The error says what to install."""
    monkeypatch.setattr(joining, "find_spec", lambda _: None)
    with pytest.raises(PreflightError, match="not installed") as raised:
        async with joining.joined(job(tmp_path)):
            pass
    assert 'pip install "geobatch-tui[dask]"' in raised.value.hint


async def test_a_kept_job_joins_no_cluster_of_others(tmp_path, monkeypatch):
    """Who runs a scheduler can run code in the engine: what lies in a directory names none, unless
    a job file of this user did so there last."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    kept = loaded(tmp_path, cluster="tcp://far-7:8786")
    state = tmp_path / "out" / ".geobatch"
    state.mkdir(mode=0o700, parents=True)
    (state / "plan.json").write_text(json.dumps(kept.to_json()))
    with pytest.raises(ConfigError, match="tcp://far-7:8786"):
        load_kept(tmp_path / "out")
    note(tmp_path / "out", cluster_code.identities(kept.job))
    assert load_kept(tmp_path / "out").job.dask == kept.job.dask
    with pytest.raises(ConfigError, match="tcp://far-6:8786"):
        load_kept(tmp_path / "out", ["dask.cluster=tcp://far-6:8786"])


async def test_a_plan_starts_no_batch_jobs(tmp_path, monkeypatch):
    """It says what a run will start."""
    monkeypatch.setattr(joining, "find_spec", lambda _: None)
    values = job(tmp_path, cluster="slurm", workers={"minimum": 2, "maximum": 9})
    async with joining.joined(values) as cluster:
        said = joining.described(values, cluster)
    assert said == {"address": "slurm", "starts": "2..9", "nodes": [], "refused": []}
    assert joining.described(job(tmp_path, {"executor": "thread"}), None) == {}


async def test_a_plan_says_how_many_leases(tmp_path, monkeypatch):
    """At most one a chunk; once chunks have run there, as many as their time makes."""
    monkeypatch.setenv("GEOBATCH_OPS", OPS)
    here = {"engine": {"executor": "thread"}}
    there = {"engine": {"executor": "dask"}, "dask": {"cluster": "slurm", "lease": "0.5s"}}
    project = Project(tmp_path, {"milliseconds": 10}, there)
    first = (await geobatch_tui.plan(project.job(chunks=20))).to_json()
    assert first["cluster"]["leases"] == {"at_most": 20, "seconds": 0.5}
    project.values = here
    assert (await project.run(op={"chunks": 20})).exit_code == 0
    project.values = there
    more = (await geobatch_tui.plan(project.job(chunks=2000))).to_json()
    assert more["cluster"]["leases"]["at_most"] == 2000
    assert 40 <= more["cluster"]["leases"]["about"] < 2000


def test_leases_of_trials(tmp_path):
    """Long chunks are a lease each."""
    assert expected_leases(job(tmp_path), 1000, 0.03)["about"] == 10
    assert expected_leases(job(tmp_path), 1000, 7.0)["about"] == 1000


async def test_other_executors_join_nothing(tmp_path, monkeypatch):
    """Nor do they need the extra."""
    monkeypatch.setattr(joining, "find_spec", lambda _: None)
    async with joining.joined(job(tmp_path, {"executor": "process"})) as cluster:
        assert cluster is None


def cluster(*nodes):
    return SimpleNamespace(nodes={str(number): node for number, node in enumerate(nodes)})


def node(slots, memory):
    return Node("n1", "tcp://a:1", "a (tcp://a:1)", "a", slots, memory)


def test_resources_of_nodes(tmp_path):
    """A chunk fits the least share of any node; open files count a node."""
    found = joining.resources_of(job(tmp_path), cluster(node(4, 8 * GIB), node(2, 2 * GIB)))
    assert found.workers == 6
    assert found.share == GIB
    assert WORKER_BYTES < found.needs < GIB, "a node that comes late may have less"
    assert found.budget == ENGINE_BYTES + 6 * GIB
    assert found.handles == 64
    assert found.largest < 2 * GIB
    assert found.lease == 3.0
    fewer = joining.resources_of(job(tmp_path, {"max_workers": 2}), cluster(node(4, 8 * GIB)))
    assert fewer.workers == 2


def test_a_node_with_too_little_memory(tmp_path):
    """It is named, with what it has."""
    with pytest.raises(PreflightError, match=r"a \(tcp://a:1\) has"):
        joining.resources_of(job(tmp_path), cluster(node(64, GIB)))


def test_secrets_travel_encrypted_or_not_at_all():
    """To another machine without TLS they do not."""
    plain = Stores({"s3://b": StoreSettings(region="eu")})
    secret = Stores({"s3://b": StoreSettings(secret_key="hush")})  # noqa: S106
    joining.refuse_secrets(plain, "tcp://far:8786")
    joining.refuse_secrets(secret, "tls://far:8786")
    joining.refuse_secrets(secret, "tcp://127.0.0.1:8786")
    for stores in (secret, replace(plain, proxy="http://u:p@proxy:1")):
        with pytest.raises(PreflightError, match="without encryption") as raised:
            joining.refuse_secrets(stores, "tcp://far:8786")
        assert "hush" not in str(raised.value)


@pytest.mark.parametrize("address", ["local", "tls://far:8786", "tcp://127.0.0.1:8786"])
def test_clusters_that_others_cannot_reach(address):
    """They are encrypted, or on this machine."""
    assert joining.exposure(address) == ""


def test_a_cluster_that_others_can_reach():
    """Said in the plan, the log and by doctor."""
    assert joining.exposure("tcp://far:8786").startswith("tcp://far:8786 has no TLS")
