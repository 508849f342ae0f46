"""Times commands and weighs their processes; prints tables. Shared by the benchmarks."""

from __future__ import annotations

import ctypes
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
MB = 1e6
_SUBREAPER = 36


def geobatch(*words: str) -> list[str]:
    """The installed command of this interpreter's environment: what a user types."""
    installed = Path(sys.executable).with_name("geobatch")
    return (
        [str(installed), *words]
        if installed.exists()
        else [sys.executable, "-m", "geobatch_tui", *words]
    )


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of a command.

    ``seconds`` is wall time, ``cpu`` user and system time of it and its descendants, both in
    seconds. ``rss`` is the peak of the process itself, ``tree_rss`` of the sum over its
    processes (pages that they share count once for each), ``tree_pss`` with shared pages divided
    among their users; all in bytes, sampled.
    """

    seconds: float
    cpu: float
    rss: int
    tree_rss: int
    tree_pss: int
    code: int
    stdout: str
    stderr: str


class Scale:
    """Samples the memory of a process and its descendants in a thread of its own."""

    def __init__(self, pid: int, period: float = 0.05) -> None:
        self.rss = self.tree_rss = self.tree_pss = 0
        self._cpu: dict[tuple[int, float], float] = {}
        self._root = psutil.Process(pid)
        self._period = period
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        turn = 0
        while not self._stop.wait(self._period):
            self._sample(with_pss=turn % 5 == 0)
            turn += 1

    def _sample(self, *, with_pss: bool) -> None:
        try:
            own = self._root.memory_info().rss
            processes = [self._root, *self._root.children(recursive=True)]
        except psutil.Error:
            return
        tree = pss = 0
        for process in processes:
            try:
                tree += process.memory_info().rss
                times = process.cpu_times()
                self._cpu[process.pid, process.create_time()] = times.user + times.system
                pss += _pss(process.pid) if with_pss else 0
            except (psutil.Error, OSError):
                continue
        self.rss = max(self.rss, own)
        self.tree_rss = max(self.tree_rss, tree)
        self.tree_pss = max(self.tree_pss, pss)

    @property
    def cpu(self) -> float:
        """CPU seconds of all processes seen, each as last sampled."""
        return sum(self._cpu.values())

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def _pss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def measure(
    command: Sequence[str],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    *,
    weigh: bool = True,
) -> Measured:
    """Run a command to its end and, if asked to, weigh its memory all the while.

    To weigh takes a fifth of a core, which the command may want: what is timed is better not
    weighed, and weighed in a run of its own. What earlier commands left unwritten is written first:
    who syncs its outputs, as geobatch does, would wait for theirs too.
    """
    _adopt()
    os.sync()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        before = os.times()
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env={**os.environ, **(env or {})}, cwd=cwd, stdout=out, stderr=err
        )
        scale = Scale(process.pid) if weigh else None
        code = process.wait()
        seconds = time.perf_counter() - began
        if scale is not None:
            scale.stop()
        _bury()
        after = os.times()
        cpu = after.children_user + after.children_system
        cpu -= before.children_user + before.children_system
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    memory = (0, 0, 0) if scale is None else (scale.rss, scale.tree_rss, scale.tree_pss)
    return Measured(seconds, cpu, *memory, code, texts[0], texts[1])


def _adopt() -> None:
    """Have what a command leaves behind (its fork server) become a child of this process, so that
    its CPU seconds, and its own children's, come in here."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def _bury(seconds: float = 5.0) -> None:
    """Wait for all of them."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.01)
        except ChildProcessError:
            return


def checked(
    command: Sequence[str],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    *,
    weigh: bool = True,
) -> Measured:
    """As :func:`measure`; ends the benchmark if the command failed."""
    done = measure(command, env, cwd, weigh=weigh)
    if done.code != 0:
        raise SystemExit(
            f"exit {done.code}: {' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )
    return done


def median(values: Sequence[float]) -> float:
    """Median of measured values."""
    return statistics.median(values)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of equal keys as an aligned Markdown table."""
    if not rows:
        return "(nothing measured)"
    names = list(rows[0])
    cells = [names, ["-" * len(name) for name in names]]
    cells += [[_cell(row.get(name, "")) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in cells
    )


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
