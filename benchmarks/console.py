"""What the console costs a run, and what it costs by itself.

Usage: ``uv run python benchmarks/console.py [--rounds 5] [--copies 4] [--seconds 20] [PART ...]``

overhead
    relief.tif, --copies times, in chunks of 512, headless and in the console, by turns: seconds
    from the run's beginning to its end as the ledger has them, and CPU seconds of the process
    with engine and console and of all processes. The ratio of the medians is what counts.
idle
    CPU of a console in which nothing moves: a finished run, one of 10^6 chunks, a paused one.
keys
    milliseconds from a key to the first byte of its picture and to the last, at 10^6 chunks.
ticks
    bytes that a console of a live run sends a tick (a quarter of a second), 20 chunks a tick.

Consoles run on a pty of 160 x 48 which is read all the while.
"""

from __future__ import annotations

import argparse
import os
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from jobs import reproject, write_job
from measure import ROOT, Scale, geobatch, table

from geobatch_tui.ledger.place.lock import RunLock
from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.ledger.write.writer import Ledger

sys.path.insert(0, str(ROOT / "tests" / "tui"))
from pseudo_terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SIZE = {"columns": 160, "rows": 48}
SIDE = 1000  #: chunks of a row and of a column: 10^6 in all
TICK = 0.25
QUIET = 0.06  #: seconds without a byte after which a picture is taken to be complete
KEYS = (b"l", b"j", b"\x1b[C", b"\x1b[B", b">", b"l", b"<", b"1", b"2", b"3", b"2", b"4", b"2")


# --- a run with and without the console --------------------------------------------------------


def overhead(given: argparse.Namespace, scratch: Path) -> list[dict[str, Any]]:
    """Relief headless and in the console, by turns."""
    out = scratch / "relief"
    source = ROOT / "benchmarks" / "data" / "relief.tif"
    inputs = [shutil.copy(source, scratch / f"relief-{n}.tif") for n in range(given.copies)]
    job = write_job(
        scratch / "relief.toml",
        inputs,
        out,
        reproject("EPSG:6933", "bilinear"),
        engine={"chunk_cols": 512, "chunk_rows": 512, "max_workers": 2},
    )
    ways: dict[str, Callable[[Path, Path], dict[str, float]]] = {
        "headless": _headless,
        "console": _hosted,
    }
    _headless(job, out)  # compiles kernels, fills the page cache
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for turn in range(given.rounds):
        # A B, B A: whatever drifts, drifts for both.
        for name in list(ways) if turn % 2 == 0 else list(ways)[::-1]:
            found[name].append(ways[name](job, out))
    middle = {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for name, runs in found.items()
    }
    lines: list[dict[str, Any]] = [{"overhead": name, **middle[name]} for name in ways]
    ratios = {key: middle["console"][key] / middle["headless"][key] for key in middle["console"]}
    return [*lines, {"overhead": "ratio", **ratios}]


def _headless(job: Path, out: Path) -> dict[str, float]:
    with tempfile.TemporaryFile() as sink:
        process = subprocess.Popen(
            geobatch("run", str(job), "--headless", "--fresh"), stdout=sink, stderr=sink
        )
        scale = Scale(process.pid, 0.2)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        scale.stop()
    return _figures(out, usage.ru_utime + usage.ru_stime, scale)


def _hosted(job: Path, out: Path) -> dict[str, float]:
    shown = console("run", str(job), "--fresh")
    scale = Scale(shown.pid, 0.2)
    shown.wait_for(b"SUCCESS", 300)
    shown.type(b"q")
    shown.ended(60)
    scale.stop()
    return _figures(out, shown.cpu, scale)


def _figures(out: Path, own: float, scale: Scale) -> dict[str, float]:
    with LedgerReader(StateDir.open(out).ledger) as reader:
        run = reader.run()
    if run is None or run.t1 is None or run.state != "success":
        raise SystemExit(f"the run of {out} did not succeed")
    return {"run s": run.t1 - run.t0, "engine CPU s": own, "all CPU s": max(own, scale.cpu)}


def console(*words: str) -> Terminal:
    """A console on a terminal."""
    return Terminal(["-m", "geobatch_tui", *words], Path.cwd(), **SIZE)


# --- a console by itself -----------------------------------------------------------------------


