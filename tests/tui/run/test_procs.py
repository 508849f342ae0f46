"""CPU use of processes, a value a second."""

from __future__ import annotations

import os
import subprocess
import sys

from geobatch_tui.tui.run.procs import CpuMeter


def test_a_process_that_works_has_a_share():
    """Of one core, from its second measure on; one within a second of the last is none."""
    meter = CpuMeter()
    meter.measure([os.getpid()], 0.0)
    assert meter.share(os.getpid()) is None
    used = os.times()
    while os.times().user + os.times().system - used.user - used.system < 0.1:  # in ticks of 10 ms
        pass
    meter.measure([os.getpid()], 0.5)
    assert meter.share(os.getpid()) is None
    meter.measure([os.getpid()], 2.0)
    assert meter.share(os.getpid()) >= 0.025


def test_a_process_that_is_gone_is_dropped():
    """With its history, and without an error."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    meter = CpuMeter()
    for now in (0.0, 1.0):
        meter.measure([child.pid], now)
    assert list(meter.history) == [child.pid]
    child.communicate(b"\n")
    meter.measure([child.pid], 2.0)
    assert not meter.history
