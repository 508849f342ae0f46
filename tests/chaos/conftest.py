"""Makes the harness importable whatever pytest's import mode, and orphans visible."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def _subreaper():
    """Whatever an engine leaves behind becomes a child of this process, and is seen."""
    import harness

    if not sys.platform.startswith("linux"):
        pytest.skip("needs /proc and PR_SET_CHILD_SUBREAPER")
    harness.adopt_orphans()
