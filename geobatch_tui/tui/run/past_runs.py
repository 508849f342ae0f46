"""Earlier runs: read from the ledgers of the directories that the user ran in, and compared."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from geobatch_tui.config.fields import leaves
from geobatch_tui.config.layers import flat
from geobatch_tui.errors import GeobatchError
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.observability import figures
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.state.run_view import is_live, state_now
from geobatch_tui.orchestration.state.session import state_of_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.ledger.read.reader import RunRow

FIELDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("job", "state", "dir", "run", "kind", "host", "note"), "text"),
    **dict.fromkeys(("done", "dead"), "number"),
}
#: What runs can be sorted by: the largest or the last first, names from A on.
SORTS: Final[Mapping[str, Callable[[PastRun], float] | Callable[[PastRun], str]]] = {
    "began": lambda run: -run.began,
    "took": lambda run: -(run.seconds or 0.0),
    "done": lambda run: -(run.row.n_done if run.row else 0),
    "dead": lambda run: -(run.row.n_dead if run.row else 0),
    "/min": lambda run: -_rate(run),
    "out": lambda run: -(run.row.bytes_out if run.row else 0),
    "job": lambda run: run.name.casefold(),
    "kind": lambda run: run.kind,
    "state": lambda run: run.state,
}
#: Sorted by their names, unless the other way round is asked for.
ASCENDING: Final = frozenset({"job", "kind", "state"})
_RUNS: Final = 50  #: of one directory


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run of the history.

    Attributes:
        row: as the ledger has it; None where that cannot be read, which ``note`` tells.
        newest: of its directory; only then ``left`` and ``dead`` are what is left there now.
        left: chunks that are not done in the directory, dead ones apart.
        total: chunks of the directory's job.
        place: where its outputs are: the directory, or the URL of a prefix in a store.
        seen: UNIX time at which a run last began there, where there is no row.
        remark: the user's note to it.
        follows: whether there is an earlier run of the directory, with which it went on.
        pace: chunks a second over its time, in equal steps; empty where that is not known.
    """

    directory: Path
    row: RunRow | None
    state: str
    newest: bool = True
    left: int = 0
    dead: int = 0
    total: int = 0
    note: str = ""
    place: str = ""
    seen: float = 0.0
    remark: str = ""
    follows: bool = False
    pace: tuple[float, ...] = ()

    @property
    def began(self) -> float:
        """UNIX time at which it began, as far as that is known."""
        return self.row.t0 if self.row else self.seen

    @property
    def kind(self) -> str:
        """What is done: the operation, of a chain its steps; ``+`` where it went on with an earlier
        run: it did what that one had left."""
        op = self.row.job.get("job", {}).get("op", {}) if self.row else {}
        if not isinstance(op, dict):
            return ""
        steps = op.get("steps") if isinstance(op.get("steps"), list) else ()
        names = [str(step.get("name", "")) for step in steps or () if isinstance(step, dict)]
        said = " ! ".join(names) or str(op.get("name") or "").rpartition(".")[2]
        return safe(f"+{said}" if self.follows and said else said, 60)

    @property
    def name(self) -> str:
        """The job's name."""
        job = self.row.job.get("job", {}).get("job", {}) if self.row else {}
        return safe(str(job.get("name") or "?"))

    @property
    def run_id(self) -> str:
        """The run's id, for people."""
        return safe(self.row.run_id) if self.row else ""

    @property
    def host(self) -> str:
        """The host that its engine was on; empty where an earlier geobatch ran it."""
        return safe(self.row.host) if self.row else ""

    @property
    def key(self) -> tuple[str, str]:
        """Key of the run among all runs."""
        return str(self.directory), self.row.run_id if self.row else ""

    @property
    def seconds(self) -> float | None:
        """Seconds that it took; None while it goes on."""
        return None if self.row is None or self.row.t1 is None else self.row.t1 - self.row.t0

    def fields(self) -> dict[str, str | float]:
        """Return the values that a filter looks at, by name."""
        row = self.row
        return {
            "job": self.name,
            "state": self.state,
            "dir": safe(self.place or str(self.directory)),
            "run": self.run_id,
            "kind": self.kind,
            "host": self.host,
            "note": self.remark,
            "done": row.n_done if row else 0,
            "dead": row.n_dead if row else 0,
        }


def gather(directories: Iterable[Path], lost: Iterable[tuple[Path, float]] = ()) -> list[PastRun]:
    """Read the runs of all directories, the last begun first. Blocks: for a thread. ``lost``:
    directories that hold no run any more, and when one last began there."""
    found = [run for directory in directories for run in _of(directory)]
    for directory, t in lost:
        said = "no run is left in it" if directory.is_dir() else "the directory is gone"
        found.append(PastRun(directory, None, "gone", note=said, seen=t))
    return sorted(found, key=lambda run: -run.began)


def _of(directory: Path) -> list[PastRun]:
    try:
        state = state_of_run(directory)
        if not state.ledger.exists():
            return [_unbegun(directory)]
        with LedgerReader(state.ledger) as reader:
            rows, counts = reader.runs(), reader.counts()
    except (GeobatchError, OSError) as error:
        return [PastRun(directory, None, "unreadable", note=safe(str(error)))]
    runs = [
        PastRun(
            directory,
            row,
            state_now(row, live=False),
            newest=False,
            place=state.outputs,
            follows=number + 1 < len(rows),
        )
        for number, row in enumerate(rows[:_RUNS])
    ]
    if not rows:
        return [_unbegun(directory)]
    said = state_now(rows[0], live=is_live(rows[0], state.lock))
    left = counts["pending"] + counts["running"] + counts["retry"]
    dead, total = counts["dead"], counts["total"]
    runs[0] = replace(runs[0], state=said, newest=True, left=left, dead=dead, total=total)
    return runs


