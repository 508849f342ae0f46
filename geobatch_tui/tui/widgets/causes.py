"""Dead letters by cause: what failed, how often, where, and what to do."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from rich.cells import cell_len
from textual.content import Content

from geobatch_tui.observability import figures
from geobatch_tui.tui.kit import fixed_width as fmt
from geobatch_tui.tui.parts.console_messages import ShowCause
from geobatch_tui.tui.parts.line_widget import Lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.tui.run.model import DeadGroup, View


class Causes(Lines):
    """The causes, a line each, the most frequent first. A click on one lists its letters."""

    BORDER_TITLE = "Dead letters by cause"
    ALLOW_MAXIMIZE: ClassVar[bool | None] = True

    def build(self, view: View, width: int, height: int) -> Sequence[Content]:
        groups = view.groups
        if not groups:
            said = "nothing was given up" if view.run is not None else ""
            return [Content.assemble((said, "$quiet"))]
        wide = width >= _WIDE_FROM
        lines = [_head(width)] if wide and height >= _HEAD_FROM else []
        room = height - len(lines)
        shown = groups if len(groups) <= room else groups[: max(1, room - 1)]
        row = _wide if wide else partial(_narrow, columns=_columns(shown, width))
        lines += [row(group, width) for group in shown]
        if len(shown) < len(groups):
            others = groups[len(shown) :]
            count = sum(group.count for group in others)
            text = f"+{len(others)} more causes with {figures.count(count)} dead letters"
            lines.append(Content.assemble((fmt.fit(text, width), "$quiet")))
        return lines

    def pick(self, x: int, y: int) -> None:
        del x
        groups = self.view.groups
        number = y - int(self.size.width >= _WIDE_FROM and self.size.height >= _HEAD_FROM)
        if 0 <= number < len(groups):
            self.post_message(ShowCause(groups[number].letters[0]))


_WIDE_FROM: Final = 120  #: cells from which on there is room for all columns
_HEAD_FROM: Final = 3  #: lines from which on their names stand above them


def _columns(groups: Sequence[DeadGroup], width: int) -> tuple[int, int, int]:
    """Return the widths of count, class and place, where the message has the rest."""
    count = max(len(figures.count(group.count)) for group in groups)
    name = max(cell_len(_name(group)) for group in groups)
    where = max(cell_len(group.where) for group in groups)
    return min(count, 6), min(name, 19), min(where, 22, max(10, width // 4))


def _narrow(group: DeadGroup, width: int, columns: tuple[int, int, int]) -> Content:
    count, name, where = columns
    message = width - count - name - where - 4
    return Content.assemble(
        (f"{fmt.right(figures.count(group.count), count)} ", "bold $error"),
        (fmt.fit(_name(group), name) + "  ", "bold"),
        fmt.fit(group.message, message) + " ",
        (fmt.fit_middle(group.where, where), "$quiet"),
    )


def _name(group: DeadGroup) -> str:
    return group.error_class.removesuffix("Error")


def _widths(width: int) -> tuple[int, int, int]:
    """Return the widths of message, place and suggestion."""
    left = width - (7 + 23 + 5 + 19 + 3)
    where = min(28, left // 5)
    suggestion = min(48, left // 3)
    return left - where - suggestion, where, suggestion


def _head(width: int) -> Content:
    message, where, suggestion = _widths(width)
    text = (
        f"{'count':>6} {fmt.fit('class', 22)} {fmt.fit('message', message)} "
        f"{fmt.fit('where', where)} {'try':>4} {'first':<9}{'last':<9} "
        f"{fmt.fit('suggestion', suggestion)}"
    )
    return Content.assemble((fmt.fit(text, width), "$quiet"))


def _wide(group: DeadGroup, width: int) -> Content:
    message, where, suggestion = _widths(width)
    return Content.assemble(
        (f"{fmt.right(figures.count(group.count), 6)} ", "bold $error"),
        (fmt.fit(group.error_class, 22) + " ", "bold"),
        fmt.fit(group.message, message) + " ",
        (fmt.fit_middle(group.where, where) + " ", "$quiet"),
        f"{group.attempts:>4} ",
        (f"{fmt.clock(group.first_t)} {fmt.clock(group.last_t)}  ", "$quiet"),
        (fmt.fit(group.suggestion, suggestion), "italic $quiet"),
    )
