"""The last lines of the run's log."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from textual.content import Content

from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.kit.glyphs import LEVELS
from geobatch_tui.tui.parts.console_messages import ShowNamed
from geobatch_tui.tui.parts.line_widget import Lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events

    from geobatch_tui.tui.log.entry import LogLine
    from geobatch_tui.tui.log.tail import LogTail
    from geobatch_tui.tui.run.model import Delta, View

_CALM: Final = frozenset({"debug", "info"})
_PERIOD: Final = 1.0
_WHEEL: Final = 3  #: lines of a step of the wheel


class LogPanel(Lines):
    """The end of the log; older lines scroll out. The wheel goes back to them; a click on a line
    shows what it tells of."""

    BORDER_TITLE = "Log"
    ALLOW_MAXIMIZE: ClassVar[bool | None] = True

    def __init__(self, tail: LogTail, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._tail = tail
        self._shown = -1
        self._next = 0.0
        self._back = 0  # lines that the wheel went back by
        self._placed: list[LogLine] = []

    def take(self, delta: Delta) -> None:
        """Scroll once a second at most: nobody reads faster, and each time costs a repaint. A
        warning or an error is shown at once."""
        if self._tail.version == self._shown and not delta.reshaped:
            return
        new = self._tail.version - self._shown
        urgent = any(line.level not in _CALM for line in list(self._tail.lines)[-new:])
        if delta.reshaped or urgent or delta.view.now >= self._next or not delta.view.live:
            if self._back:  # what is read stays where it is
                self._back += new
            self._shown = self._tail.version
            self._next = delta.view.now + _PERIOD
            super().take(delta)

    def build(self, view: View, width: int, height: int) -> Sequence[Content]:
        del view
        lines = list(self._tail.lines)
        self._back = max(0, min(self._back, len(lines) - height))
        end = len(lines) - self._back
        self._placed = lines[max(0, end - height) : end]
        note = f"{self._back} below" if self._back else ""
        if note != self.border_subtitle:
            self.border_subtitle = note
        if not lines:
            return [Content.assemble(("the log is empty", "$quiet"))]
        return [_line(line, width) for line in self._placed]

    def pick(self, x: int, y: int) -> None:
        del x
        if y < len(self._placed):
            self.post_message(ShowNamed(self._placed[y].place))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._scroll(event, _WHEEL)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._scroll(event, -_WHEEL)

    def _scroll(self, event: events.MouseEvent, lines: int) -> None:
        event.stop()
        self._back = max(0, self._back + lines)
        self.renew()


def _line(line: LogLine, width: int) -> Content:
    level, style = LEVELS.get(line.level, (line.level.upper(), "$quiet"))
    return Content.assemble(
        (f"{line.time} ", "$quiet"),
        (f"{fmt.fit(level, 5)} ", style),
        fmt.fit(line.text, max(0, width - 15)),
    )
