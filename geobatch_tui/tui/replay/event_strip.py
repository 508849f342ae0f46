"""The strip below a replay: throughput over the whole run, what happened, and where it stands."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from textual.content import Content
from textual.message import Message

from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.parts.line_widget import Lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.tui.report.work_timeline import Lane, Timeline
    from geobatch_tui.tui.run.model import View

_AXIS: Final = 13  #: cells before the strip, for names
_LOOKS: Final = {
    "given up": ("✗", "$chunk-dead"),
    "tried again": ("▚", "$chunk-retry"),
    "worker lost": ("w", "bold $error"),
    "command": ("c", "bold $accent"),
    "held up": ("P", "$warning"),
}
LANES: Final = len(_LOOKS)


class EventStrip(Lines):
    """Bars, a lane for each kind of event, and a mark at the time that is shown.

    Attributes:
        timeline: None: not read yet.
        share: the part of the run that has passed, 0 to 1.
    """

    DEFAULT_CSS = """
    EventStrip {
        border: round $border-blurred; border-title-color: $foreground; border-title-style: bold;
        border-subtitle-color: $quiet;
    }
    """
    BORDER_TITLE = "The run in time"

    timeline: Timeline | None = None
    share = 0.0

    class Pointed(Message):
        """A request to go to a part of the run, 0 to 1."""

        def __init__(self, share: float) -> None:
            self.share = share
            super().__init__()

    def wanted(self) -> int:
        """Return the lines that there are to show, with those of the frame."""
        return 5 + (len(self.timeline.events) if self.timeline else 0)

    def build(self, view: View, width: int, height: int) -> Sequence[Content]:
        del view
        line, columns = self.timeline, width - _AXIS
        if line is None or columns < 8:
            return [Content.styled("the run is being read", "$quiet")]
        bars = _stretched(line.done, columns)
        marked = min(columns - 1, round(self.share * (columns - 1)))
        here = " " * (_AXIS + marked) + "▲"
        start = fmt.clock(line.period.t0)
        end = fmt.clock(line.period.t0 + line.period.seconds)
        lanes = [self._lane(lane, columns) for lane in line.events[: max(0, height - 3)]]
        foot = " " * _AXIS + start + end.rjust(max(0, columns - len(start)))
        passed, coming = fmt.sparkline(bars, columns), ""
        passed, coming = passed[: marked + 1], passed[marked + 1 :]
        return [
            Content.assemble(
                (f"{'done':<{_AXIS}}", "$quiet"), (passed, "$chunk-done"), (coming, "$quiet")
            ),
            *lanes,
            Content.styled(here, "bold $accent"),
            Content.styled(foot, "$quiet"),
        ]

    def _lane(self, lane: Lane, columns: int) -> Content:
        glyph, style = _LOOKS.get(lane.name, ("•", ""))
        cells = [" "] * columns
        seconds = self.timeline.period.seconds if self.timeline else 1.0
        for span in lane.spans:
            first = int(span.begin / seconds * columns)
            last = max(first + 1, round(span.end / seconds * columns))
            for index in range(first, min(last, columns)):
                cells[index] = glyph
        return Content.assemble((f"{lane.name:<{_AXIS}}", "$quiet"), ("".join(cells), style))

    def pick(self, x: int, y: int) -> None:
        del y
        columns = self.size.width - _AXIS
        if columns > 1 and x >= _AXIS:
            self.post_message(self.Pointed((x - _AXIS) / (columns - 1)))


def _stretched(values: Sequence[int], columns: int) -> list[float]:
    """Return values over ``columns`` cells: several a cell are summed, one of several cells is
    shared."""
    if not values:
        return [0.0] * columns
    edges = [index * len(values) / columns for index in range(columns + 1)]
    return [
        sum(values[int(start) : max(int(start) + 1, int(end))]) for start, end in pairwise(edges)
    ]
