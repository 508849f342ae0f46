"""The classes of clusters that are started for a run, and what they are made with."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from distributed.deploy.cluster import Cluster

from geobatch_tui.config.cluster.dask_section import DaskSection
from geobatch_tui.errors import PreflightError
from geobatch_tui.orchestration.cluster import started_cluster
from geobatch_tui.orchestration.cluster.started_cluster import started


class Site(Cluster):
    """A cluster of a site: no processes at all."""

    made: list[Site] = []  # noqa: RUF012 - for the test to look at

    def __init__(self, **options) -> None:
        self.options = options
        self.calls: list[object] = []
        self.made.append(self)
        if "wrong" in options:
            raise ValueError("no such \x1b[1mqueue")

    def __await__(self):
        yield from ()
        return self

    scheduler_address = "tcp://127.0.0.1:1"
    security = None

    def scale(self, n):
        self.calls.append(n)

    def scale_down(self, names):
        self.calls.append(names)

    async def close(self):
        self.calls.append("closed")

    def __del__(self):
        pass


@pytest.fixture
def site(monkeypatch):
    module = ModuleType("site_clusters")
    module.Site, module.other = Site, print
    monkeypatch.setitem(sys.modules, "site_clusters", module)
    Site.made.clear()
    return "site_clusters:Site"


async def test_a_class_of_the_site(site):
    """It is made with the job's options, scaled, shrunk by name, and closed."""
    place = DaskSection(cluster=site, workers=3, options={"queue": "short"})
    async with started(place, None) as cluster:
        assert cluster.address == "tcp://127.0.0.1:1"
        await cluster.scale(5)
        await cluster.drop(["a", "b"])
        assert cluster.workers == 3
    (made,) = Site.made
    assert made.options == {"asynchronous": True, "queue": "short"}
    assert made.calls == [3, 5, ["a", "b"], "closed"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("site_clusters:other", "is no class of a Dask cluster"),
        ("site_clusters:Missing", "Missing"),
        ("no_such_package:Cluster", "needs the package no_such_package, which is not installed"),
    ],
)
async def test_what_is_no_cluster(site, name, said):
    """Refused by name."""
    with pytest.raises(PreflightError, match=said):
        async with started(DaskSection(cluster=name), None):
            pass


async def test_a_cluster_that_does_not_start(site):
    """Its own words are shown, harmless."""
    with pytest.raises(PreflightError, match="cannot start site_clusters:Site") as raised:
        async with started(DaskSection(cluster=site, options={"wrong": True}), None):
            pass
    assert "ValueError: no such" in raised.value.message
    assert "\x1b" not in raised.value.message


async def test_a_package_that_is_missing(monkeypatch):
    """Kubernetes needs one, and the error says which."""
    monkeypatch.setitem(sys.modules, "dask_kubernetes", None)
    with pytest.raises(PreflightError, match="needs the package dask-kubernetes") as raised:
        async with started(DaskSection(cluster="kubernetes"), None):
            pass
    assert "pip install dask-kubernetes" in raised.value.hint


def test_options_of_a_batch_system(tmp_path, monkeypatch):
    """One Dask worker a job, its dashboard on loopback, and what it prints where it can be found;
    the newest files stay."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(started_cluster, "KEPT_LOGS", 1)
    folder = tmp_path / "geobatch" / "nodes"
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        (folder / name).touch()
    place = DaskSection(cluster="pbs", options={"cores": 4, "scheduler_options": {"port": 1}})
    assert started_cluster._options(place) == {
        "processes": 1,
        "cores": 4,
        "log_directory": str(folder),
        "scheduler_options": {"dashboard_address": "127.0.0.1:0", "port": 1},
    }
    assert len(list(folder.iterdir())) == 1
