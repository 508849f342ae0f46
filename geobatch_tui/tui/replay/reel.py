"""A run as a reel: what happened to its chunks, in the order of time, forward and backward."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from geobatch_tui.ledger.schema.updates import ChunkState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from geobatch_tui.tui.run.model import ItemView, LetterView
    from geobatch_tui.tui.run.store import RunStore

_STARTS: Final = 200_000  #: chunks; of more only their ends are on the reel
_FEW: Final = 20_000  #: changes that are told one by one


class Reel:
    """The states of a run's chunks at a time, which is moved by :meth:`seek`.

    Args:
        states: as they were when the run began.
        start, end: UNIX times of the run.
        happened: time, position and new state of each change, in any order.

    Attributes:
        states: a byte a chunk, at the time ``at``.
    """

    def __init__(
        self,
        states: bytearray,
        start: float,
        end: float,
        happened: Sequence[tuple[float, int, int]],
    ) -> None:
        order = sorted(happened)
        self.states = states
        self.start, self.end = start, max(end, start + 1e-3)
        self.at = start
        self._times = array("d", [t for t, _, _ in order])
        self._positions = array("L", [position for _, position, _ in order])
        self._after = bytes(state for _, _, state in order)
        self._before = bytearray(len(order))
        self._next = 0

    def __len__(self) -> int:
        return len(self._times)

    @property
    def seconds(self) -> float:
        """The length of the run."""
        return self.end - self.start

    @property
    def share(self) -> float:
        """The part of the run that has passed, 0 to 1."""
        return (self.at - self.start) / self.seconds

    def seek(self, t: float) -> list[int] | None:
        """Go to a time; return the positions whose state changed, None: so many did."""
        self.at = min(max(t, self.start), self.end)
        target = bisect_right(self._times, self.at)
        first, last = sorted((self._next, target))
        states, positions = self.states, self._positions
        if target >= self._next:
            for index in range(first, last):
                self._before[index] = states[positions[index]]
                states[positions[index]] = self._after[index]
        else:
            for index in range(last - 1, first - 1, -1):
                states[positions[index]] = self._before[index]
        self._next = target
        return list(set(positions[first:last])) if last - first <= _FEW else None

    def next_change(self, state: int, step: int) -> float | None:
        """Return the time of the next change to a state, or of the one before this time."""
        found = self._after.find(state, self._next) if step > 0 else -1
        if step < 0:
            # The one that this time is at is not the one before.
            end = self._next
            while end and self._times[end - 1] >= self.at:
                end -= 1
            found = self._after.rfind(state, 0, end)
        return self._times[found] if found >= 0 else None


class ReelSource:
    """A run as the map reads it, with the states of a reel."""

    def __init__(self, store: RunStore, reel: Reel) -> None:
        self._reel = reel
        self.items: Sequence[ItemView] = tuple(store.items)
        self.item_at, self.item = store.item_at, store.item
        self.figures, self.figures_at = store.figures, store.figures_at

    @property
    def states(self) -> bytearray:
        return self._reel.states


def reel_of(store: RunStore) -> Reel | None:
    """Wind up the newest run; None where nothing of it has a time. For a thread: 10^6 chunks take
    seconds."""
    view = store.view
    run = view.run
    if run is None:
        return None
    ended, seconds = store.table(("ended", "seconds"))
    states = bytearray(store.states)
    if len(ended) != len(states):
        return None  # more was planned meanwhile
    end = run.t1 if run.t1 is not None else view.now
    happened: list[tuple[float, int, int]] = []
    for position, t in enumerate(ended):
        if t >= run.t0:
            states[position] = ChunkState.PENDING
            happened.append((t, position, ChunkState.DONE))
            if len(ended) <= _STARTS:
                begun = max(run.t0, t - seconds[position])
                happened.append((begun, position, ChunkState.RUNNING))
        elif states[position] != ChunkState.DONE:
            states[position] = ChunkState.PENDING
    tried = store.reading(lambda reader: reader.attempts_since(run.t0))
    for chunk_id, t in tried:
        at = store.position(chunk_id)
        if at is not None:
            happened.append((t, at, ChunkState.RETRY_WAIT))
    happened += _deaths(store, run.t0, states, ended)
    return (
        Reel(states, run.t0, max([end, *(t for t, _, _ in happened)]), happened)
        if (happened)
        else None
    )


def _deaths(
    store: RunStore, since: float, states: bytearray, ended: Sequence[float]
) -> Iterable[tuple[float, int, int]]:
    """Return the deaths of a run; those before it are in the states that it began with."""
    letters: Mapping[int, LetterView] = store.letters
    found = []
    for letter in letters.values():
        if letter.chunk_id is not None:
            at = store.position(letter.chunk_id)
            positions = [] if at is None else [at]
        else:
            item = store.item(letter.item_id)
            positions = [] if item is None else list(range(item.first, item.first + item.n))
        for position in positions:
            if ended[position] or store.states[position] != ChunkState.DEAD:
                continue  # a letter of a feature of a chunk that is done
            if letter.t < since:
                states[position] = ChunkState.DEAD
            else:
                # Behind the failed attempt of the same commit.
                found.append((letter.t, position, int(ChunkState.DEAD)))
    return found
