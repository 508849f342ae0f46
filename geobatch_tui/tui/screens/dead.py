"""Dead letters: by cause or by place, with all their evidence, and what can be done about them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual import on, work
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from geobatch_tui.errors import GeobatchError
from geobatch_tui.orchestration.splitting import tile_of
from geobatch_tui.tui import dossier
from geobatch_tui.tui import format as fmt
from geobatch_tui.tui.dialogs import Choice, Question
from geobatch_tui.tui.dismissal import dismiss
from geobatch_tui.tui.keymap import bind
from geobatch_tui.tui.letters import FIELDS, GROUPINGS, SORTS, Listing, listing, names_of
from geobatch_tui.tui.messages import RetryRequested, ShowOnMap
from geobatch_tui.tui.outside import offer
from geobatch_tui.tui.page import Page
from geobatch_tui.tui.previewer import Previewer, Unseen, wanted
from geobatch_tui.tui.retry_plan import consequence, selection
from geobatch_tui.tui.screens.filtered import Filtered
from geobatch_tui.tui.screens.line import NoteDialog, PathDialog
from geobatch_tui.tui.screens.retry import RetryDialog
from geobatch_tui.tui.widgets.filter_bar import FilterBar
from geobatch_tui.tui.widgets.inspector import Inspector, whole
from geobatch_tui.tui.widgets.keys import KeyBar
from geobatch_tui.tui.widgets.letter_list import LetterList
from geobatch_tui.tui.widgets.preview import Preview
from geobatch_tui.tui.widgets.scroll_lines import ScrollLines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from geobatch_tui.execution.messages import PreviewReceipt
    from geobatch_tui.ledger.views import RunRow
    from geobatch_tui.tui.dossier import Dossier
    from geobatch_tui.tui.model import Delta, LetterView

_SETTLE: Final = 0.15
"""Seconds that the cursor rests on a letter before it is read from disk."""

_CHANGES: Final = frozenset({"retry_chosen", "retry_with", "split", "dismiss_letters"})
_PLANNING: Final = frozenset({"retry_with", "split"})  #: what a live run cannot do
_STAYS: Final = (
    "What is dismissed has no result still, and the exit code tells of it. The note is kept in the "
    "ledger until the chunk is tried again, or taken back by the same key."
)


class DeadScreen(Filtered, Page):
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
        super().__init__()
        self.previewer = previewer or Previewer()
        self._letters: Mapping[int, LetterView] = {}
        self._listing = Listing()
        self._grouping = 0
        self._sort = 0
        self._band = 0
        self._dossier: Dossier | None = None
        self._pictured: tuple[int, int] | None = None

    def compose(self) -> ComposeResult:
        """List, window, inspector; the breakpoints place them."""
        yield FilterBar(FIELDS, id="bar")
        with Container(id="dead"):
            yield LetterList(id="letters")
            yield Preview(id="window")
            yield Inspector(id="inspector")
        yield Static(id="command", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        """The list has the keys."""
        super().on_mount()
        self.list.focus()

    async def on_unmount(self) -> None:
        """End the worker for previews."""
        await self.previewer.close()

    @property
    def list(self) -> LetterList:
        """The list."""
        return self.query_one(LetterList)

    # --- following ------------------------------------------------------------------------------

    def take(self, delta: Delta) -> None:
        """Take in letters that came or went."""
        super().take(delta)
        letters = self.app.link.store.letters
        if letters is not self._letters or delta.reshaped:
            held = 0 if self._dossier is None else self._dossier.letter.dead_id
            if letters.get(held) != self._letters.get(held):  # dismissed meanwhile: read it anew
                self._dossier = None
            self._letters = letters
            self.refilter()

    def refilter(self) -> None:
        """Make the list anew; the cursor stays on its letter."""
        chosen = self.query_one(FilterBar).chosen
        self._listing = listing(
            self._letters,
            chosen,
            GROUPINGS[self._grouping],
            SORTS[self._sort],
            self.app.link.store.item,
        )
        self.list.nothing = "no letter matches" if self._letters else "nothing is given up"
        self.list.show(self._listing, self._letters)
        self._say()
        self._look()

    def _say(self) -> None:
        total, shown, marked = self._listing.total, self._listing.shown, len(self.list.marks)
        parts: list[Content | tuple[str, str]] = [
            (" Dead letters ", "bold"),
            (fmt.count(total), "bold $error" if total else "bold $success"),
            (f"  by {GROUPINGS[self._grouping]}, sorted by {SORTS[self._sort]}", "$quiet"),
        ]
        if shown != total:
            parts.append((f"  {fmt.count(shown)} shown", "bold"))
        known = sum(letter.dismissed is not None for letter in self._letters.values())
        if known:
            parts.append((f"  {fmt.count(known)} dismissed", "$quiet"))
        if marked:
            parts.append((f"  {fmt.count(marked)} marked", "bold $accent"))
        self.query_one(FilterBar).say(Content.assemble(*parts))

    @on(ScrollLines.Moved)
    def _moved(self, message: ScrollLines.Moved) -> None:
        message.stop()
        self._say()
        self._look()

    @on(ScrollLines.Opened)
    def _opened(self, message: ScrollLines.Opened) -> None:
        message.stop()
        row = self.list.current
        if row is not None and row.letter is None:
            self.list.fold()
        else:
            self.query_one(Inspector).focus()

    # --- one letter -----------------------------------------------------------------------------

    def _look(self) -> None:
        """Read the letter under the cursor, once the cursor rests."""
        dead_id = self.list.letter
        if dead_id is None:
            self._dossier = self._pictured = None
            self.query_one(Inspector).show(None)
            self.query_one(Preview).show(Unseen("nothing is given up"))
            self.query_one("#command", Static).update(Content(""))
        elif self._dossier is None or self._dossier.letter.dead_id != dead_id:
            self.read_letter(dead_id)
        else:
            self.query_one(Inspector).show(self._dossier, self._of())

    @work(exclusive=True, group="letter", exit_on_error=False)
    async def read_letter(self, dead_id: int) -> None:
        """Show a letter, then its window."""
        await asyncio.sleep(_SETTLE)
        try:
            found = await asyncio.to_thread(dossier.gather, self.app.link.store, dead_id)
        except GeobatchError as error:
            self.notify(str(error), title="ledger", severity="error", markup=False)
            return
        self._dossier = found
        self.query_one(Inspector).show(found, self._of())
        command = "" if found is None else found.command
        self.query_one("#command", Static).update(
            Content.assemble((" y ", "bold $accent"), command) if command else Content("")
        )
        if found is not None:
            self._band = 0
            await self._picture(found)

    def _of(self) -> str:
        row = self.list.current
        if row is None or row.letter is not None or len(row.group.letters) == 1:
            return ""
        return f"the first of {fmt.count(len(row.group.letters))}:"

    async def _picture(self, found: Dossier) -> None:
        """Show the letter's window, read by the worker."""
        place = (found.letter.dead_id, self._band)
        if self._pictured == place:
            return
        window = self.query_one(Preview)
        window.border_title = "Window"
        task = wanted(found, band=self._band)
        picture: PreviewReceipt | Unseen | None
        if isinstance(task, Unseen):
            picture = task
        else:
            self._pictured = None
            window.show(None)
            picture = await self.previewer.look(task)
            self._pictured = place
        window.show(picture)

    def action_band(self) -> None:
        """The next band of the window."""
        shows = self.query_one(Preview).shows
        if self._dossier is None or shows is None or isinstance(shows, Unseen):
            return
        count = int(shows.facts["count"])
        self._band = self._band % count + 1 if count > 1 else 0
        self.show_band(self._dossier)

    @work(exclusive=True, group="letter", exit_on_error=False)
    async def show_band(self, found: Dossier) -> None:
        """Show another band of the window."""
        await self._picture(found)

    # --- the view -------------------------------------------------------------------------------

    def action_group(self) -> None:
        """By cause, by place, or one by one."""
        self._grouping = (self._grouping + 1) % len(GROUPINGS)
        self.refilter()

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._sort = (self._sort + 1) % len(SORTS)
        self.refilter()

    def action_tab(self, step: int) -> None:
        """Another tab of the inspector."""
        self.query_one(Inspector).action_tab(step)

    def action_neighbour(self, step: int) -> None:
        """The next letter, or the one before."""
        self.list.cursor += step

    def step_back(self) -> bool:
        """Unmark."""
        marked = bool(self.list.marks)
        self.list.unmark()
        return marked

    # --- actions --------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A read-only console hides what changes the job; changes go to no live run."""
        del parameters
        if action not in _CHANGES:
            return True
        if self.app.link.read_only:
            return False
        if action in _PLANNING and self.app.link.can_steer():
            return None
        return True if self._listing.shown else None

    def action_retry_chosen(self) -> None:
        """Try the chosen letters again, after showing what that does."""
        self._retry(changes=False)

    def action_retry_with(self) -> None:
        """Try the chosen letters again, with other operational values."""
        self._retry(changes=True)

    def action_split(self) -> None:
        """Try the chosen chunks again in quarters, to find which part of them is bad."""
        if self.app.shown.unit_name != "px":
            self.notify("only chunks of rasters can be split", title="split", markup=False)
            return
        self._retry(changes=False, split=True)

    @work(exclusive=True, group="retry", exit_on_error=False)
    async def _retry(self, *, changes: bool, split: bool = False) -> None:
        chosen = self.list.chosen
        live = self.app.link.can_steer()
        store = self.app.link.store
        items = {self._letters[dead_id].item_id for dead_id in chosen}
        try:
            names, changed = await asyncio.to_thread(
                store.reading,
                lambda reader: (names_of(reader, chosen), dossier.changed_sources(reader, items)),
            )
        except GeobatchError as error:
            self.notify(str(error), title="retry", severity="error", markup=False)
            return
        tile = tile_of(_creation(self.app.shown.run)) if split else None
        found = consequence(
            self._letters, chosen, store.item, live=live, changed=changed, tile=tile
        )
        if split and not found.split:
            said = "none can be split: only chunks of more than one tile, of an output held back"
            self.notify(said, title="split", severity="warning", markup=False)
            return
        answer = await self.app.push_screen_wait(
            RetryDialog(found, self.app.link.retries, changes=changes and not live)
        )
        if answer is None:
            return
        named = selection(self._letters, chosen, lambda dead_id: names.get(dead_id, ""))
        if isinstance(named, str):
            self.notify(named, title="retry", severity="warning", markup=False)
            return
        self.list.unmark()
        self.post_message(RetryRequested(named.classes, named.keys, answer, split))

    @work(exclusive=True, group="dismiss", exit_on_error=False)
    async def action_dismiss_letters(self) -> None:
        """Note that the chosen letters are known, or take that back where all are."""
        chosen = [self._letters[dead_id] for dead_id in self.list.chosen]
        if not chosen:
            return
        many = fmt.plural(len(chosen), "dead letter")
        note = None
        if any(letter.dismissed is None for letter in chosen):
            note = await self.app.push_screen_wait(NoteDialog("Dismiss", f"{many}. {_STAYS}"))
            if note is None:
                return
        else:
            back = Choice("back", "Take back", "they are listed with their messages again")
            choices = (Choice("", "No", "they stay dismissed"), back)
            text = f"{many}, dismissed already."
            if not await self.app.push_screen_wait(Question("Dismiss", text, choices)):
                return
        pairs = [(letter.dead_id, letter.t) for letter in chosen]
        try:
            said = await asyncio.to_thread(dismiss, self.app.link, pairs, note)
        except GeobatchError as error:
            self.notify(str(error), title="dismiss", severity="error", markup=False)
            return
        self.list.unmark()
        self.notify(said, title="dismiss", markup=False)

    def action_map(self) -> None:
        """Show the chosen letters on the map."""
        letters = [self._letters[dead_id] for dead_id in self.list.chosen]
        if letters:
            self.post_message(
                ShowOnMap(
                    tuple(letter.where for letter in letters),
                    tuple(x.chunk_id for x in letters if x.chunk_id is not None),
                    tuple({x.item_id: None for x in letters if x.chunk_id is None}),
                )
            )

    def action_copy(self) -> None:
        """Copy what reproduces the failure; of text that is selected, that."""
        text = self.get_selected_text() or (self._dossier.command if self._dossier else "")
        if text:
            self.app.copy_to_clipboard(text)
            self.notify("copied", markup=False)

    def action_editor(self) -> None:
        """Open all about the letter, every tab of it, in an editor or a pager."""
        if self._dossier is not None:
            offer(self.app, whole(self._dossier), "dead-letter.txt")

    @work(exclusive=True, group="export", exit_on_error=False)
    async def action_export(self) -> None:
        """Write the chosen letters, or all that are shown, to a file."""
        chosen = set(self.list.marks) or {
            dead_id for group in self._listing.groups for dead_id in group.letters
        }
        if not chosen:
            return
        proposed = Path.cwd() / "dead-letters.geojson"
        many = fmt.plural(len(chosen), "dead letter")
        said = f"{many}, as .geojson with their outlines, or as .csv"
        path = await self.app.push_screen_wait(PathDialog("Write", said, proposed))
        if path is None:
            return
        try:
            await asyncio.to_thread(_export, self.app.link.store, chosen, path)
        except GeobatchError as error:
            self.notify(str(error), title="export", severity="error", markup=False)
            return
        self.notify(f"written to {path}", title="export", markup=False)


def _creation(run: RunRow | None) -> Mapping[str, Any]:
    """The job's ``output.creation``."""
    job: dict[str, Any] = {} if run is None else run.job.get("job", {})
    return dict(job.get("output", {}).get("creation", {}))


def _export(store: Any, chosen: set[int], path: Path) -> None:
    from geobatch_tui.orchestration.export import write_letters

    records = store.reading(
        lambda reader: [one.record for one in reader.all_letters() if one.dead_id in chosen]
    )
    write_letters(records, path)
