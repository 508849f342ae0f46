"""What a terminal has to be sent so that it shows another picture: the cells that differ."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.cells import cell_len
from rich.color import ColorSystem
from textual.geometry import Region
from textual.strip import Strip

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.style import Style

_GAP: Final = 4  #: cells in the colours before them that are sent sooner than they are skipped

_LOST: Final = -1  #: a column or a row that is not known
_BAND: Final = 4  #: rows that are sent together: their pieces in the order of the fewest bytes
_MOST: Final = 64  #: pieces that are put in that order: to look for it takes their number squared

_SERIES: Final = re.compile(r"([ -~\u2500-\u259f\u2717\u2800-\u28ff])\1{2,}")
"""Glyphs of one cell, frames, blocks, crosses and braille among them."""

_ANY: Final = "*"
_UNSEEN: Final = frozenset({"", "1", "2", "3"})  #: bold, dim and italic: a blank looks the same
#: What ends an attribute on all terminals; the others end with all.
_ENDS: Final = {"1": "22", "2": "22", "3": "23", "4": "24", "7": "27"}
#: Greys of 256 colours that nobody tells from others: one colour need not be changed.
_TWINS: Final = {"241": "59", "245": "102", "249": "145", "253": "188"}


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
_UNKNOWN: Final[Cell] = ("\0", _PLAIN)  #: a cell of which nothing is known: no other one is like it


@lru_cache(maxsize=8192)
def _look(style: Style, system: ColorSystem) -> Look:
    """Return the look of a style."""
    ink = style.color.downgrade(system).get_ansi_codes() if style.color else ()
    ground = (
        style.bgcolor.downgrade(system).get_ansi_codes(foreground=False) if style.bgcolor else ()
    )
    return Look(
        Strip.render_ansi(style.without_color, system),
        _color(ink),
        _color(ground),
        style.link or "",
    )


def _color(codes: Sequence[str]) -> str:
    """Return the parameters of a colour."""
    if "5" in codes[1:2]:  # one of 256
        codes = (*codes[:-1], _TWINS.get(codes[-1], codes[-1]))
    return ";".join(codes)


@lru_cache(maxsize=8192)
def _blank(look: Look) -> Look:
    """Return the look of a blank, whose ink nobody sees."""
    if look.link or not _UNSEEN.issuperset(look.attributes.split(";")):
        return look
    return Look("", _ANY, look.ground)


class TerminalPicture:
    """What a terminal shows, by what it was sent."""

    def __init__(self) -> None:
        #: Rows as they were sent; without a strip, if only parts of one were.
        self._rows: list[tuple[Strip | None, list[Cell]]] = []
        self._width = 0
        self._system = ColorSystem.TRUECOLOR

    def forget(self) -> None:
        """Take it that nothing is known of what the terminal shows."""
        self._rows = []

    def shows(self, strips: Sequence[Strip], part: Region) -> bool:
        """Whether the terminal was sent this part of a picture as it is."""
        return len(self._rows) == len(strips) and all(
            self._rows[y][0] == strips[y]
            or self._rows[y][1][part.x : part.right]
            == _cells(strips[y], self._system)[part.x : part.right]
            for y in range(len(strips))[part.y : part.bottom]
        )

    def patch(
        self,
        strips: Sequence[Strip],
        system: ColorSystem | None,
        room: int,
        parts: Sequence[Region] = (),
        *,
        repeats: bool = False,
    ) -> tuple[str, bool]:
        """Return what changes the terminal's picture into another one, and whether that is all.

        Args:
            strips: the rows of the other picture.
            system: the colours that the terminal has; None: as Textual, all.
            room: how many bytes there may be; rows that do not begin within them are left for the
                next time.
            parts: what is sent of it, in this order; all, where nothing is named.
            repeats: whether the terminal knows the sequence that repeats a glyph.
        """
        width = strips[0].cell_length if strips else 0
        self._system = system or ColorSystem.TRUECOLOR
        if len(self._rows) != len(strips) or self._width != width:
            self._rows = [(None, [_UNKNOWN] * width) for _ in strips]
            self._width = width
        pen = _Pen(width, repeats=repeats)
        all_of_it = Region(0, 0, width, len(strips))
        for rows, columns in _bands(
            [all_of_it.intersection(part) for part in parts or [all_of_it]]
        ):
            changed = [y for y in rows if self._rows[y][0] != strips[y]]
            if changed and pen.size >= room:
                return pen.text(), False
            regular: list[_Piece] = []
            for y in changed:
                pieces, is_regular = self._changed(strips[y], y, columns)
                if is_regular:
                    regular += pieces
                else:
                    pen.write_along(pieces)
            pen.write(regular)
        return pen.text(), True

    def _changed(self, strip: Strip, y: int, columns: range) -> tuple[list[_Piece], bool]:
        """Take a row as sent from column to column; return what changes it, and whether all of its
        glyphs have one cell. One of other glyphs, on which terminals disagree, is sent as a
        whole."""
        before, cells = self._rows[y][1], _cells(strip, self._system)
        if len(before) != len(cells) or not (_is_regular(before) and _is_regular(cells)):
            self._rows[y] = strip, cells
            return ([] if before == cells else _pieces(0, y, cells)), False
        if len(columns) == len(cells):
            self._rows[y] = strip, cells
        else:
            part = slice(columns.start, columns.stop)
            self._rows[y] = None, [*before[: part.start], *cells[part], *before[part.stop :]]
        found: list[_Piece] = []
        for begin, end in _changes(before, cells, columns):
            found += _pieces(begin, y, cells[begin:end])
        return found, True


class _Piece(NamedTuple):
    """Cells of a row that look alike: where, their glyphs, and how many they are."""

    x: int
    y: int
    text: str
    look: Look
    width: int


def _bands(parts: Sequence[Region]) -> Iterator[tuple[range, range]]:
    """Yield some rows of parts at a time, with the columns of them."""
    for part in parts:
        lines = range(part.y, part.bottom)
        for start in range(0, len(lines), _BAND):
            yield lines[start : start + _BAND], range(part.x, part.right)


def _pieces(x: int, y: int, cells: Sequence[Cell]) -> list[_Piece]:
    """Split cells of a row where they look otherwise; blanks go with what is beside them."""
    found: list[_Piece] = []
    for look, run in groupby(cells, key=itemgetter(1)):
        glyphs = [glyph for glyph, _ in run]
        text, width = "".join(glyphs), len(glyphs)
        last = found[-1] if found else None
        if last is not None and _has_look_of(look, last.look):
            found[-1] = last._replace(text=last.text + text, width=last.width + width)
        elif last is not None and _has_look_of(last.look, look):
            found[-1] = _Piece(last.x, y, last.text + text, look, last.width + width)
        else:
            found.append(_Piece(x, y, text, look, width))
        x += width
    return found


def _has_look_of(look: Look, other: Look) -> bool:
    """Whether a cell may be painted with the look of another one."""
    return look == other or (look.ink is _ANY and _with_ink(look, other) == other)


def _with_ink(look: Look, before: Look) -> Look:
    """Return a look with a definite ink: of a blank, the one that needs no change."""
    if look.ink is not _ANY:
        return look
    unseen = _UNSEEN.issuperset(before.attributes.split(";"))
    return Look(before.attributes if unseen else "", before.ink, look.ground)


class _Pen:
    """Writes pieces: colours only where they change, and as few bytes as the terminal understands.

    Args:
        width: columns of the terminal. Behind the last one the cursor is on that or on none.
        repeats: whether the terminal knows the sequence that repeats a glyph.
    """

    def __init__(self, width: int, *, repeats: bool) -> None:
        self.size = 0
        self._width = width
        self._repeats = repeats
        self._parts: list[str] = []
        self._look = _PLAIN
        self._x = self._y = _LOST

    def write(self, pieces: list[_Piece]) -> None:
        """Write pieces, always the next one that takes the fewest bytes to get to and to paint; but
        very many, as those of an image, in their order."""
        many = len(pieces) > _MOST
        while pieces:
            self._write(pieces.pop(0 if many else self._nearest(pieces)))

    def _nearest(self, pieces: list[_Piece]) -> int:
        look, x, y = self._look, self._x, self._y
        costs = [len(_move(x, y, one.x, one.y)) + len(_change(look, one.look)) for one in pieces]
        return costs.index(min(costs))

    def write_along(self, pieces: list[_Piece]) -> None:
        """Write pieces of a row one behind the other, wherever the terminal puts them."""
        self._x = self._y = _LOST
        for piece in pieces:
            self._write(piece, moves=piece is pieces[0])
        self._x = self._y = _LOST

    def text(self) -> str:
        """Return all that was written; the terminal's colours are its own behind it."""
        self._add(_change(self._look, _PLAIN))
        return "".join(self._parts)

    def _write(self, piece: _Piece, *, moves: bool = True) -> None:
        if moves:
            self._add(_move(self._x, self._y, piece.x, piece.y))
        self._add(_change(self._look, piece.look))
        self._look = _with_ink(piece.look, self._look)
        self._add(_series(piece.text) if self._repeats else piece.text)
        end = piece.x + piece.width
        self._x, self._y = end if end < self._width else _LOST, piece.y

    def _add(self, text: str) -> None:
        self._parts.append(text)
        self.size += len(text) if text.isascii() else len(text.encode())


