"""Rows and counts that the ledger answers with, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from geobatch_tui.execution.protocol.messages import Json


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run. ``state`` is ``running`` until it ends, and ``crashed`` if a later run found it so.
    ``t0``, ``t1`` are UNIX times. The counts are of this run alone: chunks ``n_done``,
    ``n_dead``; failed attempts ``n_retry``; ``seconds`` of work in workers."""

    epoch: int
    run_id: str
    state: str
    t0: float
    t1: float | None
    exit_code: int | None
    reason: str
    job: Json
    versions: Json
    n_done: int
    n_dead: int
    n_retry: int
    units: int
    bytes_in: int
    bytes_out: int
    seconds: float


class Counts(TypedDict):
    """Chunks by state, over the whole output directory without orphans."""

    total: int
    pending: int
    running: int
    retry: int
    done: int
    dead: int


class ItemCounts(TypedDict):
    """Items by state; ``total`` is without orphans."""

    total: int
    planned: int
    held: int
    published: int
    dead: int
    orphan: int


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """A failed attempt at a chunk. ``t`` is UNIX time; ``attempts``, ``crashes`` and ``strikes``
    are the counts after it."""

    chunk_id: int
    epoch: int
    t: float
    attempts: int
    crashes: int
    strikes: int
    error_class: str
    message: str


@dataclass(frozen=True, slots=True)
class EventRow:
    """Something that happened. ``seq`` grows by one; old events fall out of the ring."""

    seq: int
    t: float
    kind: str
    item_id: int | None
    chunk_id: int | None
    data: Json


@dataclass(frozen=True, slots=True)
class Recovery:
    """The leavings of an earlier run: chunks that were ``running`` (each got a strike), chunks that
    were ``waiting`` for a retry; ``crashed`` names the runs that never ended."""

    running: int = 0
    waiting: int = 0
    crashed: tuple[str, ...] = ()
