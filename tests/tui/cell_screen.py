"""What a terminal shows after the bytes that the console sends it: a glyph and its colours a cell.

It knows what Textual and the console send, and nothing else; an unknown sequence changes nothing.
"""

from __future__ import annotations

import re
from typing import Final

from rich.cells import cell_len

_TOKEN: Final = re.compile(
    r"\x1b\[(?P<args>[0-9;:?<>=]*)(?P<inter>[ $]*)(?P<final>[@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b.|(?P<newline>[\r\n])|(?P<text>[^\x1b\r\n]+)"
)
_UNFINISHED: Final = re.compile(r"\x1b(?:\[[0-9;:?<>= $]*|\][^\x07\x1b]*)?\Z")
MOVES: Final = {"A": (0, -1), "B": (0, 1), "C": (1, 0), "D": (-1, 0)}
ENDED: Final = {22: {1, 2}, 23: {3}, 24: {4}, 27: {7}}
PLAIN: Final = (frozenset(), (), ())
BLANK: Final = (" ", PLAIN)


class CellScreen:
    """A terminal of so many cells.

    Attributes:
        cells: rows of pairs of a glyph and its attributes and colours; the second cell of a wide
            glyph has no glyph.
        asked: where the cursor was each time when its position was asked for, from 1 on: row and
            column.
        repeats: whether it knows the sequence that repeats a glyph.
    """

    def __init__(self, columns, rows, *, repeats=True):
        self.columns, self.rows = columns, rows
        self.cells = [[BLANK] * columns for _ in range(rows)]
        self.x = self.y = 0
        self.style = PLAIN
        self.asked = []
        self.repeats = repeats
        self.title = ""
        self._rest = ""

    def feed(self, text):
        """Take what was sent, which may end within a sequence."""
        text = self._rest + text
        cut = _UNFINISHED.search(text)
        end = cut.start() if cut else len(text)
        self._rest = text[end:]
        for token in _TOKEN.finditer(text, 0, end):
            if token["final"]:
                self._obey(token["args"], token["inter"] + token["final"])
            elif token["newline"]:
                self.x, self.y = 0, min(self.y + (token[0] == "\n"), self.rows - 1)
            elif token["text"]:
                self._write(token["text"])

    def _obey(self, args, command):
        if command == "H":
            row, _, column = args.partition(";")
            self.y, self.x = int(row or 1) - 1, int(column or 1) - 1
        elif command == "G":
            self.x = int(args or 1) - 1
        elif command in MOVES:
            right, down = MOVES[command]
            # Behind the last column a terminal's cursor is on that one, or on none.
            assert self.x < self.columns, "a move from a place that terminals disagree on"
            self.x += right * int(args or 1)
            self.y += down * int(args or 1)
        elif command == "b" and self.repeats:
            self._write(self.cells[self.y][self.x - 1][0] * int(args or 1))
        elif command == "m":
            self._paint_with(args.split(";"))
        elif (args, command) == ("6", "n"):
            self.asked.append((self.y + 1, min(self.x, self.columns - 1) + 1))
        elif (args, command) == ("?1049", "h"):
            self.cells = [[BLANK] * self.columns for _ in range(self.rows)]

    def _paint_with(self, codes):
        codes = [int(code or 0) for code in codes]
        while codes:
            code = codes.pop(0)
            if code == 0:
                self.style = PLAIN
            elif code in {38, 48}:
                count = 4 if codes[0] == 2 else 2
                colour, codes = (code, *codes[:count]), codes[count:]
                self._set(code == 48, colour)
            elif code in ENDED:
                self.style = (self.style[0] - ENDED[code], *self.style[1:])
            elif code in {39, 49}:
                self._set(code == 49, ())
            elif 30 <= code < 48 or code >= 90:
                self._set(40 <= code < 48 or code >= 100, (code,))
            else:
                self.style = (self.style[0] | {code}, *self.style[1:])

    def _set(self, ground, colour):
        attributes, ink, under = self.style
        self.style = (attributes, ink, colour) if ground else (attributes, colour, under)

    def _write(self, text):
        for glyph in text:
            wide = cell_len(glyph)
            row = self.cells[self.y]
            if not wide:
                if self.x:
                    row[self.x - 1] = (row[self.x - 1][0] + glyph, row[self.x - 1][1])
                continue
            for at in range(self.x, min(self.x + wide, self.columns)):
                row[at] = (glyph if at == self.x else "", self.style)
            self.x += wide

    def lines(self):
        """The glyphs of each row."""
        return ["".join(glyph for glyph, _ in row) for row in self.cells]

    def seen(self):
        """The cells as they are seen: nobody sees the ink of a blank, nor that it is bold."""
        return [[(glyph, _seen(glyph, style)) for glyph, style in row] for row in self.cells]

    def shows(self, text):
        """Whether a row has the text."""
        return any(text in line for line in self.lines())


def _seen(glyph, style):
    return (frozenset(), (), style[2]) if glyph == " " and style[0] <= {1, 2, 3} else style
