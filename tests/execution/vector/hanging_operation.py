"""``test.hang``: vector.make-valid, but features with certain names hang or kill their worker."""

from __future__ import annotations

import os
import signal
import time

import shapely

from geobatch_tui.execution.ops.vector_operations import MakeValid
from geobatch_tui.execution.vector import chunk
from geobatch_tui.execution.vector.geometry import geos


def work(context, batch):
    """Features at x = 1000 hang, those at x = 2000 crash, those at x = 3000 crash unseen; those at
    x = 4000 crash as all are tested at once."""
    rows, shapes = geos.untried(batch, context.trail), batch.shapes
    for row in rows.tolist():
        x = shapes.x[shapes.first[row]]
        if x == 3000:
            os.kill(os.getpid(), signal.SIGSEGV)
        with context.trail.at(row):
            if x == 1000:
                time.sleep(1000)
            if x == 2000:
                os.kill(os.getpid(), signal.SIGSEGV)
    geos.tested(batch, batch.sound(rows), _test, context.trail)
    return batch


def _test(tested):
    if (shapely.get_x(tested) == 4000).any():
        os.kill(os.getpid(), signal.SIGSEGV)
    return shapely.is_valid(tested)


class Hang(MakeValid):
    name = "test.hang"

    def run(self, task, stage):
        return chunk.run(task, work, stage)


HANG = Hang()
