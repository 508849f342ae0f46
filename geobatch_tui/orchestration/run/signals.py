"""Signals of a run: the first drains, the second cancels, the third ends the process."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def handled(
    *, drain: Callable[[int], None], cancel: Callable[[int], None], reopen_logs: Callable[[], None]
) -> Iterator[None]:
    """Install the handlers on the running loop, and take them away again.

    INT and TERM: first ``drain``, second ``cancel``, third ``os._exit``. HUP: ignored, as the run
    outlives its terminal. QUIT: stacks to stderr. USR1: reopen the logs. Outside the main thread
    (a console's engine) nothing is installed: its owner steers by commands.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    received = 0

    def on_end(number: int) -> None:
        nonlocal received
        received += 1
        if received == 1:
            drain(number)
        elif received == 2:
            cancel(number)
        else:
            os._exit(128 + number)

    handlers: dict[int, Callable[[], None]] = {
        signal.SIGINT: lambda: on_end(signal.SIGINT),
        signal.SIGTERM: lambda: on_end(signal.SIGTERM),
        signal.SIGHUP: lambda: None,
        signal.SIGUSR1: reopen_logs,
    }
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    # pytest's capture and a console have no real stderr to write stacks to.
    with contextlib.suppress(AttributeError, ValueError, OSError):
        faulthandler.register(signal.SIGQUIT, all_threads=True)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
            if received and number in {signal.SIGINT, signal.SIGTERM}:
                # The run has ended for a signal and the process is about to: one more of them
                # must not replace its exit code.
                signal.signal(number, signal.SIG_IGN)
        faulthandler.unregister(signal.SIGQUIT)
