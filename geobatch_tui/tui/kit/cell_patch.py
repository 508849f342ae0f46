"""What a terminal has to be sent so that it shows another picture: the cells that differ."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.cells import cell_len
from rich.color import ColorSystem
from textual.strip import Strip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.style import Style

_GAP: Final = 4
"""Cells in the colours before them that are sent again sooner than they are skipped."""

_SERIES: Final = re.compile(r"([ -~\u2500-\u259f\u2800-\u28ff])\1{3,}")
"""Glyphs of one cell, frames, blocks and braille among them."""
_SHORTEST_SERIES: Final = 4

_ANY: Final = "*"
_UNSEEN: Final = frozenset({"", "1", "2", "3"})  #: bold, dim and italic: a blank looks the same
_ENDS: Final = {"1": "22", "2": "22", "3": "23", "4": "24", "7": "27"}
"""What ends an attribute on all terminals; the others end with all."""


class Look(NamedTuple):
    """How a cell is painted, as parameters of SGR sequences; and the address that it leads to. The
    ink of a blank is any."""

    attributes: str = ""
    ink: str = ""
    ground: str = ""
    link: str = ""


type Cell = tuple[str, Look]
"""A glyph and its look; the second cell of a wide glyph has no glyph."""

_PLAIN: Final = Look()


@lru_cache(maxsize=8192)
def _look(style: Style, system: ColorSystem) -> Look:
    """Return the look of a style."""
    ink = style.color.downgrade(system).get_ansi_codes() if style.color else ()
    ground = (
        style.bgcolor.downgrade(system).get_ansi_codes(foreground=False) if style.bgcolor else ()
    )
    return Look(
        Strip.render_ansi(style.without_color, system),
        ";".join(ink),
        ";".join(ground),
        style.link or "",
    )


@lru_cache(maxsize=8192)
def _blank(look: Look) -> Look:
    """Return the look of a blank, whose ink nobody sees."""
    if look.link or not _UNSEEN.issuperset(look.attributes.split(";")):
        return look
    return Look("", _ANY, look.ground)


class TerminalPicture:
    """What a terminal shows, by what it was sent."""

    def __init__(self) -> None:
        self._rows: list[tuple[Strip, list[Cell]] | None] = []
        self._width = 0

    def forget(self) -> None:
        """Take it that nothing is known of what the terminal shows."""
        self._rows = []

    def shows(self, strips: Sequence[Strip], rows: range) -> bool:
        """Whether the terminal was sent these rows of a picture as they are."""
        return len(self._rows) == len(strips) and all(
            (known := self._rows[y]) is not None and known[0] == strips[y]
            for y in range(len(strips))[rows.start : rows.stop]
        )

    def patch(
        self,
        strips: Sequence[Strip],
        system: ColorSystem | None,
        room: int,
        first: range = range(0),
        *,
        repeats: bool = False,
    ) -> tuple[str, bool]:
        """Return what changes the terminal's picture into another one, and whether that is all.

        Args:
            strips: the rows of the other picture.
            system: the colours that the terminal has; None: as Textual, all.
            room: how many bytes there may be; rows that do not begin within them are left for the
                next time.
            first: rows that come before the others, which follow from above.
            repeats: whether the terminal knows the sequence that repeats a glyph.
        """
        width = strips[0].cell_length if strips else 0
        if len(self._rows) != len(strips) or self._width != width:
            self._rows = [None] * len(strips)
            self._width = width
        pen = _Pen(repeats=repeats)
        ahead = range(len(strips))[first.start : first.stop]
        for y in (*ahead, *(row for row in range(len(strips)) if row not in ahead)):
            strip = strips[y]
            before = self._rows[y]
            if before is not None and before[0] == strip:
                continue
            if pen.size >= room:
                return pen.text(), False
            cells = _cells(strip, system or ColorSystem.TRUECOLOR)
            for begin, end in _changes(before[1] if before is not None else None, cells):
                pen.write(begin, y, cells[begin:end])
            self._rows[y] = strip, cells
        return pen.text(), True


class _Pen:
    """Writes cells: colours only where they change, and as few bytes as the terminal understands.

    Args:
        repeats: whether the terminal knows the sequence that repeats a glyph.
    """

    def __init__(self, *, repeats: bool) -> None:
        self.size = 0
        self._repeats = repeats
        self._parts: list[str] = []
        self._look = _PLAIN
        self._row = -1

    def write(self, x: int, y: int, cells: Sequence[Cell]) -> None:
        """Write cells of a row from a column on."""
        if y == self._row:
            self._add(f"\x1b[{x + 1}G")
        else:
            self._add(f"\x1b[{y + 1};{x + 1}H" if x else f"\x1b[{y + 1}H")
        self._row = y
        for look, run in groupby(cells, key=itemgetter(1)):
            self._change(look)
            self._add(self._text([glyph for glyph, _ in run]))

    def text(self) -> str:
        """Return all that was written; the terminal's colours are its own behind it."""
        if self._look != _PLAIN:
            self._change(_PLAIN)
        return "".join(self._parts)

    def _text(self, glyphs: list[str]) -> str:
        """Return glyphs, each series of one as that and a number where this is shorter."""
        text = "".join(glyphs)
        if not self._repeats or len(text) < _SHORTEST_SERIES:
            return text
        return _SERIES.sub(_numbered, text)

    def _add(self, text: str) -> None:
        self._parts.append(text)
        self.size += len(text) if text.isascii() else len(text.encode())

    def _change(self, look: Look) -> None:
        before = self._look
        if look.ink is _ANY:
            unseen = _UNSEEN.issuperset(before.attributes.split(";"))
            look = Look(before.attributes if unseen else "", before.ink, look.ground)
        if look == before:
            return
        self._look = look
        if look.link != before.link:
            self._add(f"\x1b]8;;{look.link}\x1b\\")
        if look[:3] == before[:3]:
            return
        if not any(look[:3]):
            self._add("\x1b[0m")
            return
        anew = ["0", look.attributes, *_colours(look, _PLAIN)]
        ended = _attributes(look, before)
        codes = anew if ended is None else [*ended, *_colours(look, before)]
        shorter = min((";".join(filter(None, way)) for way in (codes, anew)), key=len)
        self._add(f"\x1b[{shorter}m")


