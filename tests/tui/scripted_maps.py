"""Runs for the map, by script: no ledger, no clock."""

from __future__ import annotations

import math
import os
from array import array
from bisect import bisect_right
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from textual.app import App

from geobatch_tui import tui
from geobatch_tui.ledger.schema.updates import ChunkState, ItemState
from geobatch_tui.tui.kit import themes
from geobatch_tui.tui.kit.glyphs import LOOKS
from geobatch_tui.tui.map.chunk_map import ChunkMap
from geobatch_tui.tui.run.model import Delta, ItemView, LetterView, View
from geobatch_tui.tui.screens.map import MapScreen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from textual.pilot import Pilot

    from geobatch_tui.tui.parts.page import Page

S = ChunkState


class Source:
    """A run in memory, as the map reads it."""

    def __init__(self, items: Sequence[ItemView]) -> None:
        self.items = list(items)
        self.states = bytearray(sum(item.n for item in items))
        self.columns: dict[str, array[float]] = {}

    def item_at(self, position: int) -> ItemView:
        return self.items[bisect_right(self.items, position, key=lambda item: item.first) - 1]

    def item(self, item_id: int) -> ItemView | None:
        return next((item for item in self.items if item.item_id == item_id), None)

    def label(self, position: int) -> str:
        item = self.item_at(position)
        return item.label(position - item.first)

    def figures(self, name: str) -> array[float]:
        return self.columns.get(name) or array("f", bytes(4 * len(self.states)))

    def table(self, names: Sequence[str]) -> list[array[float]]:
        return [self.figures(name) for name in names]

    def table_at(
        self, positions: Iterable[int], names: Sequence[str]
    ) -> dict[int, tuple[float, ...]]:
        return {at: tuple(self.figures(name)[at] for name in names) for at in positions}

    def figures_at(self, positions: Iterable[int], name: str) -> dict[int, float]:
        values = self.figures(name)
        return {position: values[position] for position in positions}


def items(
    *shapes: tuple[int, int], bounds: Sequence[Any] = (), size: int = 1024, key: str = "{}.tif"
) -> list[ItemView]:
    """Items of (columns, rows) chunks one behind the other."""
    found = []
    first = 0
    for index, (columns, rows) in enumerate(shapes):
        found.append(
            ItemView(
                item_id=index + 1,
                key=key.format(index + 1),
                first=first,
                first_chunk=first + 1,
                columns=columns,
                rows=rows,
                n=columns * rows,
                width=columns * size,
                height=rows * size,
                chunk_size=(size, size),
                bounds_lonlat=bounds[index] if index < len(bounds) else None,
                state=ItemState.PLANNED,
                _load=lambda item_id: None,
            )
        )
        first += columns * rows
    return found


def scattered(source: Source, done: float = 0.6) -> Source:
    """States as of a run that is under way, with a patch of dead chunks in the first item."""
    for item in source.items:
        limit = int(item.n * done)
        for index in range(item.n):
            noise = (index * 2654435761 >> 7) % 997
            state = S.DONE if index < limit else S.PENDING
            if limit <= index < limit + max(1, item.columns // 6):
                state = S.RUNNING
            elif index >= limit and noise < 3:
                state = S.RETRY_WAIT
            source.states[item.first + index] = state
    first = source.items[0]
    column, row = first.columns // 2, first.rows // 5
    for dy in range(max(1, first.rows // 20)):
        for dx in range(max(1, first.columns // 20) - dy // 2):
            index = (row + dy) * first.columns + column + dx
            if index < first.n:
                source.states[first.first + index] = S.DEAD
    seconds = array("f", bytes(4 * len(source.states)))
    for position, state in enumerate(source.states):
        if state in {S.DONE, S.DEAD}:
            item = source.item_at(position)
            row, column = divmod(position - item.first, item.columns)
            wave = math.sin(row / 9) * math.cos(column / 13)
            seconds[position] = 2 + 1.5 * wave + (position % 7) / 10
    source.columns["seconds"] = seconds
    source.columns["attempts"] = array("f", [1 + (p % 29 == 0) for p in range(len(seconds))])
    source.columns["worker"] = array("f", [1 + p // 40 % 4 for p in range(len(seconds))])
    source.columns["rss_bytes"] = array("f", [3e8 + 1e6 * (p % 400) for p in range(len(seconds))])
    source.columns["nodata"] = array("f", [(p % 10) / 10 for p in range(len(seconds))])
    return source


class Store(Source):
    """A run in memory with what the map's screen asks for, too."""

    def __init__(self, items: Sequence[ItemView]) -> None:
        super().__init__(items)
        self.letters: dict[int, LetterView] = {}

    def chunk_id(self, position: int) -> int:
        return position + 1

    def bury(self, message: str = "IReadBlock failed at X offset 3, Y offset 7") -> None:
        """A letter for each dead chunk."""
        for position, state in enumerate(self.states):
            if state == S.DEAD:
                item = self.item_at(position)
                self.letters[position] = LetterView(
                    dead_id=position,
                    item_id=item.item_id,
                    chunk_id=position + 1,
                    t=0.0,
                    attempts=3,
                    crashes=0,
                    error_class="CorruptSourceError",
                    message=message,
                    cause="",
                    stage="read",
                    where="",
                    source="",
                    suggestion="",
                )

    def view(self) -> View:
        counts = {look.field: self.states.count(state) for state, look in LOOKS.items()}
        return View(counts={**counts, "total": len(self.states)})


class MapApp(App[None]):
    """The console with nothing but the map, on a run in memory."""

    CSS_PATH = str(Path(tui.__file__).with_name("console") / "console.tcss")

    def __init__(
        self, store: Store, theme: str = "night", make: Callable[[], Page] = MapScreen
    ) -> None:
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.link = SimpleNamespace(store=store, read_only=False)
        self.told: list[object] = []
        self._theme_name = theme
        self._make = make

    @property
    def shown(self) -> View:
        return self.link.store.view()

    @property
    def chunk_map(self) -> ChunkMap:
        return self.screen.query_one(ChunkMap)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return dict(themes.DEFAULTS)

    async def on_mount(self) -> None:
        for theme in themes.load_all()[0]:
            self.register_theme(theme)
        self.theme = self._theme_name
        await self.push_screen(self._make())

    def tick(self, changed: Iterable[int] = (), *, reshaped: bool = False) -> None:
        """Hand over what a poll found."""
        delta = Delta(tuple(changed), reshaped=reshaped, fresh=True, view=self.shown)
        self.screen.take(delta)

    def on_chunk_map_chunk_selected(self, message: ChunkMap.ChunkSelected) -> None:
        self.told.append(message.position)


async def settled(pilot: Pilot[None]) -> None:
    """Wait until nothing is read or painted any more."""
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
