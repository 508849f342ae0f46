"""Earlier runs as rows to walk and to mark."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, Final

from textual.content import Content

from geobatch_tui.tui import format as fmt
from geobatch_tui.tui.glyphs import RUN_OTHER, RUN_STYLES
from geobatch_tui.tui.keymap import bind
from geobatch_tui.tui.widgets.scroll_lines import ScrollLines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.binding import BindingType

    from geobatch_tui.tui.history import PastRun

PAIR: Final = 2

_WIDE: Final = 120


class RunList(ScrollLines):
    """The list.

    Attributes:
        runs: what is shown.
        marks: keys of the runs that are marked, the last marked last; at most two.
    """

    BORDER_TITLE = "Runs"
    BINDINGS: ClassVar[list[BindingType]] = [bind("mark", "mark")]

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.runs: Sequence[PastRun] = ()
        self.marks: list[tuple[str, str]] = []

    def show(self, runs: Sequence[PastRun]) -> None:
        """Show runs; the cursor stays on its run."""
        before = self.current
        self.runs = runs
        keys = [run.key for run in runs]
        self.marks = [key for key in self.marks if key in keys]
        if before is not None and before.key in keys:
            self.set_reactive(ScrollLines.cursor, keys.index(before.key))
        self.renew()
        self.keep_in_view(self.cursor)

    @property
    def current(self) -> PastRun | None:
        """The run under the cursor."""
        return self.runs[self.cursor] if self.cursor < len(self.runs) else None

    @property
    def pair(self) -> tuple[PastRun, PastRun] | None:
        """The two runs to compare, the older one first: those that are marked, or the one that is
        marked and the one under the cursor."""
        marked = [run for run in self.runs if run.key in self.marks]
        current = self.current
        if len(marked) == 1 and current is not None and current.key != marked[0].key:
            marked.append(current)
        if len(marked) != PAIR:
            return None
        first, second = sorted(marked, key=lambda run: run.row.t0 if run.row else 0.0)
        return first, second

    def action_mark(self) -> None:
        """Mark the run for a comparison, or not; a third one takes the place of the first."""
        run = self.current
        if run is None or run.row is None:
            return
        if run.key in self.marks:
            self.marks.remove(run.key)
        else:
            self.marks = [*self.marks, run.key][-PAIR:]
        self.renew()
        self.post_message(self.Moved(self))

    def unmark(self) -> None:
        """Mark nothing."""
        self.marks = []
        self.renew()
        self.post_message(self.Moved(self))

    def count(self) -> int:
        return len(self.runs)

    def line(self, number: int, width: int, *, at_cursor: bool) -> Content:
        run = self.runs[number]
        row = run.row
        lead = (">" if at_cursor else " ") + ("*" if run.key in self.marks else " ")
        style = RUN_STYLES.get(run.state, RUN_OTHER)
        name = 24 if width >= _WIDE else 16
        head = [
            (lead, ""),
            (f"{fmt.fit(run.name, name)} ", "bold"),
            (fmt.fit(f" {run.state} ", 13), style),
        ]
        if row is None:
            return Content.assemble(*head, f" {run.directory}  {run.note}")
        numbers = [
            (f" {_when(row.t0)} ", "$quiet"),
            (f"{fmt.duration(run.seconds):>9} ", ""),
            (f"{fmt.right(fmt.count(row.n_done), 9)} ", ""),
            (f"{fmt.right(fmt.count(row.n_dead), 6)} ", "bold $error" if row.n_dead else "$quiet"),
        ]
        used = 2 + name + 1 + 13 + 14 + 10 + 10 + 7
        return Content.assemble(
            *head, *numbers, (fmt.fit_middle(str(run.fields()["dir"]), max(0, width - used)), "")
        )


def _when(t: float) -> str:
    """Day and minute, of another year the date alone: twelve cells."""
    there, now = time.localtime(t), time.localtime()
    year = there.tm_year == now.tm_year
    return time.strftime("%d %b %H:%M" if year else "%Y-%m-%d  ", there)
