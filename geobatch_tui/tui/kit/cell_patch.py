"""What a terminal has to be sent so that it shows another picture: the cells that differ."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.cells import cell_len
from rich.color import ColorSystem
from textual.strip import Strip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.style import Style

_GAP: Final = 4
"""Cells that are sent again sooner than they are skipped."""


class Look(NamedTuple):
    """How a cell is painted, as parameters of SGR sequences; and the address that it leads to."""

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
    ) -> tuple[str, bool]:
        """Return what changes the terminal's picture into another one, and whether that is all.

        Args:
            strips: the rows of the other picture.
            system: the colours that the terminal has; None: as Textual, all.
            room: how many bytes there may be; rows that do not begin within them are left for the
                next time.
            first: rows that come before the others, which follow from above.
        """
        width = strips[0].cell_length if strips else 0
        if len(self._rows) != len(strips) or self._width != width:
            self._rows = [None] * len(strips)
            self._width = width
        pen = _Pen()
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
    """Writes cells, and changes of colours only where they change."""

    def __init__(self) -> None:
        self.size = 0
        self._parts: list[str] = []
        self._look = _PLAIN

    def write(self, x: int, y: int, cells: Sequence[Cell]) -> None:
        """Write cells of a row from a column on."""
        self._add(f"\x1b[{y + 1};{x + 1}H")
        glyphs: list[str] = []
        for glyph, look in cells:
            if look is not self._look and look != self._look:
                self._add("".join(glyphs))
                glyphs.clear()
                self._change(look)
            glyphs.append(glyph)
        self._add("".join(glyphs))

    def text(self) -> str:
        """Return all that was written; the terminal's colours are its own behind it."""
        if self._look != _PLAIN:
            self._change(_PLAIN)
        return "".join(self._parts)

    def _add(self, text: str) -> None:
        self._parts.append(text)
        self.size += len(text) if text.isascii() else len(text.encode())

    def _change(self, look: Look) -> None:
        before, self._look = self._look, look
        if look.link != before.link:
            self._add(f"\x1b]8;;{look.link}\x1b\\")
        if look[:3] == before[:3]:
            return
        if not any(look[:3]):
            self._add("\x1b[0m")
        elif look.attributes != before.attributes:
            # There is no sequence that ends one attribute and is the same on all terminals.
            clear = "0" if before.attributes else ""
            parts = (clear, look.attributes, *_colours(look, _PLAIN if clear else before))
            self._add(f"\x1b[{';'.join(filter(None, parts))}m")
        else:
            self._add(f"\x1b[{';'.join(_colours(look, before))}m")


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
        if text.isascii():
            cells += [(glyph, look) for glyph in text]
            continue
        for glyph in text:
            wide = cell_len(glyph)
            if wide:
                cells.append((glyph, look))
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
        if found and x - found[-1][1] <= _GAP:
            found[-1] = found[-1][0], x + 1
        else:
            found.append((x, x + 1))
    return found


def _is_regular(cells: Sequence[Cell]) -> bool:
    return all(len(glyph) == 1 for glyph, _ in cells)
