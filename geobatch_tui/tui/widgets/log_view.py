"""The lines of a log of any length: only those on the screen are read and painted."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

from textual.content import Content
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.visual import Visual

from geobatch_tui.observability import figures
from geobatch_tui.observability.text import harmless
from geobatch_tui.tui.kit import glyphs
from geobatch_tui.tui.log.entry import entry_of, said, time_of
from geobatch_tui.tui.log.index import ERROR, LEVELS, LogIndex
from geobatch_tui.tui.log.selection import LogSelection
from geobatch_tui.tui.parts.line_widget import differ
from geobatch_tui.tui.parts.scroll_lines import ScrollLines

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import Json

_KEPT: Final = 512
_LONGEST: Final = 4000  #: characters of a line that are painted


class LogView(ScrollLines):
    """Lines of a selection of the log.

    Attributes:
        selection: which lines.
        following: whether the cursor stays on the last line.
        wrapped: whether long lines are broken rather than cut.
        utc: whether times are UTC rather than local.
    """

    BORDER_TITLE = "Log"
    DEFAULT_CSS = """
    LogView { border: none; }
    LogView:focus { border: none; }
    """

    def __init__(self, index: LogIndex, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.selection = LogSelection(index)
        self.following = True
        self.wrapped = False
        self.utc = False
        self._shown = 0
        self._wanted: int | None = None
        self._entries: dict[int, Json] = {}
        self._broken: dict[int, list[Strip]] = {}
        self._painted: dict[int, Strip] = {}
        self._bar = (0, 0, 0)

    # --- what is shown --------------------------------------------------------------------------

    def choose(self, selection: LogSelection) -> None:
        """Show another selection; the cursor stays on its line, or goes to the next one shown."""
        if self._shown and not self.following:
            self._wanted = self.selection.line(min(self.cursor, self._shown - 1))
        self.selection = selection
        self._shown = 0
        self.forget()
        self.grow()

    def grow(self) -> bool:
        """Show lines that were found since; return whether there are any."""
        before, self._shown = self._shown, self.selection.count
        if self._shown == before:
            return False
        below = round(self.scroll_y) + self.size.height
        self._fit()
        wanted = self._wanted
        if wanted is not None and self.selection.searched > wanted:
            self._wanted = None
            self.cursor = self.selection.position(wanted)
        if self.following:
            self.cursor = self._shown - 1
        if before < below:
            self.refresh()
        return True

    def forget(self) -> None:
        """Paint everything again."""
        self._entries.clear()
        self.renew()

    def _fit(self) -> None:
        # Broken lines may take the whole screen: the last one can come to its top.
        extra = max(0, self.size.height - 1) if self.wrapped else 0
        size = Size(self.size.width, self._shown + extra)
        if self.show_vertical_scrollbar and size.height > self.scrollable_content_region.height:
            # As usual it lays the screen out and paints all lines, for a bar that moved a little.
            self.set_reactive(LogView.virtual_size, size)
            self._move_bar()
        else:
            self.virtual_size = size

    def _move_bar(self) -> None:
        """Tell the bar what is scrolled to, if that moves it by an eighth of a cell: each time it
        is painted as a whole."""
        lines, rows = self.virtual_size.height, max(1, self.scrollable_content_region.height)
        thumb = 8 * max(1, rows * rows // max(1, lines))
        start = int((8 * rows - thumb) * self.scroll_y / max(1, lines - rows))
        if self._bar != (thumb, start, rows):
            self._bar = thumb, start, rows
            self.vertical_scrollbar.position = self.scroll_y
            self.vertical_scrollbar.window_virtual_size = lines

    def count(self) -> int:
        return self._shown

    def entry(self, position: int) -> Json:
        """Return the entry at a position; empty if the file was removed."""
        if position not in self._entries:
            if len(self._entries) > _KEPT:
                self._entries.clear()
            first = max(0, position - 8)
            lines = self.selection.read(first, max(self.size.height, 16) + 8)
            for number, line in enumerate(lines):
                self._entries.setdefault(first + number, entry_of(line))
        return self._entries.get(position, {})

    def raw(self, position: int) -> str:
        """Return the line at a position as it is in the file."""
        lines = self.selection.read(position, 1)
        return lines[0].decode("utf-8", "backslashreplace") if lines else ""

    # --- moving ---------------------------------------------------------------------------------

    def renew(self) -> None:
        super().renew()
        self._broken.clear()
        self._painted.clear()
        self._fit()

    def watch_cursor(self, before: int, now: int) -> None:
        """Paint the lines that the cursor left and came to."""
        for number in (before, now):
            self._broken.pop(number, None)
        super().watch_cursor(before, now)
        if self.wrapped:
            self.refresh()

    def repaint_cursor(self) -> None:
        super().repaint_cursor()
        self._broken.pop(self.cursor, None)
        if self.wrapped:
            self.refresh()

    def action_to(self, number: int) -> None:
        """Go to a line; who goes up wants to read, not to follow."""
        if number <= self.cursor:
            self.following = False
        super().action_to(number)

    def action_to_end(self) -> None:
        """Go to the last line, and follow those that come after it."""
        super().action_to_end()
        self.following = True
        self.post_message(self.Moved())

    def jump(self, rank: int, step: int) -> bool:
        """Go to the next line of a level; return whether there is one."""
        found = self.selection.jump(self.cursor, rank, step)
        if found is None or found >= self._shown:
            return False
        self.following = False
        self.cursor = found
        return True

    def top_for(self, number: int, height: int) -> int:
        if not self.wrapped:
            return super().top_for(number, height)
        top = number
        room = height - len(self._rows_of(number))
        while top > 0 and (rows := len(self._rows_of(top - 1))) <= room:
            room -= rows
            top -= 1
        return top

    # --- painting -------------------------------------------------------------------------------

    def line(self, number: int, width: int, *, at_cursor: bool) -> Content:
        content = self._content(number, at_cursor=at_cursor)
        return content.truncate(width, ellipsis=True)

    def _content(self, number: int, *, at_cursor: bool) -> Content:
        entry = self.entry(number)
        level = str(entry.get("level", ""))
        name, style = glyphs.LEVELS.get(level, (harmless(level).upper()[:5], "$quiet"))
        return Content.assemble(
            ">" if at_cursor else " ",
            (f"{clock(entry, utc=self.utc)} ", "$quiet"),
            (f"{name:<5} ", style),
            said(entry)[:_LONGEST],
        )

    def _rows_of(self, number: int) -> list[Strip]:
        rows = self._broken.get(number)
        if rows is None:
            if len(self._broken) > _KEPT:
                self._broken.clear()
            at_cursor = number == self.cursor
            content = self._content(number, at_cursor=at_cursor)
            if at_cursor:
                content = content.stylize(self.cursor_style())
            width = max(1, self.scrollable_content_region.width)
            rows = Visual.to_strips(
                self, content, width, None, self.visual_style, apply_selection=False, pad=True
            )
            self._broken[number] = rows
        return rows

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Paint only what differs on the lines: those of a log are much alike."""
        self._move_bar()
        if round(old_value) == round(new_value):
            return
        if self.wrapped or len(self._painted) != self.size.height:
            self.refresh()
            return
        dirty = []
        for y, before in list(self._painted.items()):
            spans = differ(before, self.render_line(y))
            # Textual sends a line from the first region on it to the end of the last one.
            dirty += [Region(spans[0][0], y, spans[-1][1] - spans[0][0], 1)] if spans else []
        if dirty:
            self.refresh(*dirty)

    def render_line(self, y: int) -> Strip:
        if not self.wrapped:
            strip = self._painted[y] = super().render_line(y)
            return strip
        number = round(self.scroll_y)
        while number < self._shown:
            rows = self._rows_of(number)
            if y < len(rows):
                return rows[y]
            y -= len(rows)
            number += 1
        return Strip.blank(self.size.width, self.visual_style.rich_style)


