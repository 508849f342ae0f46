"""What terminals do to a run: each gives what is wrong with the outputs after it, or nothing.

Short in the tests, long in ``benchmarks/console_hardships.py``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import rasterio
import tomli_w
from pseudo_terminal import ROOT, Terminal
from rasterio.transform import from_bounds

from geobatch_tui.errors import GeobatchError
from geobatch_tui.ledger.place.lock import is_held
from geobatch_tui.ledger.place.state_directory import StateDir
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.orchestration.run import control

SIZE = {"columns": 160, "rows": 48}
WORDS = ("-m", "geobatch_tui")


class Job:
    """A job of real rasters in small chunks, and what it publishes when nobody disturbs it."""

    def __init__(self, place, inputs, chunk):
        self.place, self.out = place, place / "out"
        table = {
            "job": {"name": "hardships"},
            "source": {"inputs": [str(path) for path in inputs]},
            "op": {"name": "raster.reproject", "dst_crs": "EPSG:6933", "resampling": "cubic"},
            "output": {"dir": "out", "creation": {"blocksize": 128}},
            "engine": {"chunk_cols": chunk, "chunk_rows": chunk, "max_workers": 2},
        }
        place.mkdir(parents=True, exist_ok=True)
        self.file = place / "job.toml"
        self.file.write_text(tomli_w.dumps(table))
        self.headless()
        self.wanted = self.outputs()

    def headless(self, *words):
        """Run without a terminal, to the end or (with ``--detach``) to its beginning."""
        command = [sys.executable, *WORDS, "run", str(self.file), "--headless", *words]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": ROOT}, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()

    def outputs(self):
        """Digests of all outputs by name."""
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.out.glob("*.tif"))
        }

    def forget(self):
        """As if nothing had been run."""
        shutil.rmtree(self.out)

    def console(self, *words, **env):
        """A console on a terminal of its own."""
        return Terminal([*WORDS, *map(str, words)], self.place, **SIZE, **env)

    def done(self):
        """How many chunks are done, and how many there are."""
        with LedgerReader(StateDir.open(self.out).ledger) as reader:
            counts = reader.counts()
        return counts["done"], counts["total"]

    def finish(self, seconds=300.0):
        """Wait until nobody holds the run; its state."""
        state = StateDir.open(self.out)
        until = time.monotonic() + seconds
        while is_held(state.lock):
            assert time.monotonic() < until, "the run does not end"
            time.sleep(0.1)
        with LedgerReader(state.ledger) as reader:
            run = reader.run()
        return run.state

    @staticmethod
    def digest(outputs):
        """One digest of all outputs, names and bytes."""
        text = "".join(f"{name} {digest}\n" for name, digest in sorted(outputs.items()))
        return hashlib.sha256(text.encode()).hexdigest()

    def faults(self):
        """What is wrong with the outputs."""
        found = self.outputs()
        names = sorted(self.wanted.keys() | found.keys())
        return [name for name in names if self.wanted.get(name) != found.get(name)]


def stops_reading(job, seconds):
    """The terminal of a run's console stops reading for so long, while the run goes on; then it
    reads again. The console still works. One worker makes the run last."""
    job.forget()
    shown = job.console("run", job.file, GEOBATCH_ENGINE__MAX_WORKERS="1")
    faults = []
    try:
        # It takes a while until the terminal is full: a quick run would be over.
        pause_early(job, shown)
        shown.wait_for(b"hardships")
        until = time.monotonic() + seconds
        fill_up(shown)
        control.send(job.out, "resume")
        before, total = job.done()
        time.sleep(max(0.0, until - time.monotonic()))
        patience = time.monotonic() + 10
        while (after := job.done()[0]) <= before and time.monotonic() < patience:
            time.sleep(0.02)
        if before == total:
            faults.append("the run had ended before the terminal was full")
        elif after <= before:
            faults.append("the run stood still")
        shown.wait_for(b"SUCCESS", 120)
        shown.type(b"q")
        code = shown.ended(60)
    finally:
        shown.close()
    return faults + job.faults() + ([] if code == 0 else [f"exit code {code}"])


def pause_early(job, shown, seconds=60.0):
    """Pause the run as soon as it has chunks; the terminal reads meanwhile."""
    until = time.monotonic() + seconds
    while True:
        with suppress(GeobatchError):
            if job.done()[1]:
                control.send(job.out, "pause")
                return
        assert time.monotonic() < until, "the run has no chunks"
        shown.read(0.01)


def fill_up(shown, seconds=30.0):
    """Have the console paint, unread, until it cannot: the terminal's buffer is full."""
    until, full = time.monotonic() + seconds, 0
    while full < 10:
        assert time.monotonic() < until, "the terminal takes whatever it is sent"
        before = shown.unread()
        shown.type(b"21")  # another screen paints everything
        time.sleep(0.05)
        full = full + 1 if shown.unread() == before else 0


def hangs_up(job):
    """The terminal goes away in the middle: the run goes on to its end. One worker makes it last."""
    job.forget()
    shown = job.console("run", job.file, GEOBATCH_ENGINE__MAX_WORKERS="1")
    try:
        shown.wait_for(b"RUNNING")
        done, total = job.done()
        while done < total // 4:
            shown.read(0.05)
            done, total = job.done()
        # A slow machine may see a quarter late: a run that is paused does not end meanwhile.
        control.send(job.out, "pause")
        done, total = job.done()
        control.send(job.out, "resume")
        shown.hang_up()
        code = shown.ended(60)
    finally:
        shown.close()
    state = job.finish()
    faults = job.faults() + ([] if state == "success" else [f"it ended as {state}"])
    return faults + ([] if code == 0 else [f"exit code {code}"])


def is_killed(job, times):
    """Consoles on a run in the background are killed with -9."""
    job.forget()
    job.headless("--detach", "--set", "engine.max_workers=1")
    for _ in range(times):
        shown = job.console("watch", job.out)
        try:
            shown.wait_for(b"Workers")
            os.kill(shown.pid, signal.SIGKILL)
            shown.ended()
        finally:
            shown.close()
    state = job.finish()
    return job.faults() + ([] if state == "success" else [state])


def comes_in_crowds(job, count, at_once, killed=0):
    """So many consoles attach to a run in the background and leave it, some of them at once; so
    many of those are killed with -9 before the others leave."""
    job.forget()
    job.headless("--detach", "--set", "engine.max_workers=1")
    codes = []
    for _ in range(0, count, at_once):
        crowd = [job.console("watch", job.out) for _ in range(at_once)]
        try:
            for shown in crowd:
                shown.wait_for(b"Workers", 60)
            for shown in crowd[:killed]:
                os.kill(shown.pid, signal.SIGKILL)
                shown.ended()
            for shown in crowd[killed:]:
                shown.type(b"q")
            codes += [shown.ended() for shown in crowd[killed:]]
        finally:
            for shown in crowd:
                shown.close()
    state = job.finish()
    faults = job.faults() + ([] if state == "success" else [state])
    return faults + ([] if not any(codes) else [f"exit codes {codes}"])


def noise(path, side):
    """A raster of noise, ``side`` pixels square, at ``path``; its path."""
    facts = {"driver": "GTiff", "dtype": "uint16", "count": 1, "width": side, "height": side}
    with rasterio.open(
        path, "w", crs="EPSG:4326", transform=from_bounds(8, 45, 12, 49, side, side), **facts
    ) as made:
        made.write(np.random.default_rng(5).integers(0, 9999, (1, side, side), np.uint16))
    return path
