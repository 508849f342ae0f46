"""Remedies for dead letters: retry, split, dismiss, show on the map, export."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

from textual import work

from geobatch_tui.errors import GeobatchError
from geobatch_tui.observability import figures
from geobatch_tui.orchestration.splitting import tile_of
from geobatch_tui.tui.letters import dossier
from geobatch_tui.tui.letters.listing import names_of
from geobatch_tui.tui.letters.requests import dismiss
from geobatch_tui.tui.letters.retry_plan import consequence, selection
from geobatch_tui.tui.parts.console_messages import RetryRequested, ShowOnMap
from geobatch_tui.tui.parts.dialogs import Choice, NoteDialog, PathDialog, Question
from geobatch_tui.tui.parts.page import Page
from geobatch_tui.tui.screens.retry_dialog import RetryDialog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.ledger.read.reader import RunRow
    from geobatch_tui.tui.letters.listing import Listing
    from geobatch_tui.tui.run.model import LetterView
    from geobatch_tui.tui.run.store import RunStore
    from geobatch_tui.tui.widgets.letter_list import LetterList

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

    @property
    def list(self) -> LetterList:
        """The list; overwrite it."""
        raise NotImplementedError

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

    def action_retry_chosen(self) -> None:
        """Retry the chosen letters, after a dialog that shows what that does."""
        self._retry(changes=False)

    def action_retry_with(self) -> None:
        """Retry the chosen letters with other operational values."""
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
        items = {self.letters[dead_id].item_id for dead_id in chosen}
        try:
            names, changed = await asyncio.to_thread(
                store.reading,
                lambda reader: (names_of(reader, chosen), dossier.changed_sources(reader, items)),
            )
        except GeobatchError as error:
            self.notify(str(error), title="retry", severity="error", markup=False)
            return
        tile = tile_of(_creation(self.app.shown.run)) if split else None
        found = consequence(self.letters, chosen, store.item, live=live, changed=changed, tile=tile)
        if split and not found.split:
            said = "none can be split: only chunks of more than one tile, of an output held back"
            self.notify(said, title="split", severity="warning", markup=False)
            return
        answer = await self.app.push_screen_wait(
            RetryDialog(found, self.app.link.retries, changes=changes and not live)
        )
        if answer is None:
            return
        named = selection(self.letters, chosen, lambda dead_id: names.get(dead_id, ""))
        if isinstance(named, str):
            self.notify(named, title="retry", severity="warning", markup=False)
            return
        self.list.unmark()
        self.post_message(RetryRequested(named.classes, named.keys, answer, split))

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
        try:
            said = await asyncio.to_thread(dismiss, self.app.link, pairs, note)
        except GeobatchError as error:
            self.notify(str(error), title="dismiss", severity="error", markup=False)
            return
        self.list.unmark()
        self.notify(said, title="dismiss", markup=False)

    def action_map(self) -> None:
        """Show the chosen letters on the map."""
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
        try:
            await asyncio.to_thread(_export, self.app.link.store, chosen, path)
        except GeobatchError as error:
            self.notify(str(error), title="export", severity="error", markup=False)
            return
        self.notify(f"written to {path}", title="export", markup=False)


def _creation(run: RunRow | None) -> Json:
    """Return the job's ``output.creation``."""
    job: Json = {} if run is None else run.job.get("job", {})
    return dict(job.get("output", {}).get("creation", {}))


def _export(store: RunStore, chosen: set[int], path: Path) -> None:
    from geobatch_tui.orchestration.state.letter_export import write_letters

    records = store.reading(
        lambda reader: [one.record for one in reader.all_letters() if one.dead_id in chosen]
    )
    write_letters(records, path)
