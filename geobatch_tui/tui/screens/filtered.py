"""What screens of a list below a filter have in common."""

from __future__ import annotations

from textual import on

from geobatch_tui.tui.parts.filter_bar import FilterBar
from geobatch_tui.tui.parts.page import Frame
from geobatch_tui.tui.parts.scroll_lines import ScrollLines


class Filtered(Frame):
    """A screen with one :class:`FilterBar` and, first among its lists, the one that it filters."""

    def refilter(self) -> None:
        """Show what the filter lets pass; called when it is another one."""
        raise NotImplementedError

    def step_back(self) -> bool:
        """Undo what "back" undoes before it drops the filter; whether there was anything."""
        return False

    @on(FilterBar.Changed)
    def _filtered(self, message: FilterBar.Changed) -> None:
        message.stop()
        self.refilter()

    @on(FilterBar.Left)
    def _typed(self, message: FilterBar.Left) -> None:
        message.stop()
        self.query_one(ScrollLines).focus()

    def action_filter(self) -> None:
        """Type a filter."""
        self.query_one(FilterBar).type()

    def action_back(self) -> None:
        """To the list; then undo what the screen has to undo; then drop the filter."""
        lines = self.query_one(ScrollLines)
        if self.focused is not lines:
            lines.focus()
        elif not self.step_back():
            self.query_one(FilterBar).clear()
