"""The operations for tests must be known before the fork server starts: it keeps its environment."""

from __future__ import annotations

import os
import tempfile

os.environ["GEOBATCH_OPS"] = "geobatch_tui.testing.ops:NOOP,geobatch_tui.testing.ops:FAULTY"

# Runs of tests are nothing that the user ran.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="geobatch-state-")
