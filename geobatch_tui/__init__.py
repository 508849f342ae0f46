"""geobatch: long raster and vector jobs in chunks, resumable, with dead letters.

The public interface::

    job = load_job("job.toml", overrides=["op.resampling=cubic"])
    report = await plan(job)
    result = await run(job)           # or run_sync(job)
    view = open_run(result.output_dir)
    frame = dead_letters_frame(view)  # a GeoDataFrame

    @step(halo=1)                     # a function of one's own, as a step of a job
    def smooth(block): ...

Names are imported on first use: importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geobatch_tui.config.layers import LoadedJob, load_job
    from geobatch_tui.frames import dead_letters_frame, outputs_frame
    from geobatch_tui.functions import step
    from geobatch_tui.observability.snapshot import Snapshot
    from geobatch_tui.orchestration.api import plan, retry, run, run_sync
    from geobatch_tui.orchestration.plan.plan_report import PlanReport
    from geobatch_tui.orchestration.state.outcome import RunResult
    from geobatch_tui.orchestration.state.run_view import RunView, open_run
    from geobatch_tui.orchestration.upkeep import repair, verify

__version__ = "0.1.0"

__all__ = [
    "LoadedJob",
    "PlanReport",
    "RunResult",
    "RunView",
    "Snapshot",
    "dead_letters_frame",
    "load_job",
    "open_run",
    "outputs_frame",
    "plan",
    "repair",
    "retry",
    "run",
    "run_sync",
    "step",
    "verify",
]

_HOMES = {
    "LoadedJob": "config.layers",
    "load_job": "config.layers",
    "PlanReport": "orchestration.plan.plan_report",
    "RunResult": "orchestration.state.outcome",
    "Snapshot": "observability.snapshot",
    "step": "functions",
    **dict.fromkeys(("dead_letters_frame", "outputs_frame"), "frames"),
    **dict.fromkeys(("plan", "retry", "run", "run_sync"), "orchestration.api"),
    **dict.fromkeys(("repair", "verify"), "orchestration.upkeep"),
    **dict.fromkeys(("RunView", "open_run"), "orchestration.state.run_view"),
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
