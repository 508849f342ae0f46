"""Experiments with chunks that kill, block or befoul their worker."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import harness
import tomli_w
from chaos_jobs import Fixture
from harness import Verdict

if TYPE_CHECKING:
    from pathlib import Path

#: Seconds after which a chunk that hangs is ended.
TIMEOUT = "2s"

#: Faults that a chunk must survive, and the others leave it dead.
HARMLESS = frozenset({"warn", "binary", "flood", "leak", "allocate", "close_pipe"})
#: What each of these must be called in the dead letter.
CLASSES: dict[str, str] = {
    "segfault": "WorkerCrashError",
    "abort": "WorkerCrashError",
    "exit": "WorkerCrashError",
    "hang": "ChunkTimeoutError",
    "busy": "ChunkTimeoutError",
    "deaf": "ChunkTimeoutError",
    "child": "ChunkTimeoutError",
    "raise": "OperationError",
    "disk_full": "",  # pauses the run instead: not in a job with others
}


def faulty(
    directory: Path, faults: dict[str, list[int]], *, chunks: int = 300, **changes: Any
) -> Fixture:
    """A job of ``test.faulty`` with ``chunks`` chunks of 2 ms, two workers."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "input.txt").write_text("anything\n")
    tables = {
        "job": {"name": "poison"},
        "source": {"inputs": ["input.txt"]},
        "op": {"name": "test.faulty", "chunks": chunks, "milliseconds": 2.0, "faults": faults},
        "output": {"dir": "out"},
        "engine": {"max_workers": 2, "chunk_timeout": TIMEOUT},
        "retry": {"backoff_base": "0.02s", "backoff_cap": "0.1s"},
        "log": {"format": "json"},
    }
    path = directory / "job.toml"
    path.write_text(tomli_w.dumps(tables))
    fixture = Fixture(directory, path, tables, directory / "out", chunks)
    if changes:
        fixture.write(**changes)
    return fixture


def patient(directory: Path) -> Fixture:
    """A job that takes 2 s and hardly any CPU: 80 chunks of 50 ms, two workers, no faults."""
    return faulty(directory, {}, chunks=80, op={"milliseconds": 50.0})


def chunk_number(letter: dict[str, Any]) -> int:
    """The number of a chunk of ``test.faulty`` by its key ``item@0,number``."""
    return int(letter["chunk"].rpartition(",")[2])


def ten_of_300(directory: Path, seed: int, kill_gap: float = 0.0) -> Verdict:
    """Ten chunks that segfault, hang or exit among 300, two workers: exactly those in the dead
    letters, exit 12. With ``kill_gap``, random workers are killed besides, so often on average."""
    rng = random.Random(seed)
    verdict = Verdict("10 poison of 300" + (" + kills" if kill_gap else ""), seed)
    chosen = rng.sample(range(300), 10)
    faults = {
        "segfault": sorted(chosen[:4]),
        "hang": sorted(chosen[4:7]),
        "exit": sorted(chosen[7:]),
    }
    fixture = faulty(directory, faults)
    engine = fixture.start()
    killed = 0
    while kill_gap and engine.alive() and killed < 20:
        time.sleep(rng.expovariate(1 / kill_gap))
        workers = engine.workers()
        if workers and engine.alive():
            killed += harness.kill(rng.choice(workers))
    ended = engine.wait(timeout=180)
    verdict.expect(ended.code == 12, f"exit {ended.code}: {ended.stderr[-2000:]}")
    letters = harness.dead_letters(fixture.out)
    found = {chunk_number(letter): letter["error_class"] for letter in letters}
    verdict.expect(sorted(found) == sorted(chosen), f"dead: {sorted(found)}, poison: {chosen}")
    for fault, numbers in faults.items():
        for number in numbers:
            name = found.get(number)
            # A kill of ours may strike a chunk while it hangs: then the crash is what is known.
            fits = name == CLASSES[fault] or (killed and name == "WorkerCrashError")
            verdict.expect(fits, f"chunk {number} ({fault}) died of {name}")
    counts = ended.json["counts"]
    verdict.expect(counts["done"] == 290, f"counts: {counts}")
    lines = harness.events(fixture.out)
    verdict.figures = {
        "dead": len(found),
        "innocents": len(set(found) - set(chosen)),
        "done": counts["done"],
        "worker.lost": harness.count(lines, "worker.lost"),
        "killed by us": killed,
        "run s": round(ended.seconds, 1),
    }
    _, left = harness.wait_for_no_orphans()
    verdict.expect(not left, f"alive after the end: {left[:4]}")
    return verdict


def one_fault(directory: Path, fault: str) -> Verdict:
    """One chunk with ``fault`` among 40: it is dead, or done where the fault is harmless; all
    others are done; no process is left."""
    verdict = Verdict(f"fault {fault}")
    number = 17
    fixture = faulty(directory, {fault: [number]}, chunks=40)
    ended = fixture.start().wait(timeout=120)
    harmless = fault in HARMLESS
    verdict.expect(
        ended.code == (0 if harmless else 12), f"exit {ended.code}: {ended.stderr[-2000:]}"
    )
    letters = harness.dead_letters(fixture.out)
    found = {chunk_number(letter): letter["error_class"] for letter in letters}
    verdict.expect(set(found) == (set() if harmless else {number}), f"dead: {found}")
    if CLASSES.get(fault):
        verdict.expect(found.get(number) == CLASSES[fault], f"died of {found.get(number)}")
    _, left = harness.wait_for_no_orphans()
    verdict.expect(not left, f"alive after the end: {left[:4]}")
    verdict.figures = {"class": found.get(number, "done"), "run s": round(ended.seconds, 1)}
    return verdict
