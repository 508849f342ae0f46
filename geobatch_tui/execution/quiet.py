"""What keeps threads apart that silence warnings."""

from __future__ import annotations

import threading

#: Held while warning filters are changed: they belong to the process, not to a thread.
filters = threading.Lock()
