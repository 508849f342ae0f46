"""Weighs a Dask cluster on this machine against the process pool: wall time, and what Dask costs.

Usage: ``uv run python benchmarks/cluster.py [--rounds 3] [--noop 100000]
[wall | start | noop | join]``

``wall``: relief to EPSG:3035 in chunks of 512, by two worker processes, and by two Dask workers of
one process each that run already; the outputs must have the same bytes. ``start``: seconds from
the start of the command to the first chunk. ``noop``: chunks that do nothing, committed a second,
on the same two Dask workers. ``join``: seconds from when the scheduler knows a second Dask worker
to its first chunk; it has loaded nothing of geobatch before.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import tempfile
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data import path_of
from jobs import reproject, write_job
from measure import MB, checked, geobatch, median, table
from noop import OPS, done_times, rate

from geobatch_tui.testing import OPS as ALL_OPS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = ("wall", "start", "noop", "join")


@contextmanager
def cluster() -> Iterator[str]:
    """Two Dask workers of one thread; gives the scheduler's address."""
    import distributed

    os.environ.update(OPS)
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as made:
        yield str(made.scheduler_address)


def tables(executor: str, address: str) -> dict[str, dict[str, Any]]:
    """Tables of a job that runs by an executor."""
    made: dict[str, dict[str, Any]] = {"engine": {"executor": executor, "max_workers": 2}}
    if executor == "dask":
        made["dask"] = {"cluster": address}
    return made


def wall(address: str, rounds: int) -> list[dict[str, Any]]:
    """One line an executor: the median of rounds in turn."""
    seconds: dict[str, list[float]] = {"process": [], "dask": []}
    digests = set()
    for _ in range(rounds):
        for executor, found in seconds.items():
            with tempfile.TemporaryDirectory() as scratch:
                out = Path(scratch, "out")
                more = tables(executor, address)
                more["engine"] |= {"chunk_cols": 512, "chunk_rows": 512}
                job = write_job(
                    Path(scratch, "job.toml"),
                    [path_of("relief")],
                    out,
                    reproject("EPSG:3035", "bilinear"),
                    **more,
                )
                found.append(checked(geobatch("run", str(job), "--headless", "--json")).seconds)
                (made,) = out.glob("*.tif")
                digests.add(hashlib.sha256(made.read_bytes()).hexdigest())
    if len(digests) != 1:
        raise SystemExit(f"the outputs differ: {sorted(digests)}")
    base = median(seconds["process"])
    return [
        {"executor": executor, "wall s": median(found), "ratio": median(found) / base}
        for executor, found in seconds.items()
    ]


def start(address: str, rounds: int) -> list[dict[str, Any]]:
    """One line an executor: seconds to the first chunk, and CPU of the engine, median of rounds."""
    lines = []
    for executor in ("process", "dask"):
        found, cpu = [], []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as scratch:
                job = empty_job(Path(scratch), 10, tables(executor, address))
                began = time.time()
                cpu.append(checked(geobatch("run", str(job), "--headless", "--json"), OPS).cpu)
                found.append(
                    min(done_times(Path(scratch, "out", ".geobatch", "log.jsonl"))) - began
                )
        lines.append({"executor": executor, "first chunk s": median(found), "CPU s": median(cpu)})
    return lines


def empty_job(scratch: Path, chunks: int, more: dict[str, dict[str, Any]]) -> Path:
    """A job of chunks that do nothing."""
    source = scratch / "a.txt"
    source.write_text("anything\n")
    op = {"name": "test.noop", "chunks": chunks}
    return write_job(scratch / "job.toml", [source], scratch / "out", op, **more)


def noop(address: str, chunks: int) -> list[dict[str, Any]]:
    """One line an executor: chunks committed a second."""
    lines = []
    for executor in ("process", "dask"):
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch, "out")
            job = empty_job(Path(scratch), chunks, tables(executor, address))
            done = checked(geobatch("run", str(job), "--headless", "--json"), OPS)
            if json.loads(done.stdout)["counts"]["done"] != chunks:
                raise SystemExit(f"not all of {chunks} chunks are done")
            lines.append(
                {
                    "executor": executor,
                    "chunks": chunks,
                    "chunks/s": round(rate(out / ".geobatch" / "log.jsonl")),
                    "wall s": done.seconds,
                    "engine CPU s": done.cpu,
                    "engine RSS MB": round(done.rss / MB),
                }
            )
    return lines


def join(rounds: int) -> list[dict[str, Any]]:
    """One line: seconds, median of rounds, each on a cluster of its own."""
    found = [joined_late() for _ in range(rounds)]
    return [{"a Dask worker joins": "to its first chunk", "s": median(found)}]


def joined_late() -> float:
    """Have a second Dask worker join a run; return the seconds to its first chunk."""
    import distributed

    os.environ["GEOBATCH_OPS"] = ALL_OPS
    with (
        tempfile.TemporaryDirectory() as scratch,
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as made,
    ):
        source, log = Path(scratch, "a.txt"), Path(scratch, "out", ".geobatch", "log.jsonl")
        source.write_text("anything\n")
        op = {"name": "test.faulty", "chunks": 600, "milliseconds": 50}
        more = tables("dask", str(made.scheduler_address))
        job = write_job(Path(scratch, "job.toml"), [source], log.parents[1], op, **more)
        command = geobatch("run", str(job), "--headless", "--json")
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
            while not firsts(log):
                if run.poll() is not None:
                    raise SystemExit("the run ended before its first chunk")
                time.sleep(0.1)
            made.scale(2)
            while len(made.scheduler_info["workers"]) < 2:
                time.sleep(0.01)
            known = time.time()
        if len(firsts(log)) != 2:
            raise SystemExit("the second Dask worker did no chunk")
        return firsts(log)[1] - known


def firsts(log: Path) -> list[float]:
    """UNIX times of the first chunk of each worker process, in order."""
    found: dict[int, float] = {}
    for line in log.read_text().splitlines() if log.exists() else ():
        if '"chunk.done"' in line:
            entry = json.loads(line)
            found.setdefault(entry["worker"], datetime.fromisoformat(entry["time"]).timestamp())
    return list(found.values())


def main() -> None:
    """Weigh the given rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("rows", nargs="*", choices=[[], *ROWS])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--noop", type=int, default=100_000)
    given = parser.parse_args()
    rows = list(given.rows or ROWS)
    if "join" in rows:
        rows.remove("join")
        print(table(join(given.rounds)), flush=True)
    with cluster() as address:
        for row in rows:
            if row == "noop":
                lines = noop(address, given.noop)
            else:
                lines = {"wall": wall, "start": start}[row](address, given.rounds)
            print(table(lines), flush=True)


if __name__ == "__main__":
    main()
