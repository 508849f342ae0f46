"""The plan of a retry: which letters, and what will be computed again."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from geobatch_tui.ledger.schema.updates import ItemState
from geobatch_tui.orchestration.splitting import halved

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from geobatch_tui.tui.run.model import ItemView, LetterView
    from geobatch_tui.tui.run.store import RunStore

MAX_KEY_BYTES: Final = 1 << 20
"""Of all keys of one request: they travel as arguments of a command, or over a socket."""

_PER_KEY: Final = 24  #: bytes that an argument takes beside its text


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen letters in the fewest words: all of them (both empty), all of some
    classes, or chunks and items by their names."""

    classes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


def selection(
    letters: Mapping[int, LetterView], chosen: Iterable[int], key: Callable[[int], str]
) -> Selection | str:
    """Return the selection that names ``chosen`` letters; a sentence where there is none.

    Args:
        letters: all letters, by id.
        chosen: ids of those that are meant.
        key: the ledger's own name of a letter's chunk or item.
    """
    wanted = set(chosen) & letters.keys()
    if len(wanted) == len(letters):
        return Selection()
    classes = {letters[dead_id].error_class for dead_id in wanted}
    if all(
        dead_id in wanted for dead_id, letter in letters.items() if letter.error_class in classes
    ):
        return Selection(classes=tuple(sorted(classes)))
    keys = tuple(key(dead_id) for dead_id in sorted(wanted))
    if sum(len(name.encode(errors="surrogateescape")) + _PER_KEY for name in keys) > MAX_KEY_BYTES:
        return f"{len(keys)} chunks cannot be named in one request: choose all of a cause, or fewer"
    return Selection(keys=keys)


CHUNK: Final = "computed again"
PLANNED: Final = "planned anew, then computed"
CHANGED: Final = "source changed: planned anew"
ASSEMBLED: Final = "assembled again"
STALE: Final = "source changed: will fail again"
REMADE: Final = "the whole output is made anew"
SPLIT: Final = "its item is planned anew, in quarters of its chunks"
LEFT: Final = "left: only a new run plans it anew"


@dataclass(frozen=True, slots=True)
class Consequence:
    """The consequence of a retry, in numbers.

    Attributes:
        letters: dead letters that are given another chance.
        chunks: chunks that are computed, as far as it is known now.
        replanned: items that are opened and planned anew, as they never were, or as their source
            is another one now: how many chunks that makes is not known before.
        split: items of which every chunk is computed again, in smaller ones.
        reassembled: items whose chunks are done, and which are put together again.
        remade: published items with holes, of which every chunk is computed again.
        left, stale: letters that a live run cannot take, as their items were never planned, and
            that it refuses again, as their source is another one now.
        classes: letters by class, most first.
        joining: items of other letters whose source is another one now: a new run takes them, too.
        lines: each letter's name, class, and what becomes of it.
    """

    letters: int
    chunks: int
    replanned: int
    split: int
    reassembled: int
    remade: int
    left: int
    stale: int
    classes: tuple[tuple[str, int], ...]
    lines: tuple[tuple[str, str, str], ...]
    joining: int = 0


def consequence(
    letters: Mapping[int, LetterView],
    chosen: Iterable[int],
    item: Callable[[int], ItemView | None],
    *,
    live: bool,
    changed: Collection[int] = (),
    tile: tuple[int, int] | None = None,
) -> Consequence:
    """Count what a retry of ``chosen`` letters computes again.

    Args:
        letters: all letters, by id.
        chosen: ids of those that are meant.
        item: finds an item by its id.
        live: the retry is for the run that is live, which plans no items.
        changed: ids of items whose source is not the one that was planned.
        tile: columns and rows of the output's tiles: chunks are split as far as these allow; None:
            they are tried as they are.
    """
    wanted = _requeued(letters, chosen)
    lines: list[tuple[str, str, str]] = []
    counted: Counter[str] = Counter()
    remade: dict[int, int] = {}
    split: dict[int, int] = {}
    replanned: set[int] = set()
    for dead_id in sorted(wanted):
        letter = wanted[dead_id]
        found = item(letter.item_id)
        fate = _fate(letter, found, live=live, changed=letter.item_id in changed)
        halves = _halves(letter, found, tile) if fate in (CHUNK, CHANGED) else 0
        if halves:
            fate = SPLIT
            split[letter.item_id] = halves
        counted[fate] += 1
        lines.append((letter.where, letter.error_class, fate))
        if fate == REMADE and found is not None:
            remade[letter.item_id] = found.n
        elif fate in (PLANNED, CHANGED):
            replanned.add(letter.item_id)
    classes = Counter(letter.error_class for letter in wanted.values())
    return Consequence(
        letters=len(wanted) - counted[LEFT],
        chunks=counted[CHUNK] + sum(remade.values()) + sum(split.values()),
        split=len(split),
        replanned=len(replanned),
        reassembled=counted[ASSEMBLED],
        remade=len(remade),
        left=counted[LEFT],
        stale=counted[STALE],
        classes=tuple(classes.most_common()),
        lines=tuple(lines),
    )


def _requeued(letters: Mapping[int, LetterView], chosen: Iterable[int]) -> dict[int, LetterView]:
    """Return the chosen letters and those of their items: chunks cannot go on without their
    item, so the ledger requeues its letter with theirs."""
    wanted = {dead_id: letters[dead_id] for dead_id in chosen if dead_id in letters}
    items = {letter.item_id for letter in wanted.values()}
    return wanted | {
        dead_id: letter
        for dead_id, letter in letters.items()
        if letter.chunk_id is None and letter.item_id in items
    }


def _halves(letter: LetterView, item: ItemView | None, tile: tuple[int, int] | None) -> int:
    """Return the number of chunks of an item after a split in halves; 0: it cannot be split."""
    if item is None or tile is None or letter.chunk_id is None:
        return 0
    half = halved(item.chunk_size, tile)
    return 0 if half is None else -(-item.width // half[0]) * -(-item.height // half[1])


def _fate(letter: LetterView, item: ItemView | None, *, live: bool, changed: bool) -> str:
    if item is None or not item.width:
        return LEFT if live else PLANNED
    if changed:
        return STALE if live else CHANGED
    if item.state is ItemState.PUBLISHED:
        return REMADE
    return CHUNK if letter.chunk_id is not None else ASSEMBLED


def dead_within(
    store: RunStore, letters: Iterable[LetterView], runs: Sequence[tuple[int, int]]
) -> tuple[int, ...]:
    """Return the ids of letters whose chunk lies in one of ``runs``, which are first and end
    positions in order. The letter of a whole item lies where any of its chunks does."""
    firsts = [start for start, _ in runs]

    def meets(start: int, end: int) -> bool:
        at = bisect_right(firsts, end - 1) - 1
        return at >= 0 and runs[at][1] > start

    found = []
    for letter in letters:
        if letter.chunk_id is not None:
            position = store.position(letter.chunk_id)
            span = None if position is None else (position, position + 1)
        else:
            item = store.item(letter.item_id)
            span = None if item is None else (item.first, item.first + item.n)
        if span is not None and meets(*span):
            found.append(letter.dead_id)
    return tuple(found)
