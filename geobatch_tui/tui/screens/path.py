"""Asks for the path of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from geobatch_tui.tui.keymap import bind

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType


class PathDialog(ModalScreen[Path | None]):
    """Gives a path, or None.

    Args:
        title: what is done with it, in a word.
        said: a sentence above the field.
        path: the one that is proposed.
    """

    BINDING_GROUP_TITLE = "Path"
    BINDINGS: ClassVar[list[BindingType]] = [bind("back", "leave")]
    DEFAULT_CSS = """
    PathDialog { align: center middle; background: $background 60%; }
    PathDialog #path {
        width: 72; max-width: 96%; height: auto; border: round $border;
        border-title-style: bold; border-subtitle-color: $quiet;
        background: $surface; padding: 0 1;
    }
    PathDialog Static { height: auto; }
    """

    def __init__(self, title: str, said: str, path: Path) -> None:
        super().__init__()
        self._title = title
        self._said = said
        self._path = path

    def compose(self) -> ComposeResult:
        """A sentence and a field."""
        with Vertical(id="path") as box:
            box.border_title = self._title
            box.border_subtitle = f"enter {self._title.lower()}  esc leave"
            yield Static(Content(self._said), markup=False)
            yield Input(str(self._path))

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(Input).focus()

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """This path."""
        message.stop()
        value = message.value.strip()
        self.dismiss(Path(value).expanduser() if value else None)

    def action_leave(self) -> None:
        """None."""
        self.dismiss(None)
