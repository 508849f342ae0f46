"""Throughput over time, in the unit that the operator chose."""

from __future__ import annotations

from bisect import bisect_right
from itertools import dropwhile, groupby, pairwise
from typing import TYPE_CHECKING, ClassVar, Final

from textual.content import Content

from geobatch_tui.observability import figures
from geobatch_tui.observability.second_bars import Bar, Doing
from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.parts.line_widget import Lines
from geobatch_tui.tui.run.progress_rates import UNITS, name_of, rate_of, second_bars, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.tui.run.model import Sample, View
    from geobatch_tui.tui.run.progress_rates import Unit

_AXIS: Final = 6
_GAP: Final = 60  #: seconds; a longer gap is a machine that slept
_SECONDS: Final = 4  #: of one column, at most: a short stall is to be seen
_WIDEST: Final = 8  #: cells of a bar, while there are few
_TOLD: Final = 5  #: seconds of a stall or a pause from which on it is told how long it was
_EVENTS_FROM: Final = 6  #: lines from which on there is one for events
_MARKS: Final = {"retry": ("▚", "$chunk-retry"), "dead": ("✗", "$chunk-dead")}


class Throughput(Lines):
    """Bars of what was finished, with gaps where nothing was, and what happened meanwhile below.
    ``unit`` is an index into ``progress_rates.UNITS``."""

    BORDER_TITLE = "Throughput"
    ALLOW_MAXIMIZE: ClassVar[bool | None] = True

    unit = 0

    def build(self, view: View, width: int, height: int) -> Sequence[Content]:
        unit = UNITS[self.unit % len(UNITS)]
        title = f"Throughput  {name_of(unit, view.unit_name)}"
        if title != self.border_title:  # to set it repaints everything
            self.border_title = title
        columns = width - _AXIS
        events = height >= _EVENTS_FROM
        rows = height - 1 - events
        shown = _bars(view, unit, max(0, columns) * _SECONDS)
        if not shown or rows < 2 or columns < 8:
            return [Content.assemble((_mean(view, unit) or "no rates yet", "$quiet"))]
        steps = _steps(shown, columns)
        wide = min(_WIDEST, columns // len(steps))
        values = [_value(step) for step in steps for _ in range(wide)]
        top = _round_up(max(values))
        lines = [
            Content.assemble(
                (f"{_label(row, rows, top):>5}┤", "$quiet"),
                ("".join(_cell(value / top, row, rows) for value in values), "$chunk-run"),
            )
            for row in range(rows)
        ]
        if events:
            lines.append(_events(view, steps, wide))
        said = _mean(view, unit)
        if view.live and not view.suspended:
            rate = text_of(unit, rate_of(unit, view.history[-1]), view.unit_name)
            said = f"now {rate}   {said}"
        return [*lines, _foot(shown[0].t, shown[-1].t, len(values), said, width)]


def _bars(view: View, unit: Unit, last: int) -> list[Bar]:
    """Return a bar for each of the last seconds; of a run whose notes have no totals, as those of
    older engines, the smoothed rates."""
    # While a run is planned, nothing moves.
    found = list(dropwhile(lambda bar: bar.value <= 0, second_bars(view.history, unit, last)))
    if found:
        return found
    smooth = dropwhile(lambda sample: sample.chunks_per_s <= 0, view.history)
    return [
        Bar(sample.t, rate_of(unit, sample), Doing.WORK)
        for sample in each_second(list(smooth))[-last:]
    ]


def _steps(shown: Sequence[Bar], columns: int) -> list[Sequence[Bar]]:
    """Divide bars among columns; fewer bars than columns have one each."""
    if len(shown) <= columns:
        return [[bar] for bar in shown]
    edges = [len(shown) * index // columns for index in range(columns + 1)]
    return [shown[start:end] for start, end in pairwise(edges)]


def _value(step: Sequence[Bar]) -> float:
    return sum(bar.value for bar in step) / len(step)


def _events(view: View, steps: Sequence[Sequence[Bar]], wide: int) -> Content:
    """Return the line of events: pauses and stalls, how long they were, and what was given up or is
    tried again."""
    cells = [(" ", "")] * (len(steps) * wide)
    doing = [step[0].doing for step in steps]
    index = 0
    for what, group in groupby(doing):
        count = len(list(group))
        if what in _GAPS:
            seconds = sum(map(len, steps[index : index + count]))
            _tell(cells, index * wide, count * wide, what, seconds)
        index += count
    first = steps[0][0].t
    ends = [step[-1].t + 1 for step in steps]
    for mark in view.marks:
        if mark.t >= first and (at := bisect_right(ends, mark.t)) < len(steps):
            cells[at * wide] = _MARKS[mark.kind]
    return Content.assemble(" " * _AXIS, *cells)


_GAPS: Final = {Doing.STILL: ("·", "$warning"), Doing.HELD: ("P", "$quiet")}


def _tell(cells: list[tuple[str, str]], start: int, count: int, doing: Doing, seconds: int) -> None:
    """Fill the cells of a gap, and say how long it was, where there is room."""
    glyph, style = _GAPS[doing]
    word = {Doing.STILL: "no chunk", Doing.HELD: "held"}[doing]
    text = glyph * count
    said = f" {word} {seconds} s "
    if seconds >= _TOLD and len(said) + 2 <= count:
        text = text[: (count - len(said)) // 2] + said
        text += glyph * (count - len(text))
    cells[start : start + count] = [(cell, style) for cell in text]


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
    """Return the line below the bars: when they begin and end, and ``said``. Where there is no room
    for all of it the end goes first, then the begin."""
    start, end = fmt.clock(first), fmt.clock(last)
    begun = whole = " " * _AXIS + start
    if columns >= len(start) + len(end) + 3:
        whole += " " * (columns - len(start) - len(end)) + end
    room = width - len(said)
    for text in (whole, begun, " " * _AXIS):
        if len(text) + 2 * bool(said) <= room:
            return Content.assemble((fmt.fit(text, room) + said, "$quiet"))
    return Content.assemble((fmt.fit(whole, width), "$quiet"))
