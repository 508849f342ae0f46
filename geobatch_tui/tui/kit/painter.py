"""Paints a terminal through a driver that knows how far it is: never more than it keeps up with.

Textual queues each change of the picture for the terminal. On a slow line that is a queue of old
pictures, before which a key waits. Here a picture that cannot be sent is none: the next one that
can is compared with what the terminal shows. On a slow line colours are the nearest of 256, whose
names are half as long, and what lies around a dialog stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.color import ColorSystem
from rich.console import COLOR_SYSTEMS
from rich.control import Control
from textual._context import visible_screen_stack
from textual._time import get_time
from textual.geometry import Region

from geobatch_tui.tui.kit.cell_patch import TerminalPicture
from geobatch_tui.tui.kit.modal import Modal, box_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import App
    from textual.screen import Screen
    from textual.strip import Strip
    from textual.timer import Timer

    from geobatch_tui.tui.kit.paced_driver import PacedDriver

SLOW_LINE: Final = "-slow-line"
"""The class of an app whose line is slow: its styles are those that take few bytes."""

_SOON: Final = 0.02
_HEAD: Final = 3  #: rows that tell which screen it is


class Painter:
    """Paints one app.

    Args:
        app: the app.
        driver: of its terminal.
        guard: called around what is sent, so that a terminal shows it at once: begin, end.
    """

    def __init__(
        self,
        app: App[Any],
        driver: PacedDriver,
        guard: tuple[Callable[[], None], Callable[[], None]],
    ) -> None:
        self._app = app
        self._driver = driver
        self._guard = guard
        self._picture = TerminalPicture()
        self._begun = 0
        self._wanted = False
        self._cursor: tuple[int, int] | None = None
        self._timer: Timer | None = None
        self._coming: tuple[Modal[Any], int] | None = None
        self._has_box = False
        self._is_new = True
        self._shown: Screen[Any] | None = None

    def forget(self) -> None:
        """Paint all anew the next time: the terminal may show anything."""
        self._picture.forget()

    def want(self) -> None:
        """Paint what has changed, now or as soon as the line is free."""
        self._wanted = True
        self.paint()

    def paint(self) -> None:
        """Paint if that is wanted, and there is room for it."""
        app, driver = self._app, self._driver
        self._look()
        app.set_class(driver.load.is_slow, SLOW_LINE)
        if not self._wanted or app._closed or not app._running:  # noqa: SLF001 - as Textual asks
            return
        before, self._shown = self._shown, app.screen
        if before is not None and before is not app.screen:
            # What the key asked for, however long it took to be put up: meanwhile other pictures
            # may have been sent, of which one was taken for the key's.
            driver.load.key_came()
            self._is_new = True
        room = 0 if driver.is_behind else driver.load.room()
        if not room or app._batch_count:  # noqa: SLF001
            self._again(driver.load.wait() if not room else _SOON)
            return
        if self._begun != driver.begun:
            self._begun = driver.begun
            self._picture.forget()
        text, self._wanted = self._patch(room)
        begun = get_time()
        if text:
            begin, end = self._guard
            begin()
            driver.write(text)
            end()
            if driver.load.wants_question():
                driver.ask(len(text.encode()), whole=not self._wanted)
            driver.flush()
        if self._wanted:
            self._again(driver.load.wait())
        self._expect(app.screen, begun)

    def _expect(self, screen: Screen[Any], begun: float) -> None:
        """Note that the picture of a dialog is on its way to the terminal, when that is so; what
        lies around it may come later. ``begun``: before it was sent, which is when one is taken to
        have come that the terminal does not answer to."""
        is_new = self._coming is None or self._coming[0] is not screen
        if not self._has_box or not is_new or not isinstance(screen, Modal) or screen.was_seen:
            return
        load = self._driver.load
        if not load.answers:
            screen.note_seen(begun)
        else:
            self._coming = screen, load.sent_parts
            self._look()

    def _look(self) -> None:
        """Tell a dialog since when the terminal shows it: a busy console looks later than that."""
        if self._coming is None:
            return
        at = self._driver.load.reached_at(self._coming[1])
        if at is not None:
            self._coming[0].note_seen(at)
            self._coming = None

    def _patch(self, room: int) -> tuple[str, bool]:
        """Return what is to be sent, and whether there is more."""
        app = self._app
        visible_screen_stack.set(app._background_screens)  # noqa: SLF001 - what a dialog lies on
        strips = app.screen._compositor.render_strips()  # noqa: SLF001 - Textual has no other way
        system = COLOR_SYSTEMS.get(app.console.color_system or "")
        if system is ColorSystem.TRUECOLOR and self._driver.load.is_slow:
            system = ColorSystem.EIGHT_BIT
        box = box_of(app.screen)
        # What tells whether a dialog was seen is asked right behind its box.
        boxed = not box.area or self._picture.shows(strips, box)
        text, whole = self._picture.patch(
            strips,
            system,
            room,
            self._parts(strips) if boxed else [box],
            repeats=self._driver.load.repeats,
        )
        self._has_box = box.area > 0 and self._picture.shows(strips, box)
        whole = whole and boxed
        self._is_new = self._is_new and not whole
        cursor = app.screen.outer_size.clamp_offset(app.cursor_position)
        if text or cursor != self._cursor:
            self._cursor = cursor
            text += Control.move_to(*cursor).segment.text
        return text, not whole

    def _parts(self, strips: Sequence[Strip]) -> list[Region]:
        """Return the parts of a picture in the order in which they are sent: the head of a screen
        that has not been sent whole, the panel that has the keys, and all else."""
        width = strips[0].cell_length if strips else 0
        focused = self._app.screen.focused
        return [
            *([Region(0, 0, width, _HEAD)] if self._is_new else []),
            *([focused.region] if focused is not None else []),
            Region(0, 0, width, len(strips)),
        ]

    def _again(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self._app.set_timer(min(seconds, 1.0), self.paint)
