"""Which functions of the user this process has tried, for what makes them useless: that they give
other values where a job is cut in another way.

Each worker tries them in its first chunk of a run, so that none publishes anything of a function
that it has not tried; a dry run tries them in all of its chunks. How that is done depends on the
data: see ``seam_check`` for pixels, ``batch_check`` for features.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import ChunkTask, ItemContext, Json

type Key = tuple[object, ...]

#: Run, number of the step, code and parameters of each. Of the last runs only.
tried: dict[Key, None] = {}
_KEPT = 256


def command_for(item: ItemContext, place: str) -> str:
    """Return the command that computes a chunk, or one feature, of ``item`` in the foreground."""
    folder = item.out_path.removesuffix(item.key).rstrip("/") or "/"
    return shlex.join(["geobatch", "step", folder, f"{item.key}@{place}"])


class Trials:
    """The trials of one chunk.

    Args:
        task: the chunk.
        raises: whether a function that fails is to raise its error, where it would cost one
            feature; somebody looks into it.
    """

    def __init__(self, task: ChunkTask, *, raises: bool = False) -> None:
        self._run = str(Path(task.item.work_dir).parent), task.epoch
        self._proves = task.proves
        # Memory is short, which is why it is cut.
        self._skips = task.subdivide > 0
        self._done: set[Key] = set()
        self.raises = raises

    def key(self, place: str, values: Json) -> Key:
        """Return what a trial of the step at ``place`` is known by; ``values``: of its plan."""
        return (*self._run, place, values["code"], repr(values["parameters"]))

    def is_due(self, key: Key) -> bool:
        """Whether a function is to be tried."""
        if self._skips or key in self._done:
            return False
        return self._proves or key not in tried

    def passed(self, key: Key) -> None:
        """Enter a function that has passed."""
        self._done.add(key)
        tried[key] = None
        while len(tried) > _KEPT:
            del tried[next(iter(tried))]
