"""A run in the console's process, with a thread and an event loop of its own.

On the console's loop it would stand still whenever the terminal does not read.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING

from geobatch_tui.orchestration.run.control import Control

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from geobatch_tui.orchestration.state.outcome import RunResult


class HostedRun:
    """A run in this process.

    Args:
        directory: where the run's outputs go.
        begin: makes the run's coroutine, given a handle to steer it.
    """

    def __init__(
        self, directory: Path, begin: Callable[[Control], Coroutine[None, None, RunResult]]
    ) -> None:
        self.directory = directory
        self._ready = threading.Event()
        self.control = Control(ready=self._ready.set)
        self._begin = begin
        self._end: Future[RunResult] = Future()
        # Not a daemon: whatever happens to the console, chunks in flight are finished.
        self._thread = threading.Thread(target=self._work, name="engine")

    def start(self) -> None:
        """Start the engine. Returns at once."""
        self._thread.start()

    def wait_ready(self) -> None:
        """Wait until the run holds its directory and its ledger can be read, or has ended."""
        self._ready.wait()

    @property
    def over(self) -> bool:
        """Whether the run has ended."""
        return self._end.done()

    @property
    def failed(self) -> bool:
        """Whether the run ended by an error of its own instead of with a result."""
        return self.over and self._end.exception() is not None

    def drain(self) -> None:
        """Start nothing new, finish what is in flight, end. May be called from any thread and
        from a signal handler, and again."""
        if not self.over:
            self.control.send("drain")

    def cancel(self) -> None:
        """End now: chunks in flight are lost and done again by the next run."""
        if not self.over:
            self.control.send("cancel")

    def wait(self) -> None:
        """Wait for the run's end."""
        wait([self._end])

    def result(self) -> RunResult:
        """Wait for the run's end; return its result, or raise what it raised."""
        self._thread.join()
        return self._end.result()

    def _work(self) -> None:
        try:
            self._end.set_result(asyncio.run(self._begin(self.control)))
        except BaseException as error:  # noqa: BLE001 - boundary: handed to whoever asks
            self._end.set_exception(error)
        finally:
            self._ready.set()
