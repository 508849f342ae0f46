"""Two rows of pixels as one line of cells: half blocks in colour, or a glyph for the worse one.

What is dead has its glyph in colour, too: no hue can be told from all others by everybody.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from geobatch_tui.tui.kit.glyphs import LOOKS
from geobatch_tui.tui.map.picture.codes import CODES, CURSOR, RANK, SEAM, SELECTED, STEPS, Code

if TYPE_CHECKING:
    from collections.abc import Iterator

Key = tuple[int, int]
"""Codes of foreground and background; of a glyph, its code and ``GLYPH``; of a glyph on its
colour, its code and ``FILLED``; of what lies under the chunks, ``UNDER``."""

Run = tuple[str, Key]

GLYPH: Final = -1
FILLED: Final = -2
UNDER: Final[Key] = (-1, -1)
_PLAIN: Final = SEAM - 1  #: the bits of a code without marks

GLYPHS: Final[dict[int, str]] = {
    Code.ABSENT: " ",
    Code.MIXED: "+",
    Code.UNKNOWN: "?",
    **{CODES[state]: look.glyph for state, look in LOOKS.items()},  # type: ignore[index]
    **{Code.RAMP_1 + step: str(step + 1) for step in range(STEPS)},
}
_GLYPH: Final = [GLYPHS.get(code, " ") for code in range(_PLAIN + 1)]


def blocks(upper: bytes, lower: bytes, under: str = "") -> Iterator[Run]:
    """Yield runs of cells of one look, two pixels a cell.

    ``upper`` and ``lower`` are codes with marks; ``under`` is what cells without a chunk show, ""
    for blanks.
    """
    x = 0
    for (top, bottom), cells in groupby(zip(upper, lower, strict=True)):
        count = len(list(cells))
        if not top and not bottom:
            yield under[x : x + count] or " " * count, UNDER
        elif Code.DEAD in {top & _PLAIN, bottom & _PLAIN}:
            yield "✗" * count, (Code.DEAD | (top | bottom) & (SELECTED | CURSOR), FILLED)
        elif not top & ~SELECTED:
            # What has no colour of its own is never the foreground.
            empty = not bottom & ~SELECTED
            yield (" " if empty else "▄") * count, (bottom, top)
        elif top == bottom:
            # Filled with the colour behind it, too: some fonts leave gaps between full blocks.
            yield "▀" * count, (top, top)
        else:
            yield "▀" * count, (top, bottom)
        x += count


def glyphs(upper: bytes, lower: bytes, under: str = "") -> Iterator[Run]:
    """Yield the same runs in glyphs, one a cell for the worse of its two pixels."""
    x = 0
    for code, cells in groupby(map(_worse, upper, lower)):
        count = len(list(cells))
        if not code:
            yield under[x : x + count] or " " * count, UNDER
        elif not code & _PLAIN and under:
            yield under[x : x + count], (code, GLYPH)
        else:
            # Neither a line under a full block nor one through it can be seen.
            lighter = code & SELECTED and code & _PLAIN == Code.DONE
            yield ("▓" if lighter else _GLYPH[code & _PLAIN]) * count, (code, GLYPH)
        x += count


def _worse(top: int, bottom: int) -> int:
    marks = (top | bottom) & (SELECTED | CURSOR)
    top, bottom = top & _PLAIN, bottom & _PLAIN
    return marks | (top if RANK[top] >= RANK[bottom] else bottom)
