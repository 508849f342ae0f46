"""A widget of lines that paints only those that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from textual.content import Content
from textual.geometry import Region
from textual.strip import Strip
from textual.visual import Visual
from textual.widget import Widget

from geobatch_tui.tui.run.model import Delta, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.style import Style
    from textual import events

EMPTY = Content("")

_GAP = 32  #: cells


class Follower(Widget):
    """A widget that shows a run; a page hands it the delta of each poll."""

    def take(self, delta: Delta) -> None:
        """Show the delta of a poll; if it is ``reshaped``, everything may have changed."""
        raise NotImplementedError


class Lines(Follower):
    """A block of lines, made anew from the run at each poll; overwrite :meth:`build`.

    Attributes:
        view: what is shown.
    """

    ALLOW_SELECT: ClassVar[bool] = False

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.view = View()
        self._lines: list[Content] = []
        self._strips: dict[int, Strip] = {}

    def build(self, view: View, width: int, height: int) -> Sequence[Content]:
        """Return the lines for this view, at most ``height`` of ``width`` cells each."""
        raise NotImplementedError

    def take(self, delta: Delta) -> None:
        before, self.view = self.view, delta.view
        if delta.fresh or delta.reshaped or not _looks_alike(before, delta.view):
            self.renew()

    def renew(self) -> None:
        """Build the lines, and repaint those that differ."""
        width, height = self.size
        if not width or not height:
            return
        lines = list(self.build(self.view, width, height))[:height]
        lines += [EMPTY] * (height - len(lines))
        before, self._lines = self._lines, lines
        if len(before) != len(lines):
            self._strips.clear()
            self.refresh()
            return
        dirty = []
        for y, line in enumerate(lines):
            if line.is_same(before[y]):
                continue
            old = self._strips.pop(y, None)
            spans = [(0, width)] if old is None else differ(old, self.render_line(y))
            dirty += [Region(start, y, end - start, 1) for start, end in spans]
        if dirty:
            self.refresh(*dirty)

    def pick(self, x: int, y: int) -> None:
        """Do what a click on cell ``x`` of line ``y`` asks for; nothing, unless overwritten."""

    def on_click(self, event: events.Click) -> None:
        """Pick the cell that was clicked, unless that is one of the border's."""
        offset = event.get_content_offset(self)
        if offset is not None:
            self.pick(offset.x, offset.y)

    def on_resize(self) -> None:
        self._lines = []
        self._strips.clear()
        self.renew()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()

    def render_line(self, y: int) -> Strip:
        strip = self._strips.get(y)
        if strip is None:
            content = self._lines[y] if y < len(self._lines) else EMPTY
            strip = self._strips[y] = painted(self, content, self.size.width)
        return strip


def painted(widget: Widget, content: Content, width: int) -> Strip:
    """Return a line of a widget in ``width`` cells; what is too long is cut."""
    style = widget.visual_style
    strips = Visual.to_strips(widget, content, width, 1, style, apply_selection=False, pad=True)
    return strips[0] if strips else Strip.blank(width, style.rich_style)


def _looks_alike(before: View, now: View) -> bool:
    """Whether two views between which nothing was committed look the same: clocks show seconds,
    and a run that is live may have died."""
    return int(before.now) == int(now.now) and before.state == now.state


def differ(old: Strip, new: Strip) -> list[tuple[int, int]]:
    """Return the spans in which two strips of one width differ: first cell and end of each;
    spans with little between them are one, since to move the terminal's cursor costs as much."""
    before, after = _cells(old), _cells(new)
    if len(before) != len(after):
        return [(0, max(len(before), len(after)))]
    spans: list[tuple[int, int]] = []
    for x, cell in enumerate(after):
        if cell == before[x]:
            continue
        start = x
        # Half of a wide character cannot be painted.
        while start and not (after[start][0] and before[start][0]):
            start -= 1
        if spans and start - spans[-1][1] < _GAP:
            spans[-1] = (spans[-1][0], x + 1)
        else:
            spans.append((start, x + 1))
    return spans


def _cells(strip: Strip) -> list[tuple[str, Style | None]]:
    """Return the cells of a strip; the second cell of a wide character is empty."""
    cells: list[tuple[str, Style | None]] = []
    for text, style, _ in strip:
        if text.isascii():
            cells.extend((char, style) for char in text)
            continue
        for char in text:
            size = cell_len(char)
            if size == 0 and cells:
                cells[-1] = (cells[-1][0] + char, style)
            else:
                cells.append((char, style))
                cells.extend([("", style)] * (size - 1))
    return cells
