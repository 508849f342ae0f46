"""What the fork server loads once, so that a worker starts in milliseconds.

Imported for its effect, in the fork server only. It runs in the process that all workers are
forked from: so it starts no thread and leaves no dataset open. PROJ's database stays open, which
PROJ itself opens again after a fork.
"""

from __future__ import annotations

import contextlib
import os
import signal

from geobatch_tui.execution import environment, warmup


def _leave_terminal() -> None:
    """Move the fork server out of the terminal's foreground group.

    Ctrl-C and the end of a terminal session would reach it there; both are for the engine, which
    tells its workers what to do.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with contextlib.suppress(PermissionError):  # a session leader may not, and need not
        os.setpgid(0, 0)


_leave_terminal()
environment.apply()
warmup.import_all()
warmup.warm_up()