def _numbered(series: re.Match[str]) -> str:
    """Return a series of one glyph as that and how often it comes again."""
    text = series[0]
    shorter = f"{text[0]}\x1b[{len(text) - 1}b"
    return shorter if len(shorter.encode()) < len(text.encode()) else text


def _attributes(look: Look, before: Look) -> list[str] | None:
    """Return the parameters that change one look's attributes into another's; None: only all
    can be ended."""
    old, new = (set(filter(None, each.attributes.split(";"))) for each in (before, look))
    gone = old - new
    if not gone <= _ENDS.keys():
        return None
    ends = {_ENDS[code] for code in gone}
    kept = {code for code in new & old if _ENDS.get(code) not in ends}
    return [*sorted(ends), *sorted(new - kept)]


def _colours(look: Look, before: Look) -> list[str]:
    """Return the parameters that change one look's colours into another's."""
    found = []
    if look.ink != before.ink:
        found.append(look.ink or "39")
    if look.ground != before.ground:
        found.append(look.ground or "49")
    return found


def _cells(strip: Strip, system: ColorSystem) -> list[Cell]:
    """Return the cells of a row."""
    cells: list[Cell] = []
    for text, style, control in strip:
        if control:
            continue
        look = _look(style, system) if style is not None else _PLAIN
        blank = _blank(look)
        if text.isascii():
            cells += [(glyph, look if glyph != " " else blank) for glyph in text]
            continue
        for glyph in text:
            wide = cell_len(glyph)
            if wide:
                cells.append((glyph, look if glyph != " " else blank))
                cells += [("", look)] * (wide - 1)
            elif cells:
                _join(cells, glyph)
    return cells


def _join(cells: list[Cell], mark: str) -> None:
    """Put a mark that has no cell of its own into the last cell with a glyph."""
    at = len(cells) - 1
    while at and not cells[at][0]:
        at -= 1
    cells[at] = cells[at][0] + mark, cells[at][1]


def _changes(before: Sequence[Cell] | None, cells: Sequence[Cell]) -> list[tuple[int, int]]:
    """Return from where to where cells differ; a row with glyphs of other widths than one, which
    terminals disagree on, as a whole."""
    if before is None or len(before) != len(cells):
        return [(0, len(cells))] if cells else []
    if before == cells:
        return []
    if not (_is_regular(before) and _is_regular(cells)):
        return [(0, len(cells))]
    found: list[tuple[int, int]] = []
    for x, (old, new) in enumerate(zip(before, cells, strict=True)):
        if old == new:
            continue
        if found and x - found[-1][1] <= _GAP and _is_of_one_look(cells[found[-1][1] - 1 : x]):
            found[-1] = found[-1][0], x + 1
        else:
            found.append((x, x + 1))
    return found


def _is_of_one_look(cells: Sequence[Cell]) -> bool:
    """Whether the cells behind the first one look as that does."""
    return all(look == cells[0][1] or look.ink is _ANY for _, look in cells[1:])


def _is_regular(cells: Sequence[Cell]) -> bool:
    return all(len(glyph) == 1 for glyph, _ in cells)
