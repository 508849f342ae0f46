"""The reading of the map under the cursor, as plain values and as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from geobatch_tui.observability import figures
from geobatch_tui.observability.figures import plural
from geobatch_tui.tui.kit.glyphs import LOOKS
from geobatch_tui.tui.map.picture.codes import CODES, MODES, PRECEDENCE, Code
from geobatch_tui.tui.map.picture.ground import GroundScene
from geobatch_tui.tui.map.picture.place import Place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from geobatch_tui.tui.kit.glyphs import Look
    from geobatch_tui.tui.map.picture.pictures import Pictures, Source
    from geobatch_tui.tui.map.picture.place import LonLat
    from geobatch_tui.tui.run.model import ItemView

Piece = tuple[str, str]

_LOOK_OF: Final[Mapping[int, Look]] = {CODES[state]: LOOKS[state] for state in PRECEDENCE}


@dataclass(frozen=True, slots=True)
class Reading:
    """The chunks under the cursor. Of many, ``position`` is the first of the worst state.

    Attributes:
        position: in the run's states; None: there is no chunk.
        row, column: of that chunk in its item's grid.
        counts: chunks under the cursor, by code of their state.
        lonlat: the middle of that chunk; without a chunk the place of the cursor.
        window: the chunk's column and row offset, width and height in its item's units.
        near: glyphs of it and its eight neighbours, in three lines.
        selected: chunks in the rectangle, by code of their state; None: there is no rectangle.
    """

    position: int | None = None
    item: ItemView | None = None
    row: int = 0
    column: int = 0
    counts: Mapping[int, int] | None = None
    lonlat: LonLat | None = None
    window: tuple[int, int, int, int] = (0, 0, 0, 0)
    near: Sequence[str] = ("", "", "")
    selected: Mapping[int, int] | None = None

    @property
    def code(self) -> int:
        """The code of the chunk's state."""
        return next(iter(self.counts or ()), Code.ABSENT)

    @property
    def name(self) -> str:
        """``r040c071``, as the chunk is called for short."""
        return f"r{self.row:03d}c{self.column:03d}"

    @property
    def key(self) -> tuple[int | None, int]:
        """Key of the chunk's figures: while it is the same, they are."""
        return self.position, self.code


def read(pictures: Pictures, source: Source, places: Mapping[int, Place]) -> Reading:
    """Read what is under the cursor.

    Args:
        pictures: what is shown.
        source: the run.
        places: exact places of items, by their ids; for others their bounds are taken.
    """
    scene = pictures.top
    selection = scene.selected()
    selected = pictures.planes.counts(selection) if scene.selection_box() is not None else None
    position = scene.worst()
    if position is None or position >= len(source.states):
        lonlat = scene.cursor if isinstance(scene, GroundScene) else None
        return Reading(lonlat=lonlat, selected=selected)
    item = source.item_at(position)
    index = position - item.first
    row, column = divmod(index, item.columns)
    place = places.get(item.item_id) or Place.of(item)
    return Reading(
        position=position,
        item=item,
        row=row,
        column=column,
        counts=pictures.planes.counts(scene.under_cursor()),
        lonlat=None if place is None else place.of_chunk(item, index),
        window=item.window(index),
        near=[
            " ".join(_glyph(source, item, x, y) for x in range(column - 1, column + 2))
            for y in range(row - 1, row + 2)
        ],
        selected=selected,
    )


def _glyph(source: Source, item: ItemView, column: int, row: int) -> str:
    if not (0 <= column < item.columns and 0 <= row < item.rows):
        return " "
    return LOOKS[source.states[item.first + row * item.columns + column]].glyph


def counts_pieces(counts: Mapping[int, int]) -> list[Piece]:
    """``✗ 1 dead  █ 8 done``, in the colours of the states."""
    pieces: list[Piece] = []
    for code, count in counts.items():
        look = _LOOK_OF[code]
        pieces += [(f"{look.glyph} {figures.count(count)} {look.name}", look.style), ("  ", "")]
    return pieces[:-1]


def window_text(reading: Reading, unit: str) -> str:
    """``px 72704,40960 +1024``, or with two sides where they differ; ``features 1165 +1165``."""
    left, top, width, height = reading.window
    if not width or not height:
        return f"{unit} -"
    if unit != "px":
        return f"{unit} {left} +{width}"
    return f"px {left},{top} +{width}" + ("" if width == height else f"x{height}")


def figure_pieces(
    figures: Mapping[str, float] | None, code: int, unit: str
) -> list[tuple[str, str]]:
    """Names and texts of a chunk's figures; None: they are not read yet. Of a chunk that is not
    done only the attempts are known, and only pixels may be without data, or undefined. Only
    a cluster has nodes."""
    pieces = [
        (mode.name, "…" if figures is None else mode.text(figures.get(mode.figure, 0.0)))
        for mode in MODES
        if mode.figure
        and (code == Code.DONE or mode.name == "attempts")
        and (unit == "px" or mode.name != "nodata")
        and (mode.name != "node" or (figures or {}).get("node"))
    ]
    if undefined := (figures or {}).get("undefined"):
        pieces.append(("undefined", plural(int(undefined), "pixel")))
    return pieces
