"""A line of what the run takes, and what is left: memory, disk, CPU, load, files, bytes."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from textual.content import Content

from geobatch_tui.observability import figures
from geobatch_tui.tui.parts.line_widget import Lines
from geobatch_tui.tui.run.host_resources import ResourceMeter, Resources, bytes_to_come

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from geobatch_tui.tui.run.model import Delta, View

Piece = tuple[str, str]
_QUIET: Final = "$quiet"
_BAR: Final = 16
_HIGH: Final = 0.9  #: of the memory; above it is marked
_GAP: Final = "   "


class ResourceLine(Lines):
    """The line. What there is no room for is left out, the least telling first.

    Args:
        directory: where the outputs go.
    """

    DEFAULT_CSS = "ResourceLine { height: 1; background: $panel; }"

    def __init__(self, directory: Path, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._directory = directory
        self._meter = ResourceMeter()

    def take(self, delta: Delta) -> None:
        view = delta.view
        if view.host in {"", os.uname().nodename}:
            pids = {worker.pid for worker in view.workers if worker.pid}
            if view.live and view.pid:
                pids.add(view.pid)
            self._meter.measure(self._directory, pids, time.monotonic())
        super().take(delta)

    def build(self, view: View, width: int, height: int) -> Sequence[Content]:
        del height
        groups = pieces_of(view, self._meter.latest, wide=width >= 100)
        shown: list[list[Piece]] = []
        for group in groups:
            if not shown or _width([*shown, group]) <= width - 2:
                shown.append(group)
        line: list[Piece] = [(" ", "")]
        for index, group in enumerate(shown):
            line += [*([(_GAP, "")] if index else []), *group]
        return [Content.assemble(*line)]


def _width(groups: Sequence[Sequence[Piece]]) -> int:
    cells = sum(cell_len(text) for group in groups for text, _ in group)
    return cells + len(_GAP) * (len(groups) - 1)


def pieces_of(view: View, here: Resources | None, *, wide: bool) -> list[list[Piece]]:
    """Return groups of pieces, those that tell most first."""
    groups = [_memory(view, wide=wide), _disk(view, here, wide=wide), _bytes(view), _machine(here)]
    if here is not None and here.files:
        groups.append([("files ", _QUIET), (figures.count(here.files), "")])
    return [group for group in groups if group] or [[("no figures of the machine", _QUIET)]]


def _memory(view: View, *, wide: bool) -> list[Piece]:
    used, budget = view.rss_bytes, view.budget_bytes
    if not view.live or not used:
        return []
    group: list[Piece] = [("mem ", _QUIET)]
    if not budget:
        return [*group, (figures.size(used, 7), "")]
    share = min(1.0, used / budget)
    style = "bold $warning" if share > _HIGH else ""
    of = " of " if wide else "/"
    group.append((f"{figures.size(used, 7)}{of}{figures.size(budget, 7)}", style))
    if wide:
        filled = round(_BAR * share)
        group += [(f" {'█' * filled}", style or "$chunk-run"), ("░" * (_BAR - filled), _QUIET)]
    return group


def _disk(view: View, here: Resources | None, *, wide: bool) -> list[Piece]:
    if here is None or here.disk_free is None:
        return []
    to_come = bytes_to_come(view) if view.live else None
    short = to_come is not None and here.disk_free < to_come
    group = [("disk ", _QUIET), (f"{figures.size(here.disk_free, 7)}{' free' if wide else ''}", "")]
    if to_come:
        said = f", {'NEEDS' if short else 'needs'} ~{figures.size(to_come, 7)}"
        group.append((said, "bold $error" if short else _QUIET))
    return group


def _bytes(view: View) -> list[Piece]:
    sample = view.latest if view.live else view.overall
    if sample is None:
        return []
    read, written = figures.size(sample.bytes_in_per_s, 7), figures.size(sample.bytes_out_per_s, 7)
    return [("in ", _QUIET), (f"{read}/s", ""), (" out ", _QUIET), (f"{written}/s", "")]


def _machine(here: Resources | None) -> list[Piece]:
    if here is None:
        return []
    cpu = "-" if here.cpu is None else f"{100 * here.cpu:.0f}%"
    return [
        ("cpu ", _QUIET),
        (f"{cpu} of {here.cores}", ""),
        ("  load ", _QUIET),
        (f"{here.load:.1f}", "bold $warning" if here.busy else ""),
    ]