@lru_cache(maxsize=2048)
def _series(text: str) -> str:
    """Return a text, each series of a glyph as that and a number where this is shorter."""
    return _SERIES.sub(_numbered, text)


@lru_cache(maxsize=2048)
def _move(x: int, y: int, to_x: int, to_y: int) -> str:
    """Return what moves the cursor to a cell, from another one or from one that is not known."""
    ways = [f"\x1b[{to_y + 1};{to_x + 1}H" if to_x else f"\x1b[{to_y + 1}H"]
    if y == to_y:
        ways.append(_along(x, to_x))
    elif y != _LOST:
        if to_y == y + 1:
            ways.append(f"\r\n{_along(0, to_x)}")
        if x != _LOST:
            ways.append(_step(to_y - y, "B", "A") + _along(x, to_x))
    return min(ways, key=len)


def _along(x: int, to_x: int) -> str:
    """Return what moves the cursor within its row."""
    if x == to_x:
        return ""
    ways = [f"\x1b[{to_x + 1}G" if to_x else "\r"]
    if x != _LOST:
        ways.append(_step(to_x - x, "C", "D"))
    return min(ways, key=len)


def _step(by: int, ahead: str, back: str) -> str:
    """Return what moves the cursor by so many cells or rows."""
    return f"\x1b[{abs(by) if abs(by) > 1 else ''}{ahead if by > 0 else back}"


@lru_cache(maxsize=2048)
def _change(before: Look, look: Look) -> str:
    """Return what changes a look into another one."""
    look = _with_ink(look, before)
    link = f"\x1b]8;;{look.link}\x1b\\" if look.link != before.link else ""
    if look[:3] == before[:3]:
        return link
    if not any(look[:3]):
        return f"{link}\x1b[0m"
    anew = ["0", look.attributes, *_colours(look, _PLAIN)]
    ended = _attributes(look, before)
    codes = anew if ended is None else [*ended, *_colours(look, before)]
    shorter = min((";".join(filter(None, way)) for way in (codes, anew)), key=len)
    return f"{link}\x1b[{shorter}m"


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


def _changes(
    before: Sequence[Cell], cells: Sequence[Cell], columns: range
) -> list[tuple[int, int]]:
    """Return from where to where cells of two rows differ within some columns."""
    found: list[tuple[int, int]] = []
    for x in columns:
        if before[x] == cells[x]:
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
