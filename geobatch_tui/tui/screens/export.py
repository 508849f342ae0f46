"""Asks where dead letters are written to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from geobatch_tui.tui.keymap import bind

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType


class ExportDialog(ModalScreen[Path | None]):
    """Gives a path, or None. Args: ``count`` of letters, and the ``path`` that is proposed."""

    BINDING_GROUP_TITLE = "Export"
    BINDINGS: ClassVar[list[BindingType]] = [bind("back", "leave")]
    DEFAULT_CSS = """
    ExportDialog { align: center middle; background: $background 60%; }
    ExportDialog #export {
        width: 72; max-width: 96%; height: auto; border: round $border;
        border-title-style: bold; border-subtitle-color: $quiet;
        background: $surface; padding: 0 1;
    }
    ExportDialog Static { height: auto; }
    """

    def __init__(self, count: int, path: Path) -> None:
        super().__init__()
        self._count = count
        self._path = path

    def compose(self) -> ComposeResult:
        """A sentence and a field."""
        with Vertical(id="export") as box:
            box.border_title = "Export"
            box.border_subtitle = "enter write  esc leave"
            said = f"{self._count} dead letters, as .geojson with their outlines, or as .csv"
            yield Static(said, markup=False)
            yield Input(str(self._path))

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(Input).focus()

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Write it there."""
        message.stop()
        value = message.value.strip()
        self.dismiss(Path(value).expanduser() if value else None)

    def action_leave(self) -> None:
        """Write nothing."""
        self.dismiss(None)
