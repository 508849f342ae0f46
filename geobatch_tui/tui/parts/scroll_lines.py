"""A list with a cursor that makes only the lines on the screen, and the heading over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual.binding import Binding
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView

from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.kit.keymap import bind
from geobatch_tui.tui.parts.line_widget import Lines, painted

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from textual import events
    from textual.binding import BindingType
    from textual.strip import Strip

    from geobatch_tui.tui.run.model import View


class ScrollLines(ScrollView, can_focus=True):
    """Rows, a line each, with a cursor; overwrite :meth:`line`.

    Attributes:
        cursor: the number of the line that it is on.
        nothing: what is said where there is no line.
    """

    ALLOW_SELECT: ClassVar[bool] = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "to(0)", show=False),
        Binding("end,G", "to_end", show=False),
        bind("open", "open", show=False),
    ]
    DEFAULT_CSS = """
    ScrollLines {
        border: round $border-blurred;
        border-title-color: $foreground;
        border-title-style: bold;
        border-subtitle-color: $quiet;
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
    }
    ScrollLines:focus { border: round $border; }
    """

    cursor: reactive[int] = reactive(0, init=False, repaint=False)
    nothing: reactive[str] = reactive("", init=False)

    class Moved(Message):
        """A message that the cursor is on another line."""

    class Opened(Message):
        """A request to open the line under the cursor."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._rows: Sequence[object] = ()
        self._strips: dict[int, Strip] = {}
        self._width = 0  # for which they were made

    def count(self) -> int:
        return len(self._rows)

    def line(self, number: int, width: int, *, at_cursor: bool) -> Content:
        """Return line ``number`` in ``width`` cells."""
        raise NotImplementedError

    def renew(self) -> None:
        """Paint the screen, as the lines have changed."""
        self._strips.clear()
        self.virtual_size = Size(self.size.width, self.count())
        self.set_reactive(ScrollLines.cursor, min(self.cursor, max(self.count() - 1, 0)))
        self.refresh()

    def validate_cursor(self, cursor: int) -> int:
        return max(0, min(cursor, self.count() - 1))

    def watch_cursor(self, before: int, now: int) -> None:
        """Paint both lines, and keep the cursor on the screen."""
        for number in (before, now):
            self._strips.pop(number, None)
            self.refresh_lines(number)
        self.keep_in_view(now)
        self.post_message(self.Moved())

    def refresh_lines(self, y_start: int, line_count: int = 1) -> None:
        """Paint lines by their numbers, if they are on the screen."""
        top = y_start - round(self.scroll_y)
        if -line_count < top < self.size.height:
            self.refresh(Region(0, max(top, 0), self.size.width, line_count))

    def keep_in_view(self, number: int) -> None:
        """Scroll as little as needed to show a line."""
        top, height = round(self.scroll_y), self.scrollable_content_region.height
        least = self.top_for(number, height) if height else 0
        if number < top or top < least:
            self.scroll_to(
                y=min(number, max(top, least)), animate=False, immediate=True, force=True
            )

    def top_for(self, number: int, height: int) -> int:
        """Return the first line of the screen with which line ``number`` still fits on it."""
        return number - height + 1

    def action_to(self, number: int) -> None:
        self.cursor = number

    def action_to_end(self) -> None:
        self.action_to(self.count() - 1)

    def action_move(self, step: int) -> None:
        self.action_to(self.cursor + step)

    def action_page(self, pages: int) -> None:
        self.action_move(pages * max(1, self.scrollable_content_region.height - 1))

    def action_open(self) -> None:
        if self.count():
            self.post_message(self.Opened())

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the line; open it at a second click."""
        number = event.get_content_offset(self)
        if number is None:
            return
        target = round(self.scroll_y) + number.y
        if target >= self.count():
            return
        if target == self.cursor and event.chain > 1:
            self.action_open()
        self.cursor = target
        if event.chain == 1:
            self.pick(number.x)

    def pick(self, x: int) -> None:
        """Do what a click on cell ``x`` of the cursor's line asks for; nothing, unless
        overwritten."""

    def on_resize(self) -> None:
        self.renew()
        self.keep_in_view(self.cursor)

    def on_focus(self) -> None:
        self.repaint_cursor()

    def on_blur(self) -> None:
        self.repaint_cursor()

    def repaint_cursor(self) -> None:
        self._strips.pop(self.cursor, None)
        self.refresh_lines(self.cursor)

    def cursor_style(self) -> str:
        if not self.has_focus:
            return "bold"
        if self.app.ansi_color:
            return "reverse"
        return "$block-cursor-foreground on $block-cursor-background"

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()

    def render_line(self, y: int) -> Strip:
        number = round(self.scroll_y) + y
        width = self.scrollable_content_region.width
        if number >= self.count() or not width:
            said = self.nothing if not number and not self.count() else ""
            return painted(self, Content.styled(said, "$quiet"), self.size.width)
        if width != self._width:  # a scrollbar came, or went
            self._strips.clear()
            self._width = width
        strip = self._strips.get(number)
        if strip is None:
            if len(self._strips) > 512:
                self._strips.clear()
            at_cursor = number == self.cursor
            content = self.line(number, width, at_cursor=at_cursor)
            if at_cursor:
                content = content.pad_right(max(0, width - content.cell_length))
                content = content.stylize(self.cursor_style())
            strip = self._strips[number] = painted(self, content, width)
        return strip


class ColumnName(NamedTuple):
    """What stands over a column of ``width`` cells. ``sort``: what a click sorts by, if not ""."""

    text: str
    width: int
    sort: str = ""
    right: bool = False


class ListHeading(Lines):
    """The names of a list's columns; a click on one sorts by it.

    Attributes:
        sort: what is sorted by.
        backwards: whether the order is the other way round.
    """

    DEFAULT_CSS = "ListHeading { height: 1; padding: 0 1; color: $quiet; }"

    sort = ""
    backwards = False

    class Clicked(Message):
        """A request to sort by a column, or the other way round by the same one."""

        def __init__(self, sort: str) -> None:
            self.sort = sort
            super().__init__()

    def __init__(
        self, columns: Callable[[int], Sequence[ColumnName]], ascending: Container[str]
    ) -> None:
        """``columns``: those that there is room for in so many cells. ``ascending``: what is sorted
        from the least on, unless backwards."""
        super().__init__()
        self._columns = columns
        self._ascending = ascending

    def build(self, view: View, width: int, height: int) -> Sequence[Content]:
        del view, height
        pieces: list[tuple[str, str]] = []
        for column in self._columns(width):
            chosen = column.sort != "" and column.sort == self.sort
            up = (column.sort in self._ascending) is not self.backwards
            text = f"{column.text}{'▲' if up else '▼'}" if chosen else column.text
            cell = fmt.right(text, column.width) if column.right else fmt.fit(text, column.width)
            pieces += [(cell, "bold $accent" if chosen else "$quiet"), (" ", "")]
        return [Content.assemble(*pieces).truncate(width)]

    def pick(self, x: int, y: int) -> None:
        del y
        start = 0
        for column in self._columns(self.size.width):
            if column.sort and start <= x <= start + column.width:
                self.post_message(self.Clicked(column.sort))
            start += column.width + 1
