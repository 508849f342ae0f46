"""The cause of a worker's death, from its exit code, its fd 2 and its pipe."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from geobatch_tui.errors import (
    ChunkTimeoutError,
    MemoryBudgetError,
    ProcessLimitError,
    WorkerCrashError,
)
from geobatch_tui.execution.runtime import evidence
from geobatch_tui.execution.worker.process import LIMITED
from geobatch_tui.orchestration.schedule.verdicts import failure_of

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import Failure, WorkerCause

#: Exit codes that our own kill gives.
_OURS = {-signal.SIGTERM, -signal.SIGKILL}


def death(
    exitcode: int | None,
    *,
    asked: WorkerCause | None,
    retiring: bool,
    oom: bool,
    said: str,
    torn: str = "",
) -> tuple[WorkerCause, Failure | None]:
    """Return cause and description of a worker's end.

    Args:
        exitcode: negative for a signal, None if nobody knows.
        asked: the cause for which the pool was to kill it.
        retiring: it was asked to end, and ran no task.
        oom: the kernel killed a process in this cgroup for want of memory since the last death.
        said: tail of its fd 2.
        torn: the defect of its pipe.
    """
    facts: dict[str, object] = {"exitcode": exitcode}
    if exitcode is not None and exitcode < 0:
        facts["signal"] = evidence.signal_name(exitcode)
    if said:
        facts["stderr"] = said
    if asked is not None and (exitcode is None or exitcode in _OURS or exitcode == 0):
        return asked, None if asked == "retired" else _asked(asked, facts)
    if retiring and exitcode == 0:
        return "retired", None
    if exitcode == -signal.SIGKILL and oom:
        text = "the kernel killed the worker: this machine or its cgroup ran out of memory"
        return "oom", failure_of(MemoryBudgetError, text, facts)
    if exitcode is None:
        text = "the worker is gone together with the fork server: somebody killed that"
        return "signal", failure_of(WorkerCrashError, text, facts)
    if exitcode == LIMITED:
        text = "the worker could start no thread: there are as many as this user may have"
        return "exit", failure_of(ProcessLimitError, text, facts)
    text = f"the worker {evidence.exit_words(exitcode)}"
    if exitcode == -signal.SIGKILL:
        text += ", which no crash sends: somebody killed it"
    if torn:
        text += f"; {torn}"
    return ("signal" if exitcode < 0 else "exit"), failure_of(WorkerCrashError, text, facts)


def _asked(cause: WorkerCause, facts: dict[str, object]) -> Failure:
    if cause == "timeout":
        return failure_of(ChunkTimeoutError, "it ran longer than its timeout and was ended", facts)
    if cause in ("memory", "oom"):
        text = "it grew over the memory budget and was ended"
        return failure_of(MemoryBudgetError, text, facts)
    return failure_of(WorkerCrashError, f"the worker was ended ({cause})", facts)
