"""The page of a report: HTML in one file that needs no other, or Markdown.

What is foreign (names, messages, values) is escaped by the templates; the page forbids scripts and
any resource of its own accord, too.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from geobatch_tui import __version__
from geobatch_tui.errors import ConfigError, OutputGoneError
from geobatch_tui.execution.io.disk import disk_errors, replacing
from geobatch_tui.observability import figures
from geobatch_tui.observability.text import command_line, safe
from geobatch_tui.tui.report import report_plots
from geobatch_tui.tui.report.run_facts import read_facts
from geobatch_tui.tui.report.state_picture import maps_of
from geobatch_tui.tui.run.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jinja2 import Environment

    from geobatch_tui.tui.report.run_facts import Durations, RunFacts
    from geobatch_tui.tui.report.state_picture import Maps
    from geobatch_tui.tui.report.work_timeline import Timeline

ENDINGS: Final = (".html", ".htm", ".md")
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_COLUMNS: Final = 72
#: What Markdown would take for markup, in a text or in a table.
_MARKUP: Final = re.compile(r"([\\`*_\[\]#|~$^=@])")
_STATES: Final = {"success": "good", "running": "live", "planning": "live", "paused": "live"}


@dataclass(frozen=True, slots=True)
class Step:
    """What can be done now, and the command that does it."""

    text: str
    command: str


def write_report(directory: Path, path: Path) -> None:
    """Write the report of the newest run in ``directory`` to ``path``, completely or not at all;
    HTML or Markdown by the ending of its name. Blocks: for a thread.

    Raises:
        ConfigError: its name has another ending.
        PlanMismatchError, StateError: there is no run, or its ledger cannot be read.
        OutputGoneError, DiskFullError: it cannot be written.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ConfigError(
            f"{safe(path.name)} says no format", hint="let its name end in .html or .md"
        )
    text = report_of(directory, markdown=ending == ".md").encode("utf-8", "backslashreplace")
    try:
        with disk_errors("write", path), replacing(path) as file:
            file.write(text)
    except OSError as error:
        raise OutputGoneError(
            f"cannot write {safe(str(path))}: {error.strerror}", hint="check the directory"
        ) from error


def report_of(directory: Path, *, markdown: bool = False) -> str:
    """Return the report of the newest run in ``directory``. Raises as :func:`write_report`."""
    with RunStore(directory) as store:
        store.poll()
        seconds = store.figures("seconds")
        facts, maps = read_facts(store, seconds), maps_of(store, seconds)
    return page_of(facts, maps, markdown=markdown)


def proposed_name(directory: Path) -> str:
    """Return the name of a file for a report: after the run, so that no two have the same."""
    with RunStore(directory) as store:
        run = store.poll().view.run
    name = re.sub(r"[^A-Za-z0-9.-]", "-", run.run_id) if run is not None else "run"
    return f"report-{name}.html"


def page_of(facts: RunFacts, maps: Maps | None, *, markdown: bool = False) -> str:
    """Return the page of these facts."""
    timeline = facts.timeline
    values: dict[str, object] = {
        "facts": facts,
        "view": facts.view,
        "counts": facts.view.counts,
        "maps": maps,
        "timeline": timeline,
        "steps": _steps(facts),
        "look": _STATES.get(facts.state, "bad"),
        "version": __version__,
        "now": _moment(time.time()),
        "began": _moment(facts.view.run.t0) if facts.view.run else "",
        "percent": figures.percent(facts.view.settled, facts.view.counts["total"]),
        "stall": _stall(timeline),
        "smooth": report_plots.is_smoothed(timeline),
    }
    if markdown:
        values |= {"spark": _spark(timeline), "bars": _bars(facts.durations)}
        return _environment(markdown=True).get_template("page.md.jinja").render(values)
    values |= {
        "throughput": report_plots.throughput(timeline) if timeline.done else "",
        "workers": report_plots.lanes(timeline, timeline.workers) if timeline.workers else "",
        "events": report_plots.lanes(timeline, timeline.events) if timeline.events else "",
        "histogram": report_plots.histogram_of(facts.durations) if facts.durations else "",
    }
    return _environment(markdown=False).get_template("page.html.jinja").render(values)


def _environment(*, markdown: bool) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("geobatch_tui.tui.report", "templates"),
        autoescape=not markdown,  # noqa: S701 - Markdown has an escape of its own, below
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_marked if markdown else None,
    )
    environment.filters |= {
        "count": figures.count,
        "plural": figures.plural,
        "took": lambda seconds: figures.duration(seconds, fine=True),
        "time": lambda t: time.strftime("%H:%M:%S", time.localtime(t)),
        "plain": _Plain,
        "code": _code,
    }
    return environment


class _Plain(str):
    """A text of Markdown that is not to be escaped: a block of glyphs."""

    __slots__ = ()


def _code(text: str) -> _Plain:
    """Return a text as code of Markdown, between more backticks than there are in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return _Plain(f"{fence} {text} {fence}" if longest else f"`{text}`")


def _marked(value: object) -> object:
    """Return a value that Markdown shows as it is: its signs are escaped, and those of HTML."""
    if isinstance(value, _Plain) or not isinstance(value, str):
        return value
    text = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(r"\\\1", text)


def _moment(t: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(t))


def _steps(facts: RunFacts) -> list[Step]:
    """Return what can be done now."""
    view, place = facts.view, facts.view.run
    if place is None or view.live:
        return [Step("follow it", command_line("geobatch watch", facts.directory))]
    found = []
    left = view.counts["total"] - view.settled
    if left or facts.state in {"crashed", "planning"}:
        said = f"go on: {figures.plural(left, 'chunk')} left"
        found.append(Step(said, command_line("geobatch run", facts.directory)))
    if view.dead_letters:
        letters = figures.plural(view.dead_letters, "dead letter")
        found += [
            Step(f"look at {letters}", command_line("geobatch dead-letters", facts.directory)),
            Step("try again", command_line("geobatch retry", facts.directory)),
        ]
    if not found:
        found.append(Step("check the outputs", command_line("geobatch verify", facts.directory)))
    return found


def _stall(timeline: Timeline) -> str:
    """Return the longest time without a chunk, if it is long for this run."""
    stall = timeline.stall
    if stall is None or stall.seconds < max(10.0, timeline.period.seconds / 50):
        return ""
    begin = time.strftime("%H:%M:%S", time.localtime(timeline.period.t0 + stall.begin))
    return f"no chunk was done for {figures.duration(stall.seconds)} from {begin} on"


def _spark(timeline: Timeline) -> str:
    """Return the throughput as a line of blocks."""
    done = timeline.done
    if not done:
        return ""
    wide = -(-len(done) // _COLUMNS)
    sums = [sum(done[start : start + wide]) for start in range(0, len(done), wide)]
    return _line(sums)


def _bars(durations: Durations | None) -> str:
    return _line([count for count, _, _ in durations.bars]) if durations else ""


def _line(values: Sequence[int]) -> str:
    most = max(values) or 1
    return "".join(_BLOCKS[-(-value * 7 // most)] if value else " " for value in values)
