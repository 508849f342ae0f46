"""The state of a run and its end: counts, status, result, exit code."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from geobatch_tui.errors import CrsError, ExitCode, UnsupportedFormatError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.ledger.read.reader import LedgerReader


@dataclass(slots=True)
class Tally:
    """Running counts of a run. Chunks: ``done`` by this invocation, ``current`` before it.
    ``dead_by_class`` counts all dead letters on file, those of earlier runs included;
    ``quarantined`` counts features that published items had to leave out, ``undefined`` pixels of
    theirs that have a result which is no number."""

    total: int = 0
    done: int = 0
    current: int = 0
    dead: int = 0
    running: int = 0
    items: int = 0
    published: int = 0
    held: int = 0
    items_dead: int = 0
    quarantined: int = 0
    undefined: int = 0
    dead_by_class: dict[str, int] = field(default_factory=dict)

    @property
    def pending(self) -> int:
        settled = self.done + self.current + self.dead + self.running
        return max(0, self.total - settled)

    def bury(self, error_class: str) -> None:
        self.dead_by_class[error_class] = self.dead_by_class.get(error_class, 0) + 1

    def lose(self, chunks: int) -> None:
        """Count chunks that have to be done again as not done, those of this run first."""
        mine = min(self.done, chunks)
        self.done -= mine
        self.current -= chunks - mine

    def settle(self, reader: LedgerReader) -> None:
        """Take the counts of dead, held and published from the ledger."""
        items = reader.item_counts()
        self.dead = reader.counts()["dead"]
        self.published, self.held = items["published"], items["held"]
        self.items_dead = items["dead"]
        self.dead_by_class = dict(reader.dead_by_class())
        self.quarantined = reader.quarantined_features()
        self.undefined = reader.undefined_pixels()

    def counts(self) -> dict[str, int]:
        """Return the object ``counts`` of the JSON results."""
        return {
            "total": self.total,
            "done": self.done,
            "current": self.current,
            "dead": self.dead,
            "skipped": 0,
            "pending": self.pending,
            "running": self.running,
        }

    def item_counts(self) -> dict[str, int]:
        """Return the object ``items`` of the JSON results."""
        return {
            "total": self.items,
            "published": self.published,
            "held": self.held,
            "dead": self.items_dead,
        }


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run at one moment; ``to_json`` is the shape of ``status --json``. ``exit_code`` is None
    before its end. ``undefined_pixels``: of published items, with a result that is no number."""

    run_id: str
    state: str
    exit_code: int | None
    reason: str
    output_dir: str
    duration_s: float
    counts: Mapping[str, int]
    items: Mapping[str, int]
    rates: Json
    undefined_pixels: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RunResult(RunStatus):
    """The end of ``geobatch run``; ``to_json`` is the shape of ``run --json``."""

    exit_code: int
    dead_by_class: Mapping[str, int] = field(default_factory=dict)
    dead_letters: Sequence[Json] = ()
    warnings: Sequence[str] = ()


def exit_code(reason: str, tally: Tally, signal: int | None) -> int:
    """Return the exit code of a run that ended for ``reason`` (see :class:`events.Finish`)."""
    if reason == "complete":
        return _complete(tally)
    if reason in {"drained", "cancelled"} and signal is not None:
        return 128 + signal
    return {
        "drained": ExitCode.SIGINT,
        "cancelled": ExitCode.SIGINT,
        "deadline": ExitCode.DEADLINE,
        "failures": ExitCode.FAILURES,
        "systemic": ExitCode.FAILURES,
    }.get(reason, ExitCode.ENVIRONMENT)


def _complete(tally: Tally) -> int:
    if not tally.dead and not tally.held and not tally.items_dead:
        return ExitCode.PARTIAL if tally.quarantined else ExitCode.OK
    if tally.published or tally.done or tally.current:
        return ExitCode.PARTIAL
    classes = set(tally.dead_by_class)
    if classes == {CrsError.__name__}:
        return ExitCode.CRS
    if classes == {UnsupportedFormatError.__name__}:
        return ExitCode.UNSUPPORTED_FORMAT
    return ExitCode.RUNTIME


def state_of(code: int) -> str:
    """Return the final state of a run by its exit code."""
    return {
        ExitCode.OK: "success",
        ExitCode.PARTIAL: "partial",
        ExitCode.SIGINT: "interrupted",
        ExitCode.SIGTERM: "interrupted",
        ExitCode.DEADLINE: "interrupted",
        ExitCode.FAILURES: "stopped",
        ExitCode.ENVIRONMENT: "stopped",
    }.get(code, "failed")
