"""The end of a run: its exit code, its record in ledger and log, its result."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from geobatch_tui.errors import ExitCode, GeobatchError
from geobatch_tui.ledger.place.durable import write_json_atomic
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.state.letters import first_letters
from geobatch_tui.orchestration.state.outcome import RunResult, exit_code, state_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.execution.protocol.messages import Failure
    from geobatch_tui.orchestration.run.monitor import Monitor
    from geobatch_tui.orchestration.state.session import Session


async def end_run(
    session: Session,
    monitor: Monitor,
    reason: str,
    *,
    signal: int | None,
    fatal: GeobatchError | None,
    cause: Failure | None = None,
    warnings: Sequence[str],
) -> RunResult:
    """Record the end of a run and return its result.

    Args:
        session: still open.
        monitor: counts and rates.
        reason: why it ended (see :class:`events.Finish`).
        signal: the first signal that it got, if any.
        fatal: the error that ended it; recorded as far as that can be done.
        cause: the failure of a worker that ended it.
        warnings: of the plan.
    """
    tally = monitor.tally
    tally.running = 0
    if fatal is None:
        # Every publication is durable before anything is called a success.
        await session.flush()
        tally.settle(session.reader)
        code = exit_code(reason, tally, signal)
        if cause is not None:
            reason = _explain(session, reason, cause)
    else:
        code, reason = fatal.exit_code, fatal.message
    state = "refused" if code == ExitCode.USAGE else state_of(code)
    monitor.last_note()
    session.put(lu.RunEnded(state, code, reason))
    if fatal is None or code == ExitCode.USAGE:
        await session.flush()
    result = _result(session, monitor, state, code, reason, warnings)
    # The summary is a copy for people: a full disk must not turn the end into an error.
    with contextlib.suppress(GeobatchError):
        write_json_atomic(session.state.summary, result.to_json())
    monitor.state, monitor.reason = state, reason
    await monitor.notifier.end(monitor.snapshot, code)
    # The last line of the log, for which there is room on a full disk.
    session.last_words.release()
    session.log.run_exit(code, reason, tally.counts(), result.dead_letters, state=state)
    return result


def _result(
    session: Session,
    monitor: Monitor,
    state: str,
    code: int,
    reason: str,
    warnings: Sequence[str],
) -> RunResult:
    """Return the result of a run, by what its ledger and its monitor say."""
    tally = monitor.tally
    return RunResult(
        run_id=session.run_id,
        state=state,
        exit_code=code,
        reason=reason,
        output_dir=session.state.outputs,
        duration_s=round(time.monotonic() - session.started, 3),
        counts=tally.counts(),
        items=tally.item_counts(),
        rates=monitor.overall(),
        undefined_pixels=tally.undefined,
        dead_by_class=tally.dead_by_class,
        dead_letters=first_letters(session.reader),
        warnings=warnings,
    )


def _explain(session: Session, reason: str, cause: Failure) -> str:
    session.log.emit(
        "run.failed",
        level="error",
        message=f"{cause.error_class}: {cause.message}",
        stage=cause.stage,
        error_class=cause.error_class,
        error_message=cause.message,
        hint=cause.hint or None,
        traceback=cause.traceback or None,
        stderr=cause.evidence.get("stderr"),
    )
    return f"{reason}: {cause.error_class}: {safe(cause.message)}"
