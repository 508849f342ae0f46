"""Dead letters filtered, sorted, and grouped by cause or by place."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from geobatch_tui.observability.text import harmless
from geobatch_tui.tui.run.cause_groups import grouped

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from geobatch_tui.ledger.read.reader import LedgerReader
    from geobatch_tui.tui.kit.filters import Filter, Row
    from geobatch_tui.tui.run.model import ItemView, LetterView

FIELDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("class", "cause", "message", "chunk", "item", "source", "stage"), "text"),
    **dict.fromkeys(("suggestion", "note"), "text"),
    **dict.fromkeys(("attempts", "crashes"), "number"),
}
"""Fields that a filter can name."""

GROUPINGS: Final = ("cause", "place", "none")
SORTS: Final = ("death", "cause", "chunk", "attempts")
#: Sorted from the first or the least on, unless the other way round is asked for.
ASCENDING: Final = frozenset(SORTS) - {"attempts"}


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Chunks of one item without a gap: rows ``top`` to ``bottom`` and columns ``left`` to
    ``right``, all inclusive."""

    top: int
    left: int
    bottom: int
    right: int

    def __len__(self) -> int:
        return (self.bottom - self.top + 1) * (self.right - self.left + 1)

    def __str__(self) -> str:
        if len(self) == 1:
            return f"{self.top},{self.left}"
        return f"{self.top},{self.left} to {self.bottom},{self.right}"


@dataclass(frozen=True, slots=True)
class Group:
    """Letters of one cause or one place; ``key`` stays the same while the list changes."""

    key: str
    title: str
    note: str
    letters: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """The list as shown: ``groups`` in order (one without a title where nothing is grouped),
    of ``total`` letters those that pass the filter."""

    groups: tuple[Group, ...] = ()
    total: int = 0

    @property
    def shown(self) -> int:
        """Letters that pass the filter."""
        return sum(len(group.letters) for group in self.groups)


def row_of(letter: LetterView) -> Row:
    """Return the fields of a letter that a filter looks at."""
    item, _, _ = letter.where.rpartition("@")
    return {
        "class": letter.error_class,
        "cause": letter.cause,
        "message": letter.message,
        "chunk": letter.where,
        "item": letter.where if letter.chunk_id is None else item,
        "source": letter.source,
        "stage": letter.stage,
        "suggestion": letter.suggestion,
        "note": "" if letter.dismissed is None else f"dismissed: {letter.dismissed}",
        "attempts": letter.attempts,
        "crashes": letter.crashes,
    }


def of_cause(letter: LetterView) -> str:
    """Return the filter that letters of one cause pass."""
    # A quotation mark ends a phrase of the filter: the longest part without one has to do.
    part = max(letter.cause.split('"'), key=len)
    return f'class={letter.error_class} cause{"=" if part == letter.cause else ":"}"{part}"'


def listing(
    letters: Mapping[int, LetterView],
    chosen: Filter,
    grouping: str,
    sort: str,
    item: Callable[[int], ItemView | None],
    *,
    backwards: bool = False,
) -> Listing:
    """Filter, sort and group letters.

    Args:
        letters: by id.
        chosen: which of them.
        grouping: one of ``GROUPINGS``.
        sort: one of ``SORTS``, within a group; letters that were dismissed come last in it.
        item: finds an item by its id.
        backwards: whether the order is the other way round.
    """
    passing = [letter for letter in letters.values() if chosen.matches(row_of(letter))]
    passing.sort(key=_KEYS[sort], reverse=backwards)
    passing.sort(key=lambda letter: letter.dismissed is not None)  # what is known comes last
    if grouping == "cause":
        groups = by_cause(passing)
    elif grouping == "place":
        groups = by_place(passing, item)
    else:
        groups = [Group("", "", "", tuple(letter.dead_id for letter in passing))]
    return Listing(tuple(group for group in groups if group.letters), len(letters))


_KEYS: Final[Mapping[str, Callable[[LetterView], tuple[int | str, ...]]]] = {
    "death": lambda letter: (letter.dead_id,),
    "cause": lambda letter: (letter.error_class, letter.cause, letter.dead_id),
    "chunk": lambda letter: (letter.item_id, letter.chunk_id or -1),
    "attempts": lambda letter: (-letter.attempts, letter.dead_id),
}


def by_cause(letters: Sequence[LetterView]) -> list[Group]:
    """Group letters by class and message, the largest group first."""
    causes = {letter.dead_id: letter.cause for letter in letters}
    return [
        Group(
            # The message of a group of one is its own words: the key must outlive a second one.
            f"{group.error_class} {causes[group.letters[0]]}",
            f"{group.error_class}  {group.message}",
            group.where,
            group.letters,
        )
        for group in grouped(letters)
    ]