def clock(entry: Json, *, utc: bool) -> str:
    """Return an entry's time with milliseconds; blanks where it has none."""
    t = time_of(entry)
    if t is None:
        return " " * 12
    parts = time.gmtime(t) if utc else time.localtime(t)
    return f"{time.strftime('%H:%M:%S', parts)}.{int(t * 1000) % 1000:03d}"


def unfolded(entry: Json) -> Content:
    """Return an entry with all its fields, a line each, long texts whole."""
    lines = [
        Content.assemble((f"{harmless(str(name)):<14}", "$quiet"), *_field(value))
        for name, value in entry.items()
        if name != "batch_id"
    ]
    return Content("\n").join(lines)


def _field(value: object) -> list[str]:
    if not isinstance(value, str):
        return [harmless(json.dumps(value, ensure_ascii=False))]
    lines = value.rstrip("\n").split("\n")
    if len(lines) == 1:
        return [harmless(value)]
    return ["\n  " + "\n  ".join(harmless(line) for line in lines)]


def level_name(rank: int) -> str:
    """Return the name of a lowest level: ``INFO+``; of all levels ``ALL``."""
    name, _ = glyphs.LEVELS[LEVELS[rank]]
    return "ALL" if rank == 0 else name if rank == ERROR else f"{name}+"


def progress(index: LogIndex, selection: LogSelection) -> str:
    """Return how far the file was read or searched; "" when all of it was."""
    if index.size and index.end < 0.99 * index.size:
        return f"reading {figures.percent(index.end, index.size)}"
    if selection.searched < index.count:
        return f"searching {figures.percent(selection.searched, index.count)}"
    return ""
