"""The table of chunks or of items: sorted rows of which only those on the screen are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from textual.content import Content
from textual.message import Message

from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.parts.line_widget import Lines
from geobatch_tui.tui.parts.scroll_lines import ScrollLines
from geobatch_tui.tui.units.unit_columns import CHUNKS, ITEMS, Column, fitting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.tui.run.model import View
    from geobatch_tui.tui.units.item_totals import ItemTotal
    from geobatch_tui.tui.units.unit_ranks import ChunkRanks

_LEAD: Final = 2  #: cells before the first column, for the cursor


class UnitTable(ScrollLines):
    """The table.

    Attributes:
        chunks: what is listed; None: items are.
        items: what is listed where chunks are not.
    """

    #: The scrollbar is always there, so that the heading stands above its columns.
    DEFAULT_CSS = "UnitTable { overflow-y: scroll; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.chunks: ChunkRanks | None = None
        self.items: Sequence[ItemTotal] = ()

    def show_chunks(self, chunks: ChunkRanks) -> None:
        """List chunks; the cursor stays on its chunk."""
        before = self.position
        self.chunks = chunks
        self._put(None if before is None else chunks.find(before))

    def show_items(self, items: Sequence[ItemTotal]) -> None:
        """List items; the cursor stays on its item."""
        before = self.item
        self.chunks, self.items = None, items
        ids = [row.item.item_id for row in items]
        self._put(ids.index(before) if before in ids else None)

    def _put(self, number: int | None) -> None:
        if number is not None:
            self.set_reactive(ScrollLines.cursor, number)
        self.renew()
        self.keep_in_view(self.cursor)

    @property
    def position(self) -> int | None:
        """The position of the chunk under the cursor; None where there is none."""
        if self.chunks is None or self.cursor >= len(self.chunks):
            return None
        return self.chunks.position(self.cursor)

    @property
    def item(self) -> int | None:
        """The id of the item under the cursor; None where there is none."""
        if self.chunks is not None or self.cursor >= len(self.items):
            return None
        return self.items[self.cursor].item.item_id

    def go(self, position: int) -> bool:
        """Put the cursor on a chunk; return whether it is listed."""
        number = self.chunks.find(position) if self.chunks is not None else None
        if number is not None:
            self.cursor = number
        return number is not None

    def count(self) -> int:
        return len(self.items) if self.chunks is None else len(self.chunks)

    def line(self, number: int, width: int, *, at_cursor: bool) -> Content:
        lead = "> " if at_cursor else "  "
        if self.chunks is None:
            return _line(lead, self.items[number], fitting(ITEMS, width - _LEAD))
        return _line(lead, self.chunks[number], fitting(CHUNKS, width - _LEAD))

    def text(self, number: int) -> str:
        """Return a row as text, its cells apart by tabs."""
        if self.chunks is None:
            row = self.items[number]
            return "\t".join(column.cell(row)[0] for column in ITEMS)
        chunk = self.chunks[number]
        return "\t".join(column.cell(chunk)[0] for column in CHUNKS)


def _line[Row](lead: str, row: Row, columns: Sequence[tuple[Column[Row], int]]) -> Content:
    pieces: list[tuple[str, str]] = [(lead, "")]
    for column, width in columns:
        text, style = column.cell(row)
        pieces += [(column.fitted(text, width), style), (" ", "")]
    return Content.assemble(*pieces[:-1])


class UnitHeading(Lines):
    """The titles of the columns; a click on one sorts by it.

    Attributes:
        sort: the column that is sorted by.
        backwards: whether the largest comes first.
        items: whether items are listed.
    """

    DEFAULT_CSS = "UnitHeading { height: 1; padding: 0 2 0 1; color: $quiet; }"

    sort = "dur"
    backwards = True
    items = False

    class Clicked(Message):
        """A request to sort by a column, or the other way round by the same one."""

        def __init__(self, name: str) -> None:
            self.name = name
            super().__init__()

    def _columns(self, width: int) -> list[tuple[str, str, int, bool]]:
        """Return name, title, width and alignment of each column that is shown."""
        table = fitting(ITEMS, width) if self.items else fitting(CHUNKS, width)
        return [(column.name, column.title, size, column.left) for column, size in table]

    def build(self, view: View, width: int, height: int) -> Sequence[Content]:
        del view, height
        pieces: list[tuple[str, str]] = [(" " * _LEAD, "")]
        for name, title, size, left in self._columns(width - _LEAD):
            text, style = title, "$quiet"
            if name == self.sort:
                text, style = f"{title}{'▼' if self.backwards else '▲'}", "bold $accent"
            blank = " " * max(0, size - cell_len(text))
            text = fmt.fit(text + blank if left else blank + text, size)
            pieces += [(text, style), (" ", "")]
        return [Content.assemble(*pieces)]

    def pick(self, x: int, y: int) -> None:
        del y
        start = _LEAD
        for name, _, size, _ in self._columns(self.size.width - _LEAD):
            if start <= x <= start + size:
                self.post_message(self.Clicked(name))
                return
            start += size + 1
