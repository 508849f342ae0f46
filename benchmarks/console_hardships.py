"""What terminals may do to a run without changing a byte of its outputs; 1 if any byte changed.

Usage: ``uv run python benchmarks/console_hardships.py [--seconds 60] [--consoles 20] [--chunk N]``

relief.tif in small chunks: its terminal stops reading for a minute; hangs up; consoles on a run in
the background are killed with -9; twenty attach and leave, ten of them at once.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import ROOT, table

sys.path.insert(0, str(ROOT / "tests" / "tui"))

import hardships

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(words: Sequence[str] | None = None) -> int:
    """Do it all; whether anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--consoles", type=int, default=20)
    parser.add_argument("--chunk", type=int, default=128)
    given = parser.parse_args(words)
    lines: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="geobatch-hardships-") as scratch:
        source = ROOT / "benchmarks" / "data" / "relief.tif"
        job: Any = hardships.Job(Path(scratch) / "job", [source], given.chunk)
        works: dict[str, Callable[[], list[str]]] = {
            f"not read for {given.seconds:.0f} s": partial(
                hardships.stops_reading, job, given.seconds
            ),
            "hung up": partial(hardships.hangs_up, job),
            "killed three times": partial(hardships.is_killed, job, 3),
            f"{given.consoles} come and go": partial(
                hardships.comes_in_crowds, job, given.consoles, max(1, given.consoles // 2)
            ),
        }
        for name, work in works.items():
            begun = time.monotonic()
            faults = work()
            took = time.monotonic() - begun
            lines.append({"hardship": name, "s": took, "faults": ", ".join(faults) or "none"})
    print(table(lines))
    return int(any(line["faults"] != "none" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
