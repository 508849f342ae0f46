"""The field in which a value of a job is typed; Tab completes a path in it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.widgets import Input

from geobatch_tui.tui.parts.filter_bar import LateSuggester
from geobatch_tui.tui.parts.path_entries import completed, entries_of, path_at_end

if TYPE_CHECKING:
    from textual.binding import BindingType


class PathSuggester(LateSuggester):
    """Suggests how the path at the end of a text may go on."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        """Return the text with its path completed; None: nothing begins like that."""
        typed = path_at_end(value)
        found = await asyncio.to_thread(entries_of, typed, Path.cwd()) if typed else []
        whole = completed(typed, found)
        # Where the names part, the first of them is proposed.
        whole = found[0].text if whole == typed and found else whole
        return f"{value.removesuffix(typed)}{whole}" if whole != typed else None


class ValueInput(Input):
    """The field.

    Attributes:
        key: whose value is typed. ``before``: what it was.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "cursor_right_end", "Complete", show=False),
    ]

    key = ""
    before = ""

    def __init__(self, *, id: str) -> None:  # noqa: A002
        # What is there is gone on with: the cursor is at its end.
        super().__init__(id=id, compact=True, select_on_focus=False)

    def open(self, key: str, text: str, *, path: bool) -> None:
        """Begin with the value of a key, which may be a path."""
        self.key = self.placeholder = key
        self.suggester = PathSuggester() if path else None
        self.value = self.before = text
        self.screen.set_focus(self)  # at once: keys behind are not the list's
        self.action_end()

    def action_cursor_right_end(self) -> None:
        """Take what is suggested; without that do nothing: what is typed is not lost."""
        self.action_end()
        self.action_cursor_right()
