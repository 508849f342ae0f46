"""``test.hang``: vector.make-valid, but features with certain names hang or kill their worker."""

from __future__ import annotations

import os
import signal
import time

from geobatch_tui.execution.ops.vector.make_valid import MakeValid
from geobatch_tui.execution.vector import features, shapes


def work(context, found, bad, dropped):
    """Features at x = 1000 hang, those at x = 2000 crash, those at x = 3000 crash unseen."""
    rows = shapes.condemn(shapes.usable(found, bad, dropped), bad, context.trail)
    for row in rows.tolist():
        x = found.x[found.first[row]]
        if x == 3000:
            os.kill(os.getpid(), signal.SIGSEGV)
        with context.trail.at(row):
            if x == 1000:
                time.sleep(1000)
            if x == 2000:
                os.kill(os.getpid(), signal.SIGSEGV)
    return features.Worked(found, bad, dropped)


class Hang(MakeValid):
    name = "test.hang"

    def run(self, task, stage):
        return features.run(task, work, stage)


HANG = Hang()
