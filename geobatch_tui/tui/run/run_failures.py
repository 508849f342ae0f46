"""What was dead when a run ended, and what of it is new or gone in a later one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from geobatch_tui.execution.protocol.messages import ChunkGrid
from geobatch_tui.ledger.read.reader import LedgerReader
from geobatch_tui.ledger.schema.updates import ChunkState
from geobatch_tui.observability.text import harmless, safe
from geobatch_tui.orchestration.state.letters import chunk_label
from geobatch_tui.orchestration.state.session import state_of_run
from geobatch_tui.tui.run.cause_groups import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from geobatch_tui.ledger.read.columns import Death
    from geobatch_tui.tui.run.past_runs import PastRun

MOST: Final = 100_000
"""Failures of a run that are read, the newest: those before are not compared."""

_OVER: Final = frozenset({ChunkState.DONE, ChunkState.DEAD})


class Failure(NamedTuple):
    """What was given up in a run, for people.

    Attributes:
        where: the chunk or item.
        feature: the number of the one feature that it is of, or -1.
        error_class, message: why; the message may be empty.
        waits: whether it has not been done since, but will be tried again.
    """

    where: str
    feature: int
    error_class: str
    message: str = ""
    waits: bool = False

    @property
    def identity(self) -> tuple[str, int, str]:
        """What makes it the same failure in another run: the place and the cause."""
        return self.where, self.feature, self.error_class


class Failures(NamedTuple):
    """Failures of a run, the newest first. ``is_whole``: whether none are missing."""

    all: tuple[Failure, ...]
    is_whole: bool = True


class FailureChanges(NamedTuple):
    """Failures of the later of two runs alone, of the earlier one alone, and how many both have.
    ``is_whole``: whether the ledgers hold all that is compared."""

    new: tuple[Failure, ...]
    gone: tuple[Failure, ...]
    both: int
    is_whole: bool = True


def changes(before: Failures, after: Failures) -> FailureChanges:
    """Compare what was dead when two runs ended."""
    old = {failure.identity for failure in before.all}
    now = {failure.identity for failure in after.all}
    return FailureChanges(
        tuple(failure for failure in after.all if failure.identity not in old),
        tuple(failure for failure in before.all if failure.identity not in now),
        len(old & now),
        before.is_whole and after.is_whole,
    )


def read_changes(before: PastRun, after: PastRun) -> FailureChanges:
    """Read the failures of two runs, and compare them. Blocks: for a thread. Raises GeobatchError
    where a ledger cannot be read."""
    return changes(read_failures(before), read_failures(after))


def read_failures(run: PastRun) -> Failures:
    """Read what was dead when a run ended, or is dead in a live one. Blocks: for a thread. Raises
    GeobatchError where the ledger cannot be read."""
    if run.row is None:
        return Failures(())
    end = run.row.t1 if run.row.t1 is not None else math.inf
    with LedgerReader(state_of_run(run.directory).ledger) as reader:
        # What is dead now was given up by the newest run, or by one before it.
        found = reader.deaths(end, MOST, letters_only=run.newest)
        is_whole = run.newest or not reader.has_lost_events()
        # Of the others the letters are gone: they were tried again, or are going to be.
        gone = [death.chunk_id for death in found if not death.name and death.chunk_id is not None]
        states = reader.states_of(gone)
        waiting = {chunk for chunk, state in states.items() if state not in _OVER}
        items: dict[int, _Item] = {}
        for item_id in {death.item_id for death in found if not death.name}:
            items[item_id] = _read_item(reader, item_id)
    failures = tuple(_failure(death, items, waiting) for death in found)
    return Failures(failures, is_whole and len(found) < MOST)


class _Item(NamedTuple):
    """What names the chunks of an item: its key, its first chunk, how many, and their grids."""

    key: str
    first_chunk: int
    n_chunks: int
    grids: Sequence[ChunkGrid]


def _failure(death: Death, items: Mapping[int, _Item], waiting: AbstractSet[int]) -> Failure:
    where = harmless(death.name) if death.name else _name(items[death.item_id], death.chunk_id)
    return Failure(
        where,
        death.feature,
        safe(death.error_class or "?"),
        shortened(harmless(death.message)),
        waits=not death.name and death.chunk_id in waiting,
    )


def _read_item(reader: LedgerReader, item_id: int) -> _Item:
    found = reader.outlines(item_id - 1, 1)
    if not found or found[0].item_id != item_id:
        return _Item(f"item {item_id}", 0, 0, ())
    item = found[0]
    size = item.width, item.height, item.chunk_width, item.chunk_height
    grids = (*item.stages, ChunkGrid(*size)) if all(size) else ()
    return _Item(item.key, item.first_chunk, item.n_chunks, grids)


def _name(item: _Item, chunk_id: int | None) -> str:
    """Return the name of a chunk, or that of its item where this was planned anew since."""
    if chunk_id is None or not item.grids:
        return safe(item.key)
    index = chunk_id - item.first_chunk
    if not 0 <= index < item.n_chunks:
        return safe(item.key)
    return safe(chunk_label(item.key, item.grids, index))