def by_place(letters: Sequence[LetterView], item: Callable[[int], ItemView | None]) -> list[Group]:
    """Group letters of chunks that touch, item by item; items dead as a whole come first."""
    by_item: dict[int, list[LetterView]] = defaultdict(list)
    for letter in letters:
        by_item[letter.item_id].append(letter)
    whole: list[Group] = []
    parts: list[Group] = []
    for item_id, members in by_item.items():
        lost = [letter for letter in members if letter.chunk_id is None]
        if lost:
            note = lost[0].error_class
            ids = tuple(letter.dead_id for letter in lost)
            whole.append(Group(f"{item_id} whole", f"{lost[0].where}  whole item", note, ids))
        found = item(item_id)
        chunks = [letter for letter in members if letter.chunk_id is not None]
        if chunks and found is not None:
            parts += _clusters(found, chunks)
        elif chunks:
            ids = tuple(letter.dead_id for letter in chunks)
            parts.append(Group(f"{item_id} ?", row_item(chunks[0]), "", ids))
    return whole + sorted(parts, key=lambda group: -len(group.letters))


def row_item(letter: LetterView) -> str:
    """Return the name of the item that a chunk's letter belongs to."""
    return letter.where.rpartition("@")[0] or letter.where


def _clusters(item: ItemView, letters: Sequence[LetterView]) -> list[Group]:
    cells: dict[tuple[int, int], list[int]] = defaultdict(list)
    for letter in letters:
        index = (letter.chunk_id or item.first_chunk) - item.first_chunk
        cells[divmod(index, item.columns)].append(letter.dead_id)
    groups = []
    for cluster in connected(cells):
        parts = rectangles(cluster)
        largest = max(parts, key=len)
        ids = tuple(dead_id for cell in sorted(cluster) for dead_id in cells[cell])
        title = f"{row_item(letters[0])}  {largest}"
        if len(parts) > 1:
            title += f" and {len(cluster) - len(largest)} beside"
        noun = "chunk" if len(cluster) == 1 else "chunks"
        share = f"{len(cluster)} of {item.n} {noun}" if item.n > 1 else "its only chunk"
        groups.append(Group(f"{item.item_id} {min(cluster)}", title, share, ids))
    return groups


def connected(cells: Iterable[tuple[int, int]]) -> list[set[tuple[int, int]]]:
    """Return clusters of cells (row, column) that touch, corners included, in reading order."""
    left = set(cells)
    clusters = []
    for start in sorted(left):
        if start not in left:
            continue
        left.discard(start)
        cluster, edge = {start}, [start]
        while edge:
            row, col = edge.pop()
            near = {(row + down, col + across) for down in (-1, 0, 1) for across in (-1, 0, 1)}
            found = near & left
            left -= found
            cluster |= found
            edge += found
        clusters.append(cluster)
    return clusters


def rectangles(cells: Iterable[tuple[int, int]]) -> list[Rectangle]:
    """Cover cells (row, column) by rectangles, each cell once: runs of rows, those of the same
    columns joined downwards."""
    rows: dict[int, list[int]] = defaultdict(list)
    for row, col in cells:
        rows[row].append(col)
    done: list[Rectangle] = []
    open_: dict[tuple[int, int], Rectangle] = {}
    for row in sorted(rows):
        runs = _runs(sorted(rows[row]))
        still = {
            span: found for span, found in open_.items() if span in runs and found.bottom == row - 1
        }
        done += [found for span, found in open_.items() if span not in still]
        open_ = {
            (left, right): Rectangle(
                still[left, right].top if (left, right) in still else row, left, row, right
            )
            for left, right in runs
        }
    return sorted([*done, *open_.values()], key=lambda found: (found.top, found.left))


def _runs(values: Sequence[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for value in values:
        if runs and value == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], value)
        else:
            runs.append((value, value))
    return runs


def chunk_named(items: Iterable[ItemView], name: str) -> tuple[ItemView, int | None] | None:
    """Find the item and the ledger's id of a chunk called ``item@row,col``; an item's name alone
    has no chunk. None: the job has neither."""
    key, at, place = name.rpartition("@")
    for item in items:
        if harmless(item.key) == harmless(name):
            return item, None
        if at and harmless(item.key) == harmless(key):
            row, _, col = place.partition(",")
            if row.isdecimal() and col.isdecimal() and int(col) < item.columns:
                index = int(row) * item.columns + int(col)
                return (item, item.first_chunk + index) if index < item.n else None
    return None


def names_of(reader: LedgerReader, chosen: Collection[int]) -> dict[int, str]:
    """Read the ledger's names of the chunks or items of letters, by the letters' ids."""
    wanted = set(chosen)
    found: dict[int, str] = {}
    for letter in reader.all_letters(min(wanted) - 1) if wanted else ():
        if letter.dead_id in wanted:
            record = letter.record
            found[letter.dead_id] = str(record.get("chunk") or record.get("item") or "")
            if len(found) == len(wanted):
                break
    return found
