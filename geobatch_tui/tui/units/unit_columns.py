"""The columns of chunks and of items: what each shows, and what it is sorted by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from geobatch_tui.observability import figures
from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.kit.glyphs import LOOKS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from geobatch_tui.tui.units.item_totals import ItemTotal
    from geobatch_tui.tui.units.unit_figures import UnitFigures

Piece = tuple[str, str]
_QUIET: Final = "$quiet"


@dataclass(frozen=True, slots=True)
class Column[Row]:
    """A column.

    Attributes:
        name: the field of the filter, which is also what is sorted by.
        title: above it.
        width: cells; 0: what the others leave.
        cell: text and style of a row.
        left: whether the text stands at the left end.
    """

    name: str
    title: str
    width: int
    cell: Callable[[Row], Piece]
    left: bool = False

    def fitted(self, text: str, width: int) -> str:
        """Return a text in the column's cells."""
        if not self.width:
            return fmt.fit_middle(text, width)
        return fmt.fit(text, width) if self.left else fmt.right(text, width)


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """A chunk. ``slow``: its duration stands out."""

    units: UnitFigures
    position: int
    label: str
    slow: bool = False

    def figure(self, name: str) -> float:
        return self.units.value(name, self.position)


def _seconds(name: str) -> Callable[[ChunkRow], Piece]:
    def cell(row: ChunkRow) -> Piece:
        value = row.figure(name)
        if not row.figure("seconds"):
            return "-", _QUIET
        slow = name == "seconds" and row.slow
        return figures.duration(value, 7, fine=True), "bold $warning" if slow else ""

    return cell


def _bytes(name: str) -> Callable[[ChunkRow], Piece]:
    def cell(row: ChunkRow) -> Piece:
        value = row.figure(name)
        return (figures.size(value, 7), "") if value else ("-", _QUIET)

    return cell


def _attempts(row: ChunkRow) -> Piece:
    value = int(row.figure("attempts"))
    return (str(value) if value else "-"), "bold $warning" if value > 1 else _QUIET


def _worker(row: ChunkRow) -> Piece:
    return f"{row.figure('worker'):.0f}" if row.figure("ended") else "-", _QUIET


def _nodata(row: ChunkRow) -> Piece:
    if not row.figure("seconds"):
        return "-", _QUIET
    return figures.percent(round(row.figure("nodata") * 1000), 1000), _QUIET


def _ended(row: ChunkRow) -> Piece:
    value = row.figure("ended")
    return fmt.clock(value) if value else "-", _QUIET


def _state(row: ChunkRow) -> Piece:
    look = LOOKS[row.units.states[row.position]]
    return f"{look.glyph} {look.name}", look.style


CHUNKS: Final[tuple[Column[ChunkRow], ...]] = (
    Column("chunk", "chunk", 0, lambda row: (row.label, "bold"), left=True),
    Column("dur", "time", 7, _seconds("seconds")),
    Column("read", "read", 7, _seconds("reading")),
    Column("compute", "compute", 7, _seconds("computing")),
    Column("write", "write", 7, _seconds("writing")),
    Column("mem", "memory", 7, _bytes("rss_bytes")),
    Column("worker", "w", 3, _worker),
    Column("attempts", "try", 3, _attempts),
    Column("nodata", "nodata", 6, _nodata),
    Column("out", "out", 7, _bytes("bytes_out")),
    Column("ended", "ended", 8, _ended),
    Column("state", "state", 7, _state, left=True),
)
_FIRST: Final = ("chunk", "dur", "state", "read", "compute", "write", "mem", "attempts", "worker")
#: Sorted by the largest first, unless this is their name or time.
ASCENDING: Final = frozenset({"chunk", "item", "ended"})

_SIGNS: Final = {
    "published": ("█ published", "$chunk-done"),
    "done": ("█ done", "$chunk-done"),
    "running": ("▒ running", "$chunk-run"),
    "planned": ("· planned", "$chunk-wait"),
    "held": ("✗ held", "$chunk-dead"),
    "dead": ("✗ dead", "$chunk-dead"),
}


def _total(name: str) -> Callable[[ItemTotal], Piece]:
    def cell(row: ItemTotal) -> Piece:
        value = float(getattr(row, name))
        return (figures.duration(value, 7, fine=True), "") if value else ("-", _QUIET)

    return cell


def _part(name: str) -> Callable[[ItemTotal], Piece]:
    def cell(row: ItemTotal) -> Piece:
        value = float(getattr(row, name))
        return (f"{100 * row.share(value):.0f}%", "") if row.seconds else ("-", _QUIET)

    return cell


def _volume(name: str) -> Callable[[ItemTotal], Piece]:
    def cell(row: ItemTotal) -> Piece:
        value = float(getattr(row, name))
        return (figures.size(value, 7), "") if value else ("-", _QUIET)

    return cell


def _done(row: ItemTotal) -> Piece:
    return f"{figures.count(row.done)}/{figures.count(row.item.n)}", ""


def _dead(row: ItemTotal) -> Piece:
    return (figures.count(row.dead), "bold $error") if row.dead else ("-", _QUIET)


ITEMS: Final[tuple[Column[ItemTotal], ...]] = (
    Column("item", "item", 0, lambda row: (row.item.key, "bold"), left=True),
    Column("done", "done", 13, _done),
    Column("dead", "dead", 5, _dead),
    Column("dur", "work", 7, _total("seconds")),
    Column("read", "read", 5, _part("reading")),
    Column("compute", "comp", 5, _part("computing")),
    Column("write", "write", 5, _part("writing")),
    Column("max", "slowest", 7, _total("slowest")),
    Column("mem", "memory", 7, _volume("rss_bytes")),
    Column("out", "out", 7, _volume("bytes_out")),
    Column(
        "state", "state", 11, lambda row: _SIGNS.get(row.state, (row.state, "$quiet")), left=True
    ),
)


def text_of(name: str, value: float) -> str:
    """Return a figure of a column for people."""
    if name in {"mem", "out"}:
        return figures.size(value, 7)
    if name == "nodata":
        return figures.percent(round(value * 1000), 1000)
    if name in {"worker", "attempts"}:
        return f"{value:.0f}"
    return figures.duration(value, fine=True)


_LEAST: Final = 18  #: cells for the name of a chunk or an item


def fitting[Row](columns: Sequence[Column[Row]], width: int) -> list[tuple[Column[Row], int]]:
    """Return the columns that there is room for with their widths, those that matter first."""
    rank = {name: index for index, name in enumerate(_FIRST)}
    room = width - _LEAST
    chosen = set()
    for column in sorted(columns, key=lambda column: rank.get(column.name, len(rank))):
        need = column.width + 1 if column.width else 0
        if need <= room:
            chosen.add(column.name)
            room -= need
    named = room + _LEAST
    return [(column, column.width or max(1, named)) for column in columns if column.name in chosen]
