"""The log of the run: followed, filtered by level and by words, with entries unfolded."""

from __future__ import annotations

import asyncio
import contextlib
from time import monotonic
from typing import TYPE_CHECKING, ClassVar, Final

from textual import getters, on, work
from textual.content import Content

from geobatch_tui.observability import figures
from geobatch_tui.tui.kit.editor import offer
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.letters.listing import chunk_named
from geobatch_tui.tui.log.entry import FIELDS
from geobatch_tui.tui.log.index import ERROR, LEVELS, LogIndex
from geobatch_tui.tui.log.selection import LogSelection
from geobatch_tui.tui.parts.console_messages import ShowOnMap
from geobatch_tui.tui.parts.filter_bar import FilterBar, part_of
from geobatch_tui.tui.parts.key_bar import KeyBar
from geobatch_tui.tui.parts.page import Filtered, Page, TextBox
from geobatch_tui.tui.parts.scroll_lines import ScrollLines
from geobatch_tui.tui.widgets.log_view import LogView, level_name, progress, unfolded

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

_STEP: Final = 0.05  #: seconds of reading and searching between two looks at the screen


class LogScreen(Filtered, Page):
    """Mode ``log``."""

    BINDING_GROUP_TITLE = "Log"
    HELP = "The log of the run. Lines that do not match the filter or the level are hidden."
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("follow", "follow"),
        bind("filter", "filter", first=True),
        bind("detail.less", "level(1)", does="Graver lines only"),
        bind("detail.more", "level(-1)", does="Lines of the next lower level, too"),
        bind("next", "error(1)", does="The next error"),
        bind("previous", "error(-1)", show=False, does="The error before"),
        bind("wrap", "wrap"),
        bind("copy", "copy"),
        bind("editor", "editor", show=False),
        bind("faults", "faults", show=False),
        bind("units", "utc", show=False, name="UTC", does="Times in UTC, or local"),
        bind("map.show", "map", show=False),
        bind("back", "back", show=False),
    ]
    #: Seconds to the next look at a file that was read to its end; and where no run writes it.
    REST: ClassVar[float] = 0.25
    STILL: ClassVar[float] = 1.0
    #: Seconds between two times that new lines move all others: nobody reads faster, and each time
    #: is a picture of the whole screen. After a rest a line is shown at once.
    SCROLL: ClassVar[float] = 1.0
    DEFAULT_CSS = """
    LogScreen LogView { height: 1fr; }
    LogScreen #entry { height: 40%; display: none; }
    LogScreen.-unfolded #entry { display: block; }
    """

    view = getters.query_one(LogView)

    def __init__(self) -> None:
        super().__init__()
        self._index = LogIndex(self.app.link.store.log_path)
        self._rank = LEVELS.index("info")
        self._version = 0
        self._next = 0.0
        self._woken = asyncio.Event()

    def compose(self) -> ComposeResult:
        yield FilterBar(FIELDS, id="bar")
        yield LogView(self._index, id="lines")
        yield TextBox(id="entry", title="Entry")
        yield KeyBar()

    def on_mount(self) -> None:
        """Read the log from its beginning, and follow it."""
        super().on_mount()
        self.view.choose(LogSelection(self._index, rank=self._rank))
        self.view.focus()
        self.read_on()

    # --- reading --------------------------------------------------------------------------------

    @work(exclusive=True, group="log", exit_on_error=False)
    async def read_on(self) -> None:
        """Index the file and search it, a step at a time; rest while another screen is shown."""
        busy = False
        while True:
            before, busy = busy, await asyncio.to_thread(_step, self._index, self.view.selection)
            if self.is_current and not self.app.frozen:
                self._show(at_once=before and not busy)
            if busy and self.is_current:
                await asyncio.sleep(0)
            else:
                rest = self.REST if self.app.shown.live else self.STILL
                with contextlib.suppress(TimeoutError):  # else the selection has changed
                    await asyncio.wait_for(self._woken.wait(), rest)
                self._woken.clear()

    def _show(self, *, at_once: bool) -> None:
        if self._version != self._index.version:  # the file is another one
            self._version = self._index.version
            self.refilter()
        elif at_once or monotonic() >= self._next:
            if self.view.grow():
                self._next = monotonic() + self.SCROLL
            self._say()

    def _say(self) -> None:
        view, total = self.view, self._index.count
        shown = view.selection.count
        parts: list[Content | tuple[str, str]] = [
            (" Log ", "bold"),
            (f" {level_name(self._rank)} ", "reverse"),
            (f"  {part_of(shown, total, 'line')}", ""),
        ]
        if view.following:
            parts.append(("  FOLLOW", "bold $success"))
        elif shown > view.cursor + 1:
            parts.append((f"  {figures.count(shown - view.cursor - 1)} below (G)", "$quiet"))
        if view.utc:
            parts.append(("  UTC", "$quiet"))
        if note := progress(self._index, view.selection):
            parts.append((f"  {note}", "$warning"))
        view.nothing = "" if note else "no line matches" if total else "nothing is logged yet"
        self.bar.say(Content.assemble(*parts))

    def refilter(self) -> None:
        self.view.choose(LogSelection(self._index, self.bar.chosen, self._rank))
        self._next = 0.0
        self._woken.set()
        self._say()

    # --- messages -------------------------------------------------------------------------------

    @on(ScrollLines.Moved)
    def _moved(self) -> None:
        self._say()
        if self.has_class("-unfolded"):
            self._unfold()

    @on(ScrollLines.Opened)
    def _opened(self) -> None:
        self.toggle_class("-unfolded")
        self._unfold()
        self.call_after_refresh(self.view.keep_in_view, self.view.cursor)

    def _unfold(self) -> None:
        box = self.query_one(TextBox)
        box.write(unfolded(self.view.entry(self.view.cursor)))
        box.scroll_home(animate=False)

    # --- actions --------------------------------------------------------------------------------

    def action_follow(self) -> None:
        """Follow the last line, or stay here."""
        if self.view.following:
            self.view.following = False
        else:
            self.view.action_to_end()
        self._say()

    def action_level(self, step: int) -> None:
        """Raise or lower the lowest level that is shown."""
        rank = min(max(self._rank + step, 0), len(LEVELS) - 1)
        if rank != self._rank:
            self._rank = rank
            self.refilter()

    def action_faults(self) -> None:
        """Show errors only, or everything from info on."""
        self._rank = LEVELS.index("info") if self._rank == ERROR else ERROR
        self.refilter()

    def action_error(self, step: int) -> None:
        """Go to the next error, or to the one before."""
        if not self.view.jump(ERROR, step):
            self.notify("no error further on" if step > 0 else "no error before", markup=False)

    def action_wrap(self) -> None:
        """Break long lines, or cut them."""
        self.view.wrapped = not self.view.wrapped
        self.view.forget()
        self.view.keep_in_view(self.view.cursor)

    def action_utc(self) -> None:
        """Show times in UTC, or local."""
        self.view.utc = not self.view.utc
        self.view.forget()
        self._say()

    def action_copy(self) -> None:
        """Copy the text that is selected, else the line under the cursor as it is in the file."""
        self.copy_text(self.get_selected_text() or self.view.raw(self.view.cursor))

    def action_editor(self) -> None:
        """Open the entry under the cursor, all of its fields, in an editor or a pager."""
        if self.view.count():
            text = unfolded(self.view.entry(self.view.cursor)).plain
            offer(self.app, f"{text}\n", "log-entry.txt")

    def action_map(self) -> None:
        """Show the chunk or item of the line on the map."""
        entry = self.view.entry(self.view.cursor)
        name = str(entry.get("chunk") or entry.get("item") or "")
        found = chunk_named(self.app.link.store.items, name)
        if found is None:
            self.notify("the line names no chunk of the job", markup=False)
            return
        item, chunk = found
        whole = ShowOnMap((name,), (), (item.item_id,))
        self.post_message(whole if chunk is None else ShowOnMap((name,), (chunk,)))

    def step_back(self) -> bool:
        """Fold the entry; return whether one was unfolded."""
        shown = self.has_class("-unfolded")
        self.remove_class("-unfolded")
        return shown


def _step(index: LogIndex, selection: LogSelection) -> bool:
    """Read and search for a moment; return whether there is more to do. For a thread."""
    until = monotonic() + _STEP
    while True:
        reading, searching = index.advance(), selection.advance()
        if not (reading or searching) or monotonic() > until:
            return reading or searching
