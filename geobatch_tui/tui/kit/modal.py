"""Screens above others: dialogs and the palette. Each is answered once, and questions not before
they were seen.

Keys that arrive in one read (pasted, repeated, or held up by a slow line) reach the widgets of a
dialog that the first of them has closed. Textual would close the screen below it for the next.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual._styles_cache import StylesCache
from textual._time import get_time
from textual.await_complete import AwaitComplete
from textual.binding import Binding
from textual.command import CommandList, CommandPalette
from textual.containers import Vertical, VerticalScroll
from textual.events import Key, MouseEvent
from textual.geometry import Region
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList

if TYPE_CHECKING:
    from textual.binding import BindingType
    from textual.events import Mount
    from textual.message import Message
    from textual.screen import Screen
    from textual.widget import Widget


class Modal[Result](ModalScreen[Result]):
    """A dialog that can be closed once: later answers to it do nothing. ``j`` and ``k`` scroll what
    is long in it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "lines(1)", show=False),
        Binding("k", "lines(-1)", show=False),
    ]

    #: When its first picture was on the terminal, by the clock of events.
    _seen_at = math.inf

    @property
    def was_seen(self) -> bool:
        """Whether the terminal has shown it."""
        return self._seen_at < math.inf

    @property
    def is_laid_out(self) -> bool:
        """Whether a picture has its box."""
        return self.is_mounted and box_of(self).area > 0

    def note_seen(self, at: float | None = None) -> None:
        """Note that the terminal shows it, box and all, since ``at``; None: now."""
        if not self.was_seen:
            self._seen_at = get_time() if at is None else at

    def is_ahead(self, event: Key | MouseEvent) -> bool:
        """Whether a key or a button was pressed before the terminal showed the dialog."""
        return event.time <= self._seen_at

    def refuses(self, event: Key | MouseEvent) -> bool:
        """Whether a key or a button is to do nothing: a button points at what was seen."""
        return isinstance(event, MouseEvent) and self.is_ahead(event)

    def on_unmount(self) -> None:
        forget_layouts()

    def action_lines(self, count: int) -> None:
        for box in self.query(VerticalScroll):
            box.scroll_relative(y=count, animate=False)

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """Close the dialog with its answer."""
        return super().dismiss(result) if self.is_active else AwaitComplete()


class Search[Result](Modal[Result]):
    """A dialog with an empty field, which gets what was typed before it had the keys. Enter answers
    behind a text only, as long as it would answer what was not seen."""

    def refuses(self, event: Key | MouseEvent) -> bool:
        """Whether it would choose from a list that was neither seen nor searched."""
        if not isinstance(event, Key):
            return super().refuses(event)
        return self.is_ahead(event) and event.key == "enter" and not self._typed

    @property
    def _typed(self) -> str:
        return next((field.value for field in self.query(Input)), "")

    def on_key(self, event: Key) -> None:
        """Type a letter of those."""
        if self.is_ahead(event) and event.is_printable and event.character is not None:
            event.stop()
            for field in self.query(Input):
                field.insert_text_at_cursor(event.character)


class Options(OptionList):
    """A list for which page keys do nothing before it is laid out; Textual's fails then."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", show=False),
        Binding("k", "cursor_up", show=False),
        Binding("G", "last", show=False),
    ]

    def action_page_up(self) -> None:
        """Move the highlight a page up."""
        if is_laid_out(self):
            super().action_page_up()  # type: ignore[no-untyped-call]

    def action_page_down(self) -> None:
        """Move the highlight a page down."""
        if is_laid_out(self):
            super().action_page_down()  # type: ignore[no-untyped-call]


class Palette(CommandPalette):
    """Textual's palette; it runs a command once, and page keys do nothing before it has lines."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pagedown", "page(1)", "Next page", show=False),
        Binding("pageup", "page(-1)", "Previous page", show=False),
    ]

    def dismiss(self, result: None = None) -> AwaitComplete:
        """Close the palette; its search and its timers end before its list is taken away."""
        if not self.is_active:
            return AwaitComplete()
        self.workers.cancel_node(self)
        self._stop_busy_countdown()
        self._stop_no_matches_countdown()
        self.set_reactive(CommandPalette._show_busy, False)  # noqa: SLF001 - it has a watcher
        return super().dismiss(result)

    def on_unmount(self) -> None:
        forget_layouts()

    def action_page(self, step: int) -> None:
        """Move the highlight a page up or down."""
        commands = self.query_one(CommandList)
        if not is_laid_out(commands):
            return
        if step > 0:
            commands.action_page_down()  # type: ignore[no-untyped-call]
        else:
            commands.action_page_up()  # type: ignore[no-untyped-call]

    @on(Input.Changed)
    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def _only_while_open(self, message: Message) -> None:
        if not self.is_active:
            message.prevent_default().stop()

    def on_mount(self, event: Mount) -> None:
        """Skip Textual's handler if the palette was closed already: it looks for the screen
        below."""
        if not self.is_active:
            event.prevent_default()


def forget_layouts() -> None:
    """Let go of the pictures of widgets that are gone. Textual keeps the layouts of the last 1,024
    widgets that it drew, by an object that has the widget's picture, too: some 60 MB of dialogs."""
    StylesCache.get_inner_outer.cache_clear()


def box_of(screen: Screen[Any]) -> Region:
    """Return where the box of a dialog is, or where it has none of its own what has its keys;
    nowhere, of another screen."""
    if not isinstance(screen, ModalScreen):
        return Region()
    boxes: list[Widget | None] = [*screen.query_children(Vertical), screen.focused]
    for box in boxes:
        if box is not None and box.region.area:
            return box.region
    return Region()


def is_laid_out(options: OptionList) -> bool:
    """Whether a list has lines to be paged through."""
    return bool(options.option_count and options.scrollable_content_region)
