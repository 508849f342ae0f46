"""Runs of this user: to open, to compare, to resume, and to copy jobs from."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, ClassVar, Final

from textual import getters, on, work
from textual.content import Content

from geobatch_tui.errors import GeobatchError
from geobatch_tui.orchestration.state.run_index import forget, gone, known
from geobatch_tui.tui.history.run_list import RunList, heading
from geobatch_tui.tui.history.run_notes import notes_of, put_note
from geobatch_tui.tui.history.run_story import about, comparison
from geobatch_tui.tui.jobs.draft import Draft
from geobatch_tui.tui.kit.endings import Watch
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.parts.console_app import Target
from geobatch_tui.tui.parts.filter_bar import FilterBar, part_of
from geobatch_tui.tui.parts.key_bar import KeyBar
from geobatch_tui.tui.parts.page import ListBox, Sorted, TextBox
from geobatch_tui.tui.parts.scroll_lines import ListHeading, ScrollLines
from geobatch_tui.tui.run.past_runs import ASCENDING, FIELDS, SORTS, gather, paces
from geobatch_tui.tui.run.run_failures import read_changes
from geobatch_tui.tui.screens.report_dialog import report
from geobatch_tui.tui.screens.run_dialogs import Left, RunNoteDialog, resume

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.screen import Screen

    from geobatch_tui.tui.run.past_runs import PastRun
    from geobatch_tui.tui.run.run_failures import FailureChanges

_REST: Final = 2.0  #: seconds between two looks at the ledgers, while the screen is shown
_PACING: Final = 10.0  #: seconds between two readings of the throughput of a run that is live
_STEPS: Final = 48  #: of the time of a run whose throughput is read
_MOST: Final = 200  #: runs whose throughput is read
_LEFT: Final = frozenset({"gone", "never began"})  #: states of runs that can be taken off the list
_NOTHING: Final = (
    "There are no runs yet.\n\n"
    "^n makes a job, from an example.  `geobatch demo --tui` runs one on data that comes along."
)


class HistoryScreen(Sorted):
    """Mode ``history``."""

    sorts = tuple(SORTS)
    BINDING_GROUP_TITLE = "History"
    HELP = "Runs of this user, the last begun first. Mark two to compare them, failures too."
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("run.start", "resume", name="Resume"),
        bind("run.clone", "clone"),
        bind("job.new", "new", show=False),
        bind("filter", "filter", first=True),
        bind("sort", "sort", show=False),
        bind("sort.reverse", "reverse", show=False),
        bind("note", "note", show=False, does="A note of your own to the run"),
        bind(
            "step.remove", "forget", show=False, name="Forget", does="Take a run that is gone off"
        ),
        bind("export", "report", name="Report", does="Write a report of the newest run there"),
        bind("copy", "copy", show=False),
        bind("back", "back", show=False),
    ]
    DEFAULT_CSS = """
    HistoryScreen ListBox { height: 2fr; }
    HistoryScreen #compare { height: 1fr; }
    HistoryScreen.-comparing ListBox { height: 1fr; }
    HistoryScreen.-comparing #compare { height: 2fr; }
    HistoryScreen.-low #compare, HistoryScreen.-slim #compare { display: none; }
    """

    list = getters.query_one(RunList)

    def __init__(self) -> None:
        super().__init__()
        self._runs: list[PastRun] = []
        self._read = self._looking = self._stale = False
        self._sort = next(iter(SORTS))
        self._paces: dict[tuple[str, str], tuple[float, ...]] = {}
        self._paced: dict[tuple[str, str], tuple[str, int]] = {}
        self._found: list[PastRun] = []
        self._pacing = 0.0
        self._waiting: Callable[[], object] | None = None
        self._compared: list[tuple[tuple[str, str], tuple[str, int]]] = []
        self._failures: FailureChanges | None = None

    def compose(self) -> ComposeResult:
        yield FilterBar(FIELDS, id="bar")
        with ListBox():
            yield ListHeading(heading, ASCENDING)
            yield RunList(id="runs")
        yield TextBox(id="compare", title="Run")
        yield KeyBar()

    def on_mount(self) -> None:
        """Read the ledgers now, and again while the screen is shown."""
        self.list.border_subtitle = "enter:open  space:mark two to compare"
        self.list.focus()
        self.look()
        self.set_interval(_REST, self._again)

    def on_screen_resume(self) -> None:
        """Read the ledgers again, as runs may have begun or ended."""
        self.look()

    def _again(self) -> None:
        if self.is_current and not self._looking:
            self.look()

    def look(self) -> None:
        """Read the runs; where they are being read, once more behind that."""
        self._stale = True
        if not self._looking:
            self._looking = True
            self._look()

    @work(group="history", exit_on_error=False)
    async def _look(self) -> None:
        try:
            while self._stale:
                self._stale = False
                await self._renew()
        finally:
            self._looking = False

    async def _renew(self) -> None:
        """Read the index and the ledgers, then the throughput of runs whose figures changed."""
        found = await asyncio.to_thread(_read)
        if found != self._found or not self._read:
            self._found, self._read = found, True
            self._take_paces({})
            waiting, self._waiting = self._waiting, None
            if waiting is not None:
                waiting()
        stale = [run for run in found[:_MOST] if self._paced.get(run.key) != _mark(run)]
        if stale and monotonic() >= self._pacing:
            read = await asyncio.to_thread(_paces, stale)
            self._paced |= {run.key: _mark(run) for run in stale}
            self._pacing = monotonic() + _PACING
            self._take_paces(read)

    def _take_paces(self, read: Mapping[tuple[str, str], tuple[float, ...]]) -> None:
        """Give runs the throughput that was read of them, now or before."""
        self._paces |= read
        self._runs = [replace(run, pace=self._paces.get(run.key, ())) for run in self._found]
        self.refilter()

    def refilter(self) -> None:
        chosen = self.bar.chosen
        shown = [run for run in self._runs if chosen.matches(run.fields())]
        shown.sort(key=SORTS[self._sort], reverse=self._backwards)
        names = self.query_one(ListHeading)
        names.sort, names.backwards = self._sort, self._backwards
        names.renew()
        self.list.nothing = "no run matches" if self._runs else ""
        self.list.show(shown)
        total = len(self._runs)
        count = f" {part_of(len(shown), total, 'run')}"
        live = sum(run.state == "running" for run in self._runs)
        said = (f"  {live} live", "bold $success") if live else ""
        by = (f"  by {self._sort}", "$quiet")
        self.bar.say(Content.assemble((" History ", "bold"), count, by, said))
        self._tell()

    @on(ScrollLines.Moved)
    def _tell(self) -> None:
        """Show the differences of two runs, or the facts of one."""
        pair, run = self.list.pair, self.list.current
        self.set_class(pair is not None, "-comparing")
        if pair is not None:
            title, content = "Compare", comparison(*pair, self._failures_of(pair))
        elif run is not None:
            title, content = "Run", about(run)
        else:
            title, content = "Run", Content(_NOTHING if self._read and not self._runs else "")
        box = self.query_one(TextBox)
        box.border_title = title
        box.write(content)

    def _failures_of(self, pair: tuple[PastRun, PastRun]) -> FailureChanges | None:
        """Return which failures are new or gone; None: they are being read, or cannot be."""
        before, self._compared = self._compared, [(run.key, _mark(run)) for run in pair]
        if before != self._compared:
            if [key for key, _ in before] != [run.key for run in pair]:
                self._failures = None
            self._read_failures(pair)
        return self._failures

    @work(exclusive=True, group="failures", exit_on_error=False)
    async def _read_failures(self, pair: tuple[PastRun, PastRun]) -> None:
        try:
            self._failures = await asyncio.to_thread(read_changes, *pair)
        except GeobatchError as error:
            self._refuse(f"the failures of these runs cannot be compared: {error}")
        self._tell()

    # --- actions --------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide in a read-only console what starts a run."""
        del parameters
        return action not in {"resume", "clone"} or not self.app.read_only

    @on(ScrollLines.Opened)
    def _opened(self) -> None:
        """Show the run's directory in the console."""
        run = self.list.current
        if run is not None and run.row is not None:
            self.app.open(Watch(run.directory))

    @work(exclusive=True, group="note", exit_on_error=False)
    async def action_note(self) -> None:
        """Write a note to the run under the cursor, or change it; an empty one is none."""
        run = self.list.current
        if run is None or run.row is None:
            return
        text = await self.app.push_screen_wait(RunNoteDialog(run.remark))
        if text is not None:
            await asyncio.to_thread(put_note, run.directory, run.row.run_id, text)
            self.look()

    def action_forget(self) -> None:
        """Take a run off the list of which nothing is left but its name."""
        run = self.list.current
        if run is None:
            return
        if run.state not in _LEFT:
            self._refuse("only runs that are gone can be taken off the list")
            return
        forget(run.directory)
        self.look()

    def step_back(self) -> bool:
        return self.list.unmark()

    def target(self) -> Target:
        """Return the run under the cursor."""
        run = self.list.current
        return Target() if run is None else Target(run.place or str(run.directory), run.directory)

    def action_copy(self) -> None:
        """Copy the directory, or the URL of the outputs."""
        run = self.list.current
        self.copy_text("" if run is None else run.place or str(run.directory))

    @work(exclusive=True, group="report", exit_on_error=False)
    async def action_report(self) -> None:
        """Write a page about the newest run of the directory."""
        run = self.list.current
        if run is not None and run.row is not None:
            newest = next(other for other in self._runs if other.directory == run.directory)
            await report(self, run.directory, newest.run_id)

    @work(exclusive=True, group="resume", exit_on_error=False)
    async def action_resume(self) -> None:
        """Resume the run under the cursor, after a question that says what is left of it."""
        if not self._read:
            self._waiting = self.action_resume
            return
        run = self.list.current
        if run is None or run.row is None:
            return
        newest = next(other for other in self._runs if other.directory == run.directory)
        if newest.state == "running":
            self._refuse("this run is live: enter opens it")
            return
        await resume(self, run.directory, Left(newest.left, newest.total, newest.dead))

    def action_clone(self) -> None:
        """Edit a copy of the run's job."""
        from geobatch_tui.tui.screens.job_form import ConfigScreen

        if not self._read:  # the key came with the one that opened the screen
            self._waiting = self.action_clone
            return
        run = self.list.current
        if run is None or run.row is None:
            return
        try:
            draft = Draft.of_run(run.row.job)
        except GeobatchError as error:
            self._refuse(str(error))
            return

        def edit(screen: Screen[None]) -> None:
            if isinstance(screen, ConfigScreen):
                screen.replace(draft)

        self.app.show_mode("config", edit)

    def action_new(self) -> None:
        """Begin a job with an example."""
        from geobatch_tui.tui.screens.job_form import ConfigScreen

        def begin(screen: Screen[None]) -> None:
            if isinstance(screen, ConfigScreen):
                screen.action_new()

        self.app.show_mode("config", begin)

    def _refuse(self, text: str) -> None:
        self.notify(text, title="history", severity="warning", markup=False)


def _read() -> list[PastRun]:
    """Read the runs of this user and the notes to them. For a thread."""
    found = gather(known(), gone())
    notes: dict[Path, Mapping[str, str]] = {}
    for run in found:
        if run.directory not in notes:
            notes[run.directory] = notes_of(run.directory)
    return [
        replace(run, remark=notes[run.directory].get(run.row.run_id, "")) if run.row else run
        for run in found
    ]


def _paces(runs: Sequence[PastRun]) -> dict[tuple[str, str], tuple[float, ...]]:
    """Read the throughput of runs; where it cannot be read there is none. For a thread."""
    places = defaultdict(list)
    for run in runs:
        if run.row is not None:
            places[run.directory].append(run.row)
    found = {}
    for directory, rows in places.items():
        with contextlib.suppress(GeobatchError, OSError):
            for run_id, pace in paces(directory, rows, _STEPS).items():
                found[str(directory), run_id] = pace
    return found


def _mark(run: PastRun) -> tuple[str, int]:
    """Return what changes as a run goes on."""
    return run.state, run.row.n_done if run.row is not None else 0
