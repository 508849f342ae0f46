"""The last lines of the run's log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from textual.content import Content

from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.kit.glyphs import LEVELS
from geobatch_tui.tui.parts.line_widget import Lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.tui.log.entry import LogLine
    from geobatch_tui.tui.log.tail import LogTail
    from geobatch_tui.tui.run.model import Delta, View

_CALM: Final = frozenset({"debug", "info"})
_PERIOD: Final = 1.0


class LogPanel(Lines):
    """The end of the log; older lines scroll out."""

    BORDER_TITLE = "Log"

    def __init__(self, tail: LogTail, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._tail = tail
        self._shown = -1
        self._next = 0.0

    def take(self, delta: Delta) -> None:
        """Scroll once a second at most: nobody reads faster, and each time costs a repaint. A
        warning or an error is shown at once."""
        if self._tail.version == self._shown and not delta.reshaped:
            return
        new = self._tail.version - self._shown
        urgent = any(line.level not in _CALM for line in list(self._tail.lines)[-new:])
        if delta.reshaped or urgent or delta.view.now >= self._next or not delta.view.live:
            self._shown = self._tail.version
            self._next = delta.view.now + _PERIOD
            super().take(delta)

    def build(self, view: View, width: int, height: int) -> Sequence[Content]:
        del view
        lines = list(self._tail.lines)[-height:]
        if not lines:
            return [Content.assemble(("the log is empty", "$quiet"))]
        return [_line(line, width) for line in lines]


def _line(line: LogLine, width: int) -> Content:
    level, style = LEVELS.get(line.level, (line.level.upper(), "$quiet"))
    return Content.assemble(
        (f"{line.time} ", "$quiet"),
        (f"{fmt.fit(level, 5)} ", style),
        fmt.fit(line.text, max(0, width - 15)),
    )
