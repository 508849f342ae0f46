"""Dialogs for one line: the path of a file, or a note."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from geobatch_tui.ledger.write.requeue import NOTE_LENGTH
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.kit.modal import Modal

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType


class LineDialog[Meant](Modal[Meant | None]):
    """A dialog that returns what was typed, or None where that is empty or the dialog was left.

    Args:
        title: what it is for, in a word.
        said: sentences above the field.
        proposed: what stands in the field at first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [bind("back", "leave")]
    DEFAULT_CSS = """
    LineDialog #line {
        width: 72; max-width: 96%; height: auto; border: round $border;
        border-title-style: bold; border-subtitle-color: $quiet;
        background: $surface; padding: 0 1;
    }
    LineDialog Static { height: auto; }
    """

    def __init__(self, title: str, said: str, proposed: str = "") -> None:
        super().__init__()
        self._title = title
        self._said = said
        self._proposed = proposed

    def field(self) -> Input:
        """Return the field to type in."""
        return Input(self._proposed)

    def meant(self, text: str) -> Meant:
        """Return the value of a line that is not empty."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        """Yield the sentences and the field."""
        with Vertical(id="line") as box:
            box.border_title = self._title
            box.border_subtitle = f"enter {self._title.lower()}  esc leave"
            yield Static(Content(self._said), markup=False)
            yield self.field()

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Close the dialog with this line."""
        message.stop()
        text = message.value.strip()
        self.dismiss(self.meant(text) if text else None)

    def action_leave(self) -> None:
        """Close the dialog without a line."""
        self.dismiss(None)


class PathDialog(LineDialog[Path]):
    """A dialog that returns a path, or None; ``path`` is proposed."""

    BINDING_GROUP_TITLE = "Path"

    def __init__(self, title: str, said: str, path: Path) -> None:
        super().__init__(title, said, str(path))

    def meant(self, text: str) -> Path:
        return Path(os.path.expanduser(text))  # noqa: PTH111 - Path's raises for an unknown user


class NoteDialog(LineDialog[str]):
    """A dialog that returns a note, or None."""

    BINDING_GROUP_TITLE = "Note"

    def field(self) -> Input:
        return Input(placeholder="why this is known", max_length=NOTE_LENGTH)

    def meant(self, text: str) -> str:
        return text
