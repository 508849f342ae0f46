"""Weighs the engine by itself: chunks that do nothing, a thousand to a million of them.

Usage: ``uv run python benchmarks/noop.py [--items 1] [--level info] [CHUNKS ...]`` (default 1000
100000 1000000)

For each count a job of ``test.noop`` with two workers, its chunks spread over ``--items`` inputs:
chunks committed a second (from the first
to the last ``chunk.done`` in the log, and over the whole command), peak memory of the engine's
own process and of its tree, size of the ledger. Then the same job is interrupted at about half
and started again: seconds from the start of the command to the first new chunk.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs import write_job
from measure import MB, checked, geobatch, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OPS = {"GEOBATCH_OPS": "geobatch_tui.testing.ops:NOOP"}
COUNTS = (1_000, 100_000, 1_000_000)


def job_of(directory: Path, chunks: int, items: int, level: str) -> Path:
    """A job of so many items with so many chunks in all."""
    (directory / "in").mkdir()
    for number in range(items):
        (directory / "in" / f"{number}.txt").write_text("anything\n")
    return write_job(
        directory / "job.toml",
        [directory / "in" / "*.txt"],
        directory / "out",
        {"name": "test.noop", "chunks": chunks // items},
        engine={"max_workers": 2},
        log={"format": "json", "level": level},
    )


def done_times(log: Path, offset: int = 0) -> Iterator[float]:
    """UNIX times of the ``chunk.done`` lines of a log from a byte offset on."""
    with log.open("rb") as file:
        file.seek(offset)
        for line in file:
            if b'"chunk.done"' in line:
                yield datetime.fromisoformat(json.loads(line)["time"]).timestamp()


def rate(log: Path) -> float:
    """Chunks a second between the first and the last ``chunk.done``."""
    first = last = None
    count = 0
    for moment in done_times(log):
        first = moment if first is None else first
        last, count = moment, count + 1
    if first is None or last is None or last == first:
        return 0.0
    return (count - 1) / (last - first)


def size_of(directory: Path, pattern: str) -> int:
    """Bytes of all files of a pattern."""
    return sum(path.stat().st_size for path in directory.glob(pattern))


def done_so_far(ledger: Path) -> int:
    """Chunks that the ledger holds as done; 0 while there is none."""
    try:
        with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=5) as database:
            row = database.execute("SELECT n_done FROM tally").fetchone()
    except sqlite3.Error:
        return 0
    return row[0] or 0 if row else 0


def resume(job: Path, out: Path, chunks: int) -> tuple[int, float]:
    """Interrupt a run at about half of its chunks and start it again.

    Returns the chunks that were done before, and seconds from the start of the second command to
    its first finished chunk.
    """
    shutil.rmtree(out, ignore_errors=True)
    state = out / ".geobatch"
    first = _start(job)
    while first.poll() is None and done_so_far(state / "ledger.db") < chunks // 2:
        time.sleep(0.02)
    first.send_signal(signal.SIGINT)
    first.wait()
    before = done_so_far(state / "ledger.db")
    log = state / "log.jsonl"
    offset = log.stat().st_size
    began = time.time()
    second = _start(job)
    moment = None
    while second.poll() is None and moment is None:
        time.sleep(0.01)
        moment = next(done_times(log, offset), None)
    if moment is None:
        moment = next(done_times(log, offset), float("nan"))
    second.send_signal(signal.SIGINT)
    second.wait()
    return before, moment - began


def _start(job: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        geobatch("run", str(job), "--headless"),
        env={**os.environ, **OPS},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def weigh(chunks: int, items: int, level: str) -> dict[str, Any]:
    """One line of the table."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        job = job_of(directory, chunks, items, level)
        out, state = directory / "out", directory / "out" / ".geobatch"
        done = checked(geobatch("run", str(job), "--headless", "--json"), OPS)
        counts = json.loads(done.stdout)["counts"]
        if counts["done"] != chunks:
            raise SystemExit(f"{counts} for {chunks} chunks")
        line = {
            "chunks": chunks,
            "items": items,
            "chunks/s": round(rate(state / "log.jsonl")),
            "wall s": done.seconds,
            "CPU s": done.cpu,
            "engine RSS MB": round(done.rss / MB),
            "tree RSS MB": round(done.tree_rss / MB),
            "tree PSS MB": round(done.tree_pss / MB),
            "ledger MB": round(size_of(state, "ledger.db*") / MB, 1),
            "log MB": round(size_of(state, "log.jsonl*") / MB, 1),
        }
        before, seconds = resume(job, out, chunks)
        again = checked(geobatch("run", str(job), "--headless", "--json"), OPS)
        if json.loads(again.stdout)["exit_code"] != 0:
            raise SystemExit("the resumed run did not finish")
        current = checked(geobatch("run", str(job), "--headless", "--json"), OPS)
    return {
        **line,
        "done at INT": before,
        "first chunk on resume s": seconds,
        "all current s": current.seconds,
    }


def main(words: Sequence[str] | None = None) -> None:
    """Weigh the given counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("chunks", nargs="*", type=int)
    parser.add_argument("--items", type=int, default=1, help="must divide the chunks")
    parser.add_argument("--level", default="info", help="log level (chunk.done is an info line)")
    given = parser.parse_args(words)
    lines = []
    for chunks in given.chunks or COUNTS:
        lines.append(weigh(chunks, given.items, given.level))
        print(table(lines), flush=True)


if __name__ == "__main__":
    main()
