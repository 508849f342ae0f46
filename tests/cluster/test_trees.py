"""The same bytes and the same blame on a cluster, whatever becomes of its nodes: the rows that the
cluster has to show. Takes many minutes, and the data of the benchmarks."""

# ruff: noqa: ASYNC110, ASYNC220, ASYNC221 - nobody tells when a process is up, or dead
from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import dask
import distributed
import moto_store
import pytest
from run_project import Project

import geobatch_tui
from geobatch_tui.config.layers import make_job
from geobatch_tui.errors import ClusterError, StateError
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.testing import OPS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
DATA = Path(__file__).parents[2] / "benchmarks" / "data"
ROWS = {
    "relief": ("relief.tif", {"name": "raster.reproject", "dst_crs": "EPSG:3035"}, {}, {"chunk_cols": 512, "chunk_rows": 512}),
    "geoparquet": ("land.gpkg", {"name": "vector.reproject", "dst_crs": "EPSG:3857"}, {"format": "GeoParquet"}, {}),
    "gpkg": ("land.gpkg", {"name": "vector.reproject", "dst_crs": "EPSG:3857"}, {"format": "GPKG"}, {}),
    "tiles": ("tiles", {"name": "raster.reproject", "dst_crs": "EPSG:3857"}, {}, {}),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def operations():
    """Workers know the operations of the tests, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOBATCH_OPS", OPS)
        yield


@contextlib.contextmanager
def cluster(workers: int):
    # A local cluster gives up a nanny whose worker is not back in time, on a machine with much to do.
    patience = {"distributed.deploy.lost-worker-timeout": "300s"}
    with dask.config.set(patience):
        made = distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=2**31,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        )
        try:
            if workers:
                made.wait_for_workers(workers, timeout=300)
            yield made
        finally:
            # Its nannies wait seconds for a worker to end: on such a machine that is too short.
            with contextlib.suppress(TimeoutError):
                made.close()


def job(row: str, out: Path, executor: str, made=None):
    source, op, output, engine = ROWS[row]
    values = {
        "source": {"inputs": [str(DATA / source)]},
        "op": op,
        "output": {"dir": str(out), **output},
        "engine": {"executor": executor, "max_workers": 2, **engine},
    }
    if made is not None:
        values["engine"]["max_workers"] = 0
        values["dask"] = {"cluster": made.scheduler_address}
    return make_job(values)


def tree(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and ".geobatch" not in path.parts
    }


def done(out: Path) -> int:
    try:
        with LedgerReader(out / ".geobatch" / "ledger.db") as reader:
            return reader.counts()["done"]
    except StateError:  # no run has begun
        return 0


def pids(made) -> list[int]:
    """The processes of the Dask workers, below their nannies."""
    return [nanny.pid for nanny in made.workers.values() if nanny.pid]


async def run(loaded) -> dict[str, str]:
    result = await geobatch_tui.run(loaded)
    assert result.exit_code == 0, result
    assert result.counts["dead"] == 0
    return tree(Path(loaded.job.output.dir))


async def disturbed(loaded, made) -> dict[str, str]:
    """Run while a node is killed, one is retired, and one comes."""
    out = Path(loaded.job.output.dir)
    running = asyncio.ensure_future(run(loaded))
    client = await distributed.Client(made.scheduler_address, asynchronous=True)
    try:
        for what in ("kill", "add", "retire"):
            before = done(out)
            while done(out) < before + 3 and not running.done():
                await asyncio.sleep(0.1)
            if running.done():
                break
            if what == "kill":
                os.kill(pids(made)[0], signal.SIGKILL)
            elif what == "add":
                made.scale(len(made.workers) + 1)
            else:
                workers = (await client.scheduler.identity(n_workers=-1))["workers"]
                await client.retire_workers([next(iter(workers))])
    finally:
        await client.close()
    return await running


@pytest.mark.parametrize("row", list(ROWS))
async def test_the_same_bytes_everywhere(row, tmp_path):
    """By processes, by threads, on one, two and three nodes, and on nodes that come and go."""
    if not (DATA / ROWS[row][0]).exists():
        pytest.skip("needs the data of the benchmarks")
    whole = await run(job(row, tmp_path / "process", "process"))
    assert whole
    assert await run(job(row, tmp_path / "thread", "thread")) == whole
    for nodes in (1, 2, 3):
        with cluster(nodes) as made:
            assert await run(job(row, tmp_path / f"dask{nodes}", "dask", made)) == whole
    with cluster(3) as made:
        assert await disturbed(job(row, tmp_path / "disturbed", "dask", made), made) == whole


def project(root: Path, op, made, **engine) -> Project:
    root.mkdir(exist_ok=True)
    values = {"engine": {"executor": "dask", "max_workers": 0, **engine}}
    values["dask"] = {"cluster": made.scheduler_address, "lease": "0.5s"}
    return Project(root, op, values)


async def whole_tree(root: Path, op) -> dict[str, bytes]:
    """The tree of a run that nothing disturbs."""
    root.mkdir()
    undisturbed = Project(root, op)
    assert (await undisturbed.run()).exit_code == 0
    return undisturbed.tree()


async def test_exactly_the_guilty_among_300(tmp_path):
    """A crash, a hang and a glutton on three nodes: these three are dead, no Dask worker is lost."""
    with cluster(3) as made:
        before = pids(made)
        faults = {"segfault": [7], "hang": [141], "allocate": [290]}
        op = {"faults": faults, "chunks": 300, "milliseconds": 5, "megabytes": 3000}
        result = await project(tmp_path / "a", op, made, chunk_timeout="3s").run()
        assert pids(made) == before
    assert result.exit_code == 12
    assert (result.counts["done"], result.counts["dead"]) == (297, 3)
    with LedgerReader(tmp_path / "a" / "out" / ".geobatch" / "ledger.db") as reader:
        letters = list(reader.dead_letters())
    assert sorted(int(letter["chunk"].rpartition(",")[2]) for letter in letters) == [7, 141, 290]
    assert all(
        letter["host"] == os.uname().nodename
        for letter in letters
        if letter["evidence"].get("node")
    )


async def ten_more(disturbed, running):
    """Wait until ten more chunks are done, or the run is."""
    before = done(disturbed.out)
    while done(disturbed.out) < before + 10 and not running.done():
        await asyncio.sleep(0.1)


async def test_thirty_dask_workers_are_killed(tmp_path):
    """No chunk is blamed, none is lost, none is doubled."""
    op = {"chunks": 2000, "milliseconds": 40}
    with cluster(3) as made:
        disturbed = project(tmp_path / "a", op, made)
        running = asyncio.ensure_future(disturbed.run())
        killed = 0
        chance = random.Random(7)
        while killed < 30 and not running.done():
            await ten_more(disturbed, running)
            if alive := pids(made):
                os.kill(chance.choice(alive), signal.SIGKILL)
                killed += 1
        result = await running
    assert killed == 30
    assert (result.exit_code, result.counts["dead"], result.counts["done"]) == (0, 0, 2000)
    assert disturbed.tree() == await whole_tree(tmp_path / "whole", op | {"milliseconds": 0})


def nanny(made) -> subprocess.Popen:
    """Start a nanny, a process of its own, with a Dask worker below it."""
    command = [sys.executable, "-m", "distributed.cli.dask_worker", made.scheduler_address]
    command += ["--nthreads", "1", "--dashboard-address", "127.0.0.1:0", "--memory-limit", "2GiB"]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


async def test_thirty_nannies_are_killed(tmp_path):
    """Their Dask workers end with them. No chunk is blamed, none is lost; others take their place."""
    op = {"chunks": 3000, "milliseconds": 40}
    lines: list[str] = []
    with cluster(0) as made:
        nannies = [nanny(made) for _ in range(3)]
        try:
            disturbed = project(tmp_path / "a", op, made)
            running = asyncio.ensure_future(disturbed.run(log_stream=lines.append))
            killed = 0
            chance = random.Random(7)
            while killed < 30 and not running.done():
                await ten_more(disturbed, running)
                at = chance.randrange(len(nannies))
                nannies[at].kill()
                nannies[at].wait()
                nannies[at] = nanny(made)
                killed += 1
            result = await running
        finally:
            for each in nannies:
                each.kill()
                each.wait()
    assert killed == 30
    assert (result.exit_code, result.counts["dead"], result.counts["done"]) == (0, 0, 3000)
    assert not list(disturbed.out.glob(".*.part"))
    assert disturbed.tree() == await whole_tree(tmp_path / "whole", op | {"milliseconds": 0})
    assert sum('"node.lost"' in line for line in lines) >= 3, "those that had joined"


def workers_of_geobatch(made) -> list[str]:
    """Worker processes of geobatch below the Dask workers; fork servers stay."""
    return [
        worker for pid in pids(made) for server in children(pid) for worker in children(int(server))
    ]


def children(pid: int) -> list[str]:
    words = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            words += task.read_text().split()
    return words


async def test_the_engine_is_killed_twenty_times(tmp_path):
    """Each time no process of it is left on any node soon, and the last run has the same tree."""
    op = {"chunks": 1500, "milliseconds": 20}
    waited = []
    with cluster(2) as made:
        killed = project(tmp_path / "a", op, made)
        code = (
            "import asyncio, sys; sys.path[:0] = sys.argv[2:]\n"
            "from pathlib import Path; from run_project import Project\n"
            f"asyncio.run(Project(Path(sys.argv[1]), {killed.op!r}, {killed.values!r}).run())"
        )
        for _ in range(20):
            before = done(killed.out)
            engine = subprocess.Popen(
                [sys.executable, "-c", code, str(killed.root), *sys.path],
                stderr=subprocess.DEVNULL,
            )
            while done(killed.out) < before + 15 and engine.poll() is None:
                await asyncio.sleep(0.1)
            assert engine.poll() is None, "it ended by itself"
            engine.kill()
            engine.wait()
            began = time.monotonic()
            while workers_of_geobatch(made) and time.monotonic() < began + 60:
                await asyncio.sleep(0.1)
            waited.append(time.monotonic() - began)
        result = await killed.run()
    assert max(waited) < 10, waited
    assert (result.exit_code, result.counts["dead"]) == (0, 0)
    assert killed.tree() == await whole_tree(tmp_path / "whole", op | {"milliseconds": 0})


def other_node(made, shell: str, out: Path, name: str) -> subprocess.Popen:
    """Start a Dask worker that sees ``out`` otherwise."""
    dask = [sys.executable, "-m", "distributed.cli.dask_worker", made.scheduler_address]
    dask += ["--nthreads", "1", "--dashboard-address", "127.0.0.1:0", "--no-nanny", "--name", name]
    command = ["unshare", "-rm", "sh", "-c", f'{shell} && exec "$@"', str(out), *dask]
    return subprocess.Popen(command, cwd=out.parent)  # where no other geobatch lies


async def test_nodes_that_may_not_work(tmp_path):
    """One has no output directory, one a read-only one, one other versions: each is refused by name.
    The others go on; with none of them the run ends, with the list."""
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs namespaces of mounts")
    lines: list[str] = []
    with cluster(1) as made:
        work = project(tmp_path / "a", {"chunks": 20}, made)
        work.out.mkdir()
        others = [
            other_node(made, 'mount -t tmpfs none "$0"', work.out, "blind"),
            other_node(
                made,
                'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0"',
                work.out,
                "readonly",
            ),
            other_node(made, "export PYTHONPATH=" + str(elsewhere(tmp_path)), work.out, "older"),
        ]
        try:
            while len(made.scheduler_info["workers"]) < 4:
                assert all(each.poll() is None for each in others)
                await asyncio.sleep(0.2)
            assert (await work.run(log_stream=lines.append)).exit_code == 0
            refused = [line for line in lines if '"node.refused"' in line]
            said = (
                "it does not see what the engine wrote",
                "Read-only file system",
                "VersionSkewError",
            )
            assert len(refused) == 3
            assert all(any(each in line for line in refused) for each in said)
            made.scale(0)
            while len(made.scheduler_info["workers"]) > 3:
                await asyncio.sleep(0.2)
            alone = project(tmp_path / "a", {"chunks": 21}, made)
            with pytest.raises(ClusterError, match=r"no node of .* may work") as raised:
                await alone.run()
            assert raised.value.exit_code == 17
            assert all(each in str(raised.value) for each in said)
        finally:
            for each in others:
                each.kill()
                each.wait()


def elsewhere(root: Path) -> Path:
    """Make a copy of geobatch whose code is another."""
    place = root / "older"
    package = Path(geobatch_tui.__file__).parent
    place.mkdir()
    subprocess.run(["cp", "-r", str(package), str(place)], check=True)
    with (place / "geobatch_tui" / "errors.py").open("a") as file:
        file.write("# another\n")
    return place


async def test_tls_from_the_job(tmp_path):
    """Scheduler, nodes and engine speak TLS with the files that the job names."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=x",
         "-keyout", key, "-out", cert], check=True, capture_output=True,
    )  # fmt: skip
    work = Project(tmp_path, {"chunks": 20})
    security = {"ca_file": str(cert), "cert": str(cert), "key": str(key)}
    work.values = {"engine": {"executor": "dask", "max_workers": 0}}
    work.values["dask"] = {"cluster": "local", "processes": 1, "security": security}
    lines: list[str] = []
    assert (await work.run(log_stream=lines.append)).exit_code == 0
    assert any('"message":"tls://127.0.0.1:' in line and "cluster.joined" in line for line in lines)


async def test_outputs_in_a_store(tmp_path, monkeypatch):
    """Nodes that see the state directory write to a store as processes do: the same objects."""
    for name, value in moto_store.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    data = Path(__file__).parents[2] / "sample_configs" / "data" / "alps.tif"
    with moto_store.stored() as store, cluster(2) as made:
        for executor in ("process", "dask"):
            values = {
                "source": {"inputs": [str(data)]},
                "op": {"name": "raster.reproject", "dst_crs": "EPSG:3035"},
                "output": {"dir": f"s3://{moto_store.BUCKET}/{executor}"},
                "engine": {"executor": executor, "chunk_cols": 256, "chunk_rows": 256},
                "storage": store.section(),
                **({"dask": {"cluster": made.scheduler_address}} if executor == "dask" else {}),
            }
            assert (await geobatch_tui.run(make_job(values))).exit_code == 0
        here, there = (store.digests(f"{name}/") for name in ("process", "dask"))
    assert list(here.values()) == list(there.values())
    assert len(here) == 1
