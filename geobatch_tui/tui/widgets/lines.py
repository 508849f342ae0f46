"""Lines of text of which only those that changed are painted and sent to the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.content import Content
from textual.geometry import Region
from textual.strip import Strip
from textual.visual import Visual
from textual.widget import Widget

from geobatch_tui.tui.model import Delta, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events

EMPTY = Content("")


class Follower(Widget):
    """A widget that shows a run. A page hands it what each poll found."""

    def take(self, delta: Delta) -> None:
        """Show what a poll found; after ``delta.reshaped`` everything may have changed."""
        raise NotImplementedError


class Lines(Follower):
    """A block of lines, made anew from the run at each poll; overwrite :meth:`build`.

    Attributes:
        view: what is shown.
    """

    ALLOW_SELECT: ClassVar[bool] = False
    can_focus = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self.view = View()
        self._lines: list[Content] = []
        self._strips: dict[int, Strip] = {}

    def build(self, view: View, width: int, height: int) -> Sequence[Content]:
        """The lines for this view, at most ``height`` of ``width`` cells each."""
        raise NotImplementedError

    def take(self, delta: Delta) -> None:
        self.view = delta.view
        self.renew()

    def renew(self) -> None:
        """Make the lines anew, and repaint those that differ."""
        width, height = self.size
        if not width or not height:
            return
        lines = list(self.build(self.view, width, height))[:height]
        lines += [EMPTY] * (height - len(lines))
        before = self._lines
        self._lines = lines
        if len(before) != len(lines):
            self._strips.clear()
            self.refresh()
            return
        dirty = [y for y, line in enumerate(lines) if not line.is_same(before[y])]
        for y in dirty:
            self._strips.pop(y, None)
        if dirty:
            self.refresh(*(Region(0, y, width, 1) for y in dirty))

    def on_resize(self, event: events.Resize) -> None:
        """The lines depend on the size."""
        del event
        self._lines = []
        self._strips.clear()
        self.renew()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()

    def render_line(self, y: int) -> Strip:
        strip = self._strips.get(y)
        if strip is None:
            width = self.size.width
            content = self._lines[y] if y < len(self._lines) else EMPTY
            painted = Visual.to_strips(
                self, content, width, 1, self.visual_style, apply_selection=False, pad=True
            )
            blank = Strip.blank(width, self.visual_style.rich_style)
            strip = painted[0] if painted else blank
            self._strips[y] = strip
        return strip
