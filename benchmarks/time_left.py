"""What a run says of the time that it takes yet, against what it took; and when a stall is told.

Usage: ``uv run python benchmarks/time_left.py [--minutes 4] [--limit 30] [eta] [stall]``

eta
    Three jobs of so many minutes, one after another: with one chunk of 50 s, with a pause of 30 s,
    with a cold start. At a quarter, a half and three quarters of each: what was told, what was
    left, by how much the middle was wrong, and whether the truth lay in the range.
stall
    A run in the console, on a terminal of 160x48, of which one chunk takes 17 s longer than the
    limit: seconds from the limit until the header, the plot, the log and a notification tell it.

Chunks do nothing but wait, so that a busy machine tells nearly the same.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs import write_job
from measure import ROOT, table

import geobatch_tui
from geobatch_tui.config.layers import load_job
from geobatch_tui.tui.run.host import HostedRun
from geobatch_tui.tui.run.link import RunLink

sys.path.insert(0, str(ROOT / "tests" / "tui"))
from pseudo_terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

SHARES = (0.25, 0.5, 0.75)
WORKERS = 2
USUAL = 0.5  #: seconds of a chunk
PAUSE = (0.15, 30.0)  #: after which share of the time, and how long, in seconds
STALL = 17.0  #: seconds that a stall goes on behind its limit
OPS = {"GEOBATCH_OPS": "uneven_op:UNEVEN", "PYTHONPATH": str(ROOT / "benchmarks")}


def job_of(place: Path, **op: Any) -> Path:
    """A job of one item."""
    place.mkdir()
    (place / "in.txt").write_text("anything\n")
    workers, notify = op.pop("workers", WORKERS), op.pop("notify", {})
    return write_job(
        place / "job.toml",
        [place / "in.txt"],
        place / "out",
        {"name": "test.uneven", **op},
        engine={"max_workers": workers, "executor": "thread"},
        notify=notify,
    )


def told(job: Path, minutes: float, *, paused: bool) -> tuple[list[tuple[float, Any]], float]:
    """Run a job; each second what was told then, and when it ended."""
    loaded = load_job(job)
    host = HostedRun(job.parent / "out", lambda control: geobatch_tui.run(loaded, control=control))
    host.start()
    host.wait_ready()
    link = RunLink(job.parent / "out", host=host)
    begun, views = time.monotonic(), []
    until = begun + minutes * 60 * PAUSE[0]
    while not host.over:
        now = time.monotonic()
        link.poll()
        views.append((now - begun, link.store.view))
        if paused and now > until:
            link.send("pause" if link.store.view.state != "paused" else "resume")
            paused = link.store.view.state != "paused"
            until = now + PAUSE[1]
        time.sleep(0.25)
    ended = time.monotonic() - begun
    link.close()
    host.result()
    return views, ended


def eta(scratch: Path, minutes: float) -> list[dict[str, Any]]:
    """Rows of the three jobs."""
    chunks = round(minutes * 60 * WORKERS / USUAL)
    usual = {"chunks": chunks, "usual": USUAL, "sigma": 0.3}
    kinds: dict[str, dict[str, Any]] = {
        "one of 50 s": {"slow": chunks // 5},
        "pause of 30 s": {},
        "cold start": {"cold": 15 * WORKERS / USUAL / 2},
    }
    rows = []
    for name, more in kinds.items():
        job = job_of(scratch / name.replace(" ", "-"), **usual, **more)
        views, ended = told(job, minutes, paused=name.startswith("pause"))
        for share in SHARES:
            at, view = next(entry for entry in views if entry[0] >= share * ended)
            left = ended - at
            row = {"job": name, "at": f"{share:.0%}", "left s": left, "told s": view.eta_s}
            if view.eta_s is not None:
                row |= {
                    "from s": view.eta_low_s,
                    "to s": view.eta_high_s,
                    "wrong by": f"{abs(view.eta_s - left) / left:.0%}",
                    "in range": view.eta_low_s <= left <= view.eta_high_s,
                }
            rows.append(row)
    return rows


def stall(scratch: Path, limit: float) -> list[dict[str, Any]]:
    """Seconds behind the limit until each tells."""
    place = scratch / "stalled"
    mark = place / "notified"
    job = job_of(
        place, chunks=60, usual=0.25, slow=40, slow_seconds=limit + STALL, workers=1,
        notify={"on": [f"stall>{limit:.0f}s"]},
    )  # fmt: skip
    words = ["-m", "geobatch_tui", "run", str(job)]
    told_to = {"GEOBATCH_NOTIFY__COMMAND": f"touch {mark}"}
    shown = Terminal(words, place, columns=160, rows=48, **OPS, **told_to)
    try:
        shown.wait_for(b"40 / 60")
        begun, found = time.monotonic(), dict[str, float]()
        while len(found) < 4 and time.monotonic() < begun + limit + STALL:
            shown.read(0.1)
            lines = shown.lines()
            late = time.monotonic() - begun - limit
            seen = {
                "header": any("no chunk for" in line for line in lines[:4]),
                "plot": any(_plotted(line) >= limit for line in lines[4:]),
                "log": any("no chunk was finished for" in line for line in lines),
                "notification": mark.exists(),
            }
            for name, is_there in seen.items():
                if is_there:
                    found.setdefault(name, late)
    finally:
        shown.close()
    return [{"told by": name, "s after its limit": found.get(name)} for name in seen]


def _plotted(line: str) -> float:
    """The seconds of a gap in the plot that a line tells of; 0: it tells of none."""
    words = line.replace("·", " ").split()
    at = next((at for at, word in enumerate(words) if words[at : at + 2] == ["no", "chunk"]), -1)
    number = words[at + 2] if 0 <= at < len(words) - 2 else ""
    return float(number) if number.isdigit() else 0.0


def main(words: Sequence[str] | None = None) -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--limit", type=float, default=30.0)
    parser.add_argument("parts", nargs="*", metavar="PART", help="eta, stall (default: both)")
    given = parser.parse_args(words)
    os.environ |= OPS
    sys.path.insert(0, OPS["PYTHONPATH"])
    with tempfile.TemporaryDirectory(prefix="geobatch-left-") as scratch:
        if "eta" in (given.parts or ("eta",)):
            print(table(eta(Path(scratch), given.minutes)))
        if "stall" in (given.parts or ("stall",)):
            print(table(stall(Path(scratch), given.limit)))


if __name__ == "__main__":
    main()
