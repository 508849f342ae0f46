"""The operation ``test.uneven``: chunks that take as long as its parameters say, and do nothing."""

from __future__ import annotations

import math
import random
from time import sleep
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from geobatch_tui.execution.params.param_fields import operational, semantic
from geobatch_tui.execution.protocol.messages import ChunkReceipt, ChunkTask, Segment
from geobatch_tui.testing.ops import Noop

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.operation import Stage


class UnevenParams(BaseModel):
    """Parameters of ``test.uneven``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chunks: int = semantic(1, "chunks of each item", "chunks")
    usual: float = operational(0.5, "what a chunk takes on the average", "s")
    sigma: float = operational(0.0, "how much that varies, as that of a lognormal distribution")
    slow: int = operational(-1, "number of a chunk that takes longer; -1: none")
    slow_seconds: float = operational(50.0, "what that takes", "s")
    cold: float = operational(0.0, "chunks in which a cold start wears off; 0: none", "chunks")


class Uneven(Noop):
    """Waits in each chunk; the same chunk waits as long each time."""

    name = "test.uneven"
    summary = "waits for as long as each chunk is said to take (for benchmarks)"
    params: type[BaseModel] = UnevenParams

    def run(self, task: ChunkTask, stage: Stage) -> ChunkReceipt:
        """Wait, and return an empty segment."""
        asked = UnevenParams.model_validate(task.item.params)
        with stage("compute"):
            sleep(_seconds(asked, task.index))
        return ChunkReceipt(task.index, Segment(task.index, "", 0, 0, 0), 1, 0, 0, 0.0, {}, None)


def _seconds(asked: UnevenParams, number: int) -> float:
    """Return what a chunk takes."""
    if number == asked.slow:
        return asked.slow_seconds
    sigma = asked.sigma
    seconds = asked.usual * random.Random(number).lognormvariate(-sigma * sigma / 2, sigma)
    return seconds * (1 + 5 * math.exp(-number / asked.cold)) if asked.cold else seconds


UNEVEN = Uneven()
