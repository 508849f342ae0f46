"""The workers: the chunk of each, its time, memory and CPU; on a cluster, by node."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from textual.content import Content

from geobatch_tui.observability import figures
from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.parts.console_messages import ShowNamed
from geobatch_tui.tui.parts.line_widget import Lines
from geobatch_tui.tui.parts.node_lines import WIDE, node_lines
from geobatch_tui.tui.run.procs import KEPT, CpuMeter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.tui.run.model import Delta, View, WorkerRow

_SLOW: Final = 60.0  #: seconds at one chunk from which on it is marked, while nobody knows better


class Workers(Lines):
    """The workers, a line each; those that do not fit are counted on the last line. A click on one
    shows the chunk that it is at."""

    BORDER_TITLE = "Workers"
    ALLOW_MAXIMIZE: ClassVar[bool | None] = True

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._meter = CpuMeter()

    def take(self, delta: Delta) -> None:
        if delta.view.host == os.uname().nodename:
            pids = [worker.pid for worker in delta.view.workers if worker.pid]
            self._meter.measure(pids, time.monotonic())
        super().take(delta)

    def build(self, view: View, width: int, height: int) -> Sequence[Content]:
        wide = width >= WIDE
        title = "Nodes" if view.nodes else "Workers"
        if title != self.border_title:  # to set it repaints everything
            self.border_title = title
        if view.nodes:
            return node_lines(view, width, height, partial(self._row, width=width, wide=wide))
        if not view.workers:
            return [Content.assemble((_empty(view), "$quiet"))]
        lines = [self._head(width)] if wide else []
        room = height - len(lines)
        rows = view.workers
        shown = rows if len(rows) <= room else rows[: max(0, room - 1)]
        lines += [self._row(worker, width, wide=wide) for worker in shown]
        if len(shown) < len(rows):
            busy = sum(1 for worker in rows[len(shown) :] if worker.label)
            more = len(rows) - len(shown)
            lines.append(Content.assemble((f"+{more} more, {busy} of them at work", "$quiet")))
        return lines

    def pick(self, x: int, y: int) -> None:
        del x
        number = y - int(self.size.width >= WIDE)
        if not self.view.nodes and 0 <= number < len(self.view.workers):
            self.post_message(ShowNamed(self.view.workers[number].label))

    def _head(self, width: int) -> Content:
        chunk = fmt.fit("chunk", _label_width(width))
        pid = f"{'pid':>7} " if width >= _PID_FROM else ""
        spark = "last 60 s" if width >= _SPARK_FROM else ""
        text = (
            f" id {pid}{'stage':<8} {chunk} {'time':>5}  {'rss':>7} {'cpu':>5}"
            f" {'done':>6} {'fail':>4} {spark}"
        )
        return Content.assemble((fmt.fit(text, width), "$quiet"))

    def _row(self, worker: WorkerRow, width: int, *, wide: bool) -> Content:
        at_work = bool(worker.label)
        slow = worker.seconds >= (self.view.stall_s or _SLOW)
        seconds = figures.duration(worker.seconds, 5) if at_work else "-"
        late = "!" if slow else " "
        rss = figures.size(worker.rss_bytes, 7) if worker.rss_bytes else "-"
        if not wide:
            return _short_row(worker, width, seconds, rss.replace(" ", ""), slow=slow)
        share = self._meter.share(worker.pid)
        cpu = "-" if share is None else f"{100 * share:.0f}%"
        parts: list[str | tuple[str, str]] = [
            (f"{worker.number:>3} ", "$quiet"),
            (f"{worker.pid or '-':>7} " if width >= _PID_FROM else "", "$quiet"),
            (f"{worker.kind if at_work else 'idle':<8.8} ", "" if at_work else "$quiet"),
            fmt.fit_middle(worker.label or "-", _label_width(width)),
            (f" {seconds:>5}{late}", "bold $warning" if slow else ""),
            f" {rss:>7}",
            (f" {cpu:>5}", "$quiet"),
            f" {_count(worker.done, 6)}",
            (f" {_count(worker.failed, 4)} ", "bold $error" if worker.failed else "$quiet"),
        ]
        if width >= _SPARK_FROM:
            history = list(self._meter.history.get(worker.pid, ()))
            cells = fmt.columns([0.0] * (KEPT - len(history)) + history, _SPARK)
            parts.append((fmt.sparkline(cells, _SPARK, top=1.0), "$chunk-run"))
        return Content.assemble(*parts)


def _short_row(worker: WorkerRow, width: int, seconds: str, rss: str, *, slow: bool) -> Content:
    """Return a row for a narrow panel without a head; the stage is the first to go."""
    at_work = bool(worker.label)
    stage = 6 if width >= 36 else 0
    label = max(6, width - 19 - stage)
    return Content.assemble(
        (f"{worker.number:>2} ", "$quiet"),
        ("▒", "$chunk-run") if at_work else ("·", "$chunk-wait"),
        " ",
        fmt.fit_middle(worker.label or "idle", label),
        (fmt.fit(f" {worker.kind if at_work else ''}", stage), "$quiet"),
        (fmt.right(f"{seconds}{'!' if slow else ' '}", 7), "bold $warning" if slow else ""),
        (fmt.right(rss, 7), "$quiet"),
    )


_SPARK: Final = 12
_SPARK_FROM: Final = 74
_PID_FROM: Final = 88


def _label_width(width: int) -> int:
    """Return the cells that the other columns leave for the name of the chunk."""
    spark = _SPARK if width >= _SPARK_FROM else 0
    pid = 8 if width >= _PID_FROM else 0
    return max(8, width - (4 + pid + 9 + 7 + 8 + 6 + 7 + 6 + spark))


def _count(value: int | None, cells: int) -> str:
    """Return a number of units, right-aligned; a dash where it is not known."""
    if value is None:
        return "-".rjust(cells)
    text = str(value)
    return (text if len(text) <= cells else figures.amount(value)).rjust(cells)


def _empty(view: View) -> str:
    if view.live:
        return "workers are starting" if view.state == "planning" else "no workers"
    return "no workers: the run is over" if view.run is not None else "no workers yet"
