"""Measures how long a user waits before anything happens.

Usage: ``uv run python benchmarks/startup.py [--runs 10]``

``geobatch --version`` and ``--help``: wall time of the process. First chunk: from the start of
the command ``geobatch run`` of a small job (the Alps of the demo data, chunks of 256) to the line
in its log that says that a chunk began, and to the one that says that a chunk is done; then to the
end of the command, in a fresh directory and once more where all is current.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs import reproject, write_job
from measure import ROOT, checked, geobatch, median, table

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLE = ROOT / "sample_configs" / "data" / "alps.tif"


def wall(words: Sequence[str], runs: int) -> list[float]:
    """Wall seconds of a command, ``runs`` times after one to warm the caches."""
    checked(geobatch(*words))
    return [checked(geobatch(*words)).seconds for _ in range(runs)]


def first_events(log: Path, began: float) -> dict[str, float]:
    """Seconds from ``began`` (UNIX time) to the first log line of each event."""
    seen: dict[str, float] = {}
    for line in log.read_text().splitlines():
        entry: dict[str, Any] = json.loads(line)
        moment = datetime.fromisoformat(entry["time"]).timestamp() - began
        seen.setdefault(entry.get("event", ""), moment)
    return seen


def small_job(runs: int) -> dict[str, list[float]]:
    """Seconds to the first chunk's start, its end, the end of the run; and of a second run."""
    figures: dict[str, list[float]] = {name: [] for name in ("start", "done", "all", "again")}
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out"
        engine = {"chunk_cols": 256, "chunk_rows": 256}
        output = {"creation": {"blocksize": 256}}
        op = reproject("EPSG:3035", "bilinear")
        log = {"level": "debug"}
        job = write_job(
            Path(scratch) / "job.toml", [SAMPLE], out, op, engine=engine, output=output, log=log
        )
        for _ in range(runs):
            shutil.rmtree(out, ignore_errors=True)
            began = time.time()
            done = checked(geobatch("run", str(job), "--headless"))
            seen = first_events(out / ".geobatch" / "log.jsonl", began)
            figures["start"].append(seen["chunk.start"])
            figures["done"].append(seen["chunk.done"])
            figures["all"].append(done.seconds)
            figures["again"].append(checked(geobatch("run", str(job), "--headless")).seconds)
    return figures


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args(words).runs
    taken = {"--version": wall(["--version"], runs), "--help": wall(["--help"], runs)}
    small = small_job(runs)
    taken["small job: first chunk started"] = small["start"]
    taken["small job: first chunk done"] = small["done"]
    taken["small job: whole run"] = small["all"]
    taken["small job: second run, all current"] = small["again"]
    aims = {"--version": 0.2, "small job: first chunk started": 1.2}
    aims["small job: second run, all current"] = 2.0
    print(
        table(
            [
                {
                    "what": name,
                    "median s": median(values),
                    "least s": min(values),
                    "most s": max(values),
                    "aim s": aims.get(name, ""),
                }
                for name, values in taken.items()
            ]
        )
    )


if __name__ == "__main__":
    main()
