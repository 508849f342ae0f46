"""Loops of the terrain steps: the bits that their source says, and arcs that are exact enough."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from geobatch_tui.execution.raster.kernels import pixel_loops

_SLOWLY = """
import sys
import numpy as np
from geobatch_tui.execution.protocol.window import Window
from geobatch_tui.execution.raster.kernels import terrain_loops as loops
sys.path.insert(0, sys.argv[1])
from test_terrain_loops import ARCS, run_all
numbers = run_all(lambda name: getattr(loops, name))
np.savez(sys.argv[2], *numbers, [loops._atan(np.float32(t)) for t in ARCS],
    [loops._atan2(np.float32(t), np.float32(s)) for t, s in zip(ARCS, ARCS[::-1])])
"""
#: Tangents of all sizes.
ARCS = np.concatenate([np.geomspace(1e-20, 1e20, 801), np.linspace(0, 3, 800)]).astype("float32")


def run_all(loop):
    """What all loops give for the same heights, of both types."""
    rng = np.random.default_rng(3)
    results = []
    for dtype in ("float32", "float64"):
        work = rng.normal(100, 9, (9, 14)).astype(dtype)
        work[2, 3] = work[5, 5:8] = np.nan
        for name in ("shade", "shade_combined", "shade_multidirectional", "shade_igor"):
            for horn in (True, False):
                numbers = np.array([0.3, 0.2, 120.0, -110.0, 170.0, 0.4, 0.3])
                if name == "shade_igor":
                    numbers[2:5] = 1.0, 1.0, 0.7
                results.append(np.zeros((7, 12), np.uint8))
                loop(name)(work, True, horn, numbers, results[-1])
        for percent in (True, False):
            numbers, tangents = np.array([0.03, 0.04, 0.125]), np.empty(12, np.float32)
            results.append(np.zeros((7, 12), np.float32))
            loop("slope")(work, True, True, numbers, percent, tangents, results[-1])
        for flag in (True, False):
            numbers = np.array([1.0, 1.0, -9999.0])
            results += [np.zeros((7, 12), np.float32) for _ in range(3)]
            loop("aspect")(work, True, flag, numbers, flag, results[-1])
            loop("ruggedness")(work, True, flag, results[-2])
            loop("position" if flag else "roughness")(work, True, results[-3])
    return results


def test_machine_code_does_what_is_written(tmp_path):
    """Each operation of the source, in its order: Python runs it one by one and gets the same
    bits, which no fused or approximate instruction would."""
    out = tmp_path / "slow.npz"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _SLOWLY, str(Path(__file__).parent), str(out)],
        check=False, env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    slow = list(np.load(out).values())
    fast = run_all(lambda name: getattr(pixel_loops, name))
    assert [one.tobytes() for one in fast] == [one.tobytes() for one in slow[: len(fast)]]
    tangents = ARCS.astype(float)
    for found, exact in zip(
        slow[len(fast) :], (np.arctan(tangents), np.arctan2(tangents, tangents[::-1])), strict=True
    ):
        assert np.max(np.abs(found - exact) / np.maximum(exact, 1e-300)) < 2e-15
