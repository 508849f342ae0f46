"""The plan of a job: its chunks on a map, what it will cost, and a dry run of a few of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from textual import work
from textual.containers import Horizontal
from textual.content import Content
from textual.worker import Worker, WorkerState

import geobatch_tui
from geobatch_tui.errors import GeobatchError
from geobatch_tui.observability.text import safe_lines
from geobatch_tui.orchestration.dry_run import choose
from geobatch_tui.tui.jobs.forecast import forecast
from geobatch_tui.tui.jobs.job_trial import dry_run, tried, verdict
from geobatch_tui.tui.map.plan_map import PlanMap, PlannedChunks
from geobatch_tui.tui.parts.page import TextBox

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.orchestration.dry_run import Trial
    from geobatch_tui.orchestration.plan.plan_report import PlanReport

_HINT: Final = (
    "F5 plans the job and says what it makes stale.\n"
    "d runs nine of its chunks in a scratch directory: what will the whole take?"
)


class PlanPane(Horizontal):
    """The pane of a plan. It never touches the outputs or the state of a run."""

    DEFAULT_CSS = """
    PlanPane #places {
        width: 2fr; display: none; border: round $border-blurred;
        border-title-color: $foreground; border-title-style: bold;
        border-subtitle-color: $quiet;
    }
    PlanPane #places:focus { border: round $border; }
    PlanPane.-planned #places { display: block; }
    PlanPane #plan { width: 3fr; }
    Screen.-slim #places, Screen.-low #places { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._report: PlanReport | None = None

    def compose(self) -> ComposeResult:
        yield PlanMap(id="places")
        yield TextBox(id="plan", title="Plan")

    def forget(self) -> None:
        """Drop the plan, and end what is under way: the job is another one."""
        self.workers.cancel_group(self, "plan")
        self.remove_class("-planned")
        self._report = None
        self._say(Content.styled(_HINT, "$quiet"))

    @work(exclusive=True, group="plan", exit_on_error=False)
    async def plan(self, loaded: LoadedJob) -> None:
        await self._plan(loaded)

    @work(exclusive=True, group="plan", exit_on_error=False)
    async def attempt(self, loaded: LoadedJob) -> None:
        """Run a few chunks of a job, after planning it if that was not done yet."""
        report = self._report or await self._plan(loaded)
        chosen, open_chunks = await asyncio.to_thread(choose, report)
        if not chosen:
            self.notify("the plan has nothing to do", title="dry run", markup=False)
            return
        count = sum(len(numbers) for numbers in chosen.values())
        self._progress(0, count)
        trial = await dry_run(loaded, chosen, open_chunks, lambda done: self._progress(done, count))
        self._show(trial, report, loaded)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Show an error in place of the plan; an unexpected one, too: else a plan that failed would
        look like a slow one."""
        event.stop()
        if event.state is WorkerState.ERROR:
            error = event.worker.error
            text = f"{type(error).__name__}: {error}"
            if isinstance(error, GeobatchError):
                text = f"{error}\n{error.hint}" if error.hint else str(error)
            self._say(Content.styled(safe_lines(text), "bold $error"))

    async def _plan(self, loaded: LoadedJob) -> PlanReport:
        self.remove_class("-planned")
        self._report = None
        self._say(Content.styled("planning ...", "$quiet"))
        report, chunks = await asyncio.to_thread(_planned, loaded)
        self._report = report
        self._say(forecast(report.to_json(), loaded))
        self.add_class("-planned")
        self.query_one(PlanMap).show_plan(chunks)
        return report

    def _progress(self, done: int, count: int) -> None:
        self._say(Content.styled(f"dry run: {done} of {count} chunks ...", "$quiet"))

    def _show(self, trial: Trial, report: PlanReport, loaded: LoadedJob) -> None:
        self.query_one(PlanMap).show_tried(trial)
        planned = forecast(report.to_json(), loaded)
        self._say(Content("\n").join([*verdict(trial), planned, *tried(trial)]))
        self.query_one(TextBox).scroll_home(animate=False)

    def _say(self, content: Content) -> None:
        self.query_one(TextBox).write(content)


def _planned(loaded: LoadedJob) -> tuple[PlanReport, PlannedChunks]:
    """Plan a job; return the report and its chunks. Blocks: for a thread."""
    report = asyncio.run(geobatch_tui.plan(loaded))
    return report, PlannedChunks.of(report)
