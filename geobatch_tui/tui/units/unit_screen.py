"""Chunks and items as one table, sorted by what they cost, with the map and the workers' time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, ClassVar, Final

from textual import getters, on, work
from textual.containers import Horizontal, Vertical
from textual.content import Content

from geobatch_tui.ledger.schema.updates import ChunkState
from geobatch_tui.observability import figures
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.map.chunk_map import ChunkMap
from geobatch_tui.tui.parts.console_messages import ShowLetter, ShowOnMap
from geobatch_tui.tui.parts.dialogs import PathDialog
from geobatch_tui.tui.parts.filter_bar import FilterBar, part_of
from geobatch_tui.tui.parts.key_bar import KeyBar
from geobatch_tui.tui.parts.page import Filtered, ListBox, Page
from geobatch_tui.tui.parts.scroll_lines import ScrollLines
from geobatch_tui.tui.run.model import Delta
from geobatch_tui.tui.units import unit_listing
from geobatch_tui.tui.units.time_line import TimeLine
from geobatch_tui.tui.units.unit_columns import text_of
from geobatch_tui.tui.units.unit_figures import UnitFigures
from geobatch_tui.tui.units.unit_listing import Listed, Wish
from geobatch_tui.tui.units.unit_table import UnitHeading, UnitTable
from geobatch_tui.tui.units.worker_lanes import lanes_of

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from geobatch_tui.tui.parts.console_app import Target
    from geobatch_tui.tui.run.model import ItemView

_PERIOD: Final = 1.0  #: seconds between two readings of a run that is live, at least
_REST: Final = 10.0  #: how many times as long as a reading took the next one waits
_LANES: Final = 8  #: workers whose time is shown without a line for the others
_FRAME: Final = 3  #: lines of the time line that are no lane
_FAULTS: Final = "!state:done !state:wait !state:run"


class UnitsScreen(Filtered, Page):
    """Mode ``units``."""

    BINDING_GROUP_TITLE = "Units"
    HELP = "All chunks, or items, with what they cost. Filter: dur>1 item:relief state:done mem>200"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("sort", "sort(1)"),
        bind("sort.reverse", "reverse", show=False),
        bind("group", "group", name="Items/chunks", does="Items, or all chunks"),
        bind("filter", "filter", first=True),
        bind("next", "outlier(1)", name="Outlier", does="The next one that stands out"),
        bind("map.show", "map"),
        bind("export", "export", name="CSV", does="Write what is listed as a table"),
        bind("previous", "outlier(-1)", show=False, does="The one before that stands out"),
        bind("detail.less", "sort(-1)", show=False, name="Sort", does="Sort by the column before"),
        bind("detail.more", "sort(1)", show=False, name="Sort", does="Sort by the column after"),
        bind("faults", "faults", show=False, does="Only what is dead or waits for a retry"),
        bind("copy", "copy", show=False),
        bind("back", "back", show=False),
    ]
    DEFAULT_CSS = """
    UnitsScreen UnitTable { height: 1fr; }
    UnitsScreen #side { width: 50; display: none; }
    UnitsScreen #where {
        height: 1fr; border: round $border-blurred; border-title-color: $foreground;
        border-title-style: bold; border-subtitle-color: $quiet;
    }
    UnitsScreen #where:focus { border: round $border; }
    UnitsScreen TimeLine { height: 5; }
    UnitsScreen.-wide #side { display: block; }
    UnitsScreen.-wide #under, UnitsScreen.-short #under, UnitsScreen.-low #under { display: none; }
    """

    table = getters.query_one(UnitTable)
    map = getters.query_one("#where", ChunkMap)

    def __init__(self) -> None:
        super().__init__()
        self._source = unit_listing.ListedSource(self.app.link.store)
        self._units = UnitFigures()
        self._wish = Wish()
        self._listed = Listed(self._wish, 0)
        self._changed: set[int] | None = None  # None: all is to be read
        self._busy = self._stale = False
        self._next = 0.0
        self._loaded = False
        self._wanted: int | None = None

    def compose(self) -> ComposeResult:
        yield FilterBar(self._wish.fields, id="bar")
        with Horizontal():
            with Vertical():
                with ListBox():
                    yield UnitHeading()
                    yield UnitTable(id="units")
                yield TimeLine(id="under")
            with Vertical(id="side"):
                yield ChunkMap(self._source, id="where")
                yield TimeLine(id="beside")
        yield KeyBar()

    def on_mount(self) -> None:
        super().on_mount()
        self.table.nothing = "the chunks are being read"
        self.table.border_title = "Items" if self._wish.items else "Chunks"
        self.table.focus()

    # --- following ------------------------------------------------------------------------------

    def take(self, delta: Delta) -> None:
        """Take the delta of a poll; what changed is read when it is due."""
        super().take(delta)
        if delta.reshaped:
            self._changed = None
        elif self._changed is not None:
            self._changed.update(delta.changed)
        if self._changed is None or self._changed:
            self._read_later()

    def _read_later(self) -> None:
        """Read now, or once it is due; a reading under way is followed by another."""
        self._stale = True
        if not self._busy:
            self._busy = True
            self._read_on()

    @work(group="units", exit_on_error=False)
    async def _read_on(self) -> None:
        """Read, filter and sort, until nothing has changed meanwhile."""
        try:
            while self._stale:
                wait = self._next - monotonic()
                if wait > 0 and self._listed.wish is self._wish:
                    await asyncio.sleep(min(wait, 0.2))
                    continue
                self._stale = False
                begun = monotonic()
                await self._renew()
                cost = monotonic() - begun
                self._next = monotonic() + max(_PERIOD, _REST * cost)
        finally:
            self._busy = False

    async def _renew(self) -> None:
        store, wish = self.app.link.store, self._wish
        changed, self._changed = self._changed, set()
        if changed is None or changed:
            self._units = await asyncio.to_thread(unit_listing.bring, store, self._units, changed)
        shown = await asyncio.to_thread(unit_listing.list_units, self._units, wish, store.label)
        if self._wish is wish:
            self._show(shown)
        if shown.chunks is not None:
            await asyncio.to_thread(unit_listing.add_spread, shown.chunks, wish.sort)
            if self._listed is shown:
                self._entitle()
                self.table.renew()
        await self._read_lanes()

    def _show(self, shown: Listed) -> None:
        first, self._loaded = not self._loaded, True
        self._listed = shown
        table = self.table
        table.nothing = "no unit matches" if shown.total else "nothing is planned yet"
        if shown.chunks is None:
            table.show_items(shown.items)
        else:
            table.show_chunks(shown.chunks)
        heading = self.query_one(UnitHeading)
        heading.sort, heading.backwards = shown.wish.sort, shown.wish.backwards
        heading.items = shown.wish.items
        heading.renew()
        if shown.mask is not self._source.mask or first:
            self._source.mask = shown.mask
            self.map.take(Delta((), reshaped=True, fresh=True, view=self.app.shown))
        self._entitle()
        self._say()
        self._go()
        self._point()

    @on(TimeLine.Sized)
    @work(exclusive=True, group="lanes", exit_on_error=False)
    async def _sized(self) -> None:
        """Fill the time line anew; the map has a size by now, too."""
        self._point()
        await self._read_lanes()

    @property
    def _line(self) -> TimeLine | None:
        """The time line that there is room for."""
        return next((line for line in self.query(TimeLine) if line.size.width), None)

    async def _read_lanes(self) -> None:
        line, view = self._line, self.app.shown
        if line is None or view.run is None:
            return
        working = view.workers if view.live else ()
        line.lanes = await asyncio.to_thread(
            lanes_of, self._units, view.run.t0, view.now, line.steps, working
        )
        high = min(len(line.lanes.lanes), _LANES) + _FRAME
        if line.styles.height is None or line.styles.height.value != high:
            line.styles.height = high
        line.renew()

    # --- what is said ---------------------------------------------------------------------------

    def _say(self) -> None:
        wish, table = self._wish, self.table
        noun = "item" if wish.items else "chunk"
        shown = part_of(table.count(), self._listed.total, noun)
        self.bar.say(Content.assemble((" Units ", "bold"), f" {shown}"))

    def _entitle(self) -> None:
        """Say in the border how the figure that is sorted by is spread."""
        table, shown = self.table, self._listed
        table.border_title = "Items" if shown.chunks is None else "Chunks"
        spread = shown.chunks.spread if shown.chunks is not None else None
        if spread is None or not spread.count:
            table.border_subtitle = ""
            return
        sort = shown.wish.sort
        parts = [(f"p{part}", part / 100) for part in (50, 95, 99)]
        parts.append(("max", 1.0))
        said = [f"{name} {text_of(sort, spread.share(part))}" for name, part in parts]
        many = spread.count + spread.first - spread.outliers
        if many:
            said.append(f"{figures.count(many)} stand{'s' if many == 1 else ''} out (n)")
        table.border_subtitle = "  ".join(said)

    @on(ScrollLines.Moved)
    def _moved(self) -> None:
        self._point()

    def _point(self) -> None:
        """Show the chunk under the cursor on the map and on the time line."""
        position = self.table.position
        chosen = None
        if position is not None and position < len(self._units):
            end, spent = (self._units.value(name, position) for name in ("ended", "seconds"))
            if end:
                chosen = int(self._units.value("worker", position)), end - spent, end
        for line in self.query(TimeLine):
            line.chosen = chosen
            line.renew()
        if position is None and (item := self._item()) is not None:
            position = item.first
        if position is not None and not self.map.has_focus:
            self.map.point_at(position)

    def _item(self) -> ItemView | None:
        item_id = self.table.item
        return None if item_id is None else self.app.link.store.item(item_id)

    @on(ChunkMap.Moved)
    def _pointed(self) -> None:
        """Follow the cursor of the map, while that has the keys."""
        if self.map.has_focus and (position := self.map.pictures.top.worst()) is not None:
            self.table.go(position)

    # --- actions --------------------------------------------------------------------------------

    def refilter(self) -> None:
        self._put(Wish(self._wish.items, self.bar.chosen, self._wish.sort, self._wish.backwards))

    def _put(self, wish: Wish) -> None:
        self._wish = wish
        self._say()
        self._read_later()

    def action_sort(self, step: int) -> None:
        self._put(self._wish.next_sort(step))

    def action_reverse(self) -> None:
        self._put(self._wish.sorted_by(self._wish.sort))

    @on(UnitHeading.Clicked)
    def _head_clicked(self, message: UnitHeading.Clicked) -> None:
        self._put(self._wish.sorted_by(message.name))

    def action_group(self) -> None:
        """List items, or chunks."""
        self._group(items=not self._wish.items)

    def _group(self, *, items: bool) -> None:
        wish = self._wish.grouped(items=items)
        self.bar.use(wish.fields)
        self._put(wish)

    def action_faults(self) -> None:
        """List only what went wrong, or all."""
        self.bar.put("" if self.bar.chosen.text == _FAULTS else _FAULTS)

    def action_outlier(self, step: int) -> None:
        """Go to the next chunk whose figure stands out."""
        chunks = self.table.chunks
        number = None if chunks is None else chunks.outlier(self.table.cursor, step)
        if number is None:
            self.notify("nothing stands out", title="units", markup=False)
        else:
            self.table.cursor = number

    @on(ScrollLines.Opened)
    def _opened(self) -> None:
        """List the chunks of an item; go to the letter of a dead chunk; show others on the map."""
        item, position = self._item(), self.table.position
        if item is not None:
            self.show_unit(item, None)
        elif position is not None and self._units.states[position] == ChunkState.DEAD:
            self._to_letter(position)
        else:
            self.action_map()

    def show_unit(self, item: ItemView, index: int | None) -> None:
        """List the chunks of an item, and put the cursor on that of an ``index``."""
        if self._wish.items:
            self._group(items=False)
        # A quotation mark ends a phrase of the filter: the longest part without one has to do.
        part = max(item.key.split('"'), key=len)
        self._wanted = None if index is None else item.first + index
        self.bar.put(f'item{"=" if part == item.key else ":"}"{part}"')
        self._go()

    def _go(self) -> None:
        """Put the cursor on the chunk that is wanted, once it is listed."""
        if self._wanted is not None and self.table.go(self._wanted):
            self._wanted = None

    def _to_letter(self, position: int) -> None:
        store = self.app.link.store
        chunk, item = store.chunk_id(position), store.item_at(position).item_id
        of_it = (
            letter.dead_id
            for letter in reversed(list(store.letters.values()))
            if letter.item_id == item and letter.chunk_id in {chunk, None}
        )
        dead_id = next(of_it, None)
        if dead_id is None:
            self.action_map()
        else:
            self.post_message(ShowLetter(dead_id))

    def action_map(self) -> None:
        item, position = self._item(), self.table.position
        store = self.app.link.store
        if item is not None:
            self.post_message(ShowOnMap((item.key,), (), (item.item_id,)))
        elif position is not None and position < len(store.states):
            self.post_message(ShowOnMap((store.label(position),), (store.chunk_id(position),)))

    def target(self) -> Target:
        """Return the item or the chunk under the cursor."""
        item = self._item()
        if item is not None:
            return super().target()._replace(item_id=item.item_id)
        return self.target_of(self.table.position)

    def action_copy(self) -> None:
        """Copy the row under the cursor."""
        if self.table.count():
            self.copy_text(self.table.text(self.table.cursor))

    @work(exclusive=True, group="export", exit_on_error=False)
    async def action_export(self) -> None:
        """Write what is listed, as a table."""
        shown = self._listed
        if not self.table.count():
            return
        said = f"{figures.plural(self.table.count(), 'row')}, as CSV"
        path = await self.app.push_screen_wait(PathDialog("Write", said, Path.cwd() / "units.csv"))
        if path is not None:
            await asyncio.to_thread(unit_listing.write_table, shown, path)
            self.notify(f"written to {path}", title="export", markup=False)
