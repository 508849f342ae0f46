"""Dead letters by cause or by place, with their evidence and remedies."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from geobatch_tui.execution.protocol.messages import ResultTask
from geobatch_tui.execution.protocol.preview_messages import PreviewReceipt
from geobatch_tui.observability import figures
from geobatch_tui.tui.jobs.chunk_results import LATE, SECONDS
from geobatch_tui.tui.kit.editor import offer
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.letters import dossier
from geobatch_tui.tui.letters.listing import (
    ASCENDING,
    FIELDS,
    GROUPINGS,
    SORTS,
    Listing,
    listing,
    of_cause,
)
from geobatch_tui.tui.letters.look_tasks import wanted, what_it_got
from geobatch_tui.tui.letters.previewer import Previewer, Unseen
from geobatch_tui.tui.parts.filter_bar import FilterBar
from geobatch_tui.tui.parts.key_bar import KeyBar
from geobatch_tui.tui.parts.page import ListBox, Sorted
from geobatch_tui.tui.parts.scroll_lines import ListHeading, ScrollLines
from geobatch_tui.tui.screens.remedies import Remedies
from geobatch_tui.tui.widgets.inspector import Inspector, whole
from geobatch_tui.tui.widgets.letter_list import LetterList, heading
from geobatch_tui.tui.widgets.window_preview import Preview

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from geobatch_tui.execution.protocol.preview_messages import PreviewTask
    from geobatch_tui.tui.letters.dossier import Dossier
    from geobatch_tui.tui.run.model import Delta


class DeadScreen(Sorted, Remedies):
    """Mode ``dead``.

    Args:
        previewer: reads windows; by default one with a worker process of its own.
        computing: computes what steps got, likewise.

    Attributes:
        dossier: what was read of the letter under the cursor; None: it is to be read.
    """

    sorts = SORTS
    BINDING_GROUP_TITLE = "Dead letters"
    HELP = "What was given up. Mark letters or stand on a group, then retry, export or map them."
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("retry", "retry_chosen"),
        bind("group", "group", does="Group by cause or place, or one by one"),
        bind("filter", "filter", first=True),
        bind("editor", "editor", show=False),
        bind("detail.less", "tab(-1)", show=False, name="Tab before", does="The tab before"),
        bind("detail.more", "tab(1)", show=False, name="Tab after", does="The tab after"),
        bind("retry.with", "retry_with"),
        bind("split", "split"),
        bind("dismiss", "dismiss_letters"),
        bind("map.show", "map"),
        bind("copy", "copy"),
        bind("sort", "sort", show=False),
        bind("sort.reverse", "reverse", show=False),
        bind("export", "export", show=False),
        bind("next", "neighbour(1)", show=False),
        bind("previous", "neighbour(-1)", show=False),
        bind("map.mode", "band", show=False, name="Band", does="The next band of the window"),
        bind("step.result", "got", show=False, name="Got", does="What the blamed step got"),
        bind("back", "back", show=False),
    ]
    DEFAULT_CSS = """
    DeadScreen #dead { layout: grid; grid-size: 2; grid-columns: 26 1fr; grid-rows: 1fr 1fr; }
    DeadScreen #listed { column-span: 2; }
    DeadScreen.-normal #dead { grid-columns: 40 1fr; }
    DeadScreen.-wide #dead { grid-columns: 1fr 64; grid-rows: 3fr 2fr; }
    DeadScreen.-wide #listed { column-span: 1; }
    DeadScreen.-wide #inspector { column-span: 2; }
    DeadScreen.-slim #window, DeadScreen.-low #window { display: none; }
    DeadScreen.-slim #inspector, DeadScreen.-low #inspector { display: none; }
    DeadScreen.-slim #dead, DeadScreen.-low #dead {
        grid-size: 1; grid-columns: 1fr; grid-rows: 1fr;
    }
    DeadScreen.-slim #listed, DeadScreen.-low #listed { column-span: 1; }
    DeadScreen #command { height: 1; color: $quiet; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    #: Seconds between two looks at the files of a letter.
    AGAIN: ClassVar[float] = 2.0
    #: Seconds that the cursor rests on a letter before it is read from disk.
    SETTLE: ClassVar[float] = 0.15

    def __init__(
        self, previewer: Previewer | None = None, computing: Previewer | None = None
    ) -> None:
        super().__init__()
        self.previewer = previewer or Previewer()
        self.computing = computing or Previewer(seconds=SECONDS, late=LATE)
        self.dossier: Dossier | None = None
        self.letters = {}
        self.listing = Listing()
        self._grouping = 0
        self._sort = SORTS[0]
        self._band = 0
        self._pictured: tuple[int, int, bool] | None = None
        self._got = False

    def compose(self) -> ComposeResult:
        """Yield list, window and inspector; the breakpoints place them."""
        yield FilterBar(FIELDS, id="bar")
        with Container(id="dead"):
            with ListBox(id="listed"):
                yield ListHeading(heading, ASCENDING)
                yield LetterList(id="letters")
            yield Preview(id="window")
            yield Inspector(id="inspector")
        yield Static(id="command", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        super().on_mount()
        self.list.focus()
        self.set_interval(self.AGAIN, self._look_again)

    @work(exclusive=True, group="files", exit_on_error=False)
    async def _look_again(self) -> None:
        """Read the letter anew if a file that it tells of is another one now."""
        found = self.dossier
        if found is None or not self.is_current:
            return
        folder = self.app.link.store.directory
        files = await asyncio.to_thread(lambda: dossier.files_of(found, folder.absolute()))
        if files != found.files and self.dossier is found:
            self._pictured = None
            self.read_letter(found.letter.dead_id)

    async def on_unmount(self) -> None:
        await self.previewer.close()
        await self.computing.close()

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
        self.listing = listing(
            self.letters,
            self.bar.chosen,
            GROUPINGS[self._grouping],
            self._sort,
            self.app.link.store.item,
            backwards=self._backwards,
        )
        names = self.query_one(ListHeading)
        names.sort, names.backwards = self._sort, self._backwards
        names.renew()
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
            (f"  {by}, sorted by {self._sort}", "$quiet"),
        ]
        if shown != total:
            parts.append((f"  {figures.count(shown)} shown", "bold"))
        known = sum(letter.dismissed is not None for letter in self.letters.values())
        if known:
            parts.append((f"  {figures.count(known)} dismissed", "$quiet"))
        if marked:
            parts.append((f"  {figures.count(marked)} marked", "bold $accent"))
        self.bar.say(Content.assemble(*parts))

    @on(ScrollLines.Moved)
    def _moved(self) -> None:
        self._say()
        self.look()

    @on(ScrollLines.Opened)
    def _opened(self) -> None:
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

    def list_cause(self, dead_id: int) -> None:
        """List the letters that have the cause of one of them."""
        letter = self.app.link.store.letters.get(dead_id)
        if letter is not None:
            self.bar.put(of_cause(letter))

    def action_neighbour(self, step: int) -> None:
        self.list.cursor += step

    def step_back(self) -> bool:
        return self.list.unmark()

    # --- evidence -------------------------------------------------------------------------------

    def look(self) -> None:
        """Read the letter under the cursor, once the cursor rests."""
        dead_id = self.list.letter
        if dead_id is None:
            self.dossier = self._pictured = None
            self.query_one(Inspector).show(None)
            self.query_one(Preview).show(Unseen(self.list.nothing))
            self.query_one("#command", Static).update(Content(""))
        elif self.dossier is None or self.dossier.letter.dead_id != dead_id:
            self.read_letter(dead_id)
        else:
            self.query_one(Inspector).show(self.dossier, self._of())

    @work(exclusive=True, group="ledger", exit_on_error=False)
    async def read_letter(self, dead_id: int) -> None:
        """Show a letter, then its window."""
        await asyncio.sleep(self.SETTLE)
        found = await asyncio.to_thread(dossier.gather, self.app.link.store, dead_id)
        self.dossier = found
        self.query_one(Inspector).show(found, self._of())
        key = (" y ", "bold $accent")
        command = Content.assemble(key, found.command) if found and found.command else Content("")
        self.query_one("#command", Static).update(command)
        if found is not None:
            self._band = 0
            await self._picture(found)

    def _of(self) -> str:
        row = self.list.current
        if row is None or row.letter is not None or len(row.group.letters) == 1:
            return ""
        return f"the first of {figures.count(len(row.group.letters))}:"

    async def _picture(self, found: Dossier) -> None:
        """Show the letter's window, read by the worker, or what the blamed step got."""
        place = (found.letter.dead_id, self._band, self._got)
        if self._pictured == place:
            return
        window = self.query_one(Preview)
        task = what_it_got(found) if self._got else wanted(found, band=self._band)
        window.border_title = self._name_of(task)
        self._pictured = None
        if isinstance(task, Unseen):
            window.show(task)
            return
        window.show(None)
        picture = await (self.computing if self._got else self.previewer).look(task)
        self._pictured = place
        window.show(picture)

    def _name_of(self, task: PreviewTask | ResultTask | Unseen) -> str:
        """Return the title of what a task shows."""
        if self._got:
            return "What the step got"
        if isinstance(task, ResultTask):
            return "Features" if task.position is None else "Feature"
        return Preview.BORDER_TITLE

    def action_got(self) -> None:
        """Show what the step that is blamed got, or the window of the source again."""
        self._got = not self._got
        if self.dossier is not None:
            self._show_band(self.dossier)

    def action_band(self) -> None:
        """Show the next band of the window."""
        shows = self.query_one(Preview).shows
        if self.dossier is None or self._got or not isinstance(shows, PreviewReceipt):
            return
        count = int(shows.facts["count"])
        self._band = self._band % count + 1 if count > 1 else 0
        self._show_band(self.dossier)

    @work(exclusive=True, group="ledger", exit_on_error=False)
    async def _show_band(self, found: Dossier) -> None:
        await self._picture(found)

    def action_tab(self, step: int) -> None:
        self.query_one(Inspector).action_tab(step)

    def action_copy(self) -> None:
        """Copy the text that is selected, else the command that reproduces the failure."""
        command = self.dossier.command if self.dossier else ""
        self.copy_text(self.get_selected_text() or command)

    def action_editor(self) -> None:
        if self.dossier is not None:
            offer(self.app, whole(self.dossier), "dead-letter.txt")
