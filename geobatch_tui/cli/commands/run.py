"""``geobatch run``: plan and run a job, or go on with it."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geobatch_tui.cli import console, shared_options
from geobatch_tui.cli.display import streams

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.orchestration.state.outcome import RunResult

_how = partial(typer.Option, rich_help_panel="How it runs")

Detach = Annotated[
    bool,
    _how(
        "--detach", help="Run in the background; print the run directory. Follow it with `watch`."
    ),
]
Fresh = Annotated[
    bool, _how("--fresh", help="Forget the earlier run of this output directory; redo everything.")
]
RetryDead = Annotated[
    bool, _how("--retry-dead", help="Try the dead letters of the earlier run again.")
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
    loaded = shared_options.load(
        job,
        config,
        set_,
        op__dst_crs=crs,
        engine__max_workers=workers,
        output__dir=output,
        failures__max_failures=max_failures,
        engine__max_duration=max_duration,
    )
    values = {
        "--crs": crs,
        "--workers": workers,
        "--output": output,
        "--max-failures": max_failures,
        "--max-duration": max_duration,
    }
    words = _words(job or config or Path(), values, set_ or ())
    if detach:
        from geobatch_tui.cli.detach import run_detached

        words += ["--fresh"] * fresh + ["--retry-dead"] * retry_dead + ["--json"] * as_json
        return run_detached(words, Path(loaded.job.output.dir))
    if in_console:
        result = console.run_in_console(loaded, words, fresh=fresh, retry_dead=retry_dead)
        if isinstance(result, int):
            return result
    else:
        result = run_shown(loaded, fresh=fresh, retry_dead=retry_dead)
    with streams.reader_may_leave():
        give(result, as_json=as_json)
    return result.exit_code


def _words(job: Path, values: Mapping[str, object], overrides: Iterable[str]) -> list[str]:
    """Return the arguments of ``geobatch`` that run the job in a process of its own."""
    # A directory stands for the job that it was run with, whatever became of the job file.
    words = ["run", str(job.absolute()), "--headless"]
    for name, value in values.items():
        words += [name, str(value)] if value is not None else []
    for override in overrides:
        words += ["--set", override]
    return words


def run_shown(loaded: LoadedJob, *, fresh: bool = False, retry_dead: bool = False) -> RunResult:
    """Run a job with progress or log lines on stderr, and return its result."""
    import geobatch_tui
    from geobatch_tui.cli.display.progress import follow

    with follow(loaded.job.log.format) as shown:
        return asyncio.run(
            geobatch_tui.run(
                loaded,
                fresh=fresh,
                retry_dead=retry_dead,
                observe=shown.observe,
                log_stream=shown.line,
                log_format=shown.format,
            )
        )


def give(result: RunResult, *, as_json: bool) -> None:
    """Write the result to stdout."""
    if as_json:
        streams.write_json(result.to_json())
        return
    from geobatch_tui.cli.display.result import show

    show(result)
