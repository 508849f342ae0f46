"""Dead letters by cause or by place, with their evidence and remedies."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from geobatch_tui.observability import figures
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.letters.listing import FIELDS, GROUPINGS, SORTS, Listing, listing
from geobatch_tui.tui.parts.filter_bar import FilterBar
from geobatch_tui.tui.parts.key_bar import KeyBar
from geobatch_tui.tui.parts.page import Filtered
from geobatch_tui.tui.parts.scroll_lines import ScrollLines
from geobatch_tui.tui.screens.letter_evidence import Evidence
from geobatch_tui.tui.screens.remedies import Remedies
from geobatch_tui.tui.widgets.inspector import Inspector
from geobatch_tui.tui.widgets.letter_list import LetterList
from geobatch_tui.tui.widgets.window_preview import Preview

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from geobatch_tui.tui.letters.previewer import Previewer
    from geobatch_tui.tui.run.model import Delta


class DeadScreen(Filtered, Evidence, Remedies):
    """Mode ``dead``.

    Args:
        previewer: reads windows; by default one with a worker process of its own.
    """

    BINDING_GROUP_TITLE = "Dead letters"
    HELP = "What was given up. Mark letters or stand on a group, then retry, export or map them."
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("retry", "retry_chosen"),
        bind("group", "group", does="Group by cause or place, or one by one"),
        bind("filter", "filter"),
        bind("copy", "copy"),
        bind("editor", "editor", show=False),
        bind("map.show", "map"),
        bind("detail.less", "tab(-1)", show=False, name="Tab before", does="The tab before"),
        bind("detail.more", "tab(1)", show=False, name="Tab after", does="The tab after"),
        bind("retry.with", "retry_with", show=False),
        bind("split", "split", show=False),
        bind("dismiss", "dismiss_letters", show=False),
        bind("sort", "sort", show=False),
        bind("export", "export", show=False),
        bind("next", "neighbour(1)", show=False),
        bind("previous", "neighbour(-1)", show=False),
        bind("map.mode", "band", show=False, name="Band", does="The next band of the window"),
        bind("back", "back", show=False),
    ]
    DEFAULT_CSS = """
    DeadScreen #dead { layout: grid; grid-size: 2; grid-columns: 26 1fr; grid-rows: 1fr 1fr; }
    DeadScreen #letters { column-span: 2; }
    DeadScreen.-normal #dead { grid-columns: 40 1fr; }
    DeadScreen.-wide #dead { grid-columns: 1fr 64; grid-rows: 3fr 2fr; }
    DeadScreen.-wide #letters { column-span: 1; }
    DeadScreen.-wide #inspector { column-span: 2; }
    DeadScreen.-slim #window, DeadScreen.-low #window { display: none; }
    DeadScreen.-slim #inspector, DeadScreen.-low #inspector { display: none; }
    DeadScreen.-slim #dead, DeadScreen.-low #dead {
        grid-size: 1; grid-columns: 1fr; grid-rows: 1fr;
    }
    DeadScreen.-slim #letters, DeadScreen.-low #letters { column-span: 1; }
    DeadScreen #command { height: 1; color: $quiet; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, previewer: Previewer | None = None) -> None:
        super().__init__(previewer)
        self.letters = {}
        self.listing = Listing()
        self._grouping = 0
        self._sort = 0

    def compose(self) -> ComposeResult:
        """Yield list, window and inspector; the breakpoints place them."""
        yield FilterBar(FIELDS, id="bar")
        with Container(id="dead"):
            yield LetterList(id="letters")
            yield Preview(id="window")
            yield Inspector(id="inspector")
        yield Static(id="command", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        """Give the list the keys."""
        super().on_mount()
        self.list.focus()

    @property
    def list(self) -> LetterList:
        """The list."""
        return self.query_one(LetterList)

    # --- following ------------------------------------------------------------------------------

    def take(self, delta: Delta) -> None:
        """Show letters that came or went."""
        super().take(delta)
        letters = self.app.link.store.letters
        if letters is not self.letters or delta.reshaped:
            dead_id = 0 if self.dossier is None else self.dossier.letter.dead_id
            # Dismissed meanwhile: it is read anew.
            if letters.get(dead_id) != self.letters.get(dead_id):
                self.dossier = None
            self.letters = letters
            self.refilter()

    def refilter(self) -> None:
        """Build the list; the cursor stays on its letter."""
        chosen = self.query_one(FilterBar).chosen
        self.listing = listing(
            self.letters,
            chosen,
            GROUPINGS[self._grouping],
            SORTS[self._sort],
            self.app.link.store.item,
        )
        self.list.nothing = "no letter matches" if self.letters else "nothing is given up"
        self.list.show(self.listing, self.letters)
        self._say()
        self.look()

    def _say(self) -> None:
        total, shown, marked = self.listing.total, self.listing.shown, len(self.list.marks)
        grouping = GROUPINGS[self._grouping]
        by = "one by one" if grouping == "none" else f"by {grouping}"
        parts: list[Content | tuple[str, str]] = [
            (" Dead letters ", "bold"),
            (figures.count(total), "bold $error" if total else "bold $success"),
            (f"  {by}, sorted by {SORTS[self._sort]}", "$quiet"),
        ]
        if shown != total:
            parts.append((f"  {figures.count(shown)} shown", "bold"))
        known = sum(letter.dismissed is not None for letter in self.letters.values())
        if known:
            parts.append((f"  {figures.count(known)} dismissed", "$quiet"))
        if marked:
            parts.append((f"  {figures.count(marked)} marked", "bold $accent"))
        self.query_one(FilterBar).say(Content.assemble(*parts))

    @on(ScrollLines.Moved)
    def _moved(self, message: ScrollLines.Moved) -> None:
        message.stop()
        self._say()
        self.look()

    @on(ScrollLines.Opened)
    def _opened(self, message: ScrollLines.Opened) -> None:
        message.stop()
        row = self.list.current
        if row is not None and row.letter is None:
            self.list.fold()
        else:
            self.query_one(Inspector).focus()

    # --- the view -------------------------------------------------------------------------------

    def action_group(self) -> None:
        """Group by cause, by place, or not at all."""
        self._grouping = (self._grouping + 1) % len(GROUPINGS)
        self.refilter()

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._sort = (self._sort + 1) % len(SORTS)
        self.refilter()

    def action_neighbour(self, step: int) -> None:
        """Go to the next letter, or to the one before."""
        self.list.cursor += step

    def step_back(self) -> bool:
        """Unmark all letters; return whether any were marked."""
        marked = bool(self.list.marks)
        self.list.unmark()
        return marked
