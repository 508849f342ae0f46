"""``geobatch run``: plan and run a job, or go on with it."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from geobatch_tui.cli import console, shared_options
from geobatch_tui.cli.display import streams
from geobatch_tui.cli.shared_options import of_run
from geobatch_tui.execution.stores.output_prefix import is_prefix, local_place
from geobatch_tui.observability.terminal_signs import Signs

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.orchestration.state.outcome import RunResult

Detach = Annotated[
    bool,
    of_run(
        "--detach", help="Run in the background; print the run directory. Follow it with `watch`."
    ),
]
Fresh = Annotated[
    bool,
    of_run("--fresh", help="Forget the earlier run of this output directory; redo everything."),
]
RetryDead = Annotated[
    bool, of_run("--retry-dead", help="Try the dead letters of the earlier run again.")
]


def run(
    job: shared_options.JobFile = None,
    config: shared_options.ConfigFile = None,
    set_: shared_options.Overrides = None,
    crs: shared_options.Crs = None,
    workers: shared_options.Workers = None,
    output: shared_options.Output = None,
    headless: shared_options.Headless = False,
    tui: shared_options.Tui = False,
    detach: Detach = False,
    fresh: Fresh = False,
    retry_dead: RetryDead = False,
    max_failures: shared_options.MaxFailures = None,
    max_duration: shared_options.MaxDuration = None,
    as_json: shared_options.AsJson = False,
) -> int:
    """Plan and run a job. Resumes by itself where an earlier run of it was ended."""
    in_console = console.wanted(tui=tui, headless=headless or detach)
    flags = {
        "op.dst_crs": crs,
        "engine.max_workers": workers,
        "output.dir": output,
        "failures.max_failures": max_failures,
        "engine.max_duration": max_duration,
    }
    loaded = shared_options.load(job, config, set_, flags)
    if detach:
        from geobatch_tui.cli.detach import run_detached

        words = _words(job or str(config or ""), flags, set_ or ())
        words += ["--fresh"] * fresh + ["--retry-dead"] * retry_dead + ["--json"] * as_json
        return run_detached(words, local_place(loaded.job.output.dir))
    run_job = console.run_in_console if in_console else run_shown
    return give(run_job(loaded, fresh=fresh, retry_dead=retry_dead), as_json=as_json)


def _words(job: str, flags: Mapping[str, object], overrides: Sequence[str]) -> list[str]:
    """Return the arguments of ``geobatch`` that run the job in a process of its own."""
    from geobatch_tui.config.chains.pipeline import is_pipeline
    from geobatch_tui.config.sources import OPTIONS

    # A directory stands for the job that it was run with, whatever became of the job file.
    as_is = is_pipeline(job) or is_prefix(job)
    words = ["run", job if as_is else str(Path(job).absolute()), "--headless"]
    for key, value in flags.items():
        words += [OPTIONS[key], str(value)] if value is not None else []
    for override in overrides:
        words += ["--set", override]
    return words


def run_shown(loaded: LoadedJob, *, fresh: bool = False, retry_dead: bool = False) -> RunResult:
    """Run a job with progress or log lines on stderr, and return its result."""
    import geobatch_tui

    begin = partial(geobatch_tui.run, loaded, fresh=fresh, retry_dead=retry_dead)
    return run_in_front(begin, loaded.job.log.format, Signs.of(loaded.job.notify.model_dump()))


def run_in_front(
    begin: Callable[..., Coroutine[Any, Any, RunResult]], log_format: str, signs: Signs
) -> RunResult:
    """Run what ``begin`` begins, with progress or log lines on stderr, and return its result."""
    from geobatch_tui.cli.display.progress import follow

    with follow(log_format, signs) as shown:
        return asyncio.run(
            begin(observe=shown.observe, log_stream=shown.line, log_format=shown.format)
        )


def give(result: RunResult | int, *, as_json: bool) -> int:
    """Write a result to stdout, and return its exit code; a code stands for a run that goes on."""
    if isinstance(result, int):
        return result
    with streams.reader_may_leave():
        if as_json:
            streams.write_json(result.to_json())
        else:
            from geobatch_tui.cli.display.result import show

            show(result)
    return result.exit_code
