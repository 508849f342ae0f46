"""Runs of this user: to open, to compare, to resume, and to copy jobs from."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final

from textual import getters, on, work
from textual.content import Content

from geobatch_tui.errors import GeobatchError
from geobatch_tui.observability import figures
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.state.run_index import known
from geobatch_tui.orchestration.upkeep import load_kept
from geobatch_tui.tui.jobs.draft import Draft
from geobatch_tui.tui.kit.endings import Start, Watch
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.parts.dialogs import Choice, Question
from geobatch_tui.tui.parts.filter_bar import FilterBar, part_of
from geobatch_tui.tui.parts.key_bar import KeyBar
from geobatch_tui.tui.parts.page import Filtered, TextBox
from geobatch_tui.tui.parts.scroll_lines import ScrollLines
from geobatch_tui.tui.run.past_runs import FIELDS, SORTS, compare, gather
from geobatch_tui.tui.screens.report_dialog import report
from geobatch_tui.tui.widgets.run_list import RunHeading, RunList

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.screen import Screen

    from geobatch_tui.tui.run.past_runs import PastRun

_REST: Final = 2.0  #: seconds between two looks at the ledgers, while the screen is shown
_NOTHING: Final = (
    "There are no runs yet.\n\n"
    "^n makes a job, from an example.  `geobatch demo --tui` runs one on data that comes along."
)


class HistoryScreen(Filtered):
    """Mode ``history``."""

    BINDING_GROUP_TITLE = "History"
    HELP = "Runs of this user, the last begun first. Mark two to compare them."
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("run.start", "resume", name="Resume"),
        bind("run.clone", "clone"),
        bind("job.new", "new", show=False),
        bind("filter", "filter"),
        bind("sort", "sort", show=False),
        bind("export", "report", name="Report", does="Write a report of the newest run there"),
        bind("copy", "copy", show=False),
        bind("back", "back", show=False),
    ]
    DEFAULT_CSS = """
    HistoryScreen #runs { height: 2fr; }
    HistoryScreen #compare { height: 1fr; }
    HistoryScreen.-low #compare, HistoryScreen.-slim #compare { display: none; }
    """

    list = getters.query_one(RunList)

    def __init__(self) -> None:
        super().__init__()
        self._runs: list[PastRun] = []
        self._read = False
        self._sort = next(iter(SORTS))

    def compose(self) -> ComposeResult:
        yield FilterBar(FIELDS, id="bar")
        yield RunHeading()
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
        if self.is_current:
            self.look()

    @work(exclusive=True, group="history", exit_on_error=False)
    async def look(self) -> None:
        """Read the index and the ledgers."""
        found = await asyncio.to_thread(lambda: gather(known()))
        if found != self._runs or not self._read:
            self._runs, self._read = found, True
            self.refilter()

    def refilter(self) -> None:
        chosen = self.bar.chosen
        shown = [run for run in self._runs if chosen.matches(run.fields())]
        shown.sort(key=SORTS[self._sort])
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
        if pair is not None:
            title, content = "Compare", _comparison(*pair)
        elif run is not None:
            title, content = "Run", _about(run)
        else:
            title, content = "Run", Content(_NOTHING if self._read and not self._runs else "")
        box = self.query_one(TextBox)
        box.border_title = title
        box.write(content)

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

    def action_sort(self) -> None:
        """Sort by the next column."""
        names = [*SORTS]
        self._sort = names[(names.index(self._sort) + 1) % len(names)]
        self.refilter()

    def step_back(self) -> bool:
        return self.list.unmark()

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
        run = self.list.current
        if run is None or run.row is None:
            return
        newest = next(other for other in self._runs if other.directory == run.directory)
        if newest.state == "running":
            self._refuse("this run is live: enter opens it")
            return
        left = f"{figures.count(newest.left)} of {figures.count(newest.total)} chunks are left"
        dead = (
            f", {figures.count(newest.dead)} dead letters stay as they are" if newest.dead else ""
        )
        choices = (Choice("", "No", "start nothing"), Choice("go", "Resume", "in this console"))
        said = f"{left}{dead}. Inputs that changed or came are planned anew."
        if await self.app.push_screen_wait(Question("Resume", said, choices)) != "go":
            return
        try:
            # Its job cannot be read, or lacks credentials: that is better said here.
            await asyncio.to_thread(load_kept, run.directory)
        except GeobatchError as error:
            self._refuse(f"{error}; {error.hint}" if error.hint else str(error))
            return
        self.app.open(Start(run.directory))

    def action_clone(self) -> None:
        """Edit a copy of the run's job."""
        from geobatch_tui.tui.screens.job_form import ConfigScreen

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


def _about(run: PastRun) -> Content:
    row = run.row
    if row is None:
        return Content(run.note)
    parts: list[tuple[str, str] | str] = [
        (f"{run.fields()['dir']}\n", "bold"),
        f"run {run.run_id}  {run.state}",
        f"  exit {row.exit_code}" if row.exit_code is not None else "",
        f"  took {figures.duration(run.seconds)}" if run.seconds is not None else "",
        f"  {safe(row.reason)}\n" if row.reason else "\n",
        f"done {figures.count(row.n_done)}  dead {figures.count(row.n_dead)}  ",
        f"retried {figures.count(row.n_retry)}  in {figures.size(row.bytes_in)}  ",
        f"out {figures.size(row.bytes_out)}\n",
    ]
    if run.newest:
        parts.append(
            f"of {figures.plural(run.total, 'chunk')} there: {figures.count(run.left)} left, "
            f"{figures.count(run.dead)} dead\n"
        )
    return Content.assemble(*parts)


def _comparison(before: PastRun, after: PastRun) -> Content:
    found = compare(before, after)
    lines: list[Content] = [
        Content.assemble(
            (f"{before.run_id} → {after.run_id}", "bold"),
            ("   ! changes outputs", "$quiet") if any(d.semantic for d in found) else "",
        )
    ]
    width = max((len(entry.what) for entry in found), default=0)
    for entry in found:
        mark = ("! ", "bold $warning") if entry.semantic else ("  ", "")
        what = (f"{entry.what:<{width}}  ", "bold")
        share = (f"  {entry.share}", "bold $accent")
        lines.append(Content.assemble(mark, what, f"{entry.before} → {entry.after}", share))
    if not found:
        lines.append(Content("nothing differs"))
    return Content("\n").join(lines)
