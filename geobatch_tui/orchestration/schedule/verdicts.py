"""Verdicts on units that failed or lost their worker: retry, bury, release, suspend or end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from geobatch_tui.errors import (
    ChunkTimeoutError,
    MemoryBudgetError,
    ProcessLimitError,
    Reaction,
    WorkerCrashError,
)
from geobatch_tui.execution.protocol.messages import Failure

if TYPE_CHECKING:
    from geobatch_tui.errors import GeobatchError
    from geobatch_tui.execution.protocol.messages import Json, WorkerCause
    from geobatch_tui.orchestration.schedule.backlog import Entry
    from geobatch_tui.orchestration.schedule.backoff import RetryBudget, RetryPolicy
    from geobatch_tui.orchestration.schedule.events import Unit

SUBDIVISIONS = 3
CRASHES = 2
#: Crashes of a unit that loses one part with each.
DIVISIONS = 256
#: Kills from outside that are no suspicion yet: the unit goes on with whoever is free. In the lane
#: it would need a fresh worker, which takes longer and so is hit more often.
PARDONED = 2
#: From then on it waits before each try, longer every time up to the last of these, in seconds.
KILL_STEP, KILL_WAIT = 0.05, 0.5
#: So many kills from outside over so many seconds convict a unit. If other workers were up and none
#: was hit in all that time, the unit causes its own kills. If none was up, the unit may just be the
#: last, as an assembly is, while somebody shoots at workers; but that ends at some time.
KILLS, KILL_SECONDS = 16, 600.0
#: Seconds until a unit is tried again that could start no process or thread, more each time; and
#: tries with one worker alone after which that ends the run.
FEWER_WAIT, FEWER_TRIES = 0.5, 6
#: Sent by somebody, not raised by what a unit computes; by number or by name.
_SENT = frozenset({1, 2, 9, 15, "SIGHUP", "SIGINT", "SIGKILL", "SIGTERM"})


class Action(Enum):
    RETRY = "retry"
    BURY = "bury"
    RELEASE = "release"  #: back to its queue without a mark
    FEWER = "fewer"  #: tried again, after a while, beside fewer workers
    SUSPEND = "suspend"  #: released, and the run pauses for space
    AWAY = "away"  #: released, and units of that store wait until it answers
    END = "end"  #: released, and the run ends


@dataclass(frozen=True, slots=True)
class Verdict:
    """An action for a unit. ``unit`` carries the new counts; ``delay`` is in seconds."""

    action: Action
    unit: Unit
    failure: Failure
    delay: float = 0.0


def from_outside(cause: WorkerCause, failure: Failure | None) -> bool:
    """Whether somebody else ended the worker: neither itself, nor we, nor the kernel for memory.
    ``evidence["signal"]`` says so; or ``evidence["exitcode"]`` is None, where the fork server was
    killed and took the exit code with it."""
    if cause != "signal" or failure is None or failure.evidence.get("oom"):
        return False
    facts = failure.evidence
    return facts.get("signal") in _SENT or facts.get("exitcode", 0) is None


def is_limited(failure: Failure | None) -> bool:
    """Whether the system refused a process or a thread, for which no unit is to blame."""
    return failure is not None and failure.error_class == ProcessLimitError.__name__


class Judge:
    """Judges by the retry policy and the retry budget of a run.

    ``Unit.attempts`` counts the tries that ended by the unit's own failure. Limits bound them:
    ``max_attempts`` for transient and unknown failures, 3 subdivisions, 2 crashes. So no unit is
    tried more than ``max_attempts`` + 4 times for reasons of its own.
    """

    def __init__(self, policy: RetryPolicy, budget: RetryBudget) -> None:
        self._shots = 0
        self._policy = policy
        self._budget = budget

    def failed(self, entry: Entry, failure: Failure) -> Verdict:  # noqa: PLR0911 - a table
        """Judge a failure that a worker answered."""
        unit = entry.unit
        if is_limited(failure):
            return Verdict(Action.FEWER, unit, failure, FEWER_WAIT)
        waits = self._policy.probes_wait or unit.kind.value != "probe"
        if failure.evidence.get("store") and waits:
            return Verdict(Action.AWAY, unit, failure)
        match failure.reaction:
            case Reaction.TRANSIENT:
                return self._transient(unit, failure)
            case Reaction.RESOURCE:
                return _short(unit, failure)
            case Reaction.SPACE:
                return Verdict(Action.SUSPEND, unit, failure)
            case Reaction.PERMANENT:
                return _bury(_tried(unit), failure, "trying again cannot help")
            case Reaction.POISON:
                return _crashed(unit, failure, alone=entry.suspect)
            case Reaction.FATAL:
                return Verdict(Action.END, unit, failure)
            case _:
                return self._unknown(entry, failure)

    def lost(
        self,
        entry: Entry,
        cause: WorkerCause,
        failure: Failure | None,
        now: float,
        limit: float = 0.0,
        *,
        others: int = 0,
    ) -> Verdict:
        """Judge a unit whose worker ended at ``now``. ``limit``: the seconds that the unit overran,
        where that was the cause. ``others``: how many workers are up beside it."""
        unit = entry.unit
        if failure is not None and is_limited(failure):
            return Verdict(Action.FEWER, unit, failure, FEWER_WAIT)
        if from_outside(cause, failure) and failure is not None:
            return self._killed(entry, failure, now, others)
        match cause:
            case "retired":
                return Verdict(
                    Action.RELEASE, unit, failure or failure_of(WorkerCrashError, "ended")
                )
            case "oom" | "memory":
                who = "the kernel ended" if cause == "oom" else "geobatch ended"
                text = f"{who} the worker: it used more memory than there is"
                failure = failure or failure_of(MemoryBudgetError, text)
                return _short(unit, replace(failure, reaction=Reaction.RESOURCE))
            case "timeout":
                failure = failure or failure_of(ChunkTimeoutError, f"ran longer than {limit:g} s")
                evidence = {**failure.evidence, "timeout_s": limit}
                failure = replace(failure, reaction=Reaction.POISON, evidence=evidence)
                return _crashed(unit, failure, alone=False)
            case _:
                failure = failure or failure_of(WorkerCrashError, "the worker process died")
                failure = replace(failure, reaction=Reaction.POISON)
                return _crashed(unit, failure, alone=entry.suspect)

    def stray(self) -> None:
        """Note that a worker was killed from outside while it ran nothing."""
        self._shots += 1

    def _killed(self, entry: Entry, failure: Failure, now: float, others: int) -> Verdict:
        """Judge a kill from outside: no fault of the unit, unless they never end or hit only it."""
        self._shots += 1
        if not others or self._shots - entry.last_shot > 1:
            entry.alone = 0
        entry.last_shot, entry.alone = self._shots, entry.alone + 1
        if not entry.kills:
            entry.first_kill = now
        entry.kills += 1
        if entry.kills <= PARDONED:
            return Verdict(Action.RELEASE, entry.unit, failure)
        unit = replace(entry.unit, strikes=entry.unit.strikes + 1)
        seconds = now - entry.first_kill
        if entry.kills >= KILLS and (seconds >= KILL_SECONDS or entry.alone >= KILLS):
            why = f"its worker was killed {entry.kills} times in {seconds:.0f} s"
            return _bury(_tried(unit), replace(failure, reaction=Reaction.POISON), why)
        delay = min(KILL_STEP * (entry.kills - PARDONED), KILL_WAIT)
        return Verdict(Action.RETRY, unit, failure, delay)

    def _transient(self, unit: Unit, failure: Failure) -> Verdict:
        unit = _tried(unit)
        if unit.attempts >= self._policy.max_attempts:
            return _bury(unit, failure, "all attempts are used up")
        if not self._budget.spend():
            return _bury(unit, failure, "the retry budget of the run is used up")
        delay = self._policy.delay(unit.key, unit.attempts, failure.retry_after)
        return Verdict(Action.RETRY, unit, failure, delay)

    def _unknown(self, entry: Entry, failure: Failure) -> Verdict:
        unit = _tried(entry.unit)
        entry.unknowns += 1
        if entry.unknowns > 1 or unit.attempts >= self._policy.max_attempts:
            return _bury(unit, failure, "failed again after one retry")
        return Verdict(Action.RETRY, unit, failure, self._policy.delay(unit.key, unit.attempts))


def _short(unit: Unit, failure: Failure) -> Verdict:
    unit = _tried(unit)
    if unit.subdivide >= SUBDIVISIONS:
        return _bury(unit, failure, "failed in the smallest sub-windows too")
    return Verdict(Action.RETRY, replace(unit, subdivide=unit.subdivide + 1), failure)


def _crashed(unit: Unit, failure: Failure, *, alone: bool) -> Verdict:
    """Judge a crash: alone in the lane it convicts. Two timeouts do, for a strike says little of a
    unit that is only slow. A divisible unit is tried on: each try leaves out the part that the last
    one died of, and the operation gives up where it does not know the part."""
    unit = replace(_tried(unit), crashes=unit.crashes + 1)
    limit = DIVISIONS if unit.divisible else CRASHES
    if (alone and not unit.divisible) or unit.crashes >= limit:
        return _bury(unit, failure, "ended or blocked its worker while it ran alone")
    return Verdict(Action.RETRY, unit, failure)


def _tried(unit: Unit) -> Unit:
    return replace(unit, attempts=unit.attempts + 1)


def _bury(unit: Unit, failure: Failure, why: str) -> Verdict:
    failure = replace(failure, evidence={**failure.evidence, "given_up": why})
    return Verdict(Action.BURY, unit, failure)


def failure_of(error: type[GeobatchError], message: str, evidence: Json | None = None) -> Failure:
    """Return the failure of a class of which nobody raised an error."""
    hint = error.default_hint
    return Failure(error.__name__, error.reaction, message, hint=hint, evidence=evidence or {})


def hopeless(unit: Unit, budget: int) -> Failure:
    """Return the failure of a unit that would not fit into ``budget`` bytes even alone."""
    message = (
        f"needs about {unit.bytes / 2**20:.0f} MiB at once, and the memory budget is "
        f"{budget / 2**20:.0f} MiB"
    )
    return failure_of(MemoryBudgetError, message)
