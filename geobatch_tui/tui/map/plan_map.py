"""The map of a plan: its chunks in their places, with the reason of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from geobatch_tui.ledger.schema.updates import ChunkState, ItemState
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.map.chunk_map import ChunkMap
from geobatch_tui.tui.map.picture.planes import at
from geobatch_tui.tui.run.chunk_states import lattice_of
from geobatch_tui.tui.run.model import Delta, ItemView, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from geobatch_tui.orchestration.dry_run import Trial
    from geobatch_tui.orchestration.plan.plan_report import ItemReason, PlanReport

STATES: Final[Mapping[str, ChunkState]] = {
    "new": ChunkState.PENDING,
    "current": ChunkState.DONE,
    "was_failed": ChunkState.DEAD,
}
"""How a reason looks on the map; all others are those of chunks that were done, and are stale."""

STALE: Final = ChunkState.RETRY_WAIT


class PlannedChunks:
    """The chunks of a plan as a source of the map: a byte a chunk, and their items."""

    def __init__(self) -> None:
        self.states = bytearray()
        self.items: list[ItemView] = []

    @classmethod
    def of(cls, report: PlanReport) -> PlannedChunks:
        """Make the chunks of a plan. Blocks where the ledger has to be read: for a thread."""
        chunks = cls()
        for entry in report.entries:
            chunks._add(entry, report)
        return chunks

    def _add(self, entry: ItemReason, report: PlanReport) -> None:
        grid, number = entry.grids[-1], len(self.items)
        # Of a refused item nothing is known: it is one chunk without a size.
        width, height = (0, 0) if entry.refused else (grid.width, grid.height)
        place = lattice_of({"notes": {"lonlat": report.places.get(entry.key)}})
        self.items.append(
            ItemView(
                item_id=number + 1,
                key=safe(entry.key),
                first=len(self.states),
                first_chunk=len(self.states) + 1,
                columns=grid.columns if len(entry.grids) == 1 else 1,
                rows=grid.rows if len(entry.grids) == 1 else entry.chunks,
                n=entry.chunks,
                width=width,
                height=height,
                chunk_size=(grid.chunk_width, grid.chunk_height),
                bounds_lonlat=entry.bounds,
                state=ItemState.DEAD if entry.refused else ItemState.PLANNED,
                _load=lambda _: place,
                stages=entry.grids[:-1],
            )
        )
        self.states += _states(entry, report)

    def settle(self, trial: Trial) -> list[int]:
        """Mark the chunks that a trial ran as done or dead; return their positions."""
        items = {item.key: item for item in self.items}
        found = {
            items[chunk.item].first + chunk.index: chunk
            for chunk in trial.chunks
            if chunk.item in items and chunk.index < items[chunk.item].n
        }
        for position, chunk in found.items():
            if chunk.seconds is not None or chunk.error:
                done = chunk.seconds is not None
                self.states[position] = ChunkState.DONE if done else ChunkState.DEAD
        return list(found)

    def item_at(self, position: int) -> ItemView:
        """Return the item of a chunk."""
        return at(self.items, position)

    def item(self, item_id: int) -> ItemView | None:
        """Return the item of an id."""
        return self.items[item_id - 1] if 0 < item_id <= len(self.items) else None

    def figures(self, name: str) -> Sequence[float]:
        """Return NaN for each chunk: nothing was measured yet."""
        del name
        return [float("nan")] * len(self.states)

    def figures_at(self, positions: Iterable[int], name: str) -> Mapping[int, float]:
        """Return no figures: nothing was measured yet."""
        del positions, name
        return {}


def _states(entry: ItemReason, report: PlanReport) -> bytes:
    if entry.refused:
        return bytes([ChunkState.DEAD])
    if entry.item_id is None:
        return bytes([STATES.get(entry.reason, STALE)]) * entry.chunks
    return bytes(STATES.get(reason, STALE) for reason, _ in report.reasons_of(entry))


class PlanMap(ChunkMap):
    """The map of a plan."""

    BINDING_GROUP_TITLE = "Plan"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        self._planned = PlannedChunks()
        super().__init__(self._planned, id=id)

    def show_plan(self, chunks: PlannedChunks) -> None:
        """Show a plan."""
        self._planned.states, self._planned.items = chunks.states, chunks.items
        self.take(Delta((), reshaped=True, fresh=True, view=View()))

    def show_tried(self, trial: Trial) -> None:
        """Show which chunks a trial ran: they are done or dead."""
        self.take(Delta(self._planned.settle(trial), reshaped=False, fresh=True, view=View()))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide modes and opening: chunks that have not run have no figures and no letters."""
        if action == "mode":
            return False
        return super().check_action(action, parameters)
