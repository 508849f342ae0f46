"""A compiled function is called from Python and from compiled functions alike."""

from __future__ import annotations

import subprocess
import sys


def test_both_ways_in_one_process(tmp_path, monkeypatch):
    """In any order; what is compiled for other compiled functions has no way in from Python, and to
    call it would end the process: so it is tried in one of its own."""
    (tmp_path / "sums.py").write_text(
        "from geobatch_tui.execution.native.jit import external, jit\n"
        "above = 3\n"
        "absolute = external('labs', 'int64', 'int64')\n"
        "@jit\n"
        "def twice(x):\n    return x + x\n"
        "@jit\n"
        "def total(x):\n    return twice(x) + absolute(x) + above\n"
        "def within(step):\n"
        "    @jit\n"
        "    def stepped(x):\n        return step(x) + 1\n"
        "    return stepped\n"
    )
    code = (
        "import sums\n"
        "assert sums.total(-2) == 1\n"
        "assert sums.twice(-2) == -4\n"
        "assert sums.within(sums.total)(2) == 10\n"
        "sums.total.part()\n"
        "assert sums.total(2) == 9\n"
        "print('numba' in __import__('sys').modules)\n"
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for _ in range(2):  # compiled, and from numba's cache
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
