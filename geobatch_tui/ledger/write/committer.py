"""The committer: a thread that writes updates to the ledger in groups, in order.

A worker's result goes into a queue by a call that never waits, so nothing that cancels a task on
the loop can lose it. One commit then makes many results durable.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

from geobatch_tui.errors import DiskFullError, GeobatchError, StateError
from geobatch_tui.ledger.schema.updates import Update
from geobatch_tui.ledger.write.publish import ItemPublishError

if TYPE_CHECKING:
    from geobatch_tui.ledger.write.writer import Ledger

OnCommit = Callable[[tuple[Update, ...]], None]
OnError = Callable[[GeobatchError, tuple[Update, ...]], None]

_QUIET: Final = 0.025  #: seconds without an arrival that count as idle


class Committer:
    """The only user of a ``Ledger`` while it runs.

    Args:
        ledger: opened, with a run begun. Nobody else may touch it until ``close`` returned; read
            through a ``LedgerReader`` meanwhile.
        on_commit, on_error: see :meth:`listen`.
        rows: commit as soon as this many wait.
        delay: seconds that an update waits at most.
        most: updates in one commit when many wait.
    """

    def __init__(
        self,
        ledger: Ledger,
        on_commit: OnCommit = lambda _: None,
        on_error: OnError = lambda _, __: None,
        *,
        rows: int = 64,
        delay: float = 0.05,
        most: int = 4096,
    ) -> None:
        self._ledger = ledger
        self._on_commit = on_commit
        self._on_error = on_error
        self._rows = rows
        self._delay = delay
        self._most = most
        #: A future among the updates is of somebody who waits until all before it is durable.
        self._queue: deque[Update | Future[None]] = deque()
        self._wake = threading.Event()
        self._urgent = threading.Event()
        self._closing = False
        self._ended = False
        self._spent = False
        self._kept: list[Update] = []
        self._failure: GeobatchError | None = None
        self._thread = threading.Thread(target=self._main, name="committer", daemon=True)
        self._thread.start()

    def listen(self, on_commit: OnCommit, on_error: OnError) -> None:
        """Set the callbacks. Once, before the first ``put``.

        Args:
            on_commit: gets each batch after it is durable, on the committer's thread, in order.
            on_error: gets a typed error and the updates that it concerns, on the same thread.
                ``ItemPublishError``: that publication was left out, everything else goes on. Any
                other: the updates are kept and nothing is written until ``flush`` tries again.
        """
        self._on_commit = on_commit
        self._on_error = on_error

    def put(self, update: Update) -> None:
        """Queue an update. Never waits; may be called from any thread."""
        if self._closing:
            raise StateError("the committer is closed")
        self._queue.append(update)
        if not self._wake.is_set():
            self._wake.set()
        if len(self._queue) >= self._rows and not self._urgent.is_set():
            self._urgent.set()

    def flush(self) -> Future[None]:
        """Commit at once what was put before. The future ends when it is durable, or with the
        error that prevents it; then nothing is lost, and ``flush`` may be called again."""
        mark: Future[None] = Future()
        # From here on it can't be cancelled, whatever becomes of the task that waits for it.
        mark.set_running_or_notify_cancel()
        self._queue.append(mark)
        self._urgent.set()
        self._wake.set()
        if self._ended:
            self._refuse_marks()
        return mark

    @property
    def backlog(self) -> int:
        """Updates that are not durable yet, about."""
        return len(self._queue) + len(self._kept)

    @property
    def failure(self) -> GeobatchError | None:
        """The error that stopped the writing, until a flush succeeds."""
        return self._failure

    def close(self) -> None:
        """Commit the rest and end the thread; the ledger stays open. Raises GeobatchError if it
        can't be committed; the thread has ended all the same."""
        if self._closing:
            return
        future = self.flush()
        self._closing = True
        self._wake.set()
        self._thread.join()
        future.result()

    # --- the thread -----------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            self._serve()
        except BaseException as error:  # noqa: BLE001
            # boundary: a callback of the caller's failed; without this, nobody would learn it.
            self._failure = StateError(f"the committer stopped: {type(error).__name__}: {error}")
        finally:
            self._ended = True
            self._refuse_marks()

    def _refuse_marks(self) -> None:
        """Nobody serves the queue any more: say so to those who wait."""
        while self._queue:
            entry = self._queue.popleft()
            if isinstance(entry, Future):
                entry.set_exception(self._failure or StateError("the committer is closed"))

    def _serve(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._queue:
                self._linger()
                self._step()
            if self._closing and not self._queue:
                return

    def _linger(self) -> None:
        """Wait for company: until enough wait, the oldest has waited enough, or none comes."""
        end = time.monotonic() + self._delay
        while not self._urgent.is_set():
            before = len(self._queue)
            left = end - time.monotonic()
            if left <= 0:
                return
            self._urgent.wait(min(left, _QUIET))
            if len(self._queue) == before:
                return

    def _step(self) -> None:
        updates, marks = self._take()
        if len(self._queue) < self._rows:
            self._urgent.clear()
        self._kept += updates
        if self._failure is not None and not marks:
            return
        self._failure = None
        try:
            error = self._commit() if self._kept else None
        except BaseException:
            self._queue.extendleft(reversed(marks))
            raise
        self._failure = error
        for mark in marks:
            if error is None:
                mark.set_result(None)
            else:
                mark.set_exception(error)

    def _take(self) -> tuple[list[Update], list[Future[None]]]:
        """The next updates, up to ``most``; marks among them, and those right behind."""
        updates: list[Update] = []
        marks: list[Future[None]] = []
        while self._queue:
            entry = self._queue[0]
            if isinstance(entry, Future):
                marks.append(entry)
            elif len(updates) < self._most:
                updates.append(entry)
            else:
                break
            self._queue.popleft()
        return updates, marks

    def _commit(self) -> GeobatchError | None:
        """Write what is kept. An error that is not the fault of one publication is returned."""
        while self._kept:
            try:
                self._apply()
            except ItemPublishError as error:
                self._kept = [update for update in self._kept if update is not error.update]
                self._on_error(error, (error.update,))
            except GeobatchError as error:
                self._on_error(error, tuple(self._kept))
                return error
            else:
                batch, self._kept = tuple(self._kept), []
                self._on_commit(batch)
        return None

    def _apply(self) -> None:
        try:
            self._ledger.apply(self._kept)
        except DiskFullError:
            if not self._ledger.make_room():
                raise
            self._spent = True
            self._ledger.apply(self._kept)
        except GeobatchError:
            raise
        except Exception as error:  # boundary: whatever it is, the updates must not be lost
            raise StateError(
                f"the ledger cannot take in: {type(error).__name__}: {error}"
            ) from error
        if self._spent and self._ledger.reserve.has_room():
            self._spent = not self._ledger.reserve.ensure()
