"""The operations for tests must be known before the fork server starts: it keeps its environment."""

from __future__ import annotations

import os
import tempfile

from hypothesis import HealthCheck, settings

os.environ["GEOBATCH_OPS"] = "geobatch_tui.testing.ops:NOOP,geobatch_tui.testing.ops:FAULTY"

# No example is wrong for being slow: the machine may have other things to do.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# Runs of tests are nothing that the user ran.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="geobatch-state-")


def pytest_xdist_auto_num_workers() -> int:
    """Processes that run tests: tests wait a third of the time, for processes of their own."""
    return (os.cpu_count() or 1) + 1
