"""Throughput over time, in the unit that the operator chose."""

from __future__ import annotations

from itertools import dropwhile, pairwise
from typing import TYPE_CHECKING, Final

from textual.content import Content

from geobatch_tui.observability import figures
from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.parts.line_widget import Lines
from geobatch_tui.tui.run.progress_rates import UNITS, name_of, rate_of, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.tui.run.model import Sample, View
    from geobatch_tui.tui.run.progress_rates import Unit

_AXIS: Final = 6
_GAP: Final = 60  #: seconds; a longer gap is a machine that slept


class Throughput(Lines):
    """A filled plot with its axis. ``unit`` is an index into ``progress_rates.UNITS``."""

    BORDER_TITLE = "Throughput"

    unit = 0

    def build(self, view: View, width: int, height: int) -> Sequence[Content]:
        unit = UNITS[self.unit % len(UNITS)]
        title = f"Throughput  {name_of(unit, view.unit_name)}"
        if title != self.border_title:  # to set it repaints everything
            self.border_title = title
        # While a run is planned, nothing moves.
        history = list(dropwhile(lambda sample: sample.chunks_per_s <= 0, view.history))
        rows, columns = height - 1, width - _AXIS
        if not history or rows < 2 or columns < 8:
            return [Content.assemble((_mean(view, unit) or "no rates yet", "$quiet"))]
        values = [rate_of(unit, sample) for sample in each_second(history)]
        means = fmt.columns(values, columns) if len(values) >= columns else values
        top = _round_up(max(means))
        lines = [
            Content.assemble(
                (f"{_label(row, rows, top):>5}┤", "$quiet"),
                ("".join(_cell(value / top, row, rows) for value in means), "$chunk-run"),
            )
            for row in range(rows)
        ]
        said = _mean(view, unit)
        if view.live and not view.suspended:
            said = f"now {text_of(unit, values[-1], view.unit_name)}   {said}"
        return [*lines, _foot(history[0].t, history[-1].t, len(means), said, width)]


def _mean(view: View, unit: Unit) -> str:
    """Return the rate of the whole run. The mean of the plotted rates is another figure: each is of
    the minute before, and a run of a second has none."""
    overall = view.overall
    return f"mean {text_of(unit, rate_of(unit, overall), view.unit_name)}" if overall else ""


def each_second(history: Sequence[Sample]) -> list[Sample]:
    """Return a sample for every second, so that time has a scale: a run that stands still notes its
    rates less often."""
    even: list[Sample] = []
    for sample, after in pairwise(history):
        even += [sample] * max(1, min(round(after.t - sample.t), _GAP))
    return [*even, *history[-1:]]


def _round_up(value: float) -> float:
    """Round up to a plain multiple of a power of ten, so that the axis keeps still."""
    if value <= 0:
        return 1.0
    step = 10.0 ** (len(str(int(value))) - 1) if value >= 1 else 0.1
    return next(step * factor for factor in (1, 2, 3, 4, 5, 6, 8, 10) if step * factor >= value)


def _label(row: int, rows: int, top: float) -> str:
    if row == 0:
        return figures.amount(top)
    if rows >= 5 and row == rows // 2:
        return figures.amount(top / 2)
    return ""


def _cell(share: float, row: int, rows: int) -> str:
    """Return the block of a bar of height ``share`` (0 to 1) in one row from the top."""
    eighths = round(8 * rows * share) - 8 * (rows - 1 - row)
    if row == rows - 1 and share > 0:
        eighths = max(1, eighths)
    return fmt.BLOCKS[max(0, min(8, eighths))]


def _foot(first: float, last: float, columns: int, said: str, width: int) -> Content:
    start, end = fmt.clock(first), fmt.clock(last)
    text = " " * _AXIS + start
    if columns >= len(start) + len(end) + 3:
        text += " " * (columns - len(start) - len(end)) + end
    line = fmt.fit(text, width)
    if len(text.rstrip()) + len(said) + 2 <= width:
        line = fmt.fit(text, width - len(said)) + said
    elif len(said) + _AXIS <= width:
        line = fmt.fit(" " * _AXIS + said, width)
    return Content.assemble((line, "$quiet"))
