"""A console on its terminal: painted no faster than that keeps up, in styles that are parsed once,
and answered by no key and no button that was pressed before its question was shown."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, override

from textual import events
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.css.stylesheet import Stylesheet
from textual.drivers.linux_driver import LinuxDriver

from geobatch_tui.tui.console.key_queue import KeyHandled, KeyQueue
from geobatch_tui.tui.kit.modal import Modal, forget_layouts
from geobatch_tui.tui.kit.paced_driver import LineFree, PacedDriver
from geobatch_tui.tui.kit.painter import Painter
from geobatch_tui.tui.parts.console_app import Console

if TYPE_CHECKING:
    from rich.console import RenderableType
    from textual.dom import DOMNode
    from textual.driver import Driver
    from textual.screen import Screen

_SETTLE: Final = 0.01
_PICTURES: Final = LayoutUpdate, ChopsUpdate
_LOST: Final = 1.0  #: seconds after which a key is taken for lost: its widget was removed


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
        self._keys = KeyQueue()

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
        until those before it were handled."""
        if isinstance(event, events.MouseDown):
            top = self.screen
            if isinstance(top, Modal) and top.refuses(event):
                self._mouse_down_widget = None  # so that its release is no click
                return
        elif isinstance(event, events.Key) and not event.is_forwarded and self.screen_stack:
            self._keys.put(event, self.screen)
            await self._send_keys()
            return
        await super().on_event(event)

    async def _send_keys(self) -> None:
        """Send keys, each to the widget that has the keys when its turn comes, until one of them
        is under way. A screen that has no widgets yet is waited for."""
        while self._keys.waits and self._keys.under_way is None and self.screen_stack:
            target: DOMNode = self.screen
            if self.screen.is_mounted:
                key, top = self._keys.pop()
                if isinstance(top, Modal) and not self._has(top):
                    continue  # what else was typed at a dialog is not meant for the screen below it
                target = self.focused or self.screen
                await super().on_event(key)
                if not key.is_forwarded:
                    continue
            if not target.post_message(self._keys.send()):
                self._keys.under_way = None
                if not self.screen.is_mounted:
                    return
        if self._keys.waits:
            self.set_timer(_LOST, partial(self._miss, self._keys.under_way))

    async def on_key_handled(self, message: KeyHandled) -> None:
        """Send the next key."""
        message.stop()
        await self._miss(message)

    async def _miss(self, message: KeyHandled | None) -> None:
        """Send the next key, unless that was done."""
        if message is self._keys.under_way:
            self._keys.under_way = None
            await self._send_keys()

    def _has(self, screen: Screen[object]) -> bool:
        return any(screen in stack for stack in self._screen_stacks.values())

    def on_unmount(self) -> None:
        forget_layouts()

    def on_key(self, event: events.Key) -> None:
        """Drop a key that a dialog does not take yet."""
        if isinstance(self.screen, Modal) and self.screen.refuses(event):
            event.prevent_default()
