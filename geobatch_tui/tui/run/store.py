"""The store of a run, read from the ledger alone, whether live, finished or crashed."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

from geobatch_tui.errors import StateError
from geobatch_tui.ledger.place.lock import read_holder
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.observability.text import harmless, safe
from geobatch_tui.orchestration.side_tasks.notifier import ALERT
from geobatch_tui.orchestration.state.run_view import is_live, state_now
from geobatch_tui.orchestration.state.session import state_of_run
from geobatch_tui.tui.run.cause_groups import grouped, normalised
from geobatch_tui.tui.run.chunk_states import Chunks, lattice_of
from geobatch_tui.tui.run.model import Delta, ItemView, LetterView, Mark, Sample, View
from geobatch_tui.tui.run.progress_rates import latest, sample

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from geobatch_tui.execution.protocol.messages import Json
    from geobatch_tui.ledger.read.columns import Letter
    from geobatch_tui.ledger.read.reader import Counts, EventRow, ItemCounts, RunRow
    from geobatch_tui.tui.run.model import DeadGroup, Lattice

_PAGE: Final = 4096
_MANY: Final = 50_000  #: events; above, reading all states anew is cheaper
_HISTORY: Final = 3600
_MARKS: Final = 1000
_MENDS: Final = 3

_RESTARTING: Final = frozenset({"run_started", "recovered", "requeued"})
_RESHAPING: Final = frozenset({"planned", "adopted", "item", "published"})
_BURYING: Final = frozenset({"dead", "planned", "adopted", "item"})


class RunStore:
    """Reads the run of an output directory and follows it. Its methods may be called from any
    thread; they take turns.

    Attributes:
        letters: dead letters by id, in the order of their death. Replaced, never changed.
        view: the run as the last poll found it.
        position, item, item_at: look items and positions up, as :class:`Chunks` does.

    Raises:
        PlanMismatchError: there is no run in ``directory``.
        StateError: its ledger is missing or cannot be read.
    """

    def __init__(self, directory: Path, clock: Callable[[], float] = time.time) -> None:
        self.directory = directory
        self.letters: Mapping[int, LetterView] = {}
        self.view = View(state="reading")
        self._clock = clock
        self._dir = state_of_run(directory)
        self._lock = threading.Lock()
        self._reader = LedgerReader(self._dir.ledger)
        self._inode = self._identity()
        self._chunks = Chunks(self._read_lattice)
        self.position, self.item = self._chunks.position, self._chunks.item
        self.item_at = self._chunks.item_at
        self._version = -1
        self._seq = 0
        self._loaded = False
        self._doubts = 0
        self._mends = 0
        self._groups: tuple[DeadGroup, ...] = ()
        self._alerts: list[tuple[str, str, str]] = []
        self._history: deque[Sample] = deque(maxlen=_HISTORY)
        self._marks: deque[Mark] = deque(maxlen=_MARKS)

    @property
    def states(self) -> bytearray:
        """A byte a chunk (`ChunkState`), in item order; read only."""
        return self._chunks.states

    @property
    def items(self) -> Sequence[ItemView]:
        """The items that are part of the job, in order."""
        return self._chunks.items

    @property
    def log_path(self) -> Path:
        """The run's log, one JSON object a line."""
        return self._dir.log

    @property
    def outputs(self) -> str:
        """Where the outputs are: the directory, or the URL of a prefix in a store."""
        return self._dir.outputs

    @property
    def state_root(self) -> Path:
        """The state directory: ``.geobatch``."""
        return self._dir.root

    def close(self) -> None:
        """Close the ledger."""
        with self._lock:
            self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- lookups --------------------------------------------------------------------------------

    def chunk_id(self, position: int) -> int:
        """Return the ledger's id of the chunk at ``position``. Raises IndexError outside."""
        item = self._chunks.item_at(position)
        return item.first_chunk + position - item.first

    def label(self, position: int) -> str:
        """Return the name ``item@row,col`` of the chunk at ``position``, or raise IndexError."""
        item = self._chunks.item_at(position)
        return item.label(position - item.first)

    def figures(self, name: str) -> array[float]:
        """A figure of ``columns.FIGURES`` of every chunk, in the order of ``states``. Read anew at
        each call: 10^6 chunks take about a second, so call it from a thread."""
        return self.table((name,))[0]

    def table(self, names: Sequence[str]) -> list[array[float]]:
        """Read several figures as :meth:`figures` does, a column each."""
        return self.reading(lambda reader: self._chunks.table(reader, names))

    def table_at(
        self, positions: Iterable[int], names: Sequence[str]
    ) -> dict[int, tuple[float, ...]]:
        """Read several figures of single chunks, by position."""
        ids = {self.chunk_id(position): position for position in positions}
        found = self.reading(lambda reader: reader.table_of(names, list(ids)))
        return {ids[chunk_id]: row for chunk_id, row in found.items()}

    def figures_at(self, positions: Iterable[int], name: str) -> dict[int, float]:
        """Read a figure of single chunks, by position."""
        return {position: row[0] for position, row in self.table_at(positions, (name,)).items()}

    def reading[T](self, read: Callable[[LedgerReader], T]) -> T:
        """Read from the ledger by a function of the caller's, in turn with polls."""
        with self._lock:
            return read(self._reader)

    def _read_lattice(self, item_id: int) -> Lattice | None:
        row = self.reading(lambda reader: reader.item(item_id))
        return None if row is None else lattice_of(row.plan)

    # --- following ------------------------------------------------------------------------------

    def poll(self) -> Delta:
        """Read what changed in the ledger. Raises StateError where it is gone or damaged."""
        with self._lock:
            self._follow_file()
            version = self._reader.data_version()
            if version == self._version:
                self.view = self._aged()
                return Delta((), reshaped=False, fresh=False, view=self.view)
            self._alerts.clear()
            reshaped, changed = self._take_in()
            self._version = version
            self.view = self._look()
            self._check(version)
            positions = () if reshaped else tuple(changed)
            alerts = tuple(self._alerts)
            return Delta(positions, reshaped=reshaped, fresh=True, view=self.view, alerts=alerts)

    def _identity(self) -> tuple[int, int]:
        try:
            status = self._dir.ledger.stat()
        except OSError as error:
            raise StateError(f"the ledger {self._dir.ledger} is gone: {error.strerror}") from error
        return status.st_dev, status.st_ino

    def _follow_file(self) -> None:
        """Open the ledger again if another took its name (``run --fresh``)."""
        identity = self._identity()
        if identity == self._inode:
            return
        reader = LedgerReader(self._dir.ledger)
        self._reader.close()
        self._reader, self._inode = reader, identity
        self._version, self._loaded = -1, False

    def _take_in(self) -> tuple[bool, Iterable[int]]:
        """Apply new events; return whether positions moved, and those that changed."""
        last = self._reader.last_seq()
        if not self._loaded or not 0 <= last - self._seq <= _MANY:
            return self._load()
        events = self._events(last)
        kinds = {event.kind for event in events}
        if kinds & _RESTARTING or (events and events[0].seq != self._seq + 1):
            return self._load()
        self._seq = last
        reshaped = bool(kinds & _RESHAPING) and self._chunks.reshape(self._reader, events)
        changed = self._chunks.apply(self._reader, events)
        if "dismissed" in kinds:
            self._read_letters({})
        elif kinds & _BURYING or _newest(self.letters) != self._reader.newest_letter():
            # Letters of features come with a chunk that is done: no event tells of them.
            self._read_letters(self.letters)
        self._history.extend(_samples(events))
        self._alerts += [_told(event.data) for event in events if event.kind == ALERT]

        self._marks.extend(_marks(events))
        return reshaped, changed

    def _events(self, last: int) -> list[EventRow]:
        found: list[EventRow] = []
        after = self._seq
        while after < last and (page := self._reader.events(after, min(_PAGE, last - after))):
            found += page
            after = page[-1].seq
        return found

    def _load(self) -> tuple[bool, Iterable[int]]:
        """Read everything: states, letters, and the rates that the ring of events still holds."""
        last = self._reader.last_seq()
        self._chunks.load(self._reader)
        self._read_letters({})
        self._seq = max(0, last - _MANY)
        self._history.clear()
        self._marks.clear()
        for event in self._events(last):
            if event.kind == "run_started":
                self._history.clear()
                self._marks.clear()
            self._history.extend(_samples((event,)))
            self._marks.extend(_marks((event,)))
        self._seq = last
        self._loaded = True
        return True, ()

    def _check(self, version: int) -> None:
        """Read all anew if our states contradict the ledger's counters twice over."""
        if self._chunks.agrees(self.view.counts):
            self._doubts = 0
            return
        if self._mends >= _MENDS or self._reader.data_version() != version:
            return
        self._version = -1
        self._doubts += 1
        if self._doubts > 1:
            self._loaded = False
            self._doubts = 0
            self._mends += 1

    def _read_letters(self, known: Mapping[int, LetterView]) -> None:
        """Read the letters behind those known, or all, if some of those known are gone."""
        letters = dict(known)
        for letter in self._reader.all_letters(max(letters, default=0)):
            letters[letter.dead_id] = _short(letter)
        total = sum(self._reader.dead_by_class().values())
        if known and (total != len(letters) or _newest(letters) != self._reader.newest_letter()):
            self._read_letters({})
            return
        self.letters, self._groups = letters, grouped(letters.values())

    # --- the view -------------------------------------------------------------------------------

    def _aged(self) -> View:
        """Return the view when nothing was committed: a live run may have died meanwhile."""
        before = self.view
        live = is_live(before.run, self._dir.lock)
        state = state_now(before.run, live=False) if before.run and not live else before.state
        return replace(before, now=self._clock(), live=live, state=state)

    def _look(self) -> View:
        reader = self._reader
        run = reader.run()
        live = is_live(run, self._dir.lock)
        holder = read_holder(self._dir.lock)
        progress = reader.last_event("progress") or {} if run else {}
        planned = reader.last_event("run.planned") or {} if run else {}
        facts = dict(latest(progress))
        if not live:
            facts |= {"workers": (), "nodes": (), "suspended": "", "finishing": 0, "still_s": 0.0}
            facts |= {"eta_s": None, "eta_low_s": None, "eta_high_s": None}
        history = tuple(self._history)
        return replace(
            self.view,
            run=run,
            state=_state(run, progress, planned=bool(planned), live=live),
            live=live,
            now=self._clock(),
            host=safe(holder.host) if holder else "",
            pid=holder.pid if holder else 0,
            marks=tuple(self._marks),
            counts=_numbers(reader.counts()),
            items=_numbers(reader.item_counts()),
            current=int(planned.get("current", 0)),
            history=history,
            latest=history[-1] if history else None,
            unit_name=_unit(run),
            groups=self._groups,
            **facts,
        )


