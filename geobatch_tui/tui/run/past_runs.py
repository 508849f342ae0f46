"""Earlier runs: read from the ledgers of the directories that the user ran in, and compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.ledger.read.reader import RunRow

FIELDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("job", "state", "dir", "run"), "text"),
    **dict.fromkeys(("done", "dead"), "number"),
}
#: What runs can be sorted by: the largest or the last first, names from A on.
SORTS: Final[Mapping[str, Callable[[PastRun], float] | Callable[[PastRun], str]]] = {
    "began": lambda run: -(run.row.t0 if run.row else 0.0),
    "took": lambda run: -(run.seconds or 0.0),
    "done": lambda run: -(run.row.n_done if run.row else 0),
    "dead": lambda run: -(run.row.n_dead if run.row else 0),
    "/min": lambda run: -_rate(run),
    "out": lambda run: -(run.row.bytes_out if run.row else 0),
    "job": lambda run: run.name.casefold(),
    "state": lambda run: run.state,
}
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
            "done": row.n_done if row else 0,
            "dead": row.n_dead if row else 0,
        }


def gather(directories: Iterable[Path]) -> list[PastRun]:
    """Read the runs of all directories, the last begun first. Blocks: for a thread."""
    found = [run for directory in directories for run in _of(directory)]
    return sorted(found, key=lambda run: -(run.row.t0 if run.row else 0.0))


def _of(directory: Path) -> list[PastRun]:
    try:
        state = state_of_run(directory)
        with LedgerReader(state.ledger) as reader:
            rows, counts = reader.runs()[:_RUNS], reader.counts()
    except (GeobatchError, OSError) as error:
        return [PastRun(directory, None, "unreadable", note=safe(str(error)))]
    runs = [
        PastRun(directory, row, state_now(row, live=False), newest=False, place=state.outputs)
        for row in rows
    ]
    if rows:
        said = state_now(rows[0], live=is_live(rows[0], state.lock))
        left = counts["pending"] + counts["running"] + counts["retry"]
        dead, total = counts["dead"], counts["total"]
        runs[0] = replace(runs[0], state=said, newest=True, left=left, dead=dead, total=total)
    return runs


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
    """Return figures of a run, each for people and as a number."""
    work = row.seconds / row.n_done if row.n_done else 0.0
    return {
        "duration": (figures.duration(run.seconds), run.seconds or 0.0),
        "chunks/min": (rate_of(run), _rate(run)),
        "done": (figures.count(row.n_done), row.n_done),
        "dead": (figures.count(row.n_dead), row.n_dead),
        "retried": (figures.count(row.n_retry), row.n_retry),
        "work": (figures.duration(row.seconds), row.seconds),
        "work/chunk": (figures.duration(work, fine=True), work),
        "bytes in": (figures.size(row.bytes_in), row.bytes_in),
        "bytes out": (figures.size(row.bytes_out), row.bytes_out),
    }


def _share(before: float, after: float) -> str:
    """Return how much more or less a figure is; empty where it was nothing."""
    if not before:
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
