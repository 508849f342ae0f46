"""``geobatch plan``: what would run, and why, and what it will cost. Touches nothing."""

from __future__ import annotations

import asyncio
import tempfile
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geobatch_tui.cli import shared_options
from geobatch_tui.cli.display import streams
from geobatch_tui.observability import figures
from geobatch_tui.observability.text import harmless, pasteable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.table import Table

    from geobatch_tui.config.layers import LoadedJob
    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.orchestration.dry_run import Trial
    from geobatch_tui.orchestration.plan.plan_report import PlanReport

_what = partial(typer.Option, rich_help_panel="What to show")

Explain = Annotated[
    bool, _what("--explain", help="The reason of each chunk; equal neighbours on one line.")
]
Gdal = Annotated[
    bool, _what("--gdal", help="The nearest command of GDAL's own tools: of a chain, its pipeline.")
]
Attempt = Annotated[
    int | None,
    _what(
        "--try",
        metavar="N",
        min=1,
        help="Also run N chunks, spread over all that is to be done, in a scratch directory: "
        "their time and memory, and what the whole will take.",
        show_default=False,
    ),
]


def plan(
    job: shared_options.JobFile = None,
    config: shared_options.ConfigFile = None,
    set_: shared_options.Overrides = None,
    crs: shared_options.Crs = None,
    workers: shared_options.Workers = None,
    output: shared_options.Output = None,
    explain: Explain = False,
    gdal: Gdal = False,
    attempt: Attempt = None,
    as_json: shared_options.AsJson = False,
) -> int:
    """Show what would run and why: chunks, peak memory, output size. Touches nothing.

    With --json, --explain adds the list "explain" of chunk, reason and detail, --try the object
    "trial". With --try the exit code is that of a run of those chunks.
    """
    import geobatch_tui

    flags = {"op.dst_crs": crs, "engine.max_workers": workers, "output.dir": output}
    loaded = shared_options.load(job, config, set_, flags)
    report = asyncio.run(geobatch_tui.plan(loaded, gdal=gdal))
    if gdal:
        for command in filter(None, report.gdal_commands):
            streams.write(pasteable(command))
        if not all(report.gdal_commands):
            streams.say("GDAL has no command for this job: it has not all its steps")
        return 0
    trial = _try(loaded, report, attempt) if attempt is not None else None
    code = 0 if trial is None else trial.exit_code
    if as_json:
        result = report.to_json()
        if trial is not None:
            result = {**result, "trial": trial.to_json()}
        if explain:
            result = {**result, "explain": [list(line) for line in report.explain()]}
        streams.write_json(result)
        return code
    if explain:
        for line in compressed(report.explain()):
            streams.write(line)
        return code
    _show(report.to_json())
    if trial is not None:
        _show_trial(trial)
    return code


def _try(loaded: LoadedJob, report: PlanReport, count: int) -> Trial:
    """Run some chunks of a plan, whose leases they tell. Raises PreflightError if there is nothing
    to do."""
    from geobatch_tui.orchestration.dry_run import choose, run_trial
    from geobatch_tui.orchestration.plan.resources import expected_leases

    chosen, todo = choose(report, count)
    with tempfile.TemporaryDirectory(prefix="geobatch-trial-") as scratch:
        trial = asyncio.run(run_trial(loaded, chosen, Path(scratch), open_chunks=todo))
    if report.cluster:
        leases = expected_leases(loaded.job, todo, trial.seconds)
        report.cluster = {**report.cluster, "leases": leases}
    return trial


def compressed(lines: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    """Give one line for each stretch of chunks of an item with the same reason.

    ``a.tif@0,0 .. a.tif@7,9  new`` stands for all chunks between the two, in row-major order.
    """
    for (_, reason, detail), stretch in groupby(lines, _item_and_reason):
        first = ""
        for count, (last, *_) in enumerate(stretch, 1):  # noqa: B007 - of use behind the loop
            first = first or last
        where = first if count == 1 else f"{first} .. {last.rpartition('@')[2]}  ({count:,})"
        yield harmless(f"{where}  {reason}: {detail}" if detail else f"{where}  {reason}")


def _item_and_reason(line: tuple[str, str, str]) -> tuple[str, str, str]:
    chunk, reason, detail = line
    return chunk.rpartition("@")[0] or chunk, reason, detail


def _show_trial(trial: Trial) -> None:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    for chunk in trial.chunks:
        done = chunk.seconds is not None
        table.add_row(
            streams.foreign(chunk.label),
            f"{chunk.seconds:.3f} s" if done else "dead" if chunk.error else "not run",
            figures.size(chunk.peak_bytes) if chunk.peak_bytes else "",
            streams.foreign(chunk.error, style="red"),
        )
    streams.show(table)
    if trial.estimate_s is not None and trial.output_bytes is not None:
        output = figures.size(trial.output_bytes)
        streams.write(
            f"{figures.plural(trial.todo, 'chunk')}, {figures.plural(trial.workers, 'worker')}: "
            f"about {figures.duration(trial.estimate_s)}, {output} of output; "
            f"a worker had {figures.size(trial.peak_bytes)} at most"
        )


def _show_cluster(table: Table, cluster: Json) -> None:
    if not cluster:
        return
    table.add_row("cluster", streams.foreign(cluster["address"]))
    if "starts" in cluster:
        what = "Dask workers, started for the run; chunks are planned for this machine"
        table.add_row("", f"{cluster['starts']} {what}")
    for node in cluster["nodes"]:
        room = f"{figures.plural(node['workers'], 'worker')}, {figures.size(node['memory_bytes'])}"
        table.add_row("node", streams.foreign(f"{node['node']}: {room}"))
    leases = cluster["leases"]
    count = f"about {leases['about']:,}" if "about" in leases else f"at most {leases['at_most']:,}"
    table.add_row("leases", f"{count}, of {leases['seconds']:g} s of work each")
    for node in cluster["refused"]:
        table.add_row("no node", streams.foreign(f"{node['node']}: {node['why']}", style="red"))


def _show(report: Json) -> None:
    from geobatch_tui.execution.runtime.sandbox import words

    table = streams.pairs()
    table.add_row("items", f"{report['items']:,}")
    table.add_row("chunks", f"{report['chunks']:,}")
    for reason, count in sorted(report["reasons"].items(), key=lambda entry: -entry[1]):
        table.add_row("", streams.foreign(f"{count:,} {reason}"))
    for key, count in report["changed"].items():
        table.add_row("changed", streams.foreign(f"{key}: {figures.plural(count, 'chunk')} stale"))
    if report["peak_memory_bytes"]:
        table.add_row("peak memory", figures.size(report["peak_memory_bytes"]))
    output = report["output_bytes"]
    table.add_row("output", f"at most {figures.size(output)}" if output else "nothing to write")
    table.add_row("free disk", figures.size(report["free_bytes"]))
    table.add_row("sandbox", words(report["sandbox"]))
    for each in report.get("stores", ()):
        asked = f"{figures.plural(each['objects'], 'object')}, about {each['requests']:,} requests"
        asked += f" and at most {figures.size(each['bytes'])}"
        table.add_row("store", streams.foreign(f"{each['store']}: {asked}"))
    _show_cluster(table, report.get("cluster", {}))
    for entry in report["refused"]:
        text = f"{entry['item']}: {entry['error_class']}: {entry['error_message']}"
        table.add_row("refused", streams.foreign(text, style="red"))
    for warning in report["warnings"]:
        table.add_row("warning", streams.foreign(warning, style="yellow"))
    streams.show(table)
