"""Textual's driver of a terminal, told apart from a line that does not keep up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from textual import events
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from geobatch_tui.tui.kit.line_load import ASK, PROBE, LineLoad

if TYPE_CHECKING:
    from textual.app import App

_LAST_ANSWERS: Final = 1.5
"""Seconds that the terminal has for its last answers."""


class LineFree(Message):
    """The terminal has come to the end of what it was sent."""


class PacedDriver(LinuxDriver):
    """A driver that knows how far its terminal has come.

    Attributes:
        load: what is under way to the terminal.
        begun: how often the terminal was taken; what it shows is not known then.
    """

    def __init__(
        self,
        app: App[Any],
        *,
        debug: bool = False,
        mouse: bool = True,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self.load = LineLoad()
        self.begun = 0

    def start_application_mode(self) -> None:
        """Take the terminal, and ask it whether it answers."""
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self.begun += 1
        if self._writer_thread is not None and self.load.wants_question():
            if self.begun == 1:
                self.write(PROBE)
            self.ask(0)

    def ask(self, count: int, *, whole: bool = True) -> None:
        """Ask how far the terminal is, behind so many bytes that make the picture whole or not."""
        self.load.sent(count, whole=whole)
        self.write(ASK)
        self.flush()

    def disable_input(self) -> None:
        """Read no more; the terminal's last answers are waited for, as a shell would take them for
        its own input."""
        until = time.monotonic() + _LAST_ANSWERS
        while self.load.is_waiting() and time.monotonic() < until:
            time.sleep(0.005)
        super().disable_input()

    @property
    def is_behind(self) -> bool:
        """Whether the terminal has not even taken what was sent last."""
        writer = self._writer_thread
        return writer is not None and writer._queue.qsize() > 0  # noqa: SLF001 - nothing else tells

    def process_message(self, message: Message) -> None:
        """Take answers for themselves; called in the thread that reads the terminal."""
        if isinstance(message, events.CursorPosition):
            self.load.answered(message.x)
            message = LineFree()
        elif isinstance(message, events.Key | events.Paste | events.MouseDown | events.MouseUp):
            self.load.key_came()
        super().process_message(message)
