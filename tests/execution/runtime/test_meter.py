"""Memory that was kept for a next task goes back where none comes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field

from geobatch_tui.execution.protocol import wire
from geobatch_tui.execution.worker import process

RESTING = """
import mmap
import numpy as np
from geobatch_tui.execution.runtime import meter

def block(megabytes):
    # Memory of its own: what malloc gives may have been there before.
    block = np.frombuffer(mmap.mmap(-1, megabytes * 2**20), np.uint8)
    block[:] = 1
    return block

kept = [block(64), block(32)]
meter.when_tidied(lambda: kept and kept.pop(0))
meter.SHORT = 0.0
one = meter.Meter()
one.baseline -= 96 * 2**20  # as it was before both
one.begin()
one.end()
assert one.swollen
before = meter.resident()
one.rest()
assert before - meter.resident() > 48 * 2**20
assert not one.swollen
kept.append(block(64))
one.begin()
one.end()
assert one.swollen
"""


def test_a_swollen_process_rests_and_is_not_swollen_any_more():
    """What is kept for later is dropped; what is left after a rest is not tried again. In a process
    of its own: that of the tests has memory that comes and goes."""
    done = subprocess.run(
        [sys.executable, "-c", RESTING], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


@dataclass
class _Swollen:
    """A meter that notes when it is told to rest."""

    rests: list[int] = field(default_factory=list)

    @property
    def swollen(self) -> bool:
        return not self.rests

    def rest(self) -> None:
        self.rests.append(1)


def test_a_worker_rests_once_while_it_waits(monkeypatch):
    """Not where the next task is there already."""
    monkeypatch.setattr(process, "IDLE", 0.01)
    ours, theirs = socket.socketpair()
    page = os.memfd_create("page")
    os.ftruncate(page, process.PAGE)
    loop = process._Loop(ours, page, None)
    with ours, theirs:
        busy, idle = _Swollen(), _Swollen()
        theirs.sendall(wire.pack(1, "task"))
        assert loop._next(busy)[0] == 1
        assert not busy.rests
        theirs.close()
        monkeypatch.setattr(process, "wait", lambda pipes, seconds: [])
        assert loop._next(idle) is None
        assert idle.rests == [1]
