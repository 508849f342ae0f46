"""Earlier runs as rows to walk and to mark."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from rich.cells import cell_len
from textual.content import Content

from geobatch_tui.observability import figures
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.kit.glyphs import RUN_OTHER, RUN_STYLES
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.parts.scroll_lines import ColumnName, ScrollLines
from geobatch_tui.tui.run.past_runs import SORTS, PastRun, rate_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.binding import BindingType

    from geobatch_tui.ledger.read.reader import RunRow

PAIR: Final = 2

_NORMAL: Final = 96  #: cells of the list
_ROOMY: Final = 112
_WIDE: Final = 136
_STEPS: Final = 12  #: of a run's time, a cell each


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
        self.post_message(self.Moved())

    def unmark(self) -> bool:
        """Mark nothing; return whether anything was marked."""
        marked, self.marks = bool(self.marks), []
        self.renew()
        self.post_message(self.Moved())
        return marked

    def count(self) -> int:
        return len(self.runs)

    def line(self, number: int, width: int, *, at_cursor: bool) -> Content:
        run = self.runs[number]
        lead = (">" if at_cursor else " ") + ("*" if run.key in self.marks else " ")
        where = _short(str(run.fields()["dir"]))
        pieces: list[tuple[str, str]] = [(lead, "")]
        used = len(lead)
        for column in columns(width):
            pieces += [(column.cell(column.text(run)), column.style(run)), (" ", "")]
            used += column.width + 1
        # A run without a row has no figures: what became of it has their room.
        note = run.remark or (run.note if run.row is None else "")
        room = max(0, width - used)
        said = min(cell_len(note) + 2, max(room // 2, room - cell_len(where))) if note else 0
        return Content.assemble(
            *pieces,
            (fmt.fit_middle(where, room - said), ""),
            (fmt.right(fmt.fit(note, said - 2), said), "bold $accent" if run.remark else "$quiet"),
        )


class Column(NamedTuple):
    """A column of the list: its name, its cells, and what it shows of a run."""

    title: str
    width: int
    text: Callable[[PastRun], str]
    right: bool = False
    style: Callable[[PastRun], str] = lambda _: ""

    def cell(self, text: str) -> str:
        """Return a text in the column's width."""
        return fmt.right(text, self.width) if self.right else fmt.fit(text, self.width)


def columns(width: int) -> list[Column]:
    """Return the columns that there is room for, without the directory after them."""
    job = Column("job", 14 if width < _NORMAL else 20, lambda run: run.name, style=lambda _: "bold")
    if width < _NORMAL:
        return [job, _STATE, _BEGAN, _DONE, _DEAD]
    more = [_RATE, _OUT, _KIND, _PACE] if width >= _WIDE else [_KIND] if width >= _ROOMY else []
    return [job, _STATE, _BEGAN, _TOOK, _DONE, _DEAD, *more]


def heading(width: int) -> list[ColumnName]:
    """Return the names of the columns that there is room for, after the list's signs."""
    names = [
        ColumnName(column.title, column.width, column.title * (column.title in SORTS), column.right)
        for column in columns(width)
    ]
    return [ColumnName("", 1), *names, ColumnName("directory", 9)]


def _figure(read: Callable[[RunRow], str]) -> Callable[[PastRun], str]:
    return lambda run: read(run.row) if run.row is not None else ""


_STATE: Final = Column(
    "state", 11, lambda run: run.state, style=lambda run: RUN_STYLES.get(run.state, RUN_OTHER)
)
_BEGAN: Final = Column("began", 12, lambda run: _when(run.began), style=lambda _: "$quiet")
_KIND: Final = Column("kind", 12, lambda run: run.kind, style=lambda _: "$quiet")
_PACE: Final = Column(
    "throughput",
    _STEPS,
    lambda run: fmt.sparkline(fmt.columns(run.pace, _STEPS), _STEPS) if run.pace else "",
    style=lambda _: "$chunk-run",
)
_TOOK: Final = Column("took", 9, lambda run: figures.duration(run.seconds), right=True)
_DONE: Final = Column("done", 8, _figure(lambda row: figures.count(row.n_done)), right=True)
_DEAD: Final = Column(
    "dead",
    5,
    _figure(lambda row: figures.count(row.n_dead)),
    right=True,
    style=lambda run: "bold $error" if run.row is not None and run.row.n_dead else "$quiet",
)
_RATE: Final = Column("/min", 6, rate_of, right=True)
_OUT: Final = Column("out", 7, _figure(lambda row: figures.size(row.bytes_out, 7)), right=True)


def _short(directory: str) -> str:
    """Return a directory with the home as ``~``."""
    home = safe(str(Path.home()))
    return f"~{directory.removeprefix(home)}" if directory.startswith(f"{home}/") else directory


def _when(t: float) -> str:
    """Return day and minute, of another year the date alone, in twelve cells."""
    if not t:
        return ""
    there, now = time.localtime(t), time.localtime()
    year = there.tm_year == now.tm_year
    return time.strftime("%d %b %H:%M" if year else "%Y-%m-%d  ", there)
