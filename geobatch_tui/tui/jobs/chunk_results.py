"""What the steps of a chain give for one chunk, computed by a worker process of the console's own.

The chunk is one of the job's as it is edited; its outputs and its state are not touched.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from geobatch_tui.errors import ConfigError, GeobatchError
from geobatch_tui.execution.protocol.messages import ItemPlan, ResultTask
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.single_chunk import LoneItem, index_in, place_of
from geobatch_tui.orchestration.state.letters import chunk_label
from geobatch_tui.tui.letters.previewer import Previewer, Unseen

if TYPE_CHECKING:
    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.tui.letters.previewer import Seen

#: That a step may take, with all before it, the start of the worker included.
SECONDS: Final = 90.0
LATE: Final = ("the chunk could not be computed", "a function may hang; or the chunk is large")
#: The largest picture, in pixels.
_LARGEST: Final = (160, 96)
_ADVICE: Final = "a chunk is named item@row,col"


@dataclass(frozen=True, slots=True)
class StepPicture:
    """What step ``step`` gives (0: the source before it), pixels or features, and for which chunk:
    its ``chunk`` is the name, ``number`` of ``count`` in its item. ``note``: why it is not a chunk
    of the whole job."""

    receipt: Seen
    step: int
    chunk: str
    number: int
    count: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Planned:
    """An item with its plan, of ``steps`` steps of the job; None: of all."""

    item: LoneItem
    plan: ItemPlan
    steps: int | None = None
    note: str = ""


class ChunkResults:
    """Results of steps for one chunk of a job, which may change under it. All methods are called on
    one event loop, one at a time.

    Args:
        previewer: has the tasks done.
    """

    def __init__(self, previewer: Previewer | None = None) -> None:
        self._previewer = previewer or Previewer(seconds=SECONDS, late=LATE)
        self._scratch: Path | None = None
        self._loaded: LoadedJob | None = None
        self._planned: dict[int | None, _Planned | Unseen] = {}
        self._pictures: dict[tuple[object, ...], StepPicture] = {}
        self._key = ""
        self._place: tuple[int, int] | None = None

    def choose(self, chunk: str) -> None:
        """Choose a chunk, ``item@row,col``, or the middle one of an item by its name. Raises
        ConfigError if it is neither."""
        self._key, self._place = chunk, None
        if "@" in chunk:
            self._key, *place = place_of(chunk)
            self._place = (place[0], place[1])
        self._forget()

    def _forget(self) -> None:
        self._planned.clear()
        self._pictures.clear()

    def move(self, by: int) -> None:
        """Choose the next chunk of the item, or the one before."""
        planned = self._planned.get(None)
        if isinstance(planned, _Planned):
            grid = planned.plan.grid
            self._place = divmod((self._index(planned) + by) % len(grid), grid.columns)

    async def look(
        self, loaded: LoadedJob, step: int, size: tuple[int, int] = _LARGEST
    ) -> StepPicture | Unseen:
        """Return what a step gives, 0: the source, in a picture of ``size`` at most. What was
        computed is kept for the next look."""
        if loaded is not self._loaded:
            self._loaded = loaded
            self._forget()
        try:
            planned = await self._plan_for(loaded, step)
            if isinstance(planned, Unseen):
                return planned
            return await self._picture(planned, step, size)
        except GeobatchError as error:
            return Unseen(str(error), _ADVICE if isinstance(error, ConfigError) else error.hint)

    async def _plan_for(self, loaded: LoadedJob, step: int) -> _Planned | Unseen:
        """Plan the job; if a step behind ``step`` is refused, as far as that."""
        whole = await self._plan(loaded, None)
        if isinstance(whole, _Planned) or step == 0:
            return whole
        part = await self._plan(loaded, step, whole.reason)
        return whole if isinstance(part, Unseen) else part

    async def _plan(
        self, loaded: LoadedJob, steps: int | None, note: str = ""
    ) -> _Planned | Unseen:
        known = self._planned.get(steps)
        if known is not None:
            return known
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="geobatch-results-"))
        item = await asyncio.to_thread(LoneItem.of, loaded.job, self._key, self._scratch)
        answer = await self._previewer.receipt(item.probe(steps))
        planned: _Planned | Unseen = Unseen("the source was not planned")
        if isinstance(answer, ItemPlan):
            planned = _Planned(item, answer, steps, note)
        elif isinstance(answer, Unseen):
            planned = answer
        if loaded is self._loaded:
            self._planned[steps] = planned
        return planned

    async def _picture(
        self, planned: _Planned, step: int, size: tuple[int, int]
    ) -> StepPicture | Unseen:
        index, grid = self._index(planned), planned.plan.grid
        key = (index, planned.steps, step, size)
        known = self._pictures.get(key)
        if known is not None:
            return known
        context = planned.item.context(planned.plan, planned.steps)
        answer = await self._previewer.look(
            ResultTask(0, context, planned.plan.staged + index, step, size)
        )
        if isinstance(answer, Unseen):
            return answer
        label = chunk_label(planned.item.source.key, (grid,), index)
        found = StepPicture(answer, step, safe(label), index + 1, len(grid), planned.note)
        if self._planned.get(planned.steps) is planned:
            self._pictures[key] = found
        return found

    def _index(self, planned: _Planned) -> int:
        """Return the chosen chunk, or the middle one. Raises ConfigError if the item has none in
        that place."""
        grid = planned.plan.grid
        if self._place is None or planned.steps is not None:
            return grid.rows // 2 * grid.columns + grid.columns // 2
        return index_in(grid, planned.item.source.key, *self._place)

    async def close(self) -> None:
        """End the worker and remove its files."""
        await self._previewer.close()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
