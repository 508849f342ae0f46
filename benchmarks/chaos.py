"""Runs the chaos experiments in full and prints a table; 1 if any found a fault.

Usage: ``uv run python benchmarks/chaos.py [--kills 200] [--worker-kills 300] [--points 20]
[--seed N] [EXPERIMENT ...]``

The experiments live in ``tests/chaos``; what each does and when it passes stands in their
docstrings. The seed of the random moments is printed: the same one gives the same choices, though
not the same timing.
"""

from __future__ import annotations

import argparse
import secrets
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import ROOT, table

sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests" / "chaos"))

import chaos_jobs
import equal
import harness
import kills
import outage
import poison
import space
import state
from kills import kill_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from harness import Verdict

    Experiment = Callable[[Path], Verdict]


def experiments(given: argparse.Namespace) -> dict[str, Experiment]:
    """All experiments by name, each on a directory of its own."""
    seed = given.seed
    large = partial(chaos_jobs.raster, columns=40, rows=30)
    three = partial(chaos_jobs.raster, columns=4, rows=3, sources=3)
    found: dict[str, Experiment] = {
        "kill-engine": lambda d: kills.kill_engine(chaos_jobs.raster(d), given.kills, seed),
        "kill-engine-stage": lambda d: kills.kill_engine(chaos_jobs.staged(d), given.kills, seed),
        "kill-engine-mosaic": lambda d: kills.kill_engine(chaos_jobs.mosaic(d), given.kills, seed),
        "kill-workers": lambda d: kills.kill_workers(
            chaos_jobs.raster(d, columns=given.columns, rows=given.columns * 3 // 4),
            given.worker_kills,
            seed,
        ),
        "poison": lambda d: poison.ten_of_300(d, seed),
        "poison-and-kills": lambda d: poison.ten_of_300(d, seed, kill_gap=0.3),
        "file-size": lambda d: space.limit_file_size(chaos_jobs.raster(d), given.points),
        "file-size-whole": lambda d: space.limit_file_size(
            chaos_jobs.raster(d, columns=8, rows=6, engine=WHOLE), given.points
        ),
        "two-engines": lambda d: state.two_engines(large(d)),
        "ledger-deleted": lambda d: state.lose_ledger(three(d)),
        "ledger-damaged": lambda d: state.damage_ledger(three(d), seed),
        "output-damaged": lambda d: state.damage_output(three(d), seed),
        "source-touched": lambda d: state.touch_source(
            chaos_jobs.raster(d, columns=4, rows=3, side=200)
        ),
    }
    for form in chaos_jobs.VECTOR_FORMATS:
        found[f"kill-engine-{form.lower()}"] = partial(
            _features, form=form, kills=given.kills, seed=seed
        )
        found[f"cut-otherwise-{form.lower()}"] = partial(_cut, form=form)
    found["kill-workers-features"] = lambda d: kills.kill_workers(
        chaos_jobs.vector(d, "GPKG", chunks=given.columns * 60), given.worker_kills, seed
    )
    for name, numbers, gap, code in state.SIGNALS:
        key = "signal-" + name.lower().replace(" ", "-")
        found[key] = partial(_signal, numbers=numbers, gap=gap, code=code)
    for what, tables, reason in state.CHANGES:
        key = "change-" + what.replace(" ", "-")
        found[key] = partial(_change, what=what, tables=tables, reason=reason)
    for how, at in (("gone", 0.75), ("503", 0.75), ("gone", 0.3)):
        found[f"endpoint-{how}-{'chunks' if at > 0.5 else 'plan'}"] = partial(
            outage.endpoint_away, seconds=given.away, sources=400, workers=8, how=how, at=at
        )
    if space.may_mount():
        found["disk-full"] = lambda d: space.fill_disk(large(d))
        found["disk-full-for-good"] = lambda d: space.fill_disk_for_good(large(d))
    for place in kills.failpoints(ROOT / "geobatch_tui"):
        found[f"die-{place}"] = partial(_die, place=place)
    return found


#: One chunk for the whole item.
WHOLE = {"chunk_cols": 4096, "chunk_rows": 4096}


def _features(directory: Path, form: str, kills: int, seed: int) -> Verdict:
    return kill_engine(chaos_jobs.vector(directory, form), kills, seed)


def _cut(directory: Path, form: str) -> Verdict:
    return equal.cut_otherwise(chaos_jobs.vector(directory, form, chunks=50))


def _signal(directory: Path, numbers: list[int], gap: float, code: int) -> Verdict:
    fixture = chaos_jobs.raster(directory, columns=40, rows=30)
    return state.stop_by_signal(fixture, numbers, gap, code)


def _change(directory: Path, what: str, tables: dict[str, Any], reason: str) -> Verdict:
    return state.change(chaos_jobs.raster(directory, columns=4, rows=3), what, tables, reason)


def _die(directory: Path, place: str) -> Verdict:
    return kills.kill_at(chaos_jobs.raster(directory, columns=4, rows=3), place)


def perform(chosen: dict[str, Experiment]) -> Iterator[tuple[str, Verdict, float]]:
    """Run experiments one by one: name, verdict, seconds."""
    for name, experiment in chosen.items():
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="geobatch-chaos-") as scratch:
            try:
                verdict = experiment(Path(scratch) / "work")
            except subprocess.TimeoutExpired as error:
                verdict = harness.Verdict(name, faults=[f"hangs: {error}"])
        yield name, verdict, time.monotonic() - began


def main(words: Sequence[str] | None = None) -> int:
    """Run the named experiments (or all whose name begins so), or everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--worker-kills", type=int, default=300)
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--away", type=float, default=60, help="seconds, endpoint-")
    parser.add_argument("--columns", type=int, default=60, help="chunks in a row, kill-workers")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    given = parser.parse_args(words)
    every = experiments(given)
    wanted = given.experiments or list(every)
    chosen = {n: e for n, e in every.items() if any(n.startswith(word) for word in wanted)}
    if not chosen:
        parser.error(f"no such experiment; known: {', '.join(every)}")
    print(f"seed {given.seed}")
    harness.adopt_orphans()
    lines, faults = [], 0
    for name, verdict, seconds in perform(chosen):
        figures = ", ".join(f"{key} {value}" for key, value in verdict.figures.items())
        passed = "passed" if not verdict.faults else f"{len(verdict.faults)} FAULTS"
        lines.append({"experiment": name, "verdict": passed, "s": seconds, "figures": figures})
        print(f"{name}: {passed} in {seconds:.1f} s; {figures}", flush=True)
        for fault in verdict.faults[:20]:
            print(f"    {fault}", flush=True)
        faults += len(verdict.faults)
    print()
    print(table(lines))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
