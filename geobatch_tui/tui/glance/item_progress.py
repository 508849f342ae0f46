"""The items that are under way: how far each is, and which have dead chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from textual.content import Content

from geobatch_tui.ledger.schema.updates import ChunkState, ItemState
from geobatch_tui.observability import figures
from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.kit.glyphs import LOOKS
from geobatch_tui.tui.parts.console_messages import ShowNamed
from geobatch_tui.tui.parts.line_widget import Lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from geobatch_tui.tui.run.model import ItemView, View
    from geobatch_tui.tui.run.store import RunStore

MOST: Final = 8  #: items that are listed
_COUNTED: Final = 1 << 20  #: chunks of one item whose states are counted at each poll
_BAR_FROM: Final = 56  #: cells from which on there is room for a bar
_MANY_FROM: Final = 44  #: cells from which on there is room for numbers of chunks
_SIGNS: Final = {
    ItemState.PUBLISHED: ("█", "$chunk-done"),
    ItemState.HELD: ("✗", "$chunk-dead"),
    ItemState.DEAD: ("✗", "$chunk-dead"),
}


class ItemProgress(Lines):
    """A line for each item that is worked on, then for those with dead chunks, then for the next
    ones. One item has no list: the bar on top is its own."""

    BORDER_TITLE = "Items"
    ALLOW_MAXIMIZE: ClassVar[bool | None] = True

    def __init__(self, store: RunStore, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._store = store
        self._shown: list[ItemView] = []

    def wanted(self, view: View) -> int:
        """Return the lines that there are to show; 0: the panel is of no use."""
        total = view.items["total"]
        return min(total, MOST) if total > 1 else 0

    def build(self, view: View, width: int, height: int) -> Sequence[Content]:
        items = view.items
        title = f"Items  {figures.count(items['published'])} of {figures.count(items['total'])}"
        if title != self.border_title:
            self.border_title = title
        found: dict[int, ItemView] = {}
        for item in self._chosen(view):
            found.setdefault(item.item_id, item)
            if len(found) == height:
                break
        self._shown = [*found.values()]
        return [self._line(item, width) for item in self._shown]

    def pick(self, x: int, y: int) -> None:
        del x
        if y < len(self._shown):
            self.post_message(ShowNamed(self._shown[y].key))

    def _chosen(self, view: View) -> Iterator[ItemView]:
        """Yield the items that are worked on, then those with letters, then what comes next."""
        store = self._store
        states = store.states
        at = states.find(ChunkState.RUNNING)
        while at >= 0:
            item = store.item_at(at)
            yield item
            at = states.find(ChunkState.RUNNING, item.first + item.n)
        for group in view.groups:
            for dead_id in group.letters[-MOST:]:
                letter = store.letters.get(dead_id)
                item_of = store.item(letter.item_id) if letter is not None else None
                if item_of is not None:
                    yield item_of
        at = states.find(ChunkState.PENDING)
        while at >= 0:
            item = store.item_at(at)
            yield item
            at = states.find(ChunkState.PENDING, item.first + item.n)
        yield from reversed(store.items)

    def _line(self, item: ItemView, width: int) -> Content:
        states, end = self._store.states, item.first + item.n
        done = states.count(ChunkState.DONE, item.first, end) if item.n <= _COUNTED else 0
        dead = states.count(ChunkState.DEAD, item.first, end) if item.n <= _COUNTED else 0
        running = states.find(ChunkState.RUNNING, item.first, end) >= 0
        look = LOOKS[ChunkState.RUNNING if running else ChunkState.PENDING]
        glyph, style = _SIGNS.get(item.state, (look.glyph, look.style))
        share = figures.percent(done + dead, item.n)
        many = f"{figures.count(done)}/{figures.count(item.n)}"
        tail = (
            f" {fmt.right(many, 13)} {fmt.right(share, 6)}" if width >= _MANY_FROM else f" {share}"
        )
        room = width - 2 - len(tail) - 7
        bar = min(40, room // 2) if width >= _BAR_FROM else 0
        filled = fmt.shares([done, dead, item.n - done - dead], bar)
        pieces: list[tuple[str, str]] = [(f"{glyph} ", style)]
        pieces.append((fmt.fit_middle(item.key, room - bar) + " ", ""))
        for count, cell, colour in zip(
            filled, "█✗░", ("$chunk-done", "$chunk-dead", "$chunk-wait"), strict=True
        ):
            pieces.append((cell * count, colour))
        pieces.append((tail, ""))
        if dead:
            pieces.append((f" ✗{figures.amount(dead)}", "bold $error"))
        return Content.assemble(*pieces)