def _numbers(counts: Counts | ItemCounts) -> dict[str, int]:
    return {name: int(value) for name, value in counts.items() if isinstance(value, int)}


def _state(run: RunRow | None, progress: Json, *, planned: bool, live: bool) -> str:
    if run is None:
        return "waiting"
    if not live:
        return state_now(run, live=False)
    said = safe(str(progress.get("state") or ("running" if planned else "planning")))
    if said == "running" and "operator" in str(progress.get("suspended") or ""):
        return "paused"
    return said


def _unit(run: RunRow | None) -> str:
    op = run.job.get("job", {}).get("op", {}).get("name", "") if run else ""
    return "features" if str(op).startswith("vector.") else "px"


def _samples(events: Iterable[EventRow]) -> list[Sample]:
    return [sample(event.t, event.data) for event in events if event.kind == "progress"]


def _told(data: Json) -> tuple[str, str, str]:
    """Return event, title and text of an alert."""
    event, title, text = (harmless(str(data.get(key) or "")) for key in ("event", "title", "text"))
    return event, title, text


def _marks(events: Iterable[EventRow]) -> list[Mark]:
    return [Mark(event.t, event.kind) for event in events if event.kind in {"dead", "retry"}]


def _newest(letters: Mapping[int, LetterView]) -> tuple[int, float]:
    """Return id and time of the last letter."""
    last = max(letters, default=0)
    return (last, letters[last].t) if last else (0, 0.0)


def _short(letter: Letter) -> LetterView:
    def text(name: str) -> str:
        return harmless(str(letter.record.get(name) or ""))

    mark = letter.record.get("dismissed")
    return LetterView(
        dead_id=letter.dead_id,
        item_id=letter.item_id,
        chunk_id=letter.chunk_id,
        t=letter.t,
        attempts=letter.attempts,
        crashes=letter.crashes,
        error_class=safe(letter.error_class),
        message=text("error_message"),
        cause=normalised(text("error_message"), text("source")),
        stage=text("stage"),
        where=text("chunk") or text("item"),
        source=text("source"),
        suggestion=text("suggestion"),
        dismissed=harmless(str(mark.get("note") or "")) if isinstance(mark, dict) else None,
    )
