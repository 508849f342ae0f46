"""The cause of a worker's death, from what is left of it."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from geobatch_tui.execution.worker.process import LIMITED
from geobatch_tui.orchestration.workers.deaths import death


def end(exitcode: int | None, **more: Any) -> tuple[str, str, dict[str, Any]]:
    """Cause, class of the error, and its evidence."""
    values: dict[str, Any] = {"asked": None, "retiring": False, "oom": False, "said": ""}
    cause, failure = death(exitcode, **(values | more))
    if failure is None:
        return cause, "", {}
    return cause, failure.error_class, dict(failure.evidence)


@pytest.mark.parametrize(
    ("exitcode", "more", "cause", "error"),
    [
        (0, {"retiring": True}, "retired", ""),
        (0, {"asked": "retired"}, "retired", ""),
        (-signal.SIGTERM, {"asked": "timeout"}, "timeout", "ChunkTimeoutError"),
        (-signal.SIGKILL, {"asked": "memory"}, "memory", "MemoryBudgetError"),
        (None, {"asked": "exit"}, "exit", "WorkerCrashError"),
        # It crashed before it could be killed.
        (-signal.SIGSEGV, {"asked": "timeout"}, "signal", "WorkerCrashError"),
        (0, {}, "exit", "WorkerCrashError"),
        (1, {"retiring": True}, "exit", "WorkerCrashError"),
        (-signal.SIGKILL, {"oom": True}, "oom", "MemoryBudgetError"),
        (-signal.SIGTERM, {"oom": True}, "signal", "WorkerCrashError"),
        (-signal.SIGKILL, {}, "signal", "WorkerCrashError"),
        (None, {}, "signal", "WorkerCrashError"),
        (LIMITED, {}, "exit", "ProcessLimitError"),
    ],
)
def test_causes(exitcode: int | None, more: dict[str, Any], cause: str, error: str) -> None:
    assert end(exitcode, **more)[:2] == (cause, error)


def test_the_evidence_of_a_crash() -> None:
    """The signal's name, the end of its fd 2, and what was wrong with its pipe."""
    cause, failure = death(
        -signal.SIGSEGV, asked=None, retiring=False, oom=False, said="stack", torn="it was torn"
    )
    assert (cause, failure is None) == ("signal", False)
    assert failure is not None
    assert failure.evidence == {"exitcode": -11, "signal": "SIGSEGV", "stderr": "stack"}
    assert failure.message.endswith("; it was torn")


def test_a_kill_from_outside_is_told_from_a_crash() -> None:
    _, failure = death(-signal.SIGKILL, asked=None, retiring=False, oom=False, said="")
    assert failure is not None
    assert "somebody killed it" in failure.message