def million(directory: Path, *, live: bool) -> tuple[Ledger, RunLock | None]:
    """A ledger of 10^6 chunks, a third of them done."""
    state = StateDir.open(directory, create=True)
    lock = RunLock.acquire(state.lock, run_id="bench", t0=time.time()) if live else None
    ledger = Ledger.open(state.ledger, directory)
    ledger.begin_run("bench", {"job": {"job": {"name": "bench"}}}, {})
    grid = {"width": SIDE * 512, "height": SIDE * 512, "chunk_width": 512, "chunk_height": 512}
    plan = {"grid": grid, "bounds_lonlat": [5.0, 40.0, 25.0, 55.0], "notes": {}}
    ledger.apply(
        [
            lu.ItemPlanned(
                lu.ItemRow(
                    item_id=1,
                    key="relief.tif",
                    source="/data/relief.tif",
                    src_size=10,
                    src_mtime_ns=20,
                    src_digest="a" * 32,
                    params_digest="b" * 32,
                    code_digest="c" * 32,
                    fingerprint="d" * 32,
                    params={},
                    plan=plan,
                    out_path=str(directory / "relief.tif"),
                    first_chunk=1,
                    n_chunks=SIDE * SIDE,
                )
            ),
            lu.Noted("run.planned", {"current": 0}),
        ]
    )
    step = 10_000
    for begin in range(0, SIDE * SIDE // 3, step):
        ledger.apply([done(chunk) for chunk in range(begin + 1, begin + step + 1)])
    (state.log).touch()
    if not live:
        ledger.apply([lu.RunEnded("interrupted", 130, "drained")])
    return ledger, lock


def done(chunk: int) -> lu.ChunkDone:
    """A finished chunk."""
    return lu.ChunkDone(
        chunk_id=chunk,
        item_id=1,
        attempts=1,
        spool="1-99-1.spool",
        offset=0,
        length=100,
        crc32=1,
        units=262_144,
        bytes_in=1000,
        bytes_out=100,
        seconds=0.25,
        nodata=0.5,
        rss_peak=1 << 20,
    )


def idle(given: argparse.Namespace, scratch: Path) -> list[dict[str, Any]]:
    """CPU of consoles in which nothing moves."""
    small = scratch / "small"
    noop(small, chunks=100, milliseconds=0)
    subprocess.run(
        geobatch("run", str(small / "job.toml"), "--headless"),
        env={**os.environ, **OPS},
        check=True,
        capture_output=True,
    )
    large = scratch / "large"
    million(large, live=False)[0].close(archive=False)
    lines = [
        _idle("finished, 100 chunks", given.seconds, "watch", str(small / "out")),
        _idle("finished, 10^6 chunks", given.seconds, "watch", str(large)),
    ]
    paused = scratch / "paused"
    noop(paused, chunks=100_000, milliseconds=2)
    lines.append(
        _idle("paused, engine in it", given.seconds, "run", str(paused / "job.toml"), keys=b"P")
    )
    return lines


def _idle(name: str, seconds: float, *words: str, keys: bytes = b"") -> dict[str, Any]:
    shown = Terminal(["-m", "geobatch_tui", *words], Path.cwd(), **SIZE, **OPS)
    try:
        shown.wait_for(b"Workers", 60)
        shown.read(3)
        shown.type(keys)
        shown.read(5)
        process = psutil.Process(shown.pid)
        before, begun = sum(process.cpu_times()[:2]), time.monotonic()
        sent = len(shown.read(seconds))
        spent = sum(process.cpu_times()[:2]) - before
        took = time.monotonic() - begun
    finally:
        shown.close()
    return {"idle": name, "CPU %": 100 * spent / took, "bytes/s": sent / took}


OPS = {"GEOBATCH_OPS": "geobatch_tui.testing.ops:NOOP"}


def noop(directory: Path, chunks: int, milliseconds: int) -> None:
    """A job of chunks that do nothing."""
    directory.mkdir()
    (directory / "in.txt").write_text("anything\n")
    op = {"name": "test.noop", "chunks": chunks, "milliseconds": milliseconds}
    write_job(
        directory / "job.toml",
        [directory / "in.txt"],
        directory / "out",
        op,
        engine={"max_workers": 2},
    )


def keys(given: argparse.Namespace, scratch: Path) -> list[dict[str, Any]]:
    """From a key to its picture, at 10^6 chunks."""
    place = scratch / "keys"
    million(place, live=False)[0].close(archive=False)
    shown = console("watch", str(place))
    first, whole = [], []
    try:
        shown.wait_for(b"Workers", 60)
        shown.type(b"2")
        shown.read(3)
        for key in KEYS:  # screens are made when they are first shown
            shown.type(key)
            shown.read(0.5)
        for turn in range(max(1, int(given.seconds))):
            for key in KEYS:
                shown.read(0.05 + 0.01 * (turn % 7))
                begin, end = _pressed(shown, key)
                first.append(begin)
                whole.append(end)
    finally:
        shown.close()
    return [_spread("to the first byte", first), _spread("to the last byte", whole)]


def _pressed(shown: Terminal, key: bytes) -> tuple[float, float]:
    """Milliseconds from a key to the first and to the last byte of what it changed."""
    while select.select([shown.primary], [], [], 0)[0]:
        os.read(shown.primary, 65536)
    begun = time.perf_counter()
    shown.type(key)
    first = last = 0.0
    while select.select([shown.primary], [], [], QUIET if first else 2.0)[0]:
        os.read(shown.primary, 65536)
        last = 1000 * (time.perf_counter() - begun)
        first = first or last
    return first, last


def _spread(name: str, values: Sequence[float]) -> dict[str, Any]:
    cuts = statistics.quantiles(values, n=20)
    return {
        "key to paint, ms": name,
        "p50": statistics.median(values),
        "p95": cuts[-1],
        "max": max(values),
        "n": len(values),
    }


def ticks(given: argparse.Namespace, scratch: Path) -> list[dict[str, Any]]:
    """Bytes a tick of a live run of 10^6 chunks, on each screen."""
    place = scratch / "ticks"
    ledger, lock = million(place, live=True)
    over = threading.Event()
    writer = threading.Thread(target=_commit, args=(ledger, StateDir.open(place).log, over))
    writer.start()
    try:
        return list(_ticks(place, given.seconds))
    finally:
        over.set()
        writer.join()
        ledger.close(archive=False)
        if lock is not None:
            lock.release()


def _commit(ledger: Ledger, log: Path, over: threading.Event) -> None:
    """Twenty chunks and a line of progress a tick, as a busy engine would."""
    chunk = SIDE * SIDE // 3 + 10_000
    with log.open("a") as file:
        while not over.wait(TICK):
            working = [[n, f"relief.tif@{chunk // SIDE},{n}", 0.4 + n, "chunk"] for n in range(8)]
            data = {
                "chunks_per_s": 80.0 + chunk % 7,
                "units_per_s": 2e7,
                "bytes_in_per_s": 1.4e9,
                "bytes_out_per_s": 3.1e8,
                "eta_s": 1120.0 - chunk % 100,
                "rss_bytes": 2 << 30,
                "suspended": "",
                "state": "running",
                "working": working,
                "workers": {str(n): {"pid": 1000 + n, "rss": 9 * 10**8} for n in range(8)},
            }
            ledger.apply([*(done(chunk + n) for n in range(20)), lu.Noted("progress", data)])
            chunk += 20
            for n in range(20):
                t = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{n * 12:03d}Z"
                file.write(
                    f'{{"time":"{t}","level":"info","event":"chunk.done","message":"","chunk":'
                    f'"relief.tif@{(chunk + n) // SIDE},{(chunk + n) % SIDE}",'
                    f'"duration_ms":{200 + 137 * (chunk + n) % 1900}}}\n'
                )
            file.flush()


def _ticks(place: Path, seconds: float) -> Iterator[dict[str, Any]]:
    shown = console("watch", str(place))
    try:
        shown.wait_for(b"Workers", 60)
        process = psutil.Process(shown.pid)
        screens = ((b"1", "run"), (b"2", "map"), (b"3", "dead"), (b"4", "log, followed"))
        for key, name in (*screens, (b"kkk", "log, left")):
            shown.type(key)
            shown.read(2)
            before, begun = sum(process.cpu_times()[:2]), time.monotonic()
            sent = len(shown.read(seconds))
            took = time.monotonic() - begun
            spent = sum(process.cpu_times()[:2]) - before
            yield {
                "live, 80 chunks/s": name,
                "bytes/s": sent / took,
                "bytes/tick": sent / took * TICK,
                "CPU %": 100 * spent / took,
            }
    finally:
        shown.close()


PARTS = {"overhead": overhead, "idle": idle, "keys": keys, "ticks": ticks}


def main(words: Sequence[str] | None = None) -> None:
    """Measure the named parts, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args(words)
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    for name in given.parts or PARTS:
        with tempfile.TemporaryDirectory(prefix="geobatch-console-") as scratch:
            print(table(PARTS[name](given, Path(scratch))), "\n", flush=True)


if __name__ == "__main__":
    main()
