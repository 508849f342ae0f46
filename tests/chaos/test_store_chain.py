"""Chains of kills of a run whose sources and outputs are in a store, and of the store itself."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import disk_store
import numpy as np
import psutil
import pytest
import rasterio
import tomli_w
from rasterio.transform import from_origin

from geobatch_tui.errors import GeobatchError
from geobatch_tui.execution.stores.output_prefix import local_place
from geobatch_tui.ledger.read.reader import LedgerReader

SERVER = str(Path(disk_store.__file__))
KILLS = 50
#: Seconds a request and bytes a second of a connection: parts are on their way when a kill comes.
LATENCY, RATE = 0.03, 20e6
WORKERS, SMALL = 2, 3
FIGURES = ("engine", "worker", "store", "refused", "whole", "chunks again")


class Store:
    """The store's process, which may be killed; its objects stay."""

    def __init__(self, root: Path) -> None:
        self.root, self.port = root, 0
        self.start()

    def start(self) -> None:
        words = [sys.executable, SERVER, str(self.root), str(self.port), str(LATENCY), str(RATE)]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def digests(self, bucket: str) -> dict[str, str]:
        kept = disk_store.Kept(self.root)
        folder = self.root / bucket / "objects"
        found = {}
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            facts = kept.facts(path)
            found[path.name] = hashlib.sha256(kept.read(path, facts["skip"])).hexdigest()
        return found

    def unfinished(self, bucket: str) -> list[Path]:
        return [*(self.root / bucket / "uploads").glob("*/upload")]

    def noted(self) -> list[str]:
        log = self.root / "log"
        return log.read_text().splitlines() if log.exists() else []


def put_scenes(root: Path) -> int:
    """Put rasters of noise into the store: one of many parts and three small ones."""
    rng = np.random.default_rng(11)
    kept = disk_store.Kept(root)
    for name, width, height in (
        ("large", 4200, 3600),
        *((f"small{n}", 300, 200) for n in range(SMALL)),
    ):
        path = root / "scene.tif"
        profile = {"width": width, "height": height, "count": 3, "dtype": "uint8", "tiled": True}
        profile |= {"crs": "EPSG:4326", "transform": from_origin(7, 47, 0.001, 0.001)}
        with rasterio.open(path, "w", driver="GTiff", **profile) as out:
            out.write(rng.integers(0, 256, (3, height, width), dtype="u1"))
        data = path.read_bytes()
        etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
        kept.write(kept.path("scenes", f"{name}.tif"), {"etag": etag, "about": {}}, [data])
        path.unlink()
    return 1 + SMALL


def job(store: Store, bucket: str) -> str:
    table = {"endpoint": f"http://127.0.0.1:{store.port}", "region": "us-east-1"}
    secrets = {"access_key": "env:CHAIN_KEY", "secret_key": "env:CHAIN_KEY"}
    return tomli_w.dumps({
        "source": {"inputs": ["s3://scenes/"]},
        "op": {"name": "raster.convert"},
        "output": {"dir": f"s3://{bucket}/out", "format": "COG"},
        "engine": {"max_workers": WORKERS, "chunk_cols": 1024, "chunk_rows": 1024},
        "storage": {f"s3://{name}": table | secrets for name in ("scenes", bucket)},
    })  # fmt: skip


@contextlib.contextmanager
def running(words: list[str]):
    with subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as run:
        try:
            yield run
        finally:
            if run.poll() is None:
                run.kill()


def ledger_of(url: str) -> Path:
    return local_place(url) / ".geobatch" / "ledger.db"


def done_in(url: str) -> int:
    """Number of chunks of the large item that the ledger has as done."""
    path = ledger_of(url)
    if not path.exists():
        return 0
    with LedgerReader(path) as reader:
        return sum(row.n_done for row in reader.items() if row.key == "large.tif")


