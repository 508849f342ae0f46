"""Asks for a note."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from geobatch_tui.ledger.dismiss import NOTE_LENGTH
from geobatch_tui.tui.keymap import bind

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType


class NoteDialog(ModalScreen[str | None]):
    """Gives a note, or None; without a word in it there is none.

    Args:
        title: what the note is for, in a word.
        said: sentences above the field.
        note: what stands in it at first.
    """

    BINDING_GROUP_TITLE = "Note"
    BINDINGS: ClassVar[list[BindingType]] = [bind("back", "leave")]
    DEFAULT_CSS = """
    NoteDialog { align: center middle; background: $background 60%; }
    NoteDialog #note {
        width: 72; max-width: 96%; height: auto; border: round $border;
        border-title-style: bold; border-subtitle-color: $quiet;
        background: $surface; padding: 0 1;
    }
    NoteDialog Static { height: auto; }
    """

    def __init__(self, title: str, said: str, note: str = "") -> None:
        super().__init__()
        self._title = title
        self._said = said
        self._note = note

    def compose(self) -> ComposeResult:
        """Sentences and a field."""
        with Vertical(id="note") as box:
            box.border_title = self._title
            box.border_subtitle = f"enter {self._title.lower()}  esc leave"
            yield Static(Content(self._said), markup=False)
            yield Input(self._note, placeholder="why this is known", max_length=NOTE_LENGTH)

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(Input).focus()

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """This note."""
        message.stop()
        self.dismiss(message.value.strip() or None)

    def action_leave(self) -> None:
        """None."""
        self.dismiss(None)
