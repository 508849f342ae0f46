"""Makes the harness importable whatever pytest's import mode, and orphans visible."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]


import forked_command  # noqa: E402
import harness  # noqa: E402


def begin(words, **how):
    """Start a command by a fork, unless a library is to be loaded before all others."""
    if "LD_PRELOAD" in how["env"]:
        return harness.own_interpreter(words, **how)
    return forked_command.begin(words, **how)


harness.begin, harness.helpers = begin, forked_command.helpers


@pytest.fixture(autouse=True)
def _orphans_are_seen():
    """Whatever an engine leaves behind becomes a child of this process, for the test's time."""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs /proc and PR_SET_CHILD_SUBREAPER")
    harness.adopt_orphans()
    # The promise is 1 s, and benchmarks/chaos.py holds to it; a test must also pass on a machine
    # that is busy with other things, where a fork server may still be loading.
    harness.ORPHAN_GRACE = 5.0
    yield
    harness.adopt_orphans(on=False)
    harness.reap()
