"""Dialogs about a run that has ended: whether to go on with it, and a note to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from geobatch_tui.errors import GeobatchError
from geobatch_tui.observability import figures
from geobatch_tui.orchestration.upkeep import load_kept
from geobatch_tui.tui.kit.endings import Start
from geobatch_tui.tui.parts.dialogs import Choice, LineDialog, Question

if TYPE_CHECKING:
    from pathlib import Path

    from geobatch_tui.tui.parts.page import Frame


class Left(NamedTuple):
    """Chunks of a run that are left, all that it has, and those of them that are dead."""

    left: int
    total: int
    dead: int

    def __str__(self) -> str:
        said = f"{figures.count(self.left)} of {figures.count(self.total)} chunks are left"
        if self.dead:
            said += f", {figures.count(self.dead)} dead letters stay as they are"
        return f"{said}. Inputs that changed or came are planned anew."


async def resume(screen: Frame, directory: Path, left: Left) -> None:
    """Go on with the run of a directory in this console, after a question that says what is left of
    it. What cannot be gone on with is a notice."""
    choices = (Choice("", "No", "start nothing"), Choice("go", "Resume", "in this console"))
    if await screen.app.push_screen_wait(Question("Resume", str(left), choices)) != "go":
        return
    try:
        # Its job cannot be read, or lacks credentials: that is better said here.
        await asyncio.to_thread(load_kept, directory)
    except GeobatchError as error:
        text = f"{error}; {error.hint}" if error.hint else str(error)
        screen.notify(text, title="resume", severity="warning", markup=False)
        return
    screen.app.open(Start(directory))


class RunNoteDialog(LineDialog[str]):
    """A dialog that returns a note, which may be empty, or None where it was left."""

    BINDING_GROUP_TITLE = "Note"
    EMPTY = True

    def __init__(self, note: str) -> None:
        super().__init__("Note", "To this run, for yourself: the run itself is not touched.", note)

    def meant(self, text: str) -> str:
        return text
