"""How far the stages of an item are, and which of its chunks wait for one."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from geobatch_tui.ledger.schema.updates import ChunkState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from geobatch_tui.execution.protocol.messages import ItemPlan

_LABEL = re.compile(r"@stage(\d+):\d+,\d+$")


@dataclass(slots=True)
class StageProgress:
    """Counts for each stage of ``plan``: chunks that are not done, and those of them that are dead
    letters."""

    plan: ItemPlan
    undone: list[int]
    dead: list[int]

    @classmethod
    def of(cls, plan: ItemPlan, states: bytes | bytearray) -> StageProgress:
        """Count ``states`` of the chunks of all stages."""
        undone, dead, start = [], [], 0
        for stage in plan.stages:
            own = states[start : start + len(stage.grid)]
            undone.append(len(own) - own.count(ChunkState.DONE))
            dead.append(own.count(ChunkState.DEAD))
            start += len(own)
        return cls(plan, undone, dead)

    @property
    def current(self) -> int:
        """The first stage that is not complete; the number of all if each is."""
        for number, count in enumerate(self.undone):
            if count:
                return number
        return len(self.undone)

    @property
    def stuck(self) -> bool:
        """Whether nothing of the item can go on, as its stage has nothing but dead letters left."""
        if not self.undone:
            return False
        now = self.current
        return now < len(self.undone) and self.undone[now] == self.dead[now]

    def waits(self, index: int) -> bool:
        """Whether chunk ``index`` needs a stage that is not complete."""
        return bool(self.undone) and self._stage_of(index) > self.current

    def settle(self, index: int, *, done: bool) -> tuple[int, int] | None:
        """Count a chunk as done or dead; return the first and the end of those that need not wait
        any more, if there are any."""
        number = self._stage_of(index) if self.undone else 0
        if number == len(self.undone):
            return None
        if not done:
            self.dead[number] += 1
            return None
        self.undone[number] -= 1
        if self.current <= number:
            return None
        ends = [*self._ends(), self.plan.chunks]
        return ends[number], ends[self.current]

    def lose(self, chunks: Iterable[int]) -> None:
        """Count chunks as not done that were."""
        for index in chunks:
            self.undone[self._stage_of(index)] += 1

    def revive(self, label: str) -> None:
        """Count a chunk, by its label, as a dead letter no more."""
        match = _LABEL.search(label)
        if match is not None and 0 < int(match[1]) <= len(self.dead):
            self.dead[int(match[1]) - 1] -= 1

    def told(self) -> str:
        """Say why the item is stuck."""
        now = self.current
        stage = self.plan.stages[now]
        return (
            f"{self.dead[now]} of {len(stage.grid)} chunks that are stored behind step "
            f"{stage.steps} are dead letters: the chunks behind it wait for them"
        )

    def _ends(self) -> list[int]:
        return list(accumulate(len(stage.grid) for stage in self.plan.stages))

    def _stage_of(self, index: int) -> int:
        return bisect_right(self._ends(), index)
