"""Panels around the map: a line on top, the legend, the cursor's card, a histogram."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from textual.content import Content

from geobatch_tui.ledger.schema.updates import ChunkState
from geobatch_tui.observability import figures
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.kit.glyphs import LOOKS
from geobatch_tui.tui.map.picture.codes import MODES, PRECEDENCE, STEPS, WHO
from geobatch_tui.tui.map.picture.place import lonlat_text
from geobatch_tui.tui.map.picture.reading import (
    Piece,
    Reading,
    counts_pieces,
    figure_pieces,
    window_text,
)
from geobatch_tui.tui.parts.line_widget import Lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from geobatch_tui.tui.map.picture.codes import Mode, Scale
    from geobatch_tui.tui.map.picture.histogram import Histogram
    from geobatch_tui.tui.run.model import LetterView, View

_QUIET: Final = "$quiet"
_SHORT: Final = (
    ChunkState.PENDING,
    ChunkState.RUNNING,
    ChunkState.DONE,
    ChunkState.DEAD,
    ChunkState.RETRY_WAIT,
)
"""The states of a legend in one line."""
_STYLES: Final = {look.glyph: look.style for look in LOOKS.values()}


def _wrapped(text: str, width: int) -> list[str]:
    """Wrap a text in up to four lines; the rest is cut."""
    lines = Content(text).wrap(max(1, width))
    shown = [line.plain.rstrip() for line in lines[:4]]
    if len(lines) > 4:
        shown[-1] = fmt.fit(f"{shown[-1]} {lines[4].plain}", width)
    return shown


def _line(pieces: Sequence[Piece], width: int) -> Content:
    """Join pieces to a line of ``width`` cells; the last ones are cut."""
    content = Content.assemble(*pieces)
    return content.truncate(width, ellipsis=True, pad=True)


class Pieces(Lines):
    """Lines of pieces, of which the last ones are cut; overwrite :meth:`rows`."""

    def rows(self, view: View, width: int, height: int) -> list[list[Piece]]:
        """Return the pieces of each line."""
        raise NotImplementedError

    def build(self, view: View, width: int, height: int) -> Sequence[Content]:
        return [_line(row, width) for row in self.rows(view, width, height)]


class MapHead(Lines):
    """The line on top: the size of the map, and how many chunks are dead or wait for a retry.

    Attributes:
        what: the grid or the items that are shown.
        unplaced: how many items are not on the ground, and how many of their chunks are dead.
    """

    DEFAULT_CSS = "MapHead { height: 1; background: $panel; }"

    what = ""
    unplaced = (0, 0)

    def build(self, view: View, width: int, height: int) -> Sequence[Content]:
        del height
        dead = view.counts["dead"]
        left: list[Piece] = [(f" {fmt.fit_middle(safe(self.what), 60).rstrip()}", "bold")]
        items, lost = self.unplaced
        if items:
            text = f"   {figures.plural(items, 'item')} without a place"
            left.append((text + (f", {figures.count(lost)} dead" if lost else ""), "$warning"))
        tail = Content.assemble(
            (f"retry {figures.count(view.counts['retry'])}  ", _QUIET),
            (f"✗ {figures.count(dead)} dead ", "bold $error" if dead else _QUIET),
        )
        head = _line(left, max(0, width - tail.cell_length))
        return [Content.assemble(head, tail)]


class Legend(Pieces):
    """The meaning of colours and glyphs: in one line, or a line each with counts.

    Attributes:
        mode, scale: what the map shows.
    """

    mode: Mode = MODES[0]
    scale: Scale = MODES[0].scale(())

    def rows(self, view: View, width: int, height: int) -> list[list[Piece]]:
        if height < 2:
            return [[(" ", ""), *self._short()]]
        rows: list[list[Piece]] = []
        for look in (LOOKS[state] for state in reversed(PRECEDENCE)):
            count = fmt.right(figures.count(view.counts[look.field]), width - 16)
            rows.append([(f" {look.glyph} ", look.style), (f"{look.name:<12}", ""), (count, "")])
        if self.mode.figure:
            rows.append([(f" {self.mode.name}: the highest of each cell", _QUIET)])
            rows += [[(" ", ""), *pieces] for pieces in self._steps()]
        return rows

    def _short(self) -> list[Piece]:
        pieces: list[Piece] = []
        for step in self._steps(short=True) if self.mode.figure else ():
            pieces += [*step, ("  ", "")]
        for look in (LOOKS[state] for state in _SHORT):
            if look.name != "done" or not self.mode.figure:
                pieces += [(look.glyph, look.style), (f" {look.name}  ", _QUIET)]
        return pieces

    def _steps(self, *, short: bool = False) -> list[list[Piece]]:
        """Return each step of the scale: its colour, or where there are none the digit that the map
        has for it, and where it begins."""
        if self.mode.name in WHO:
            return [
                [("█", f"$ramp-{step + 1}"), (f" {step + 1}", _QUIET)] for step in range(STEPS)
            ] + [[("█", "$secondary"), (" several", _QUIET)]]
        starts = ["", *(self.mode.text(edge) for edge in self.scale.edges)]
        found = []
        for step, start in enumerate(starts):
            text = f"from {start}" if start else f"below {starts[1]}"
            if short:
                text = start or f"<{starts[1]}"
            if self.mode.name == "attempts":
                text = f"{step + 1}x" if step < STEPS - 1 else f"{STEPS}x or more"
            mark = f"{step + 1}" if self.app.no_color else "█"
            found.append([(mark, f"$ramp-{step + 1}"), (f" {text}", _QUIET)])
        return found


class CursorCard(Pieces):
    """The chunk, item or ground under the cursor.

    Attributes:
        reading: what it is.
        figures: of its chunk, by the ledger's names; None: not read yet.
        letter: its dead letter, if there is one.
    """

    BORDER_TITLE = "Cursor"

    reading = Reading()
    figures: Mapping[str, float] | None = None
    letter: LetterView | None = None

    def rows(self, view: View, width: int, height: int) -> list[list[Piece]]:
        selected = self.reading.selected
        rows = self._rows(width, view.unit_name, tall=height > 3)
        if selected is not None and height > 1:
            text = f"selected {figures.count(sum(selected.values()))}  "
            rows = [*rows[: height - 1], [(text, "bold"), *counts_pieces(selected)]]
        return rows

    def _rows(self, width: int, unit: str, *, tall: bool) -> list[list[Piece]]:
        reading = self.reading
        place, none = (lonlat_text(reading.lonlat), ""), "no chunk here"
        if reading.item is None or reading.counts is None:
            return [[(none, _QUIET)], [place]] if tall else [[(f"{none}   ", _QUIET), place]]
        name = [(f"{reading.name}  ", "bold"), *counts_pieces(reading.counts)]
        window = window_text(reading, unit)
        if not tall:
            return [[*name, (f"   {place[0]}   {window}", "")], self._second(width, unit)]
        rows: list[list[Piece]] = [
            name,
            [(fmt.fit_middle(reading.item.key, width), "")],
            [(f"row {reading.row}  column {reading.column}", "")],
            [(window, "")],
            [place],
        ]
        rows += [
            [(f"{figure:<10}", _QUIET), (text, "")]
            for figure, text in figure_pieces(self.figures, reading.code, unit)
        ]
        if self.letter is not None:
            rows += [[(part, "$error")] for part in _wrapped(_error(self.letter), width)]
        return rows + [
            [
                (f"{'neighbours' if index == 1 else '':<12}", _QUIET),
                *((glyph, _STYLES.get(glyph, "")) for glyph in row),
            ]
            for index, row in enumerate(reading.near)
        ]

    def _second(self, width: int, unit: str) -> list[Piece]:
        reading = self.reading
        if self.letter is not None:
            return [(_error(self.letter), "$error")]
        key = reading.item.key if reading.item else ""
        named = {"attempts", "worker", "nodata"}
        facts = "  ".join(
            f"{name} {text}" if name in named else text
            for name, text in figure_pieces(self.figures, reading.code, unit)
        )
        room = max(8, width - len(facts) - 2)
        return [(fmt.fit_middle(key, min(room, 40)).rstrip(), ""), (f"  {facts}", _QUIET)]


def _error(letter: LetterView) -> str:
    return f"{letter.error_class}: {letter.message}"


class HistogramPanel(Pieces):
    """The distribution of a figure over the chunks that are done.

    Attributes:
        histogram: None: not read yet.
    """

    histogram: Histogram | None = None

    def rows(self, view: View, width: int, height: int) -> list[list[Piece]]:
        del view
        histogram = self.histogram
        if histogram is None or not histogram.counts:
            return [[("nothing is done yet", _QUIET)]]
        top = max(histogram.counts)
        room = max(1, width - 18)
        rows: list[list[Piece]] = []
        bins = zip(histogram.starts, histogram.counts, histogram.steps, strict=True)
        for start, count, step in islice(bins, max(0, height - 1)):
            bar = "█" * round(room * count / top) or ("▏" if count else "")
            amount = fmt.right(figures.amount(count), 7)
            style = f"$ramp-{step + 1}"
            rows.append(
                [(f"{fmt.right(start, 8)} ", _QUIET), (f"{bar:<{room}}", style), (amount, "")]
            )
        return [*rows, [(histogram.summary, _QUIET)]]