class Chain:
    """Runs of one job, killed until there were enough kills, and what was done again."""

    URL = "s3://killed/out"

    def __init__(self, store: Store, words: list[str], expected: dict[str, str], seed: int) -> None:
        self.store, self.words, self.expected = store, words, expected
        self.rng = np.random.default_rng(seed)
        self.figures = dict.fromkeys(FIGURES, 0)

    def run(self, *, restarts: bool) -> None:
        """Run until it ends or is killed: early, or after some chunks, or parts. A worker, and the
        store, may be killed before."""
        rng, away, begun = self.rng, False, (len(self.store.noted()), done_in(self.URL))
        wanted = [(0, 0), (0, int(rng.integers(1, 20))), (int(rng.integers(1, 9)), 0)][
            rng.integers(3)
        ]
        others = {"worker": rng.random() < 0.4, "store": restarts and rng.random() < 0.4}
        early = time.monotonic() + rng.uniform(0.3, 4)
        with running(self.words) as run:
            while run.poll() is None and not self._reached(wanted, begun, early):
                time.sleep(0.02)
                if others["worker"] and rng.random() < 0.01 and kill_worker(run.pid):
                    self.figures["worker"] += 1
                    others["worker"] = False
                if others["store"] and rng.random() < 0.01:
                    self.restart()
                    away, others["store"] = True, False
            if run.poll() is None:
                run.send_signal(signal.SIGKILL)
                run.wait()
                self.figures["engine"] += 1
                assert done_in(self.URL) >= begun[1], "what was done is not done any more"
                return
        if run.returncode == 2 and away:  # it began while there was no store
            self.figures["refused"] += 1
            return
        self.ended(run.returncode)
        self.figures["whole"] += 1
        shutil.rmtree(self.store.root / "killed" / "objects")
        shutil.rmtree(local_place(self.URL))

    def _reached(self, wanted: tuple[int, int], begun: tuple[int, int], early: float) -> bool:
        parts, chunks = wanted
        if parts:
            return len(self.store.noted()) >= begun[0] + parts
        if chunks:
            with contextlib.suppress(GeobatchError):  # it is being made
                return done_in(self.URL) >= begun[1] + chunks
            return False
        return time.monotonic() > early

    def restart(self) -> None:
        self.store.kill()
        time.sleep(0.3)
        self.store.start()
        self.figures["store"] += 1

    def ended(self, code: int) -> None:
        """Hold what a run that got through left against an undisturbed one."""
        assert code == 0
        assert self.store.digests("killed") == self.expected
        assert self.store.unfinished("killed") == []
        with LedgerReader(ledger_of(self.URL)) as reader:
            assert reader.uploads() == []
            twice = sum(run.n_done for run in reader.runs()) - reader.counts()["done"]
        self.figures["chunks again"] += twice


@pytest.mark.slow
@pytest.mark.parametrize("restarts", [False, True], ids=["store-stays", "store-restarted"])
def test_engine_workers_and_store_are_killed(tmp_path, monkeypatch, restarts):
    """50 SIGKILLs of the engine, and some of workers and of the store: the same objects, no upload
    left, and nothing is done again but what was under way."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("CHAIN_KEY", "key")
    (tmp_path / "store").mkdir()
    items = put_scenes(tmp_path / "store")
    store = Store(tmp_path / "store")
    try:
        for bucket in ("undisturbed", "killed"):
            (tmp_path / f"{bucket}.toml").write_text(job(store, bucket))
        words = [sys.executable, "-m", "geobatch_tui", "run", "--headless"]
        subprocess.run(
            [*words, str(tmp_path / "undisturbed.toml")], check=True, capture_output=True
        )
        expected, ours = store.digests("undisturbed"), len(store.noted())
        assert len(expected) == items
        chain = Chain(store, [*words, str(tmp_path / "killed.toml")], expected, 5 + restarts)
        while chain.figures["engine"] < KILLS:
            chain.run(restarts=restarts)
        chain.ended(subprocess.run(chain.words, check=False, capture_output=True).returncode)
        noted = store.noted()[ours:]
        resent = sum(line.startswith("again ") for line in noted)
        figures = chain.figures | {"parts": len(noted) - resent, "parts again": resent}
        sys.stderr.write(f"\n{figures}\n")
        # An output of one chunk is in no spool: it is made again if it was not sent.
        assert figures["chunks again"] <= SMALL * figures["engine"]
        # Eight parts are sent at once; what arrived is asked of the store.
        assert resent <= 8 * (figures["engine"] + figures["store"])
    finally:
        store.kill()


def kill_worker(engine: int) -> bool:
    """Kill a process below the engine that computes, if there is one."""
    with contextlib.suppress(psutil.Error):
        below = psutil.Process(engine).children(recursive=True)
        if forked := [one for one in below if one.ppid() != engine]:
            forked[-1].kill()
            return True
    return False
