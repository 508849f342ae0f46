"""Answers of a worker: outcomes, each sent once the files of its task are on disk."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING

from geobatch_tui.errors import OperationError
from geobatch_tui.execution.protocol import wire
from geobatch_tui.execution.runtime import classify
from geobatch_tui.execution.worker.tasks import places

if TYPE_CHECKING:
    import socket

    from geobatch_tui.execution.io import syncing
    from geobatch_tui.execution.protocol.messages import Outcome, Task

#: Answers that may wait for the disk before the next task does.
AHEAD = 8


def answer(outcome: Outcome) -> bytes:
    """Pack the frame of an outcome; of a failure, if the operation's receipt is not plain data."""
    try:
        return wire.pack(outcome.task_id, outcome)
    except Exception as error:  # noqa: BLE001 - boundary: pickling foreign objects raises anything
        failure = classify.failure(error, stage="answer")
        message = f"the operation's receipt cannot be sent: {failure.message}"
        kind = OperationError
        plain = replace(
            failure, error_class=kind.__name__, reaction=kind.reaction, message=message, evidence={}
        )
        return wire.pack(outcome.task_id, outcome.failed(plain))


class Answers:
    """Sends outcomes in the order of their tasks, each once the files of its task are on disk.

    Syncs are waited for in a thread, which then sends. A worker that dies meanwhile did not
    answer: the task goes to another, and is blamed for nothing.
    """

    def __init__(self, pipe: socket.socket) -> None:
        self._pipe = pipe
        self._queue: SimpleQueue[tuple[Task, Outcome, bytes, list[syncing.Sync]] | None]
        self._queue = SimpleQueue()
        self._room = threading.Semaphore(AHEAD)
        self._waiting = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, task: Task, outcome: Outcome, syncs: list[syncing.Sync]) -> None:
        """Answer for ``task``; wait while many answers are due. OSError if nobody listens."""
        frame = answer(outcome)
        if outcome.failure is not None:
            for sync in syncs:
                sync.drop()
            syncs = []
        if not syncs and not self._waiting:
            self._pipe.sendall(frame)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._main, name="answers", daemon=True)
            self._thread.start()
        self._room.acquire()
        with self._lock:
            self._waiting += 1
        self._queue.put((task, outcome, frame, syncs))

    def close(self) -> None:
        """Wait until every answer is sent."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()

    def _main(self) -> None:
        try:
            while (entry := self._queue.get()) is not None:
                self._pipe.sendall(_synced(*entry))
                with self._lock:
                    self._waiting -= 1
                self._room.release()
        except BaseException:  # noqa: BLE001 - boundary: without its answers a worker is of no use
            import traceback

            traceback.print_exc()
            os._exit(70)


def _synced(task: Task, outcome: Outcome, frame: bytes, syncs: list[syncing.Sync]) -> bytes:
    """Finish the syncs, and return the frame to send: of a failure, if one of them fails."""
    for number, sync in enumerate(syncs):
        try:
            sync.finish()
        except Exception as error:  # noqa: BLE001 - boundary: a failure is an answer
            for other in syncs[number + 1 :]:
                other.drop()
            source, out = places(task)
            failure = classify.failure(error, stage="write", source=source, out=out)
            return answer(outcome.failed(failure))
    return frame
