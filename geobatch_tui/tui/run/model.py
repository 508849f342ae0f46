"""Plain values of a run that the console shows; no Textual, no SQL."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from geobatch_tui.execution.protocol.messages import ChunkGrid, Json, chunk_place
from geobatch_tui.ledger.read.reader import Counts, ItemCounts
from geobatch_tui.observability import figures
from geobatch_tui.orchestration.state.letters import chunk_label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from geobatch_tui.ledger.read.reader import RunRow
    from geobatch_tui.ledger.schema.updates import ItemState
    from geobatch_tui.observability.host_report import HostReport

type Lattice = Json
"""``cols`` x ``rows`` nodes ``points`` (lon, lat or None) at equal steps over an item's units."""

NO_COUNTS: Final[Mapping[str, int]] = dict.fromkeys(Counts.__annotations__, 0)
NO_ITEMS: Final[Mapping[str, int]] = dict.fromkeys(ItemCounts.__annotations__, 0)


@dataclass(frozen=True, slots=True)
class ItemView:
    """An item and where its chunks stand in ``RunStore.states``.

    Attributes:
        first: position of its chunk 0 in ``states``.
        first_chunk: id of its chunk 0 in the ledger.
        columns, rows: of its grid of chunks, row-major; 1 x ``n`` where it was never planned.
        n: chunks.
        width, height: units of the whole item (pixels; a vector's height is 1), 0 if unknown.
        chunk_size: units of a full chunk, width and height.
        bounds_lonlat: west, south, east, north in degrees, or None.
        stages: grids of the chunks that come before those of the output; then ``columns`` is 1.
    """

    item_id: int
    key: str
    first: int
    first_chunk: int
    columns: int
    rows: int
    n: int
    width: int
    height: int
    chunk_size: tuple[int, int]
    bounds_lonlat: tuple[float, float, float, float] | None
    state: ItemState
    _load: Callable[[int], Lattice | None] = field(repr=False, compare=False)
    stages: tuple[ChunkGrid, ...] = ()

    @property
    def grids(self) -> tuple[ChunkGrid, ...]:
        """The grids of its stages and, last, of its output."""
        return (*self.stages, ChunkGrid(self.width, self.height, *self.chunk_size))

    @property
    def lattice(self) -> Lattice | None:
        """Longitudes and latitudes over the item, or None. Read from the ledger on first use."""
        return self._load(self.item_id)

    def label(self, index: int) -> str:
        """Return the name of chunk ``index``: ``item@row,col``, or ``item@stage1:row,col``."""
        if self.stages:
            return chunk_label(self.key, self.grids, index)
        row, col = divmod(index, self.columns)
        return f"{self.key}@{row},{col}"

    def window(self, index: int) -> tuple[int, int, int, int]:
        """Return column and row offset, width and height of chunk ``index`` in the item's units; of
        a chunk of a stage, those of the item."""
        if self.stages:
            number, grid, local = chunk_place(self.grids, index)
            behind = number == len(self.stages)
            return grid.window(local).srcwin if behind else (0, 0, self.width, self.height)
        row, col = divmod(index, self.columns)
        left, top = col * self.chunk_size[0], row * self.chunk_size[1]
        return (
            left,
            top,
            min(self.chunk_size[0], max(0, self.width - left)),
            min(self.chunk_size[1], max(0, self.height - top)),
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """Rates at one moment, as the engine noted them. ``t`` is UNIX time. ``totals`` of this run:
    chunks, units, bytes in and out; empty where they are unknown. ``held``: nothing was started."""

    t: float
    chunks_per_s: float
    units_per_s: float
    bytes_in_per_s: float
    bytes_out_per_s: float
    totals: tuple[float, ...] = ()
    held: bool = False


class Mark(NamedTuple):
    """A chunk that was given up (``dead``) or is tried again (``retry``); ``t`` is UNIX time."""

    t: float
    kind: str


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker. ``label`` and ``seconds`` tell of the unit that it is at; both empty: idle.
    ``done`` and ``failed`` are None where the run does not tell them."""

    number: int
    pid: int = 0
    rss_bytes: int = 0
    label: str = ""
    seconds: float = 0.0
    kind: str = ""
    done: int | None = None
    failed: int | None = None
    node: str = ""


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node of a cluster. ``state``: up, leaving, left, lost or refused, and ``why``; ``cpu``
    counts cores, ``memory_bytes`` is its limit. What is gone has no figures."""

    name: str
    label: str
    host: str
    state: str
    why: str = ""
    slots: int = 0
    busy: int = 0
    chunks_per_min: float = 0.0
    cpu: float = 0.0
    rss_bytes: int = 0
    memory_bytes: int = 0
    leases: int = 0

    @property
    def is_there(self) -> bool:
        return self.state in {"up", "leaving"}


@dataclass(frozen=True, slots=True)
class LetterView:
    """A dead letter in short. ``where`` is the chunk or item, for people; ``cause`` the message
    without what differs from chunk to chunk. ``dismissed`` is the note of an operator who knows of
    it, or None."""

    dead_id: int
    item_id: int
    chunk_id: int | None
    t: float
    attempts: int
    crashes: int
    error_class: str
    message: str
    cause: str
    stage: str
    where: str
    source: str
    suggestion: str
    dismissed: str | None = None


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """Dead letters of one cause: the class, and the message without what differs."""

    error_class: str
    message: str
    count: int
    where: str
    suggestion: str
    attempts: int
    first_t: float
    last_t: float
    letters: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class View:
    """A run at one moment.

    Attributes:
        state: ``reading`` before the first poll, ``waiting`` before the first run, ``planning``,
            ``running``, ``paused``, ``draining``, ``crashed``, or as the run ended.
        live: whether a process holds the run.
        now: UNIX time at which it was read.
        counts, items: by state, over the whole output directory.
        current: chunks that needed no work in this run.
        latest: the newest rates; ``history`` has those before, oldest first.
        eta_s: seconds to the end, between ``eta_low_s`` and ``eta_high_s`` four times of five.
        worked_s: seconds of work: neither planning nor pauses.
        still_s: seconds of work since a chunk was finished; from ``stall_s`` on the run stalls.
        finishing: outputs whose chunks are done and that are not published yet.
        suspended: why nothing new is admitted, or "".
        hosts: stores that it reads from and writes to, those that are away first.
        budget_bytes: memory that all workers may take; 0: not known.
        pid: the process that holds the run, on ``host``; 0: none does.
        marks: what went wrong lately, oldest first.
    """

    run: RunRow | None = None
    state: str = "waiting"
    live: bool = False
    now: float = 0.0
    host: str = ""
    counts: Mapping[str, int] = field(default_factory=lambda: NO_COUNTS)
    items: Mapping[str, int] = field(default_factory=lambda: NO_ITEMS)
    current: int = 0
    latest: Sample | None = None
    history: tuple[Sample, ...] = ()
    eta_s: float | None = None
    eta_low_s: float | None = None
    eta_high_s: float | None = None
    worked_s: float = 0.0
    still_s: float = 0.0
    stall_s: float = 0.0
    finishing: int = 0
    unit_name: str = "px"
    workers: tuple[WorkerRow, ...] = ()
    nodes: tuple[NodeRow, ...] = ()
    suspended: str = ""
    rss_bytes: int = 0
    groups: tuple[DeadGroup, ...] = ()
    hosts: tuple[HostReport, ...] = ()
    budget_bytes: int = 0
    pid: int = 0
    marks: tuple[Mark, ...] = ()

    @property
    def name(self) -> str:
        """The job's name, or the run's id, or nothing yet."""
        if self.run is None:
            return ""
        job = self.run.job.get("job", {}).get("job", {})
        return str(job.get("name", "")) or self.run.run_id

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began, up to its end."""
        if self.run is None:
            return 0.0
        end = self.run.t1 if self.run.t1 is not None else self.now
        return max(0.0, end - self.run.t0)

    @property
    def overall(self) -> Sample | None:
        """The rates of the run so far over the time that it worked; None before a chunk of it was
        done."""
        run, seconds = self.run, self.worked_s or self.elapsed_s
        if run is None or not run.n_done or not seconds:
            return None
        chunks, units, bytes_in, bytes_out = (total / seconds for total in run.totals)
        return Sample(run.t0, chunks, units, bytes_in, bytes_out)

    @property
    def stalls(self) -> bool:
        """Whether no chunk was finished for longer than is usual."""
        return self.live and 0 < self.stall_s <= self.still_s

    @property
    def dead_letters(self) -> int:
        """Dead letters of all groups: an item that was given up as a whole counts once."""
        return sum(group.count for group in self.groups)

    @property
    def settled(self) -> int:
        """Chunks that need no more work."""
        return self.counts["done"] + self.counts["dead"]


@dataclass(frozen=True, slots=True)
class Delta:
    """The changes that a poll found.

    Attributes:
        changed: positions in ``RunStore.states`` whose state changed, in no order.
        reshaped: items came, went or were planned anew: positions may have moved, and
            ``changed`` is empty.
        fresh: whether anything at all was committed since the poll before.
        alerts: what the run told since: event, title and text of each.
    """

    changed: Sequence[int]
    reshaped: bool
    fresh: bool
    view: View
    alerts: Sequence[tuple[str, str, str]] = ()


class Pending:
    """Joins the deltas of polls while the picture is frozen."""

    def __init__(self) -> None:
        self._changed: set[int] = set()
        self._reshaped = self._fresh = False

    def add(self, delta: Delta) -> None:
        """Keep the delta of a poll."""
        self._reshaped |= delta.reshaped
        self._fresh |= delta.fresh
        if self._reshaped:
            self._changed.clear()
        else:
            self._changed.update(delta.changed)

    def take(self, view: View) -> Delta:
        """Return the deltas kept so far as one, with the newest view, and forget them."""
        delta = Delta(tuple(self._changed), reshaped=self._reshaped, fresh=self._fresh, view=view)
        self._changed.clear()
        self._reshaped = self._fresh = False
        return delta


class Notice(NamedTuple):
    """A sentence for the operator."""

    title: str
    text: str
    severity: Literal["information", "warning", "error"]


def notices(before: View, now: View) -> Iterator[Notice]:
    """Yield notices of what changed between two views; none for the first view of a run."""
    if before.run is None or now.run is None or before.run.run_id != now.run.run_id:
        return
    if before.state != now.state:
        yield from _turned(now)
    if now.suspended and now.suspended != before.suspended and "operator" not in now.suspended:
        yield Notice("waiting", f"nothing new is started: {now.suspended}", "warning")
    known = {(node.label, node.state, node.why) for node in before.nodes}
    for node in now.nodes:
        if node.state in {"lost", "refused"} and (node.label, node.state, node.why) not in known:
            yield Notice(f"node {node.state}", f"{node.label}: {node.why}", "warning")


def _turned(now: View) -> Iterator[Notice]:
    run = now.run
    if now.state == "crashed":
        yield Notice(
            "crashed", "its process is gone; ^r on the run screen goes on with it", "error"
        )
    elif run is not None and run.t1 is not None:
        letters = figures.plural(now.dead_letters, "dead letter")
        done = figures.plural(now.counts["done"], "chunk")
        text = f"{done} done, {letters}, exit code {run.exit_code}"
        severity: Literal["information", "warning"] = (
            "information" if run.exit_code == 0 else "warning"
        )
        yield Notice(f"run ended: {now.state}", text, severity)
    elif now.state in {"paused", "draining"}:
        yield Notice(now.state, "chunks in flight are finished, no others are started", "warning")
