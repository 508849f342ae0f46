"""Units of work, and the messages between scheduler and shell: events in, decisions out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geobatch_tui.execution.protocol.messages import Failure, WorkerCause


class Kind(StrEnum):
    PROBE = "probe"
    CHUNK = "chunk"
    FINALISE = "finalise"
    INSPECT = "inspect"


Key = tuple[Kind, int]
"""The identity of a unit: its kind and the id of a chunk, or of an item for the other kinds."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of work that is dispatched, retried or given up as a whole.

    ``bytes`` is the predicted peak memory in a worker, ``handles`` the open files it needs.
    ``strikes`` counts engine deaths and worker losses that it may have caused: one or more sends it
    to the lane of suspects. ``attempts`` and ``crashes`` are those of earlier runs. ``divisible``:
    each crash tells the operation which part to leave out, so that crashes do not condemn the unit.
    ``strip``: units of the same one that follow each other read some of the same bytes, which the
    worker that did the one before has at hand; None: they do not. ``unmeasured``: a function of the
    user is in it that does not say what memory it takes, so that ``bytes`` is a guess.
    ``held``: how many such units a worker holds at least, as it fetches for those that wait.
    ``store``: the store that it reads, as ``s3://bucket``; it waits while that one is away.
    """

    kind: Kind
    ident: int
    bytes: int = 0
    handles: int = 1
    attempts: int = 0
    crashes: int = 0
    strikes: int = 0
    subdivide: int = 0
    divisible: bool = False
    strip: int | None = None
    unmeasured: bool = False
    held: int = 1
    store: str = ""

    @property
    def key(self) -> Key:
        return (self.kind, self.ident)


class Level(StrEnum):
    """Rungs of the memory pressure ladder: shares of the budget that the process tree occupies."""

    CALM = "calm"  #: under 70 %
    HOLD = "hold"  #: 70 %: admit nothing new
    PAUSE = "pause"  #: 85 %: admit nothing new, and say so
    KILL = "kill"  #: 95 %: end the youngest worker that exceeds its prediction


# --- events ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Offered:
    """Units that may be scheduled, in order of preference."""

    units: tuple[Unit, ...]


@dataclass(frozen=True, slots=True)
class Exhausted:
    """The last unit was offered."""


@dataclass(frozen=True, slots=True)
class Reopened:
    """Units will be offered after all: dead letters are tried again. ``Exhausted`` follows anew."""


@dataclass(frozen=True, slots=True)
class WorkerUp:
    """A worker takes tasks. ``rss``: what it occupies before any work, in bytes (0: unknown);
    ``fresh``: it has not worked on anything yet. Pools tell it, with the ``pid``, and on a cluster
    with the ``node`` and its ``host``."""

    worker: int
    rss: int = 0
    fresh: bool = True
    pid: int = 0
    node: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class WorkersKept:
    """Workers that were up before, all at once: if they came one by one, others would be started in
    place of the last."""

    workers: tuple[WorkerUp, ...]


@dataclass(frozen=True, slots=True)
class Succeeded:
    worker: int
    key: Key
    seconds: float
    rss_peak: int


@dataclass(frozen=True, slots=True)
class Failed:
    worker: int
    key: Key
    failure: Failure


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker ended. ``running`` is the unit that it worked on, if any: it alone is to blame. The
    units queued behind it go back without a mark."""

    worker: int
    running: Key | None
    cause: WorkerCause
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: look at timeouts, waiting retries, the lane. ``compiling``: workers that
    compile machine code, whose units are not charged with that time."""

    compiling: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Pressure:
    """``worker``: the one to end at Level.KILL."""

    level: Level
    worker: int | None = None


@dataclass(frozen=True, slots=True)
class Space:
    """Free disk is back above (``ok``) or fell under the low-water mark."""

    ok: bool


@dataclass(frozen=True, slots=True)
class StoreAway:
    """A store takes no outputs, or too few, or gives no source, for the ``reason`` of a suspension,
    and is not to be asked for so many ``seconds``."""

    reason: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class StoreBack:
    """A store that was away answers again; ``reason``: that of the suspension."""

    reason: str


@dataclass(frozen=True, slots=True)
class Resized:
    """The machines that workers run on are others now. ``workers``: how many there is room for;
    ``budget`` in bytes for all, ``handles``: open files of all; ``nodes``: bytes for the workers of
    each. Pools of a cluster tell it."""

    workers: int
    budget: int
    handles: int
    nodes: Mapping[str, int] = field(default_factory=dict)


class Verb(StrEnum):
    PAUSE = "pause"
    RESUME = "resume"
    DRAIN = "drain"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Command:
    verb: Verb


@dataclass(frozen=True, slots=True)
class SetWorkers:
    count: int


Event = (
    Offered
    | Exhausted
    | Reopened
    | WorkerUp
    | WorkersKept
    | Succeeded
    | Failed
    | WorkerLost
    | Tick
    | Pressure
    | Space
    | StoreAway
    | StoreBack
    | Command
    | Resized
    | SetWorkers
)


# --- decisions ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Send the unit to the worker. ``attempt`` counts from 1; ``lane``: alone, in isolation."""

    worker: int
    unit: Unit
    attempt: int
    lane: bool


@dataclass(frozen=True, slots=True)
class Retry:
    """The unit failed and waits. ``delay`` in seconds from now; ``unit`` carries the new counts."""

    unit: Unit
    delay: float
    failure: Failure


@dataclass(frozen=True, slots=True)
class Bury:
    """The unit is given up: a dead letter."""

    unit: Unit
    failure: Failure


@dataclass(frozen=True, slots=True)
class Release:
    """The unit goes back to pending without a mark (queued behind a lost worker, cancelled)."""

    unit: Unit


@dataclass(frozen=True, slots=True)
class StartWorker:
    pass


@dataclass(frozen=True, slots=True)
class RetireWorker:
    """Ask an idle worker to end by itself."""

    worker: int


@dataclass(frozen=True, slots=True)
class KillWorker:
    worker: int
    cause: WorkerCause


@dataclass(frozen=True, slots=True)
class Refill:
    """The queue runs low: offer up to ``count`` more."""

    count: int


@dataclass(frozen=True, slots=True)
class Suspend:
    """Admission stopped: ``reason`` is space, memory, breaker, or operator; or that of the units of
    a store, which is away, or asks for a pause of ``seconds``."""

    reason: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Unsuspend:
    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The phase is over. ``reason``: complete, drained, cancelled,
    failures (max_failures), systemic (breaker), space, crash-loop, fatal."""

    reason: str
    failure: Failure | None = None


Decision = (
    Dispatch
    | Retry
    | Bury
    | Release
    | StartWorker
    | RetireWorker
    | KillWorker
    | Refill
    | Suspend
    | Unsuspend
    | Finish
)
