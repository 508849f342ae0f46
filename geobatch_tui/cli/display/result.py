"""Shows a run's result to a person: counts, dead letters by cause, what to type next."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

from geobatch_tui.cli.display import streams
from geobatch_tui.errors import ExitCode
from geobatch_tui.observability import figures
from geobatch_tui.observability.text import command_line, harmless

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.table import Table
    from rich.text import Text

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.orchestration.state.outcome import RunResult

WARNINGS = 5
"""Warnings of the plan that are repeated at the end."""
_STYLES = {"success": "green", "partial": "yellow", "interrupted": "yellow"}
_RESUMABLE = {
    ExitCode.FAILURES,
    ExitCode.DEADLINE,
    ExitCode.ENVIRONMENT,
    ExitCode.SIGINT,
    ExitCode.SIGTERM,
}


def show(result: RunResult) -> None:
    """Print the result to stdout."""
    troubled = bool(result.dead_by_class or result.dead_letters)
    if not troubled and not sys.stdout.isatty():
        # As the table is written to a file, without the library that lays it out: it takes as long
        # to load as a small file to convert.
        rows = list(_rows(result))
        width = max(len(name) for name, *_ in rows)
        for name, text, _, more in rows:
            streams.write(f"{name:{width}}  {text}{more}".rstrip())
        for line in next_steps(result):
            streams.write(harmless(line))
        return
    streams.show(summary(result))
    if troubled:
        streams.show("")
        streams.show(causes(result.dead_by_class, result.dead_letters))
        streams.show("")
    for line in next_steps(result):
        streams.show(streams.foreign(line), wrap=False)


def summary(result: RunResult) -> Table:
    """Lay out state, items, chunks and rates in a table."""
    from rich.text import Text

    table = streams.pairs()
    for name, text, style, more in _rows(result):
        table.add_row(name, Text(text, style=style).append(more, style="dim"))
    return table


def _rows(result: RunResult) -> Iterator[tuple[str, str, str, str]]:
    """Yield the rows of the summary: name, text, its style, and what follows it; all harmless."""
    state = harmless(result.state)
    if result.reason not in {"", "complete", result.state}:
        state += f" ({harmless(result.reason)})"
    more = f", exit {result.exit_code}, {figures.duration(result.duration_s)}"
    yield "result", state, _STYLES.get(result.state, "red"), more
    yield "output", harmless(result.output_dir), "", ""
    yield "items", _items(result.items), "", ""
    yield "chunks", _chunks(result.counts), "", ""
    if result.undefined_pixels:
        yield "undefined", undefined(result.undefined_pixels), "", ""
    if rates := figures.rates(result.rates):
        yield "rate", rates, "", ""
    for warning in result.warnings[:WARNINGS]:
        yield "warning", harmless(warning), "yellow", ""
    if len(result.warnings) > WARNINGS:
        yield "", f"and {len(result.warnings) - WARNINGS} more: see `geobatch plan`", "", ""


def undefined(pixels: int) -> str:
    """Say how many pixels have a result that is no number."""
    return f"{figures.plural(pixels, 'pixel')} of published items, nodata by rule: 0/0, overflow"


def _items(items: Mapping[str, int]) -> str:
    parts = [f"{items['published']:,} of {items['total']:,} published"]
    parts += [f"{items[key]:,} {key}" for key in ("held", "dead") if items[key]]
    return ", ".join(parts)


def _chunks(counts: Mapping[str, int]) -> str:
    words = {"current": "needed no work", "pending": "left", "dead": "dead"}
    parts = [f"{counts['done']:,} done"]
    parts += [f"{counts[key]:,} {word}" for key, word in words.items() if counts[key]]
    return ", ".join(parts)


def causes(by_class: Mapping[str, int], letters: Sequence[Json]) -> Table:
    """Lay out dead letters by cause: how many, one example, its message."""
    from rich import box
    from rich.table import Table

    counted = Counter(by_class) or Counter(letter["error_class"] for letter in letters)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    table.add_column("dead letters", overflow="fold", style="red")
    table.add_column("n", justify="right")
    table.add_column("for instance", overflow="fold")
    for name, count in counted.most_common():
        first = next((one for one in letters if one["error_class"] == name), None)
        text = streams.foreign("") if first is None else _instance(first)
        table.add_row(streams.foreign(name), f"{count:,}", text)
    return table


def _instance(letter: Json) -> Text:
    text = streams.foreign(letter["chunk"] or letter["item"], style="bold")
    text.append(": ", style="not bold")
    text.append(harmless(letter["error_message"]), style="not bold")
    return text


def next_steps(result: RunResult) -> Iterator[str]:
    """List commands worth typing now, each with what it does."""
    directory = result.output_dir
    if result.dead_by_class or result.dead_letters:
        yield f"why:    {command_line('geobatch dead-letters', directory)}"
        yield f"again:  {command_line('geobatch retry', directory)}   (when the cause is gone)"
    if result.exit_code in _RESUMABLE:
        yield "go on:  run the same command again"
