"""A console on its terminal: painted no faster than that keeps up, in styles that are parsed once,
and asked by no key and no button that was pressed before its question was shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, override
from weakref import WeakKeyDictionary

from textual import events
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.css.stylesheet import Stylesheet
from textual.drivers.linux_driver import LinuxDriver

from geobatch_tui.tui.kit.modal import Modal, forget_layouts
from geobatch_tui.tui.kit.paced_driver import LineFree, PacedDriver
from geobatch_tui.tui.kit.painter import Painter
from geobatch_tui.tui.parts.console_app import Console

if TYPE_CHECKING:
    from rich.console import RenderableType
    from textual.driver import Driver
    from textual.screen import Screen

_SETTLE: Final = 0.01
_PICTURES: Final = LayoutUpdate, ChopsUpdate


class SteadySheet(Stylesheet):
    """A style sheet whose sources are parsed once for the colours of a theme. Textual parses all of
    them again for each screen that is shown for the first time."""

    @override
    def set_variables(self, variables: dict[str, str]) -> None:
        """Take the colours of a theme, and forget what was parsed, unless it has them already."""
        if variables != self._variables:
            super().set_variables(variables)

    @override
    def reparse(self) -> None:
        """Parse what was not parsed with these colours yet."""
        self.parse()


class PaintedConsole(Console):
    """A console on a terminal.

    Attributes:
        painter: what paints it; None: it was not painted yet, or by Textual alone.
    """

    painter: Painter | None = None

    def __init__(self, *, ansi_color: bool | None = None) -> None:
        super().__init__(ansi_color=ansi_color)
        self.stylesheet = SteadySheet(variables=self.get_css_variables())
        #: The screens that keys were sent to; None: one that they were to wait for.
        self._sent: WeakKeyDictionary[events.Key, Screen[object] | None] = WeakKeyDictionary()

    @override
    def get_driver_class(self) -> type[Driver]:
        """Return Textual's driver, but for a terminal the one that knows how far that is."""
        found = super().get_driver_class()
        return PacedDriver if found is LinuxDriver else found

    @override
    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        """Paint what has changed, when the terminal has come to what it was sent before."""
        driver = self._driver
        if not isinstance(driver, PacedDriver) or not isinstance(renderable, _PICTURES):
            super()._display(screen, renderable)
            top = self.screen
            if not self._batch_count and isinstance(top, Modal) and top.is_laid_out:
                top.note_seen()
            return
        if self.painter is None:
            self.painter = Painter(self, driver, (self._begin_update, self._end_update))
        self.painter.want()

    def on_line_free(self, message: LineFree) -> None:
        """Paint what had to wait."""
        message.stop()
        if self.painter is not None:
            self.painter.paint()

    def on_resize(self) -> None:
        """Paint all anew: terminals fold and cut lines as they like."""
        if self.painter is not None:
            self.painter.forget()

    def delay_update(self, delay: float = _SETTLE) -> None:
        """Hold painting back while a screen is being put up. Textual's 50 ms are more than all
        else between a key and its picture."""
        super().delay_update(delay)

    @override
    async def on_event(self, event: events.Event) -> None:
        """Drop a button of the mouse that was pressed on what lay below a dialog. Let a key wait
        for a screen that has no widgets yet."""
        if isinstance(event, events.MouseDown):
            top = self.screen
            if isinstance(top, Modal) and top.refuses(event):
                self._mouse_down_widget = None  # so that its release is no click
                return
        elif isinstance(event, events.Key) and not event.is_forwarded and self.screen_stack:
            top = self.screen
            self._sent[event] = top if top.is_mounted else None
            if not top.is_mounted:
                top.post_message(_forwarded(event))
                return
        await super().on_event(event)

    def on_unmount(self) -> None:
        forget_layouts()

    async def on_key(self, event: events.Key) -> None:
        """Give a key to the screen that a key before it has opened meanwhile: it was sent to the
        one below. Drop one that a dialog does not take yet."""
        if self._is_late(event):
            event.prevent_default()
            again = events.Key(event.key, event.character)
            again.time = event.time
            await self.on_event(again)
        elif isinstance(self.screen, Modal) and self.screen.refuses(event):
            event.prevent_default()

    def _is_late(self, event: events.Key) -> bool:
        """Whether a key was sent to a screen that another one lies on now, or hides; not where that
        one was closed: what else was typed there is none of the screen below."""
        if event not in self._sent:
            return False
        sent = self._sent[event]
        if sent is None:
            return True
        return sent is not self.screen and any(
            sent in stack for stack in self._screen_stacks.values()
        )


def _forwarded(event: events.Key) -> events.Key:
    """Return a key that is marked as sent to its screen, so that it comes back from there."""
    event._set_forwarded()  # noqa: SLF001 - as Textual's screens mark it
    return event
