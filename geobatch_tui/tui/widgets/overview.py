"""The three lines on top: the run, its progress, its counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual.content import Content

from geobatch_tui import __version__
from geobatch_tui.observability import figures
from geobatch_tui.observability.text import safe
from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.kit.glyphs import LOOKS, RUN_OTHER, RUN_STYLES
from geobatch_tui.tui.parts.line_widget import Lines
from geobatch_tui.tui.run.progress_rates import UNITS, rate_of, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.tui.run.model import View

Piece = tuple[str, str]

#: Cells for the time to the end, and what is told in its place.
_TOLD = 20


class Overview(Lines):
    """Header, progress bar and counts. Never scrolls.

    Attributes:
        place: how the console is joined to the run, and where the run is.
        frozen: whether the picture stands still.
        read_only: whether the console changes nothing.
        unit: index into ``progress_rates.UNITS``.
    """

    DEFAULT_CSS = "Overview { height: 3; background: $panel; }"

    place = ""
    frozen = False
    read_only = False
    unit = 0

    def build(self, view: View, width: int, height: int) -> Sequence[Content]:
        del height
        return [self._title(view, width), _bar(view, width), self._counts(view, width)]

    def pick(self, x: int, y: int) -> None:
        """Go to the dead letters, which are counted at the right end of the first line."""
        said = figures.plural(self.view.dead_letters, "dead letter")
        if y == 0 and self.size.width - x <= cell_len(said) + 3:
            self.app.switch_mode("dead")

    def _title(self, view: View, width: int) -> Content:
        wide = width >= 140
        name = safe(view.name)
        brand = f" geobatch {__version__}  " if wide else " geobatch  "
        left: list[Piece] = [
            (brand if width >= 60 else " ", "bold $primary"),
            (fmt.fit(name, min(cell_len(name), 40 if wide else 24)), "bold"),
            ("  ", ""),
            (f" {view.state.upper()} ", RUN_STYLES.get(view.state, RUN_OTHER)),
        ]
        if self.read_only:
            left.append((" READ ONLY ", "reverse $quiet"))
        if self.frozen:
            left.append((" FROZEN ", "bold reverse $accent"))
        if wide and view.run is not None:
            left.append((f" since {fmt.clock(view.run.t0)}", "$quiet"))
            left.append((f"   {fmt.fit_middle(self.place, 60).rstrip()}", "$quiet"))
        right = self._right(view, wide=wide)
        room = width - _width(left) - 1
        while len(right) > 1 and _width(right) > room:
            right.pop(0)
        return ends(left, right, width)

    def _right(self, view: View, *, wide: bool) -> list[Piece]:
        """Return pieces for the right end, those that go first where there is little room first."""
        right: list[Piece] = []
        if wide and view.host:
            right.append((f"{view.host}  ", "$quiet"))
        if view.live and view.workers:
            busy = sum(1 for worker in view.workers if worker.label)
            right.append((f"{busy}/{len(view.workers)} workers  ", ""))
        right.append((f"{fmt.clock(view.now)}  ", "$quiet"))
        dead = view.dead_letters
        letters = figures.plural(dead, "dead letter")
        right.append((f"▲ {letters} ", "bold $error" if dead else "$quiet"))
        return right

    def _counts(self, view: View, width: int) -> Content:
        counts = view.counts
        gap = "   " if width >= 120 else "  "
        left: list[Piece] = [(" ", "")]
        for look in LOOKS.values():
            value = counts[look.field] - (view.current if look.name == "done" else 0)
            if value or look.name in {"done", "run", "wait", "dead"}:
                left += [
                    (f"{look.glyph} ", look.style if value else "$quiet"),
                    (f"{look.name} ", "$quiet"),
                    (f"{figures.count(value)}{gap}", ""),
                ]
        if view.current:
            left += [("kept ", "$quiet"), (figures.count(view.current), "")]
        room = width - _width(left) - 3
        right = self._rates(view)
        while len(right) > 1 and _width(right) > room:
            right.pop()
        return ends(left, [*right, (" ", "")], width)

    def _rates(self, view: View) -> list[Piece]:
        if view.suspended and view.live:
            return [(fmt.fit(f"waits: {view.suspended}", 24).rstrip(), "bold $warning")]
        sample = view.latest
        if sample is None or not view.live:
            items = view.items
            return [(f"{items['published']} of {items['total']} published", "$quiet")]
        unit = UNITS[self.unit % len(UNITS)]
        return [(text_of(unit, rate_of(unit, sample), view.unit_name), "bold")]


def _bar(view: View, width: int) -> Content:
    counts = view.counts
    total = counts["total"]
    tail = f"  {fmt.right(figures.percent(view.settled, total), 6)}"
    if width >= 120:
        tail += f"  {figures.count(view.settled)} / {figures.count(total)}"
    if view.live and view.state != "planning" and view.settled == total > 0:
        # Outputs are put together and published.
        left = figures.duration(view.eta_s) if view.eta_s else ""
        tail += f"  {fmt.fit(f'finishing {figures.count(view.finishing)}  {left}', _TOLD)}"
    elif view.live:
        tail += f"  {fmt.fit(_told(view), _TOLD)}"
    else:
        tail += f"  {fmt.fit(f'in {figures.duration(view.elapsed_s)}', _TOLD)}"
    room = max(10, width - 1 - len(tail))
    cells = fmt.shares([counts[look.field] for look in LOOKS.values()], room)
    pieces: list[Piece] = [(" ", "")]
    for look, share in zip(LOOKS.values(), cells, strict=True):
        glyph = "░" if look.name == "wait" else look.glyph
        pieces.append((glyph * share, look.style))
    if not total:
        pieces.append(("░" * room, "$chunk-wait"))
    pieces.append((tail, "bold"))
    return Content.assemble(*pieces)


def _told(view: View) -> str:
    """Return the time to the end, or how long nothing was finished. Nobody knows when a run goes
    on that waits."""
    if view.suspended:
        return "eta -"
    if view.stalls:
        return f"no chunk for {figures.duration(view.still_s)}"
    return f"eta {figures.time_left(view.eta_low_s, view.eta_s, view.eta_high_s)}"


def _width(pieces: Sequence[Piece]) -> int:
    return sum(cell_len(text) for text, _ in pieces)


def ends(left: Sequence[Piece], right: Sequence[Piece], width: int) -> Content:
    """Join pieces at both ends of a line; where there is no room, the left ones are cut, and a
    blank keeps them off the right ones."""
    room = width - _width(right) - 1
    fitted: list[Piece] = []
    for text, style in left:
        if room <= 0:
            break
        piece = text if cell_len(text) <= room else fmt.fit(text, room)
        fitted.append((piece, style))
        room -= cell_len(piece)
    return Content.assemble(*fitted, (" " * (max(0, room) + 1), ""), *right)
