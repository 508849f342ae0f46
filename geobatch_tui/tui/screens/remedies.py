"""Remedies for dead letters: retry, split, dismiss, show on the map, export."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

from textual import getters, work

from geobatch_tui.observability import figures
from geobatch_tui.tui.letters.requests import dismiss
from geobatch_tui.tui.parts.console_messages import ShowOnMap
from geobatch_tui.tui.parts.dialogs import Choice, NoteDialog, PathDialog, Question
from geobatch_tui.tui.parts.page import Page
from geobatch_tui.tui.screens.retry_dialog import retry
from geobatch_tui.tui.widgets.letter_list import LetterList

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geobatch_tui.tui.letters.listing import Listing
    from geobatch_tui.tui.parts.console_app import Target
    from geobatch_tui.tui.run.model import LetterView
    from geobatch_tui.tui.run.store import RunStore

_CHANGES: Final = frozenset({"retry_chosen", "retry_with", "split", "dismiss_letters"})
_PLANNING: Final = frozenset({"retry_with", "split"})  #: what a live run cannot do
_STAYS: Final = (
    "What is dismissed still has no result, and still counts in the exit code. The ledger keeps "
    "the note until the chunk is tried again, or until the same key takes it back."
)


class Remedies(Page):
    """A screen with a list of letters. Each remedy is for those that are chosen there.

    Attributes:
        letters: all letters of the run, by id.
        listing: those of them that are listed.
    """

    letters: Mapping[int, LetterView]
    listing: Listing
    list = getters.query_one(LetterList)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide in a read-only console what changes the run, and dim what a live run cannot do."""
        del parameters
        if action not in _CHANGES:
            return True
        if self.app.link.read_only:
            return False
        if action in _PLANNING and self.app.link.can_steer():
            return None
        return True if self.listing.shown else None

    def target(self) -> Target:
        """Return the first of the chosen letters."""
        chosen = self.list.chosen
        letter = self.letters.get(chosen[0]) if chosen else None
        if letter is None:
            return super().target()
        if letter.chunk_id is not None:
            return self.target_of(self.app.link.store.position(letter.chunk_id))
        return super().target()._replace(item_id=letter.item_id)

    def action_retry_chosen(self) -> None:
        """Retry the chosen letters, after a dialog that shows what that does."""
        self._retry()

    def action_retry_with(self) -> None:
        """Retry the chosen letters with other operational values."""
        self._retry(changes=True)

    def action_split(self) -> None:
        """Try the chosen chunks again in quarters, to find which part of them is bad."""
        if self.app.shown.unit_name != "px":
            self.notify("only chunks of rasters can be split", title="split", markup=False)
            return
        self._retry(split=True)

    @work(exclusive=True, group="retry", exit_on_error=False)
    async def _retry(self, *, changes: bool = False, split: bool = False) -> None:
        if await retry(self, self.letters, self.list.chosen, changes=changes, split=split):
            self.list.unmark()

    @work(exclusive=True, group="dismiss", exit_on_error=False)
    async def action_dismiss_letters(self) -> None:
        """Note that the chosen letters are known, or take that back where all are."""
        chosen = [self.letters[dead_id] for dead_id in self.list.chosen]
        if not chosen:
            return
        many = figures.plural(len(chosen), "dead letter")
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
        said = await asyncio.to_thread(dismiss, self.app.link, pairs, note)
        self.list.unmark()
        self.notify(said, title="dismiss", markup=False)

    def action_map(self) -> None:
        letters = [self.letters[dead_id] for dead_id in self.list.chosen]
        if letters:
            self.post_message(
                ShowOnMap(
                    tuple(letter.where for letter in letters),
                    tuple(x.chunk_id for x in letters if x.chunk_id is not None),
                    tuple({x.item_id: None for x in letters if x.chunk_id is None}),
                )
            )

    @work(exclusive=True, group="export", exit_on_error=False)
    async def action_export(self) -> None:
        """Write the chosen letters, or all that are shown, to a file."""
        chosen = set(self.list.marks) or {
            dead_id for group in self.listing.groups for dead_id in group.letters
        }
        if not chosen:
            return
        proposed = Path.cwd() / "dead-letters.geojson"
        many = figures.plural(len(chosen), "dead letter")
        said = f"{many}, as .geojson with their outlines, or as .csv"
        path = await self.app.push_screen_wait(PathDialog("Write", said, proposed))
        if path is None:
            return
        await asyncio.to_thread(_export, self.app.link.store, chosen, path)
        self.notify(f"written to {path}", title="export", markup=False)


def _export(store: RunStore, chosen: set[int], path: Path) -> None:
    from geobatch_tui.orchestration.state.letter_export import write_letters

    records = store.reading(
        lambda reader: [one.record for one in reader.all_letters() if one.dead_id in chosen]
    )
    write_letters(records, path)
