"""The line above a list: how much of it is shown, and the filter, typed after ``/``."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input, Static

from geobatch_tui.observability import figures
from geobatch_tui.tui.kit.filters import Filter, parse
from geobatch_tui.tui.kit.fixed_width import fit_middle
from geobatch_tui.tui.kit.keymap import bind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.dom import DOMNode

_NOTHING: Final = Content()
_SHORTEST_PATH: Final = 8  #: cells


class LateSuggester(Suggester):
    """A suggester that makes the question when its worker begins: a field may have gone by then,
    and a coroutine that nobody awaits is an error."""

    def _get_suggestion(self, requester: DOMNode, value: str) -> Callable[[], Awaitable[None]]:  # type: ignore[override]
        return partial(super()._get_suggestion, requester, value)


class FieldSuggester(LateSuggester):
    """A suggester that completes names of fields."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(use_cache=True, case_sensitive=False)
        self._fields = fields

    async def get_suggestion(self, value: str) -> str | None:
        """Return the text with its last word completed to the name of a field."""
        head, space, word = value.rpartition(" ")
        word, bang = word.removeprefix("!"), "!" if word.startswith("!") else ""
        if not word or not word.isalpha():
            return None
        for name, kind in self._fields.items():
            if name.startswith(word) and name != word:
                return f"{head}{space}{bang}{name}{'>' if kind == 'number' else ':'}"
        return None


class FilterBar(Horizontal):
    """The line.

    Args:
        fields: names of the list's fields, each with its kind.

    Attributes:
        chosen: the filter in force.
        fields: as given.
    """

    # First: keys behind these in one burst are the list's.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "screen.typed(True)", show=False, priority=True),
        bind("back", "screen.typed(False)", show=False, first=True),
    ]
    DEFAULT_CSS = """
    FilterBar { height: 1; background: $surface; }
    FilterBar #said { width: 1fr; height: 1; }
    FilterBar Input { width: 1fr; display: none; height: 1; border: none; padding: 0; }
    FilterBar.-typing Input { display: block; }
    FilterBar #slash { width: auto; display: none; color: $accent; }
    FilterBar.-typing #slash { display: block; }
    FilterBar.-typing #said { display: none; }
    """

    class Changed(Message):
        """A message that the filter has changed."""

    def __init__(self, fields: Mapping[str, str], *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.chosen = Filter()
        self.fields = fields
        self._parts = _NOTHING, "", _NOTHING
        self._said: Content | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="said", markup=False)
        yield Static(" / ", id="slash", markup=False)
        yield Input(
            placeholder='word "two words" class:Corrupt attempts>2 !not',
            suggester=FieldSuggester(self.fields),
            compact=True,
        )

    def say(self, text: Content, path: str = "", behind: Content = _NOTHING) -> None:
        """Show a line in front of the filter that is in force.

        Args:
            text: how the line begins.
            path: what follows; where there is no room for all of it, its middle is left out.
            behind: the end of the line.
        """
        self._parts = text, path, behind
        self._show()

    def on_resize(self) -> None:
        self._show()

    def _show(self) -> None:
        text, path, behind = self._parts
        if self.chosen.text:
            style = "$warning" if self.chosen.problems else "bold $accent"
            note = f"  {self.chosen.problems[0]}" if self.chosen.problems else ""
            filtered = ("  / ", "$quiet"), (self.chosen.text, style), note
            behind = Content.assemble(behind, *filtered)
        room = max(self.size.width - text.cell_length - behind.cell_length, _SHORTEST_PATH)
        text = Content.assemble(text, (fit_middle(path, room).rstrip(), "$quiet"), behind)
        if self._said is None or not self._said.is_same(text):
            self._said = text
            self.query_one("#said", Static).update(text)

    def type(self) -> None:
        """Let the operator type."""
        self.add_class("-typing")
        self.screen.set_focus(field := self.query_one(Input))  # at once: keys behind are typed
        field.action_end()

    async def end(self, *, keep: bool) -> None:
        """End typing when all that was typed is in the field; keep the filter, or drop it."""
        field = self.query_one(Input)
        taken = asyncio.Event()
        if field.call_later(taken.set):  # behind the letters of the same burst
            await taken.wait()
        if not keep:
            self.clear()
        self.chosen = parse(field.value, self.fields)
        self.remove_class("-typing")

    def clear(self) -> None:
        """Drop the filter."""
        self.put("")

    def put(self, text: str) -> None:
        """Filter by a text that was not typed."""
        self.query_one(Input).value = text

    def use(self, fields: Mapping[str, str]) -> None:
        """Filter by other fields from now on."""
        self.fields = fields
        field = self.query_one(Input)
        field.suggester = FieldSuggester(fields)
        self.chosen = parse(field.value, fields)

    def on_input_changed(self, message: Input.Changed) -> None:
        message.stop()
        self.chosen = parse(message.value, self.fields)
        self.post_message(self.Changed())


def part_of(shown: int, total: int, noun: str) -> str:
    """Return how many of all things are shown: ``12 of 1,204 runs``, or all ``1,204 runs``."""
    count = figures.plural(total, noun)
    return count if shown == total else f"{figures.count(shown)} of {count}"
