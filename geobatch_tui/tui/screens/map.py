"""The map of all chunks, with details of those under the cursor."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, ClassVar, Final

from textual import getters, on, work
from textual.containers import Horizontal, Vertical

from geobatch_tui.ledger.schema.updates import ChunkState
from geobatch_tui.observability import figures
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.letters.retry_plan import dead_within
from geobatch_tui.tui.map.chunk_map import ChunkMap
from geobatch_tui.tui.map.panels import CursorCard, HistogramPanel, Legend, MapHead
from geobatch_tui.tui.map.picture.codes import CODES, MODES, WHO
from geobatch_tui.tui.map.picture.histogram import histogram
from geobatch_tui.tui.map.picture.place import Place
from geobatch_tui.tui.map.picture.reading import Reading, read
from geobatch_tui.tui.parts.key_bar import KeyBar
from geobatch_tui.tui.parts.page import Page
from geobatch_tui.tui.screens.retry_dialog import retry
from geobatch_tui.tui.widgets.letter_list import LetterList

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.worker import Worker

    from geobatch_tui.tui.map.picture.codes import Mode, Scale
    from geobatch_tui.tui.parts.console_app import Target
    from geobatch_tui.tui.run.model import Delta, LetterView
    from geobatch_tui.tui.run.store import RunStore

_DURATION: Final = MODES[1]
_REST: Final = 10.0  #: seconds between two histograms, or so many times as long as one took
_ITEMS: Final = 64  #: items whose lattice is kept


class MapScreen(Page):
    """Mode ``map``."""

    BINDING_GROUP_TITLE = "Map"
    BINDINGS: ClassVar[list[BindingType]] = [bind("retry", "retry_chosen", show=False)]
    HELP = "Every chunk in its place on the ground. Zoomed out, a cell shows its worst chunk."
    DEFAULT_CSS = """
    MapScreen {
        #map, CursorCard, #spread, #counts {
            border: round $border-blurred;
            border-title-color: $foreground;
            border-title-style: bold;
            border-subtitle-color: $quiet;
        }
        #map { width: 1fr; height: 1fr; }
        #map:focus { border: round $border; }
        #legend { height: 1; }
        #card { height: 4; }
        #side { width: 46; display: none; }
        #side CursorCard { height: 16; }
        #counts { height: 7; }
        &.-figures #counts { height: 14; }
        #spread { height: 1fr; }
        &.-wide #side { display: block; }
        &.-wide #legend, &.-wide #card { display: none; }
        &.-low #card, &.-slim #card { display: none; }
    }
    """

    map = getters.query_one("#map", ChunkMap)

    def __init__(self) -> None:
        super().__init__()
        self._key: tuple[int | None, int] | None = None
        self._places: dict[int, Place] = {}
        self._spread_of: tuple[Mode, Scale | None] | None = None
        self._spread_next = 0.0

    @property
    def store(self) -> RunStore:
        return self.app.link.store

    def compose(self) -> ComposeResult:
        """Yield the map, with legend and card below it, or on a wide terminal beside it."""
        yield MapHead(id="head")
        with Horizontal():
            yield ChunkMap(self.app.link.store, id="map")
            with Vertical(id="side"):
                yield CursorCard(id="side-card")
                yield Legend(id="counts")
                yield HistogramPanel(id="spread")
        yield Legend(id="legend")
        yield CursorCard(id="card")
        yield KeyBar()

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#counts").border_title = "Legend"
        self.query_one("#card").border_subtitle = "enter:open  space:mark  v:rectangle"
        self.map.focus()

    def take(self, delta: Delta) -> None:
        super().take(delta)
        self._want_spread()

    def target(self) -> Target:
        """Return the chunk under the cursor, the worst where there are several."""
        pictures = self.map.pictures
        return self.target_of(pictures.top.worst() if pictures.loaded else None)

    @on(ChunkMap.Moved)
    def _read(self) -> None:
        """Show what is under the cursor, which has moved or changed."""
        chunk_map, store = self.map, self.store
        reading = read(chunk_map.pictures, store, self._places)
        if reading.key != self._key:
            self._key = reading.key
            self._tell(reading, None)
            if reading.position is not None:
                self._read_chunk(reading)
        else:
            self._tell(reading, self.query_one("#card", CursorCard).figures)
        self._entitle()
        self._want_spread()

    def _tell(self, reading: Reading, figures: Mapping[str, float] | None) -> None:
        letter = self._letter(reading)
        for card in self.query(CursorCard):
            card.reading, card.figures, card.letter = reading, figures, letter
            card.renew()

    def _letter(self, reading: Reading) -> LetterView | None:
        if reading.position is None or reading.code != CODES[ChunkState.DEAD]:
            return None
        chunk = self.store.chunk_id(reading.position)
        item = reading.item.item_id if reading.item else 0
        return next(
            (
                letter
                for letter in reversed(list(self.store.letters.values()))
                if letter.item_id == item and letter.chunk_id in {chunk, None}
            ),
            None,
        )

    def _entitle(self) -> None:
        head, chunk_map = self.query_one(MapHead), self.map
        head.what = self._what()
        unplaced = chunk_map.pictures.unplaced
        lost = sum(
            self.store.states.count(ChunkState.DEAD, item.first, item.first + item.n)
            for item in unplaced
        )
        head.unplaced = len(unplaced), lost
        head.renew()
        planes = chunk_map.pictures.planes
        self.set_class(bool(planes.mode.figure), "-figures")
        for legend in self.query(Legend):
            legend.mode, legend.scale = planes.mode, planes.scale
            legend.renew()

    def _what(self) -> str:
        item = self.map.pictures.opened
        if item is None:
            items = self.map.pictures.items
            chunks = len(self.map.pictures.planes.flags)
            text = f"{figures.plural(len(items), 'item')}, {figures.plural(chunks, 'chunk')}"
            return text if items else "nothing is planned yet"
        wide, high = item.chunk_size
        unit = self.app.shown.unit_name
        if unit != "px":
            return f"{item.key}  {figures.plural(item.n, 'chunk')} of {figures.count(wide)} {unit}"
        size = f" of {wide}x{high}" if wide and high else ""
        return f"{item.key}  {item.columns}x{item.rows} chunks{size}"

    # --- actions --------------------------------------------------------------------------------

    @on(ChunkMap.ChunkSelected)
    def _open(self, message: ChunkMap.ChunkSelected) -> None:
        """Go to the letter of a dead chunk; the card shows all there is of others."""
        message.stop()
        chunk_map = self.map
        letter = self._letter(read(chunk_map.pictures, self.store, self._places))
        if letter is None:
            label = self.store.label(message.position)
            self.notify(f"{label} has no dead letter", title="map", markup=False)
            return
        dead_id = letter.dead_id
        self.app.show_mode("dead", lambda screen: screen.query_one(LetterList).go(dead_id))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide in a read-only console what changes the run."""
        del parameters
        return action != "retry_chosen" or not self.app.link.read_only

    @work(exclusive=True, group="retry", exit_on_error=False)
    async def action_retry_chosen(self) -> None:
        """Retry dead chunks in the rectangle or under the cursor, after a dialog that shows what
        that does."""
        scene, letters = self.map.pictures.top, self.store.letters
        runs = self.map.selected or scene.under_cursor()
        chosen = dead_within(self.store, letters.values(), runs)
        if not chosen:
            where = "in the rectangle" if self.map.selected else "under the cursor"
            self.notify(f"nothing is dead {where}", title="retry", markup=False)
            return
        await retry(self, letters, chosen)

    # --- reading --------------------------------------------------------------------------------

    @work(exclusive=True, group="card", exit_on_error=False)
    async def _read_chunk(self, reading: Reading) -> None:
        """Read the figures of one chunk in a thread, as a poll may hold the ledger."""
        item = reading.item
        if reading.position is None or item is None:
            return
        found = await asyncio.to_thread(_figures, self.store, reading.position)
        if item.item_id not in self._places:
            place = await asyncio.to_thread(lambda: Place.of(item, item.lattice))
            if place is not None:
                while len(self._places) >= _ITEMS:
                    self._places.pop(next(iter(self._places)))
                self._places[item.item_id] = place
        if reading.key == self._key:
            self._tell(read(self.map.pictures, self.store, self._places), found)

    def _want_spread(self) -> None:
        """Read the histogram where it is shown: at once for another mode, else now and then."""
        if not self.query_one("#side").display:
            return
        mode = self.map.mode
        shown = bool(mode.figure) and mode.name not in WHO
        wanted = (mode, self.map.pictures.planes.scale) if shown else (_DURATION, None)
        if wanted == self._spread_of and time.monotonic() < self._spread_next:
            return
        self._spread_of = wanted
        self._spread_next = time.monotonic() + _REST
        self._read_spread(*wanted)

    @work(group="spread", exit_on_error=False)
    async def _read_spread(self, mode: Mode, scale: Scale | None) -> None:
        start = time.monotonic()
        store = self.store
        spread = await asyncio.to_thread(lambda: histogram(mode, store.figures(mode.figure), scale))
        if (mode, scale) != self._spread_of:
            return
        self._spread_next = time.monotonic() + _REST * max(1.0, time.monotonic() - start)
        panel = self.query_one(HistogramPanel)
        panel.border_title = mode.name
        panel.histogram = spread
        panel.renew()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Ignore an error of a reading: the card stays open, and the next move tries again."""
        if event.worker.group in {"card", "spread"}:
            event.stop().prevent_default()


def _figures(store: RunStore, position: int) -> dict[str, float]:
    """Read the figures of a chunk, by the ledger's names."""
    named = [*(mode.figure for mode in MODES if mode.figure), "undefined"]
    row = store.table_at((position,), named).get(position, (0.0,) * len(named))
    return dict(zip(named, row, strict=True))