def _unbegun(directory: Path) -> PastRun:
    """Return a run that failed before it began: its state directory is there, and no run in it."""
    said = "it failed before it began: nothing was planned"
    try:
        t = (directory / ".geobatch").stat().st_mtime
    except OSError:
        t = 0.0
    return PastRun(directory, None, "never began", note=said, seen=t)


def paces(directory: Path, runs: Iterable[RunRow], steps: int) -> dict[str, tuple[float, ...]]:
    """Return how many chunks a second runs of a directory finished in each of so many equal steps
    of their time, by their ids; runs of which the ledger has no notes any more are left out.
    Blocks: for a thread. Raises GeobatchError where the ledger cannot be read."""
    with LedgerReader(state_of_run(directory).ledger) as reader:
        noted = reader.totals_over_time()
    found = {}
    for row in runs:
        end = row.t1 if row.t1 is not None else noted[-1][0] if noted else row.t0
        own = [(t, total) for t, total in noted if row.t0 <= t <= end]
        if len(own) > 1 and end > row.t0:
            found[row.run_id] = _pace([(row.t0, 0.0), *own, (end, row.n_done)], steps)
    return found


def _pace(noted: Sequence[tuple[float, float]], steps: int) -> tuple[float, ...]:
    """Return how fast a total grows in equal steps of time, a second; between two notes it grows
    evenly."""
    start, end = noted[0][0], noted[-1][0]
    bars = [0.0] * steps
    width = (end - start) / steps
    for (t0, before), (t1, after) in pairwise(noted):
        gain = max(0.0, after - before)
        first, last = (min(steps - 1, int((t - start) / width)) for t in (t0, t1))
        for step in range(first, last + 1):
            low, high = max(t0, start + step * width), min(t1, start + (step + 1) * width)
            part = (high - low) / (t1 - t0) if t1 > t0 else float(step == last)
            bars[step] += gain * max(0.0, part) / width
    return tuple(bars)


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference of two runs; ``semantic``: it changes the bytes of outputs. ``share``: how much
    more or less a figure is, in percent."""

    what: str
    before: str
    after: str
    semantic: bool = False
    share: str = ""


def compare(before: PastRun, after: PastRun) -> list[Difference]:
    """Return the differences of two runs: figures first, then values of the job, then versions."""
    if before.row is None or after.row is None:
        return []
    first, second = before.row, after.row
    old, new = _figures(before, first), _figures(after, second)
    found = [
        Difference(name, old[name][0], new[name][0], share=_share(old[name][1], new[name][1]))
        for name in old
        if old[name][0] != new[name][0]
    ]
    found += changed(first.job.get("job", {}), second.job.get("job", {}))
    versions = _differing(first.versions, second.versions)
    return found + sorted(versions, key=lambda entry: entry.what)


def _figures(run: PastRun, row: RunRow) -> dict[str, tuple[str, float]]:
    """Return figures of a run, each for people and as a number: NaN, as long as there is none."""
    work = row.seconds / row.n_done if row.n_done else math.nan
    seconds = run.seconds or math.nan
    return {
        "duration": (figures.duration(run.seconds), seconds),
        "chunks/min": (rate_of(run), math.nan if math.isnan(seconds) else _rate(run)),
        "done": (figures.count(row.n_done), row.n_done),
        "dead": (figures.count(row.n_dead), row.n_dead),
        "retried": (figures.count(row.n_retry), row.n_retry),
        "work": (figures.duration(row.seconds), row.seconds),
        "work/chunk": ("-" if math.isnan(work) else figures.duration(work, fine=True), work),
        "bytes in": (figures.size(row.bytes_in), row.bytes_in),
        "bytes out": (figures.size(row.bytes_out), row.bytes_out),
    }


def _share(before: float, after: float) -> str:
    """Return how much more or less a figure is; empty where it was nothing, or there is none."""
    if not before or math.isnan(before + after):
        return ""
    share = round(100 * (after - before) / before)
    return f"{share:+,} %" if share else ""


def changed(before: Json, after: Json) -> list[Difference]:
    """Return values of two jobs that differ, those that change outputs first."""
    kinds = _kinds(after) | _kinds(before)
    found = [
        replace(entry, semantic=_kind(entry.what, kinds) == "semantic")
        for entry in _differing(flat(before), flat(after))
    ]
    return sorted(found, key=lambda entry: not entry.semantic)


def _differing(old: Mapping[str, object], new: Mapping[str, object]) -> list[Difference]:
    return [
        Difference(safe(key), _text(old.get(key)), _text(new.get(key)))
        for key in dict.fromkeys((*old, *new))
        if old.get(key) != new.get(key)
    ]


def _kinds(job: Json) -> dict[str, str]:
    try:
        known = leaves(str(job.get("op", {}).get("name", "")))
    except GeobatchError:  # an operation that is not installed here
        known = leaves()
    return {key: leaf.kind for key, leaf in known.items()}


def _kind(key: str, kinds: Mapping[str, str]) -> str:
    return kinds.get(key) or kinds.get(".".join(key.split(".")[:2]), "")


def rate_of(run: PastRun) -> str:
    """Return chunks a minute over the whole run."""
    return figures.amount(_rate(run)) if run.row is not None and run.seconds else "-"


def _rate(run: PastRun) -> float:
    return 60 * run.row.n_done / run.seconds if run.row is not None and run.seconds else 0.0


def _text(value: object) -> str:
    return "-" if value is None else safe(str(value), 60)
