"""A run in the console's process, with a thread and an event loop of its own.

On the console's loop it would stand still whenever the terminal does not read.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from geobatch_tui.orchestration.run.control import Control

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path

    from geobatch_tui.orchestration.state.outcome import RunResult


class HostedRun:
    """A run in this process.

    Args:
        directory: where the run's outputs go.
        begin: makes the run's coroutine, given a handle to steer it.
    """

    def __init__(
        self,
        directory: Path,
        begin: Callable[[Control], Coroutine[None, None, RunResult]],
    ) -> None:
        self.directory = directory
        self._ready = threading.Event()
        self.control = Control(ready=self._ready.set)
        self._begin = begin
        self._result: RunResult | None = None
        self._error: BaseException | None = None
        self._over = threading.Event()
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
        return self._over.is_set()

    @property
    def failed(self) -> bool:
        """Whether the run ended by an error of its own instead of with a result."""
        return self.over and self._error is not None

    def drain(self) -> None:
        """Start nothing new, finish what is in flight, end. May be called from any thread and
        from a signal handler, and again."""
        if not self.over:
            self.control.send("drain")

    def cancel(self) -> None:
        """End now: chunks in flight are lost and done again by the next run."""
        if not self.over:
            self.control.send("cancel")

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the run's end; return whether it ended."""
        return self._over.wait(seconds)

    def result(self) -> RunResult:
        """Wait for the run's end; return its result, or raise what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        if self._result is None:
            raise RuntimeError("the engine was not started")
        return self._result

    def _work(self) -> None:
        try:
            self._result = asyncio.run(self._begin(self.control))
        except BaseException as error:  # noqa: BLE001 - boundary: handed to whoever asks
            self._error = error
        finally:
            self._over.set()
            self._ready.set()


def hosted_retry(
    directory: Path,
    classes: Sequence[str],
    keys: Sequence[str],
    changes: Sequence[str],
    *,
    split: bool = False,
) -> HostedRun:
    """Make a run of this process that tries dead letters again; to be started.

    Args:
        directory: the output directory of the run that ended.
        classes: only letters of these error classes; empty: of any.
        keys: only these chunks or items, by the ledger's names; empty: all.
        changes: ``KEY=VALUE`` of operational values.
        split: in chunks half as wide and half as high.
    """
    from geobatch_tui.orchestration.api import retry

    return HostedRun(
        directory,
        lambda control: retry(
            directory,
            classes=classes,
            chunks=keys,
            overrides=changes,
            split=split,
            control=control,
        ),
    )
