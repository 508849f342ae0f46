"""The operations for tests must be known before the fork server starts: it keeps its environment."""

from __future__ import annotations

import os

os.environ["GEOBATCH_OPS"] = "geobatch_tui.testing.ops:NOOP,geobatch_tui.testing.ops:FAULTY"
