"""Evidence of the letter under the cursor: its text, its window, a command to reproduce it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.content import Content
from textual.widgets import Static

from geobatch_tui.errors import GeobatchError
from geobatch_tui.observability import figures
from geobatch_tui.tui.kit.editor import offer
from geobatch_tui.tui.letters import dossier
from geobatch_tui.tui.letters.previewer import Previewer, Unseen, wanted
from geobatch_tui.tui.parts.page import Page
from geobatch_tui.tui.widgets.inspector import Inspector, whole
from geobatch_tui.tui.widgets.window_preview import Preview

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import PreviewReceipt
    from geobatch_tui.tui.letters.dossier import Dossier
    from geobatch_tui.tui.widgets.letter_list import LetterList


class Evidence(Page):
    """A screen with a list of letters, an inspector, a window, and a line for a command.

    Args:
        previewer: reads windows; by default one with a worker process of its own.

    Attributes:
        dossier: what was read of the letter under the cursor; None: it is to be read.
    """

    #: Seconds that the cursor rests on a letter before it is read from disk.
    SETTLE: ClassVar[float] = 0.15

    def __init__(self, previewer: Previewer | None = None) -> None:
        super().__init__()
        self.previewer = previewer or Previewer()
        self.dossier: Dossier | None = None
        self._band = 0
        self._pictured: tuple[int, int] | None = None

    async def on_unmount(self) -> None:
        """End the worker for previews."""
        await self.previewer.close()

    @property
    def list(self) -> LetterList:
        """The list; overwrite it."""
        raise NotImplementedError

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

    @work(exclusive=True, group="letter", exit_on_error=False)
    async def read_letter(self, dead_id: int) -> None:
        """Show a letter, then its window."""
        await asyncio.sleep(self.SETTLE)
        try:
            found = await asyncio.to_thread(dossier.gather, self.app.link.store, dead_id)
        except GeobatchError as error:
            self.notify(str(error), title="ledger", severity="error", markup=False)
            return
        self.dossier = found
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
        return f"the first of {figures.count(len(row.group.letters))}:"

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
        """Show the next band of the window."""
        shows = self.query_one(Preview).shows
        if self.dossier is None or shows is None or isinstance(shows, Unseen):
            return
        count = int(shows.facts["count"])
        self._band = self._band % count + 1 if count > 1 else 0
        self.show_band(self.dossier)

    @work(exclusive=True, group="letter", exit_on_error=False)
    async def show_band(self, found: Dossier) -> None:
        """Show another band of the window."""
        await self._picture(found)

    def action_tab(self, step: int) -> None:
        """Go to another tab of the inspector."""
        self.query_one(Inspector).action_tab(step)

    def action_copy(self) -> None:
        """Copy the text that is selected, else the command that reproduces the failure."""
        text = self.get_selected_text() or (self.dossier.command if self.dossier else "")
        if text:
            self.app.copy_to_clipboard(text)
            self.notify("copied", markup=False)

    def action_editor(self) -> None:
        """Open all tabs of the letter in an editor or a pager."""
        if self.dossier is not None:
            offer(self.app, whole(self.dossier), "dead-letter.txt")
