"""Updates that the engine gives the ledger, as plain values: it knows no worker and no pixel."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from geobatch_tui.execution.protocol.messages import Json


class ChunkState(IntEnum):
    PENDING = 0
    RUNNING = 1  #: a hint: recovery turns it into PENDING and counts a strike
    RETRY_WAIT = 2
    DONE = 4
    DEAD = 5


class ItemState(IntEnum):
    PLANNED = 0
    HELD = 3  #: a chunk is dead and ``on_dead_chunk = hold``
    PUBLISHED = 4
    DEAD = 5  #: the item as a whole is a dead letter (probe or assembly failed)
    ORPHAN = 8  #: its input is no longer part of the job; the output is left alone


@dataclass(frozen=True, slots=True)
class ItemRow:
    """An item as the ledger keeps it.

    ``first_chunk`` is the id of its chunk 0; chunk ids are ``first_chunk + index``. The three
    digests are hex: of the source (with ``src_size``, ``src_mtime_ns``), of the semantic
    parameters and of the code; ``fingerprint`` covers all three. ``params`` is kept so that a
    later plan can name what changed. ``plan`` is the item plan as JSON.
    """

    item_id: int
    key: str
    source: str
    src_size: int
    src_mtime_ns: int
    src_digest: str
    params_digest: str
    code_digest: str
    fingerprint: str
    params: Json
    plan: Json
    out_path: str
    first_chunk: int
    n_chunks: int
    state: ItemState = ItemState.PLANNED
    n_done: int = 0
    n_dead: int = 0
    out_size: int = 0
    out_mtime_ns: int = 0
    out_digest: str = ""
    reason: str = ""
    facts: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """A chunk as the ledger keeps it; ``spool``, ``offset``, ``length`` and ``crc32`` are of its
    bytes once it is done."""

    chunk_id: int
    item_id: int
    state: ChunkState
    attempts: int
    crashes: int
    strikes: int
    not_before: float
    spool: str = ""
    offset: int = 0
    length: int = 0
    crc32: int = 0


# --- updates -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ItemPlanned:
    """A new or stale item: replaces the row of the same ``item_id``, its chunks and its dead
    letters, and inserts ``n_chunks`` pending chunks. ``adopted``: an intact output was found
    without a ledger row: it is inserted as published, its chunks as done. ``kept``: so many of its
    first chunks are done where those of the old row were."""

    item: ItemRow
    adopted: bool = False
    kept: int = 0


@dataclass(frozen=True, slots=True)
class ItemChanged:
    """Only the state or the reason of an item changes (held, orphan, planned)."""

    item_id: int
    state: ItemState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SourceTouched:
    """The source's mtime changed but its content did not."""

    item_id: int
    src_mtime_ns: int


@dataclass(frozen=True, slots=True)
class ChunkStarted:
    chunk_id: int


@dataclass(frozen=True, slots=True)
class ChunkDone:
    """``seconds`` is wall time in the worker, ``nodata`` the share of invalid units. ``letters``:
    features that the chunk goes without, by their number in the item; they replace earlier ones.
    ``undefined``: pixels with a result that is no number. ``reading``, ``writing``: the parts of
    ``seconds`` that it spent on its source, and on encoding and storing. ``worker``: by its number.
    ``ended``: UNIX time of the answer."""

    chunk_id: int
    item_id: int
    attempts: int
    spool: str
    offset: int
    length: int
    crc32: int
    units: int
    bytes_in: int
    bytes_out: int
    seconds: float
    nodata: float
    rss_peak: int
    letters: tuple[tuple[int, str, Json], ...] = ()
    undefined: int = 0
    reading: float = 0.0
    writing: float = 0.0
    worker: int = 0
    ended: float = 0.0


@dataclass(frozen=True, slots=True)
class ChunkWaiting:
    """Tried and lost, but not given up. ``not_before`` is UNIX time; 0 means at once. ``host``: of
    the node of a cluster that it was tried on."""

    chunk_id: int
    attempts: int
    crashes: int
    strikes: int
    not_before: float
    error_class: str
    message: str
    host: str = ""


@dataclass(frozen=True, slots=True)
class ChunkReleased:
    """Back to pending without a mark."""

    chunk_id: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A chunk (``chunk_id``) or a whole item (``chunk_id`` None) is given up. ``record`` is the
    object that ``dead-letters --json`` prints, plus traceback and evidence."""

    item_id: int
    chunk_id: int | None
    attempts: int
    crashes: int
    error_class: str
    record: Json


@dataclass(frozen=True, slots=True)
class LettersRequeued:
    """Dead letters get another chance while the run goes on: all (both None), by error class, or
    by chunk or item key. See ``Ledger.requeue_dead``."""

    classes: tuple[str, ...] | None = None
    keys: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class LettersDismissed:
    """An operator knows of dead letters, or (``note`` None) takes that back. See
    ``Ledger.dismiss_dead``."""

    letters: tuple[tuple[int, float], ...]
    note: str | None
    by: str


@dataclass(frozen=True, slots=True)
class ItemPublished:
    """Rename ``part_path`` to the item's output, sync the directory, then record it. An output in a
    store has its name already: ``sent_ns`` is its time there, and nothing is renamed. The facts on
    record also have ``undefined_pixels``, the sum over the item's chunks, if there are any."""

    item_id: int
    part_path: str
    out_size: int
    out_digest: str
    facts: Json
    sent_ns: int = 0


@dataclass(frozen=True, slots=True)
class UploadBegun:
    """An item's output is on its way to a store; ``upload`` is its id there, empty before it is
    known."""

    item_id: int
    key: str
    fingerprint: str
    upload: str


@dataclass(frozen=True, slots=True)
class UploadEnded:
    """Nothing of an item's upload is left in the store."""

    item_id: int


@dataclass(frozen=True, slots=True)
class PartKept:
    """What workers saw of a part of a large source, by its name; ``body`` None: it is kept already,
    and was of use in this run."""

    name: str
    body: bytes | None


@dataclass(frozen=True, slots=True)
class RunEnded:
    state: str
    exit_code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Noted:
    """An event for those who tail the ledger: pause, pressure, worker deaths.

    Attributes:
        kind: of the event.
        data: what the newest note of this kind says.
        passing: names of ``data`` that are of no use later, and are left out of the event: a night
            has tens of thousands of these, and a large cluster tells megabytes of its workers.
    """

    kind: str
    data: Json
    passing: Collection[str] = ()


Update = (
    ItemPlanned
    | ItemChanged
    | SourceTouched
    | ChunkStarted
    | ChunkDone
    | ChunkWaiting
    | ChunkReleased
    | DeadLetter
    | LettersRequeued
    | LettersDismissed
    | ItemPublished
    | PartKept
    | RunEnded
    | UploadBegun
    | UploadEnded
    | Noted
)
