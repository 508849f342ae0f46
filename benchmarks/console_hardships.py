"""What terminals may do to a run without changing a byte of its outputs; 1 if any byte changed.

Usage: ``uv run python benchmarks/console_hardships.py [--seconds 60] [--consoles 20] [--chunk N]``

relief.tif in small chunks: its terminal hangs up; consoles on a run in the background are killed
with -9; twenty attach and leave, ten of them at once. Then as many copies of relief.tif as make the
run last longer than a minute, in which its terminal is not read. The digests are of all outputs,
those of the same job without a terminal beside those that came out.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import ROOT, table

sys.path.insert(0, str(ROOT / "tests" / "tui"))

import hardships

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SPARE = 1.2
"""How many times the unread minute the job takes two workers. In the console one does it, so that
it lasts twice as long."""


def measured(name: str, job: Any, work: Callable[[], list[str]]) -> dict[str, Any]:
    """A hardship, and what came of it."""
    begun = time.monotonic()
    faults = work()
    return {
        "hardship": name,
        "s": time.monotonic() - begun,
        "sha256, headless": job.digest(job.wanted)[:16],
        "sha256": job.digest(job.outputs())[:16],
        "result": "FAIL: " + ", ".join(faults) if faults else "pass",
    }


def copies(source: Path, place: Path, count: int) -> list[Path]:
    """So many files like ``source``."""
    place.mkdir()
    return [
        Path(shutil.copy(source, place / f"{source.stem}-{n}{source.suffix}")) for n in range(count)
    ]


def main(words: Sequence[str] | None = None) -> int:
    """Do it all; whether anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--consoles", type=int, default=20)
    parser.add_argument("--chunk", type=int, default=128)
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="geobatch-hardships-") as scratch:
        place = Path(scratch)
        source = ROOT / "benchmarks" / "data" / "relief.tif"
        begun = time.monotonic()
        job: Any = hardships.Job(place / "job", [source], given.chunk)
        took = time.monotonic() - begun
        crowd = max(1, given.consoles // 2)
        lines = [
            measured("hung up", job, lambda: hardships.hangs_up(job)),
            measured("killed three times", job, lambda: hardships.is_killed(job, 3)),
            measured(
                f"{given.consoles} come and go",
                job,
                lambda: hardships.comes_in_crowds(job, given.consoles, crowd),
            ),
        ]
        count = math.ceil(SPARE * given.seconds / took)
        long: Any = hardships.Job(
            place / "long", copies(source, place / "copies", count), given.chunk
        )
        lines.append(
            measured(
                f"not read for {given.seconds:.0f} s",
                long,
                lambda: hardships.stops_reading(long, given.seconds),
            )
        )
    print(table(lines))
    return int(any(line["result"] != "pass" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
