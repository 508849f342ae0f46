"""A worker that is asked for ahead is the first of a pool, or ends without a word."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from geobatch_tui.orchestration.workers import spare

#: Asks, waits until the process is there, and goes on as told.
ENGINE = """
import os, signal, sys
from multiprocessing import forkserver
from geobatch_tui.orchestration.workers import spare
for then in sys.argv[1:]:
    with spare.asked_ahead(1):
        pid = forkserver.read_signed(spare._spares[0][1]._sentinel)
        print(pid, flush=True)
        exec(then)
    print("left", flush=True)
"""


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize(
    ("last", "code"),
    [("raise SystemExit(3)", 3), ("os.kill(os.getpid(), 9)", -signal.SIGKILL)],
    ids=["error", "killed"],
)
def test_one_that_nobody_takes_ends_without_a_word(last: str, code: int) -> None:
    """One that is just not taken, and the last of an engine that ends by an error, or is killed
    before it could say who the worker is."""
    done = subprocess.run(
        [sys.executable, "-c", ENGINE, "pass", last], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (code, "")
    first, left, second = done.stdout.split()
    assert left == "left"
    assert _gone(int(first))
    assert _gone(int(second))


def test_it_is_asked_for_once() -> None:
    """A pool takes it; the next worker is asked for by the pool itself. Nothing stays open."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    with spare.asked_ahead(1):
        taken = spare.take_spare()
        assert taken is not None
        assert spare.take_spare() is None
        ends, request = taken
        request.close()
        ends.close()
    with spare.asked_ahead(0):
        assert spare.take_spare() is None
    with spare.asked_ahead(100):
        assert len(spare._spares) == 2
    assert not spare._spares
    # The fork server and its pipe may have been started here.
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 4
