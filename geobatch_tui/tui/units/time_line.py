"""The time line of the workers: what each did, a lane each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from textual.content import Content
from textual.message import Message

from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.parts.line_widget import Lines
from geobatch_tui.tui.units.worker_lanes import Lanes, look_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.tui.run.model import View
    from geobatch_tui.tui.units.worker_lanes import Lane

AXIS: Final = 4  #: cells before a lane, for the number of its worker
_STAGES: Final = (("▒", "$chunk-run"), ("█", "$chunk-done"), ("▓", "$chunk-retry"))


class TimeLine(Lines):
    """The lanes, and below them their time.

    Attributes:
        lanes: None: not read yet.
        chosen: worker, begin and end of the chunk under the cursor.
    """

    BORDER_TITLE = "Workers over time"
    DEFAULT_CSS = """
    TimeLine {
        border: round $border-blurred; border-title-color: $foreground; border-title-style: bold;
        border-subtitle-color: $quiet;
    }
    """

    lanes: Lanes | None = None
    chosen: tuple[int, float, float] | None = None

    class Sized(Message):
        """There is room for another number of steps."""

    def on_resize(self) -> None:
        super().on_resize()
        self.post_message(self.Sized())

    def on_mount(self) -> None:
        self.border_subtitle = "▒ read  █ compute  ▓ write"

    @property
    def steps(self) -> int:
        """The number of steps that there is room for."""
        return max(8, self.size.width - AXIS)

    def build(self, view: View, width: int, height: int) -> Sequence[Content]:
        del view
        lanes = self.lanes
        if lanes is None or not lanes.lanes:
            said = "" if lanes is None else "no chunk has a time yet"
            return [Content.styled(said, "$quiet")]
        room = height - 1
        shown = lanes.lanes
        if len(shown) > room:
            shown = self._nearest(max(1, room - 1))
        lines = [self._lane(lane.worker, lane.steps) for lane in shown]
        if len(shown) < len(lanes.lanes):
            more = len(lanes.lanes) - len(shown)
            lines.append(Content.styled(f"+{more} more workers", "$quiet"))
        start, end = fmt.clock(lanes.start), fmt.clock(lanes.end)
        foot = " " * AXIS + start + end.rjust(max(0, width - AXIS - len(start)))
        return [*lines[: height - 1], Content.styled(foot, "$quiet")]

    def _nearest(self, room: int) -> Sequence[Lane]:
        """Return the newest lanes, with that of the chunk under the cursor."""
        lanes = list(self.lanes.lanes if self.lanes else ())
        chosen = self.chosen[0] if self.chosen else None
        here = [lane for lane in lanes if lane.worker == chosen]
        others = [lane for lane in lanes if lane.worker != chosen][-(room - len(here)) :]
        return sorted([*here, *others], key=lambda lane: lane.worker)

    def _lane(self, worker: int, steps: Sequence[tuple[float, float, float]]) -> Content:
        begin, end = self._marked(worker, len(steps))
        pieces: list[tuple[str, str]] = [(f"{worker:>{AXIS - 1}} ", "$quiet")]
        for index, step in enumerate(steps):
            look = look_of(step)
            glyph, style = (" ", "") if look is None else _STAGES[look[0]]
            if look is not None and look[1] < 0.5:
                glyph = "▖"
            if begin <= index < end:
                style = f"{style or '$foreground'} reverse" if glyph == " " else "bold $accent"
            pieces.append((glyph, style))
        return Content.assemble(*_joined(pieces))

    def _marked(self, worker: int, steps: int) -> tuple[int, int]:
        """Return the first step of the chunk under the cursor in a lane, and the end of them."""
        if self.chosen is None or self.lanes is None or self.chosen[0] != worker:
            return 0, 0
        _, start, end = self.chosen
        if end < self.lanes.start:
            return 0, 0
        return self.lanes.step_of(start, steps), self.lanes.step_of(end, steps) + 1


def _joined(pieces: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Join neighbours of one style."""
    found: list[tuple[str, str]] = []
    for text, style in pieces:
        if found and found[-1][1] == style:
            found[-1] = (found[-1][0] + text, style)
        else:
            found.append((text, style))
    return found
