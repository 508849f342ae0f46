"""Whole runs on a Dask cluster of processes on this machine: the same bytes, the same blame."""

# ruff: noqa: ASYNC110, ASYNC220, ASYNC221 - nobody tells when a process is up, or dead
from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import distributed
import numpy as np
import pytest
from corpus import write
from run_project import Project

import geobatch_tui
from geobatch_tui.config.cluster.dask_section import DaskSection
from geobatch_tui.config.layers import make_job
from geobatch_tui.errors import ClusterError, StateError
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.orchestration.cluster import joining
from geobatch_tui.testing import OPS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="workers need Linux"),
    # Dask's own, of connections that a killed process leaves.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
DATA = Path(__file__).parents[3] / "sample_configs" / "data"


@pytest.fixture(scope="module")
def cluster():
    """A scheduler, and two Dask workers of one thread each."""
    before = os.environ.get("GEOBATCH_OPS")
    os.environ["GEOBATCH_OPS"] = OPS
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        memory_limit=2**31,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as made:
        made.wait_for_workers(2, timeout=300)
        yield made
    os.environ.pop("GEOBATCH_OPS")
    if before is not None:
        os.environ["GEOBATCH_OPS"] = before


def on(cluster, executor="dask", **engine):
    """Sections of a job that runs there."""
    return {
        "engine": {"executor": executor, "max_workers": 2, **engine},
        "dask": {"cluster": cluster.scheduler_address, "lease": "0.5s"},
    }


def tree(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and ".geobatch" not in path.parts
    }


async def test_a_raster_has_the_same_bytes(cluster, tmp_path):
    """A warped COG of many chunks, by processes and by a cluster."""
    random = np.random.default_rng(1)
    write(tmp_path / "a.tif", random.integers(0, 255, (1, 300, 400), "uint8"))
    trees = []
    for name in ("process", "dask"):
        values = {
            "source": {"inputs": [str(tmp_path / "a.tif")]},
            "op": {"name": "raster.reproject", "dst_crs": "EPSG:3035"},
            "output": {"dir": str(tmp_path / name)},
            **on(cluster, name, chunk_cols=128, chunk_rows=128),
        }
        result = await geobatch_tui.run(make_job(values))
        assert result.exit_code == 0
        trees.append(tree(tmp_path / name))
    assert trees[0] == trees[1]
    assert trees[0]


async def test_features_have_the_same_bytes(cluster, tmp_path):
    """GeoParquet, whose features are assembled from the spools of two nodes."""
    source = DATA / "countries.fgb"
    trees = []
    for name in ("process", "dask"):
        values = {
            "source": {"inputs": [str(source)]},
            "op": {"name": "vector.reproject", "dst_crs": "EPSG:3857"},
            "output": {"dir": str(tmp_path / name), "format": "GeoParquet"},
            **on(cluster, name, chunk_features=20),
        }
        result = await geobatch_tui.run(make_job(values))
        assert result.exit_code == 0, result
        trees.append(tree(tmp_path / name))
    assert trees[0] == trees[1]
    assert trees[0]


async def test_a_plan_names_the_nodes(cluster, tmp_path):
    """And doctor does so without a job."""
    project = Project(tmp_path, {"chunks": 20}, on(cluster))
    report = (await geobatch_tui.plan(project.job())).to_json()
    assert report["chunks"] == 20
    assert report["cluster"]["address"] == cluster.scheduler_address
    assert [node["workers"] for node in report["cluster"]["nodes"]] == [1, 1]
    assert report["cluster"]["refused"] == []
    assert not project.out.exists(), "a plan writes nothing"
    made = await joining.survey(DaskSection(cluster=cluster.scheduler_address))
    assert report["cluster"].pop("leases") == {"at_most": 20, "seconds": 0.5}
    assert made == report["cluster"]


async def test_exact_blame_and_no_dask_worker_lost(cluster, tmp_path):
    """Of sixty chunks one crashes and one hangs: these two are dead, and nothing else."""
    before = {nanny.pid for nanny in cluster.workers.values()}
    project = Project(
        tmp_path,
        {"faults": {"segfault": [7], "hang": [41]}, "chunks": 60, "milliseconds": 5},
        on(cluster, chunk_timeout="3s"),
    )
    result = await project.run()
    assert result.exit_code == 12
    assert (result.counts["done"], result.counts["dead"]) == (58, 2)
    with LedgerReader(project.out / ".geobatch" / "ledger.db") as reader:
        assert dict(reader.dead_by_class()) == {"WorkerCrashError": 1, "ChunkTimeoutError": 1}
    assert {nanny.pid for nanny in cluster.workers.values()} == before


