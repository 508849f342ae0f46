"""The terminal of the console: kept free of other output, and watched for its end.

Textual draws on ``sys.__stderr__``, which is fd 2, and so do GDAL, PROJ and libtiff when they warn.
While the console runs it draws on a descriptor of its own, and fd 1 and 2 lead to a file.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final

from geobatch_tui.ledger.place.regular_file import open_fd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import FrameType

WATCH_SECONDS: Final = 5.0
"""Time between two looks whether the terminal is still there."""


class Screen(io.TextIOWrapper):
    """The terminal as a stream. Writes to one that is gone are dropped: raised in Textual's writer
    thread they would end it, and its full queue would then block the console for good."""

    def write(self, text: str, /) -> int:
        with contextlib.suppress(OSError, ValueError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().flush()


def is_terminal() -> bool:
    """Whether there is a terminal to read keys from and to draw on."""
    return all(_isatty(fd) for fd in (0, 1)) and os.environ.get("TERM") != "dumb"


def is_gone() -> bool:
    """Whether the terminal that keys came from has been closed."""
    return not _isatty(0)


def _isatty(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def wants_no_color() -> bool:
    """Whether the user set NO_COLOR, to anything but nothing (https://no-color.org)."""
    return bool(os.environ.get("NO_COLOR"))


@contextlib.contextmanager
def guarded(native_log: Path) -> Iterator[None]:
    """Draw on a descriptor of the console's own while the block runs; fd 1 and 2 lead to a file.

    Must be entered before the app is made: Textual takes the stream that it finds then.

    Args:
        native_log: what native code and stray prints write is appended to it.

    Raises:
        OSError: the file cannot be opened.
    """
    from geobatch_tui.orchestration.workers.fork_server import start_tracker

    # Within Textual sys.stderr has no descriptor, and a start of the tracker would fail.
    start_tracker()
    log = open_fd(native_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    before = sys.__stdout__, sys.__stderr__
    copies = {fd: os.dup(fd) for fd in (1, 2)}
    own = os.dup(2 if _isatty(2) else 1)
    os.set_inheritable(own, False)
    screen = Screen(io.FileIO(own, "w"), encoding="utf-8", errors="replace", line_buffering=True)
    try:
        for fd in (1, 2):
            os.dup2(log, fd)
        # Of __stdout__ Textual asks the terminal's size, on __stderr__ it draws.
        sys.__stdout__ = sys.__stderr__ = screen  # type: ignore[misc]
        yield
    finally:
        sys.__stdout__, sys.__stderr__ = before  # type: ignore[misc]
        for stream in (sys.stdout, sys.stderr, screen):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        for fd, copy in copies.items():
            os.dup2(copy, fd)
            os.close(copy)
        os.close(log)
        with contextlib.suppress(OSError):
            screen.close()


def signals_handled(
    lost: Callable[[], None], stopped: Callable[[], None]
) -> AbstractContextManager[None]:
    """Call back while the block runs if the terminal is gone (HUP), or somebody ends the process
    (INT, TERM)."""
    return on_signals({signal.SIGHUP: lost, signal.SIGINT: stopped, signal.SIGTERM: stopped})


@contextlib.contextmanager
def on_signals(calls: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """Call back on signals while the block runs; from outside the main thread do nothing.

    Plain handlers, not the loop's: when the terminal does not read, the console's loop stands
    still, and the engine must be told to drain all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handler(number: int, _: FrameType | None) -> None:
        calls[signal.Signals(number)]()

    before = {number: signal.signal(number, handler) for number in calls}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