async def test_killed_dask_workers(cluster, tmp_path):
    """Their leases go to others, without an attempt counted; another takes their place."""
    project = Project(tmp_path, {"chunks": 300, "milliseconds": 40}, on(cluster))
    running = asyncio.ensure_future(project.run())
    killed = 0
    while killed < 2 and not running.done():
        await asyncio.sleep(1.0)
        pids = [nanny.pid for nanny in cluster.workers.values() if nanny.pid]
        if _done(project) > 20 * (killed + 1) and len(pids) == 2:
            os.kill(pids[killed], signal.SIGKILL)
            killed += 1
    result = await running
    assert killed
    assert result.exit_code == 0
    assert result.counts["done"] == 300
    (tmp_path / "whole").mkdir()
    whole = Project(tmp_path / "whole", {"chunks": 300})
    assert (await whole.run()).exit_code == 0
    assert project.tree() == whole.tree()


def _done(project: Project) -> int:
    path = project.out / ".geobatch" / "ledger.db"
    try:
        with LedgerReader(path) as reader:
            return reader.counts()["done"]
    except StateError:  # no run has begun
        return 0


async def test_an_engine_that_is_killed(cluster, tmp_path):
    """Ten seconds later none of its processes is left on any node; the next run resumes."""
    project = Project(tmp_path, {"chunks": 400, "milliseconds": 60}, on(cluster))
    code = (
        "import asyncio, sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path; from run_project import Project\n"
        f"asyncio.run(Project(Path(sys.argv[1]), {project.op!r}, {project.values!r}).run())"
    )
    engine = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), *sys.path])
    while _done(project) < 5:
        assert engine.poll() is None
        await asyncio.sleep(0.2)
    assert _workers(cluster)
    engine.kill()
    engine.wait()
    killed = time.monotonic()
    while _workers(cluster) and time.monotonic() < killed + 30:
        await asyncio.sleep(0.2)
    assert time.monotonic() - killed < 10
    result = await project.run(op={"milliseconds": 0})
    assert result.exit_code == 0
    assert result.counts["current"] >= 5


def _workers(cluster) -> list[str]:
    """Worker processes of geobatch below the Dask workers; fork servers stay."""
    found = []
    for nanny in cluster.workers.values():
        for server in _children(nanny.pid):
            found += _children(int(server))
    return found


def _children(pid: int) -> list[str]:
    words = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        words += task.read_text().split()
    return words


async def test_a_scheduler_that_is_gone(tmp_path):
    """Exit 17, and the same command resumes elsewhere."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    place = f"tcp://127.0.0.1:{port}"
    environment = {**os.environ, "GEOBATCH_OPS": OPS}
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    scheduler = subprocess.Popen(
        [*dask, "--host", "127.0.0.1", "--port", str(port), "--dashboard-address", "127.0.0.1:0"]
    )
    work = [
        sys.executable,
        "-m",
        "distributed.cli.dask_worker",
        place,
        "--dashboard-address",
        "127.0.0.1:0",
    ]
    worker = subprocess.Popen([*work, "--nthreads", "1", "--no-nanny"], env=environment)
    try:
        project = Project(tmp_path, {"chunks": 400, "milliseconds": 60})
        project.values = {"engine": {"executor": "dask"}, "dask": {"cluster": place}}
        os.environ["GEOBATCH_OPS"] = OPS
        running = asyncio.ensure_future(_patient(project))
        while _done(project) < 5:
            assert not running.done(), running
            await asyncio.sleep(0.2)
        scheduler.kill()
        with pytest.raises(ClusterError, match="is gone") as raised:
            await running
        assert raised.value.exit_code == 17
        project.values = {"engine": {"max_workers": 2}}
        result = await project.run(op={"milliseconds": 0})
        assert result.exit_code == 0
        assert result.counts["current"] >= 5
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait()


async def _patient(project):
    """Run once the scheduler listens."""
    for _ in range(60):
        try:
            return await project.run()
        except ClusterError as error:
            if "does not answer" not in str(error):
                raise
    raise AssertionError("no scheduler")


async def test_a_node_that_sees_other_files(cluster, tmp_path):
    """It has another disk where the outputs are: refused by name, and the others do the work."""
    probe = subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True)
    if shutil.which("unshare") is None or probe.returncode:
        pytest.skip("needs namespaces of mounts")
    project = Project(tmp_path, {"chunks": 20}, on(cluster))
    project.out.mkdir()
    dask = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address]
    dask += [
        "--nthreads",
        "1",
        "--dashboard-address",
        "127.0.0.1:0",
        "--no-nanny",
        "--name",
        "blind",
    ]
    shell = 'mount -t tmpfs none "$0" && exec "$@"'
    blind = subprocess.Popen(["unshare", "-rm", "sh", "-c", shell, str(project.out), *dask])
    lines = []
    try:
        while len(cluster.scheduler_info["workers"]) < 3:
            assert blind.poll() is None
            await asyncio.sleep(0.2)
        result = await project.run(log_stream=lines.append)
    finally:
        blind.kill()
        blind.wait()
    assert result.exit_code == 0
    (refused,) = [line for line in lines if '"node.refused"' in line]
    assert f"it does not see what the engine wrote to {project.out}" in refused
